"""Gain of the learned choice of bit-widths against every fixed pair.

    OMP_NUM_THREADS=1 python -m studies.pairs [CLIP=ROI…] [--frames 16] [--candidates 4,8,16]
        [--effort 5]

Every clip is encoded with each pair of candidates, with the pairs that the fitted layer chooses at
several prices of arithmetic (--complexity), and without ROI; at four qualities, from the least to
the largest index at which the pair's offsets leave both regions within 19 to 63. Columns: BD-BR in
% of the stream's bytes on ROI-weighted PSNR (6Y + U + V) / 8 against no ROI, all scored on the
same ROI; 10^3 BitOPs a pixel of decoding, the mean over inter frames and qualities. A ROI is
anything that --roi takes. The oracle of a clip is the best of its fixed pairs. The default clips
are those of the development package with --roi auto.
"""

from __future__ import annotations

import argparse
import io
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from examples.clips import CLIPS, find_clip
from roicodec.bitstream.constants import INTER, QUALITIES
from roicodec.bitstream.header import Header
from roicodec.bitstream.masks import Mask, samples_of
from roicodec.bitstream.writer import StreamWriter
from roicodec.decoder.complexity import complexity
from roicodec.decoder.frame import FrameSetting
from roicodec.decoder.model import Model, load_model
from roicodec.decoder.shapes import FrameShape, decoder_layers
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.features import Features
from roicodec.encoder.roi.selector import BitWidthSelector, quality_offsets
from roicodec.encoder.roi.sources import NoRoi, RoiSource, parse_roi
from roicodec.errors import InputError
from roicodec.evaluate.bd import compare
from roicodec.media import Reader
from roicodec.picture import Picture
from roicodec.psnr import psnr_regions

PRICES = (0.0, 10.0, 100.0)
"""Prices of 10^6 BitOPs a pixel in percent of a region's cost."""

_COARSEST = 19
"""Lowest quality index of interest: 33 dB in the mean of the validation clips."""


@dataclass(frozen=True)
class Fixed:
    """Selector that always chooses one pair, where there is a ROI."""

    b_roi: int
    b_bg: int

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        return self.b_roi, self.b_roi if mask.all() else self.b_bg


@dataclass(frozen=True)
class Point:
    """Measurements of one clip at one quality.

    Attributes:
        size: bytes of the stream.
        psnr: mean ROI-weighted PSNR in dB.
        bit_ops: mean BitOPs of decoding an inter frame, in 10^3 a pixel.
        pairs: bit-widths of ROI and rest of every frame.
    """

    size: int
    psnr: float
    bit_ops: float
    pairs: list[tuple[int, int]]


def qualities(offsets: Sequence[int]) -> list[int]:
    """Four quality indices, as far apart as every region's index lies in 19..63."""
    low, high = min(0, *offsets), max(0, *offsets)
    return [round(q) for q in np.linspace(_COARSEST - low, QUALITIES - 1 - high, 4)]


class Clip:
    """Pictures with their ROI masks; a clip serves as ROI source, too."""

    def __init__(self, path: Path, roi: str, frames: int) -> None:
        with Reader(str(path), slice(0, frames)) as reader:
            self.pictures = list(reader)
        self.size = self.pictures[0].width, self.pictures[0].height
        source = parse_roi((roi,), *self.size)
        pairs = zip(self.pictures, [None, *self.pictures[:-1]], strict=True)
        self._masks = [source.mask(n, 0.0, p, before) for n, (p, before) in enumerate(pairs)]
        source.close()
        self.name = path.stem

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        return self._masks[index]

    def close(self) -> None:
        pass

    def point(
        self,
        model: Model,
        options: EncoderOptions,
        selector: BitWidthSelector | None,
        roi: RoiSource,
    ) -> Point:
        """Point of one encode, scored on the clip's own ROI."""
        arrays, pixels = model.inter.network.arrays.raw, self.size[0] * self.size[1]
        encoder = FrameEncoder(*self.size, options, roi, model, selector)
        settings: list[FrameSetting] = []
        file, found = io.BytesIO(), []
        header = Header(*self.size, gop=options.gop, **encoder.header_fields)
        with StreamWriter(file, header) as writer:
            for picture, mask in zip(self.pictures, self._masks, strict=True):
                [coded] = encoder.encode(picture)
                writer.write_frame(coded.chunk)
                settings.append(coded.setting)
                where = samples_of(mask, *self.size)
                found.append(psnr_regions(picture, coded.reconstruction, where).weighted_yuv)
        pairs = [(s.b_roi, s.b_bg) for s in settings]
        shapes = [
            FrameShape.of(s.mask, s.skip, *pair)
            for s, pair in zip(settings, pairs, strict=True)
            if s.kind == INTER
        ]
        bit_ops = mean(complexity(decoder_layers(arrays, shape)).bit_ops for shape in shapes)
        return Point(len(file.getvalue()), mean(found), bit_ops / pixels / 1000, pairs)

    def curve(
        self,
        model: Model,
        options: EncoderOptions,
        selector: BitWidthSelector | None = None,
        *,
        plain: bool = False,
    ) -> list[Point]:
        """Curve of encodes at four qualities that suit the pairs chosen at a middle one.

        Args:
            plain: encode without ROI.
        """
        roi = NoRoi(*self.size) if plain else self
        offsets = quality_offsets(options.candidates, 1.0)
        first = self.point(model, options, selector, roi)
        used = [offsets[bits] for pair in first.pairs for bits in pair]
        asked = [replace(options, quality=q) for q in qualities(used)]
        return [self.point(model, each, selector, roi) for each in asked]


def percent(anchor: list[Point], test: list[Point]) -> float:
    """BD-BR; NaN if the curves do not overlap."""
    points = [([p.size for p in c], [p.psnr for p in c]) for c in (anchor, test)]
    try:
        return compare(*points[0], *points[1]).percent
    except InputError:
        return math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", metavar="CLIP=ROI")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--candidates", default="4,8,16")
    parser.add_argument("--effort", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    candidates = tuple(int(b) for b in asked.candidates.split(","))
    options = EncoderOptions(
        quality=40, candidates=candidates, effort=asked.effort, structure="low-delay"
    )
    model = load_model()
    named = [c.rpartition("=") for c in asked.clips] or [
        (str(find_clip(name)), "=", "auto") for name in CLIPS
    ]
    rows: dict[str, list[tuple[float, float]]] = {}
    heading = "BD-BR, %  kBitOPs a pixel"
    for path, _, roi in named:
        clip = Clip(Path(path), roi, asked.frames)
        plain = clip.curve(model, replace(options, candidates=(8,)), plain=True)
        print(f"{clip.name:28} {heading}  frames with each pair")
        tried: list[tuple[str, BitWidthSelector | None, float]] = [
            ("{} / {}".format(*pair), Fixed(*pair), 0.0) for pair in product(candidates, repeat=2)
        ]
        tried += [(f"learned, --complexity {price:g}", None, price) for price in PRICES]
        for name, selector, price in tried:
            curve = clip.curve(model, replace(options, complexity=price), selector)
            row = percent(plain, curve), mean(p.bit_ops for p in curve)
            rows.setdefault(name, []).append(row)
            counted = Counter("{}/{}".format(*pair) for p in curve for pair in p.pairs)
            pairs = ", ".join(f"{pair}: {n}" for pair, n in counted.most_common())
            print(f"  {name:26}{row[0]:+9.1f}{row[1]:9.0f}   {pairs}", flush=True)
        fixed = [rows[name][-1] for name, selector, _ in tried if selector]
        rows.setdefault("oracle", []).append(min(fixed))
    print(f"{'mean':28} {heading}")
    for name, values in rows.items():
        print("  {:26}{:+9.1f}{:9.0f}".format(name, *map(mean, zip(*values, strict=True))))


if __name__ == "__main__":
    main()
