"""Fit the choice of bit-widths to costs measured with the released networks.

A clip is encoded, its first frame intra, with each pair of bit-widths from end to end: what a pair
saves in one frame the next ones may have to pay, and all the more if they have another pair.

A pair's J is the bits that it takes at the ROI-weighted PSNR of 8 bits everywhere: its quality is
moved to come near that, and the rest of the way ln R is taken for a straight line over PSNR with
the slope that 8 bits have there. Near them it is R + lambda D, with the lambda at which they are
best. So a pair that only moves along the curve is as dear as before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.codec.encoder import Encoder, EncoderOptions
from roicodec.evaluate.metrics import ROI_WEIGHT, psnr_regions
from roicodec.model.model import Model, load_model
from roicodec.model.networks import QUALITIES
from roicodec.picture import Picture
from roicodec.roi import selector as selector_module
from roicodec.roi.features import FEATURES, Features
from roicodec.roi.masks import Mask, samples_of
from roicodec.roi.selector import PLAIN, QUALITY_OFFSETS, LinearSelector, layer_name, log_features
from roicodec.roi.sources import RoiSource, parse_roi
from roicodec.train.data import load_folder, picture_of

__all__ = [
    "BITS",
    "TRIED",
    "Layer",
    "Sample",
    "excess",
    "fit_layer",
    "region_costs",
    "samples_of_clip",
    "selector",
]

_Pair = tuple[int, int]
Layer = dict[str, NDArray[np.float64]]
"""Arrays of a :class:`~roicodec.roi.selector.LinearSelector` over :data:`BITS`, and ``bits``."""

BITS = tuple(QUALITY_OFFSETS)
"""All bit-widths, 0 first."""
_TABLES = ((2, 4, 8), (4, 8, 16))
"""Candidates of which every pair is tried. What other bit-widths cost is read off in between."""
_BEYOND = {(16, 2), (16, 0), (8, 0)}
"""Pairs tried beside those."""
TRIED = sorted({pair for table in _TABLES for pair in product(table, table)} | _BEYOND)
"""Pairs of bit-widths (ROI, rest) whose costs are measured."""
_PLAIN = BITS.index(PLAIN)
_QUALITIES = (32, 38, 44, 50, 56)
"""Of 8 bits. Pairs that look good have indices from 0 to 63 then, too."""
_LENGTH = 25
"""Frames of a clip that are encoded. With 9, few bits outside the ROI look better than they are
over a GOP."""
_COARSER = 8
"""Quality indices between the two points that tell how rate goes with distortion."""
_RIDGE = 30.0
_PRICES = (0, 5, 10, 15, 30, 100, 400)
"""Of 10^6 BitOPs a pixel, in percent of a region's cost, at which choices are scored."""
_EFFORT = 4
"""Of the encoder: a trial for skip, and little more time than that takes."""


@dataclass(frozen=True)
class Sample:
    """The intra frame or the inter frames of a clip, and what each pair of bit-widths costs.

    Attributes:
        clip: its name.
        inter: whether of the inter frames.
        features: of ROI and rest, ``[2, 10]``; of inter frames the mean.
        share: of the area that is ROI, 0..1, exclusive.
        cost: J of all frames, in bits, ``[bits, bits]`` (ROI, rest) over :data:`BITS`; NaN where
            not tried.
        bit_ops: 10^6 BitOPs a pixel of decoding at each bit-width, ``[bits]``; of inter frames,
            as nearly all are.
    """

    clip: str
    inter: bool
    features: Features
    share: float
    cost: NDArray[np.float64]
    bit_ops: NDArray[np.float64]


class _Remembered:
    """A source of ROI that is asked once for each frame."""

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
    """Picks one pair, 8 bits instead of skip in intra frames, and keeps what it is shown."""

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
    """Samples of a clip's intra and inter frames; none if its ROI is next to nothing or all."""
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
    """About as many quality indices as a pair's ROI-weighted PSNR is ahead of that of 8 bits."""
    roi, rest = (QUALITY_OFFSETS[bits] for bits in pair)
    return round(ROI_WEIGHT * roi + (1 - ROI_WEIGHT) * rest)


@dataclass(frozen=True)
class _Coded:
    """What a clip comes to with one pair: bits, the mean of ROI-weighted PSNR in dB, the features
    and the share of ROI of each frame."""

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
        quality=quality, candidates=BITS, gop=count, frames=count, effort=_EFFORT
    )
    encoder = Encoder(pictures[0].width, pictures[0].height, options, roi, model, fixed)
    bits, psnr = 0.0, []
    for picture in pictures:
        chunk, made = encoder.encode(picture)
        bits += 8.0 * sum(map(len, (chunk.mask, chunk.motion, chunk.latents)))
        where = samples_of(fixed.masks[-1], picture.width, picture.height)
        psnr.append(psnr_regions(picture, made, where).weighted_yuv)
    shares = np.array([mask.mean() for mask in fixed.masks])
    return _Coded(bits, float(np.mean(psnr)), np.stack(fixed.features), shares)


def region_costs(sample: Sample, candidates: Sequence[int]) -> NDArray[np.float64]:
    """What each bit-width costs a region: so that what is best of each are the best pair.

    J does not add up over regions, and what is best for one depends on the other. These costs do:
    as arithmetic gets a price, and the pair that is best in J + price * BitOPs goes from one to
    the next, each region's bit-width goes along with it, at the same price. What is passed over
    costs as much more as the best pair that it is part of does, at that price.

    Args:
        sample: of a clip.
        candidates: what both regions choose from.

    Returns:
        ``[2, bits]`` as a share of the region's part of J at 8 bits, 0 at 8; linear in between
        where not tried, NaN for 0 if it was not.
    """
    parts, bit_ops = (sample.share, 1 - sample.share), sample.bit_ops
    chosen = [BITS.index(b) for b in candidates]
    worth = {p: sample.cost[p] / sample.cost[_PLAIN, _PLAIN] for p in product(chosen, chosen)}
    worth = {pair: j for pair, j in worth.items() if pair[0] and not math.isnan(j)}
    work = {(a, b): parts[0] * bit_ops[a] + parts[1] * bit_ops[b] for a, b in worth}
    costs = np.full((2, len(BITS)), np.nan)

    def beyond(region: int, k: int, now: _Pair, price: float) -> float:
        """How much more the best pair with a bit-width costs than another pair, in the region."""
        those = [worth[p] + price * work[p] for p in worth if p[region] == k]
        more = min(those, default=math.nan) - worth[now] - price * work[now]
        return float(max(more, 0.0) / parts[region])

    now = min((p for p in worth if p[1]), key=lambda p: worth[p])
    for region in (0, 1):
        for k in chosen:
            if k == 0 or k >= now[region]:
                costs[region, k] = beyond(region, k, now, 0.0)
    while lower := [p for p in worth if p != now and p[0] <= now[0] and 0 < p[1] <= now[1]]:
        prices = {p: (worth[p] - worth[now]) / (work[now] - work[p]) for p in lower}
        then = min(lower, key=lambda p: (prices[p], work[p]))
        for region in (0, 1):
            for k in chosen:
                if then[region] <= k < now[region]:
                    spared = prices[then] * (bit_ops[now[region]] - bit_ops[k])
                    more = beyond(region, k, now, prices[then])
                    costs[region, k] = costs[region, now[region]] + spared + more
        now = then
    costs -= costs[:, [_PLAIN]]
    for row in costs:
        known = ~np.isnan(row[1:])
        row[1:] = np.interp(BITS[1:], np.array(BITS[1:])[known], row[1:][known])
    return costs


def fit_layer(samples: Sequence[Sample], candidates: Sequence[int] = BITS) -> Layer:
    """Ridge regression of minus the regions' costs on their normalized features.

    Args:
        samples: to fit to.
        candidates: what both regions choose from.
    """
    flat = np.concatenate([log_features(s.features) for s in samples])
    mean, scale = flat.mean(0), flat.std(0) + 1e-3
    weights = np.zeros((2, 2, len(BITS), len(FEATURES)))
    bias = np.zeros((2, 2, len(BITS)))
    for kind in (0, 1):
        some = [s for s in samples if s.inter == kind]
        if not some:
            continue
        inputs = (np.stack([log_features(s.features) for s in some]) - mean) / scale
        costs = np.stack([region_costs(s, candidates) for s in some])
        for region, k in product(range(2), range(len(BITS))):
            known = ~np.isnan(costs[:, region, k])
            if not known.any():
                continue
            x = np.column_stack([inputs[known, region], np.ones(known.sum())])
            # One dear clip must not outvote many: what costs ten times as much is bad enough.
            y = -np.minimum(costs[known, region, k], 10.0)
            penalty = np.diag([_RIDGE] * len(FEATURES) + [0.0])
            solved = np.linalg.solve(x.T @ x + penalty, x.T @ y)
            weights[kind, region, k], bias[kind, region, k] = solved[:-1], solved[-1]
    return {
        "bits": np.array(BITS, np.float64),
        "weights": weights.round(4),
        "bias": bias.round(4),
        "mean": mean.round(4),
        "scale": scale.round(4),
    }


def excess(
    samples: Sequence[Sample],
    candidates: Sequence[int],
    layers: Mapping[str, Layer],
    price: float = 0.0,
) -> dict[str, float]:
    """What every fixed pair and the layers' choices cost over the oracle's, the mean as a share.

    Args:
        samples: to score on.
        candidates: what both regions choose from.
        layers: of each clip, by its name.
        price: of 10^6 BitOPs a pixel, as a share of J.
    """
    chosen = [BITS.index(b) for b in candidates]
    mixed = np.array([[True, False]])
    over: dict[str, list[float]] = {"{}/{}".format(*p): [] for p in product(candidates, repeat=2)}
    over["learned"] = []
    for s in samples:
        layer = layers[s.clip]
        prices = price * s.bit_ops[chosen]
        linear = LinearSelector(
            candidates,
            *(layer["weights"][:, :, chosen], layer["bias"][:, :, chosen]),
            *(layer["mean"], layer["scale"], prices),
        )
        table = s.cost[np.ix_(chosen, chosen)] / s.cost[_PLAIN, _PLAIN]
        table = table + s.share * prices[:, None] + (1 - s.share) * prices
        for (i, a), (j, b) in product(enumerate(candidates), repeat=2):
            over[f"{a}/{b}"].append(table[i, j] / np.nanmin(table) - 1)
        a, b = linear.choose(s.features, mixed, inter=s.inter)
        over["learned"].append(over[f"{a}/{b}"][-1])
    return {name: float(np.mean(values)) for name, values in over.items()}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--cache", type=click.Path(path_type=Path), default=Path("runs/cache"))
@click.option("--clips", "count", default=24, show_default=True, help="Clips to measure on.")
@click.option(
    "--samples",
    "kept",
    type=click.Path(path_type=Path),
    default=Path("runs/selector"),
    show_default=True,
    help="Folder of what was measured: taken from there if the model is the same.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(selector_module.__file__).with_name("selector.json"),
)
def selector(data: Path, cache: Path, count: int, kept: Path, out: Path) -> None:
    """Measure what every pair of bit-widths costs, and fit the selector to it.

    Then each clip is scored with the layer that is fitted to the others.
    """
    torch.set_num_threads(1)
    model = load_model()
    samples = _measured(data, cache, count, model, kept)
    fitted = {layer_name(c): fit_layer(samples, _served(c)) for c in _TABLES}
    lists = {most: {n: a.tolist() for n, a in layer.items()} for most, layer in fitted.items()}
    out.write_text(json.dumps(lists) + "\n", encoding="utf-8")
    for candidates in _TABLES:
        _show(samples, candidates)


def _served(candidates: Sequence[int]) -> list[int]:
    """All bit-widths that have the same layer."""
    return [b for b in BITS if b <= candidates[-1]]


def _measured(data: Path, cache: Path, count: int, model: Model, kept: Path) -> list[Sample]:
    """Samples of clips spread over a folder; each clip's are written to ``kept`` when measured."""
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


def _show(samples: list[Sample], candidates: tuple[int, ...]) -> None:
    clips = dict.fromkeys(s.clip for s in samples)
    served = _served(candidates)
    layers = {c: fit_layer([s for s in samples if s.clip != c], served) for c in clips}
    for price, inter in product(_PRICES, (False, True)):
        some = [s for s in samples if s.inter == inter]
        shares = excess(some, candidates, layers, price / 100)
        what = f"{candidates}, --complexity {price:g}, {'inter' if inter else 'intra'}"
        row = ", ".join(f"{k} {100 * v:+.2f}%" for k, v in shares.items())
        click.echo(f"{what}, over the oracle: {row}")
