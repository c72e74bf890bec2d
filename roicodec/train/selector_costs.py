"""Cost of every pair of bit-widths for a clip, measured with the released networks.

A clip is encoded, its first frame intra, with each pair of bit-widths from end to end: bits that a
pair saves in one frame may have to be spent in the next ones.

The cost J of a pair is its bits at the ROI-weighted PSNR of 8 bits everywhere: its quality index is
moved near that PSNR, and ln R is extrapolated linearly over PSNR with the slope that 8 bits have
there. For small differences J is R + lambda D with the lambda of 8 bits, so a pair that only moves
along the rate-distortion curve costs the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import QUALITIES
from roicodec.bitstream.masks import Mask, samples_of
from roicodec.decoder.model import Model
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.features import Features
from roicodec.encoder.roi.selector import PLAIN, QUALITY_OFFSETS
from roicodec.encoder.roi.sources import RoiSource, parse_roi
from roicodec.picture import Picture
from roicodec.psnr import ROI_WEIGHT, psnr_regions
from roicodec.train.data import load_folder, picture_of

__all__ = ["BITS", "TABLES", "TRIED", "Sample", "samples_of_clip", "samples_of_folder"]

BITS = tuple(QUALITY_OFFSETS)
"""All bit-widths, 0 first."""
TABLES = ((2, 4, 8), (4, 8, 16))
"""Candidate sets of which every pair is measured; other bit-widths are interpolated."""
_BEYOND = {(16, 2), (16, 0), (8, 0)}
"""Further pairs that are measured."""
TRIED = sorted({pair for table in TABLES for pair in product(table, table)} | _BEYOND)
"""Pairs of bit-widths (ROI, rest) whose costs are measured."""
_QUALITIES = (41, 45, 50, 54, 58)
"""Quality indices at 8 bits, such that those of the better pairs lie within 0..63, too."""
_LENGTH = 25
"""Frames of a clip that are encoded. Nine would overrate few bits outside the ROI, whose errors
accumulate over a GOP."""
_COARSER = 6
"""Quality indices between the two points that give the slope of rate over distortion."""
_EFFORT = 4
"""Effort of the encoder: one trial for skip."""


@dataclass(frozen=True)
class Sample:
    """Measured costs of the intra frame or of the inter frames of a clip.

    Attributes:
        clip: name of the clip.
        inter: whether the features are those of the inter frames.
        features: of ROI and background, ``[2, 10]``; of inter frames the mean.
        share: share of the area in the ROI, 0..1, exclusive.
        cost: J of all frames in bits, ``[bits, bits]`` (ROI, background) over :data:`BITS`; NaN
            where not measured.
        bit_ops: 10^6 BitOPs a pixel of decoding an inter frame at each bit-width, ``[bits]``.
    """

    clip: str
    inter: bool
    features: Features
    share: float
    cost: NDArray[np.float64]
    bit_ops: NDArray[np.float64]


class _Remembered:
    """ROI source that computes each frame's mask once."""

    def __init__(self, inner: RoiSource) -> None:
        self._inner = inner
        self._masks: dict[int, Mask] = {}

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        if index not in self._masks:
            self._masks[index] = self._inner.mask(index, time, picture, reference)
        return self._masks[index]

    def close(self) -> None:
        self._inner.close()


class _Fixed:
    """Selector of one pair, 8 bits instead of skip in intra frames; keeps features and masks."""

    def __init__(self, pair: tuple[int, int]) -> None:
        self._pair = pair
        self.features: list[Features] = []
        self.masks: list[Mask] = []

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        self.features.append(features)
        self.masks.append(mask)
        roi, rest = self._pair
        return roi, rest or (0 if inter else PLAIN)


def samples_of_clip(
    name: str, pictures: Sequence[Picture], roi: RoiSource, quality: int, model: Model
) -> list[Sample]:
    """Samples of a clip's intra and inter frames; none if its ROI is nearly nothing or everything.

    Args:
        name: name of the clip.
        pictures: its pictures.
        roi: finds the ROI.
        quality: quality index at 8 bits, 0..63.
        model: the networks.
    """
    known = _Remembered(roi)
    plain = _coded(pictures, known, quality, model, (PLAIN, PLAIN))
    if not 0.02 < plain.shares.min() <= plain.shares.max() < 0.9:
        return []
    coarser = _coded(pictures, known, quality - _COARSER, model, (PLAIN, PLAIN))
    slope = math.log(plain.bits / coarser.bits) / (plain.psnr - coarser.psnr)
    cost = np.full((len(BITS), len(BITS)), np.nan)
    for pair in TRIED:
        same = pair == (PLAIN, PLAIN)
        moved = min(quality - _ahead(pair), QUALITIES - 1)
        coded = plain if same else _coded(pictures, known, moved, model, pair)
        at = BITS.index(pair[0]), BITS.index(pair[1])
        cost[at] = coded.bits * math.exp(slope * (plain.psnr - coded.psnr))
    share = float(plain.shares.mean())
    bit_ops = model.mega_bit_ops(BITS)
    without_skip = np.where(np.array(BITS) == 0, np.nan, cost)
    return [
        Sample(name, False, plain.features[0], share, without_skip, bit_ops),
        Sample(name, True, plain.features[1:].mean(0), share, cost, bit_ops),
    ]


def _ahead(pair: tuple[int, int]) -> int:
    """Approximate lead of a pair's ROI-weighted PSNR over that of 8 bits, in quality indices."""
    roi, rest = (QUALITY_OFFSETS[bits] for bits in pair)
    return round(ROI_WEIGHT * roi + (1 - ROI_WEIGHT) * rest)


@dataclass(frozen=True)
class _Coded:
    """A clip encoded with one pair: bits, mean ROI-weighted PSNR in dB, features and ROI share of
    each frame."""

    bits: float
    psnr: float
    features: NDArray[np.float64]
    shares: NDArray[np.float64]


def _coded(
    pictures: Sequence[Picture], roi: RoiSource, quality: int, model: Model, pair: tuple[int, int]
) -> _Coded:
    fixed = _Fixed(pair)
    count = len(pictures)
    options = EncoderOptions(
        quality=quality,
        candidates=BITS,
        gop=count,
        frames=count,
        effort=_EFFORT,
        structure="low-delay",
    )
    encoder = FrameEncoder(pictures[0].width, pictures[0].height, options, roi, model, fixed)
    bits, psnr = 0.0, []
    for picture in pictures:
        [coded] = encoder.encode(picture)
        chunk = coded.chunk
        bits += 8.0 * sum(map(len, (chunk.mask, chunk.motion, chunk.latents)))
        where = samples_of(fixed.masks[-1], picture.width, picture.height)
        psnr.append(psnr_regions(picture, coded.reconstruction, where).weighted_yuv)
    shares = np.array([mask.mean() for mask in fixed.masks])
    return _Coded(bits, float(np.mean(psnr)), np.stack(fixed.features), shares)


def samples_of_folder(
    data: Path, cache: Path, count: int, model: Model, kept: Path
) -> list[Sample]:
    """Samples of clips spread over a folder.

    Args:
        data: folder of clips.
        cache: folder of decoded data.
        count: number of clips.
        model: the networks.
        kept: folder in which the samples of each clip are stored when measured.
    """
    kept.mkdir(parents=True, exist_ok=True)
    clips = [c for c in load_folder(data, cache, motion=False) if len(c.frames) >= _LENGTH]
    samples = []
    for number, clip in enumerate(clips[:: max(1, len(clips) // count)]):
        quality = _QUALITIES[number % len(_QUALITIES)]
        path = kept / f"{model.id.hex()}-{clip.name}-{quality}.json"
        if not path.exists():
            pictures = [picture_of(f, t) for t, f in enumerate(clip.frames[:_LENGTH])]
            roi = parse_roi(("auto",), clip.width, clip.height)
            found = [asdict(s) for s in samples_of_clip(clip.name, pictures, roi, quality, model)]
            part = path.with_suffix(".tmp")
            part.write_text(json.dumps(found, default=np.ndarray.tolist), encoding="utf-8")
            part.rename(path)
        for kept_sample in json.loads(path.read_text(encoding="utf-8")):
            fields = {**kept_sample, "cost": np.array(kept_sample["cost"], np.float64)}
            fields |= {name: np.array(kept_sample[name]) for name in ("features", "bit_ops")}
            samples.append(Sample(**fields))
            click.echo(f"{clip.name}: quality {quality}, ROI {samples[-1].share:.2f}", err=True)
    return samples
