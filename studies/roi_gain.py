"""Gain of ``--roi auto`` over ``--roi none``, next to that of the true mask.

    OMP_NUM_THREADS=1 python -m studies.roi_gain --data ../shared/data [NAME…]
        [--frames 32] [--effort 5] [--out runs/roi_gain.json] [--minutes 9] [--estimate]

NAME is a clip that has masks: of ``valid``, ``heldout`` or ``train``; ``valid`` stands for the five
clips of valid that have, ``kept`` for ten scenes that the saliency network was not trained on
(:data:`KEPT`). Each is encoded three times at four qualities: without ROI, with ``--roi auto``, and
with its true mask. Every stream is decoded again, and scored on the true mask to the sample:
ROI-weighted PSNR (6Y + U + V) / 8, 0.8 of the squared error inside. BD-BR is in % of the whole
stream's bytes; "reached" is the part of the true mask's gain that ``auto`` has.

Finished streams are kept in --out by clip, quality, options, masks and model, and are not encoded
again; for another encoder take another file. --minutes ends the run after so much time: start it
again for the rest. --estimate takes no encoding at all: shares, IoU and changes of the masks.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import roicodec
from roicodec.bitstream.masks import Mask, cells_of
from roicodec.decoder.model import load_model
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import parse_roi
from roicodec.errors import InputError
from roicodec.evaluate.bd import compare
from roicodec.media import Reader
from roicodec.output import OutputFile
from roicodec.picture import Picture
from roicodec.psnr import psnr_regions
from roicodec.train.saliency_data import clip_masks
from roicodec.train.saliency_metrics import iou

KEPT = (
    "davis_soccerball",
    "davis_tennis",
    "davis_drift-turn",
    "cdnet_highway_1",
    "head_sofa",
    "head_map",
    "davis_cows_long",
    "davis_scooter-black_long",
    "davis_dance-jump",
    "cdnet_traffic",
)
"""Clips of ten scenes without training: six of ``heldout``, four that constants were chosen by."""

KINDS = ("none", "auto", "true")
PLAIN_QUALITIES, ROI_QUALITIES = (20, 33, 46, 58), (12, 24, 36, 46)
"""Quality indices without and with ROI; 16 bits in the ROI put it 17 indices above the rest."""


@dataclass(frozen=True)
class Point:
    """Bytes of a stream, and mean ROI-weighted PSNR in dB of what is decoded from it."""

    size: int
    psnr: float


class Clip:
    """Pictures of a clip, its true masks, and those of ``auto``.

    Attributes:
        name: of its file, without ending.
        pictures: in order.
        samples: true masks, bool ``[H, W]``.
        masks: by kind (:data:`KINDS`), on the grid, one a picture.
    """

    def __init__(self, data: Path, name: str, frames: int) -> None:
        path, true = _find(data, name)
        self.name = name
        with Reader(str(path), slice(0, min(frames, len(true)))) as reader:
            self.pictures = list(reader)
        size = self.pictures[0].width, self.pictures[0].height
        self.samples = [
            cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
            for m in true[: len(self.pictures)]
        ]
        source = parse_roi(("auto",), *size)
        pairs = zip(self.pictures, [None, *self.pictures[:-1]], strict=True)
        found = [source.mask(n, 0.0, now, before) for n, (now, before) in enumerate(pairs)]
        source.close()
        self.masks: dict[str, list[Mask]] = {
            "none": [np.zeros_like(m) for m in found],
            "auto": found,
            "true": [cells_of(m) for m in self.samples],
        }

    def point(self, kind: str, options: EncoderOptions) -> Point:
        """Point of one encode with the masks of a kind, decoded and scored on the true ones."""
        masks = {p.pts: m for p, m in zip(self.pictures, self.masks[kind], strict=True)}
        first = self.pictures[0]
        # What is found is coded otherwise than what is given.
        roi = "auto" if kind == "auto" else lambda picture: masks[picture.pts]
        encoder = roicodec.Encoder(first.width, first.height, options, roi=roi)
        stream = b"".join(part for p in [*self.pictures, None] for part in encoder.encode(p))
        with roicodec.open(io.BytesIO(stream)) as video:
            shown = [Picture(p.y, p.u, p.v) for p in video]
        scored = zip(self.pictures, shown, self.samples, strict=True)
        return Point(len(stream), mean(psnr_regions(a, b, m).weighted_yuv for a, b, m in scored))

    def described(self) -> str:
        """Masks of ``auto`` against the true ones, in cells."""
        auto, true = self.masks["auto"], self.masks["true"]
        both = [iou(a, t) for a, t in zip(auto, true, strict=True)]
        changed = mean(int(np.count_nonzero(a != b)) for a, b in pairwise(auto))
        return (
            f"{float(np.mean(true)):7.3f}{float(np.mean(auto)):7.3f}{mean(both):7.3f}"
            f"{changed:8.1f} of {true[0].size}"
        )


def _find(data: Path, name: str) -> tuple[Path, Sequence[NDArray[np.generic]]]:
    """A clip and its true masks."""
    for folder, masks in (("valid", data / "valid" / "masks"), ("heldout", data / "heldout")):
        if (masks / f"{name}.npz").exists():
            with np.load(masks / f"{name}.npz") as file:
                return data / folder / f"{name}.mkv", file["mask"]
    known = clip_masks(data, name)
    if known is None:
        raise InputError(f"{name}: no clip of valid, heldout or train that has masks")
    return data / "train" / f"{name}.mkv", known


def names(data: Path, asked: Sequence[str]) -> Iterator[str]:
    """Names of clips, of which some may be asked for together."""
    for name in asked:
        if name == "valid":
            yield from sorted(p.stem for p in (data / "valid" / "masks").glob("*.npz"))
        elif name == "kept":
            yield from KEPT
        else:
            yield name


def _digest(masks: Sequence[Mask]) -> str:
    return hashlib.sha256(b"".join(np.packbits(m).tobytes() for m in masks)).hexdigest()[:16]


class Results:
    """Points that are known, in a file that is written anew after each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.points: dict[str, Point] = {}
        if path.exists():
            for key, values in json.loads(path.read_text(encoding="utf-8")).items():
                self.points[key] = Point(**values)

    def add(self, key: str, point: Point) -> None:
        self.points[key] = point
        self._path.parent.mkdir(parents=True, exist_ok=True)
        stored = {k: asdict(p) for k, p in self.points.items()}
        with OutputFile(str(self._path)) as file:
            file.stream.write(json.dumps(stored, indent=0).encode())


def curve(
    clip: Clip, kind: str, options: EncoderOptions, results: Results, deadline: float
) -> list[Point] | None:
    """Four points of a clip; None if the time is over before they are there."""
    masks = clip.masks[kind]
    out = []
    for quality in ROI_QUALITIES if np.any(masks) else PLAIN_QUALITIES:
        settings = f"effort {options.effort} candidates {options.candidates}"
        if np.any(masks):
            settings += f" strength {options.roi_strength:g}"
        key = f"{clip.name} {len(masks)} frames, {settings}, q {quality}, {_digest(masks)}"
        key += f", model {load_model().id.hex()[:8]}"
        if key not in results.points:
            if time.monotonic() > deadline:
                return None
            asked = replace(options, quality=quality, frames=len(masks))
            results.add(key, clip.point(kind, asked))
        out.append(results.points[key])
    return out


def percent(anchor: Sequence[Point], test: Sequence[Point]) -> float:
    """BD-BR; NaN if the curves do not overlap."""
    points = [([p.size for p in c], [p.psnr for p in c]) for c in (anchor, test)]
    try:
        return compare(*points[0], *points[1]).percent
    except InputError:
        return math.nan


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", default=["valid", "kept"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--effort", type=int, default=EncoderOptions().effort)
    parser.add_argument("--roi-strength", type=float, default=1.0)
    parser.add_argument("--candidates", default="4,8,16")
    parser.add_argument("--kinds", default=",".join(KINDS), help="ROI, of none, auto, true")
    parser.add_argument("--out", type=Path, default=Path("runs/roi_gain.json"))
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--estimate", action="store_true", help="encode nothing")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    deadline = time.monotonic() + 60 * asked.minutes
    options = EncoderOptions(
        structure="low-delay",
        effort=asked.effort,
        roi_strength=asked.roi_strength,
        candidates=tuple(int(b) for b in asked.candidates.split(",")),
    )
    results = Results(asked.out)
    print(f"{'':34}   true   auto    IoU  changed cells    auto, %  true, %  reached")
    gains: list[tuple[float, float]] = []
    missing = 0
    for name in names(asked.data, asked.names):
        clip = Clip(asked.data, name, asked.frames)
        print(f"{name:34}{clip.described():30}", end="", flush=True)
        if asked.estimate:
            print()
            continue
        kinds = [kind for kind in KINDS if kind in asked.kinds.split(",")]
        found = {kind: curve(clip, kind, options, results, deadline) for kind in kinds}
        plain = found.get("none")
        auto, true = (
            percent(plain, c) if plain and (c := found.get(kind)) else math.nan
            for kind in KINDS[1:]
        )
        unfinished = None in found.values()
        missing += unfinished
        gains.append((auto, true))
        print(f"{auto:+9.1f}{true:+9.1f}{auto / true if true else math.nan:9.2f}"
              + ("  (not finished)" if unfinished else ""), flush=True)  # fmt: skip
    if gains:
        means = [mean(g[k] for g in gains) for k in range(2)]
        print(f"{'mean':64}{means[0]:+9.1f}{means[1]:+9.1f}{means[0] / means[1]:9.2f}")
    return 3 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
