"""What the choice of bit-widths is worth: every fixed pair beside the learned one.

    OMP_NUM_THREADS=1 python -m benchmarks.pairs [CLIP=ROI…] [--frames 16] [--candidates 4,8,16]

Every clip is encoded with each pair out of the candidates, with those that the fitted layer chooses
at several prices of arithmetic (--complexity), and without ROI; at four qualities, from the least
to the largest that the pair's offsets allow. In % of the bytes of the stream, BD-BR on ROI-weighted
PSNR (6Y + U + V) / 8 against no ROI, scored on the ROI that is given to all; and 10^3 BitOPs a
pixel of decoding, the mean over inter frames and qualities. A ROI is anything that --roi takes.
Without clips, those of the development package with --roi auto.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from examples.clips import CLIPS, find_clip
from roicodec.codec.core import FrameSetting
from roicodec.codec.encoder import Encoder, EncoderOptions
from roicodec.complexity import complexity
from roicodec.container import INTER, Header, StreamWriter
from roicodec.evaluate.bd import compare
from roicodec.evaluate.metrics import psnr_regions
from roicodec.media import Reader
from roicodec.model.model import Model, load_model
from roicodec.model.networks import QUALITIES
from roicodec.model.shapes import FrameShape, decoder_layers
from roicodec.picture import Picture
from roicodec.roi.features import Features
from roicodec.roi.masks import Mask, samples_of
from roicodec.roi.selector import BitWidthSelector, quality_offsets
from roicodec.roi.sources import NoRoi, parse_roi

PRICES = (0.0, 2.0, 10.0)
"""Of 10^6 BitOPs a pixel, in percent of a region's cost."""


@dataclass(frozen=True)
class Fixed:
    """As a selector: one pair wherever there is a ROI."""

    b_roi: int
    b_bg: int

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        return self.b_roi, self.b_roi if mask.all() else self.b_bg


@dataclass(frozen=True)
class Curve:
    """Of one clip: bytes and PSNR at every quality, and BitOPs a pixel."""

    sizes: list[float]
    psnr: list[float]
    bit_ops: float


def qualities(offsets: Sequence[int]) -> list[int]:
    """Four, from the least to the largest at which no region's index is beyond 0..63."""
    least, largest = max(0, -min(offsets)), QUALITIES - 1 - max(0, *offsets)
    return [round(q) for q in np.linspace(least, largest, 4)]


class Clip:
    """Pictures with their ROI."""

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
        """As a ROI source."""
        return self._masks[index]

    def close(self) -> None:
        pass

    def curve(
        self,
        model: Model,
        candidates: tuple[int, ...],
        selector: BitWidthSelector | None = None,
        price: float = 0.0,
        *,
        plain: bool = False,
    ) -> Curve:
        """Encode at every quality; ``plain`` without ROI."""
        counts: list[float] = []
        arrays = model.inter.network.arrays.raw
        pixels = self.size[0] * self.size[1]

        def count(setting: FrameSetting, *_: object) -> None:
            if setting.kind == INTER:
                shape = FrameShape.of(setting.mask, setting.skip, setting.b_roi, setting.b_bg)
                counts.append(complexity(decoder_layers(arrays, shape)).bit_ops / pixels / 1000)

        offsets = quality_offsets(candidates, 1.0)
        used = [max(offsets.values()), 0]
        if isinstance(selector, Fixed):
            used = [offsets[selector.b_roi], offsets[selector.b_bg]]
        sizes, decibels = [], []
        for quality in qualities(used):
            options = EncoderOptions(quality=quality, candidates=candidates, complexity=price)
            roi = NoRoi(*self.size) if plain else self
            encoder = Encoder(*self.size, options, roi, model, selector)
            encoder.observer = count
            file, found = io.BytesIO(), []
            with StreamWriter(
                file, Header(*self.size, gop=options.gop, **encoder.header_fields)
            ) as w:
                for picture, mask in zip(self.pictures, self._masks, strict=True):
                    chunk, made = encoder.encode(picture)
                    w.write_frame(chunk)
                    where = samples_of(mask, *self.size)
                    found.append(psnr_regions(picture, made, where).weighted_yuv)
            sizes.append(float(len(file.getvalue())))
            decibels.append(mean(found))
        return Curve(sizes, decibels, mean(counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", metavar="CLIP=ROI")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--candidates", default="4,8,16")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    candidates = tuple(int(b) for b in asked.candidates.split(","))
    model = load_model()
    named = [c.rpartition("=") for c in asked.clips] or [
        (str(find_clip(name)), "=", "auto") for name in CLIPS
    ]
    rows: dict[str, list[tuple[float, float]]] = {}
    for path, _, roi in named:
        clip = Clip(Path(path), roi, asked.frames)
        plain = clip.curve(model, (8,), plain=True)
        tried: dict[str, Curve] = {"no ROI": plain}
        for pair in product(candidates, repeat=2):
            tried["{} / {}".format(*pair)] = clip.curve(model, candidates, Fixed(*pair))
        for price in PRICES:
            tried[f"learned, --complexity {price:g}"] = clip.curve(model, candidates, None, price)
        print(f"{clip.name:28} BD-BR, %  kBitOPs a pixel")
        for name, curve in tried.items():
            percent = compare(plain.sizes, plain.psnr, curve.sizes, curve.psnr).percent
            rows.setdefault(name, []).append((percent, curve.bit_ops))
            print(f"  {name:26}{percent:+9.1f}{curve.bit_ops:9.0f}", flush=True)
    print(f"{'mean':28} BD-BR, %  kBitOPs a pixel")
    for name, values in rows.items():
        percents, counts = zip(*values, strict=True)
        print(f"  {name:26}{mean(percents):+9.1f}{mean(counts):9.0f}")


if __name__ == "__main__":
    main()
