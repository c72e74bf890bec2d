"""Fit the choice of bit-widths to costs measured with the released networks.

A clip's first frame and then a run of inter frames are encoded with every pair of bit-widths, each
time from the same state: what a pair saves in one frame the next ones may have to pay. So the cost
of the first frame's pair is that of some frames after it, too, which all have the same pair: the
usual one of the set of candidates, for what is spared in one frame the next must not want back.

A pair's J is the bits that it would take at the ROI-weighted PSNR of 8 bits everywhere, were ln R
a straight line over PSNR with the slope that 8 bits have there: near them R + lambda D, with the
lambda at which they are best. So a pair that only moves along the curve is as dear as before.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.codec.encoder import Encoder, EncoderOptions
from roicodec.codec.rate_control import ConstantQuality
from roicodec.evaluate.metrics import psnr_regions
from roicodec.model.model import Model, load_model
from roicodec.picture import Picture
from roicodec.roi import selector as selector_module
from roicodec.roi.features import FEATURES, Features
from roicodec.roi.masks import Mask, samples_of
from roicodec.roi.selector import LEANING, QUALITY_OFFSETS, LinearSelector, log_features, name_of
from roicodec.roi.sources import RoiSource, parse_roi
from roicodec.train.data import load_folder, picture_of

__all__ = ["Sample", "excess", "fit_layer", "region_costs", "samples_of_clip", "selector"]

BITS = tuple(QUALITY_OFFSETS)
"""All bit-widths, 0 first."""
_TABLES = ((2, 4, 8), (4, 8, 16))
"""Candidates of which every pair is tried. What other bit-widths cost is read off in between."""
_BEYOND = ((2, 8), (16, 2), (16, 0))
"""Pairs tried beside the last table's, for the layer of all bit-widths."""
_PLAIN = BITS.index(8)
_QUALITIES = (8, 16, 24, 32, 40)
_RUN = 24
"""Inter frames that are encoded with the same pair. With 8, few bits outside the ROI look better
than they are over a GOP."""
_COARSER = 8
"""Quality indices between the two points that tell how rate goes with distortion."""
_RIDGE = 30.0
_EFFORT = 4
"""Of the encoder: a trial for skip, and little more time than that takes."""


@dataclass(frozen=True)
class Sample:
    """One frame and what each pair of bit-widths costs it.

    Attributes:
        clip: its name.
        inter: whether it has a reference.
        usual: pair of the frame before it, or of those after an intra frame.
        features: of ROI and rest, ``[2, 10]``.
        share: of the area that is ROI, 0..1, exclusive.
        cost: J in bits, ``[bits, bits]`` (ROI, rest) over :data:`BITS`; NaN where not tried.
    """

    clip: str
    inter: bool
    usual: tuple[int, int]
    features: Features
    share: float
    cost: NDArray[np.float64]


class _Remembered:
    """Answers of a search for motion or ROI, which do not depend on what was coded."""

    def __init__(self, inner: object, method: str) -> None:
        self._inner, self._method = inner, method
        self._answers: dict[object, object] = {}
        setattr(self, method, self._answer)

    def _answer(self, first: object, *rest: object, **named: object) -> object:
        key = first.pts if isinstance(first, Picture) else first
        if key not in self._answers:
            self._answers[key] = getattr(self._inner, self._method)(first, *rest, **named)
        return self._answers[key]


class _Fixed:
    """Picks one pair, the usual one at first, and keeps the features that it is shown."""

    features: Features
    mask: Mask

    def __init__(self, usual: tuple[int, int]) -> None:
        self.usual = self.pair = usual

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        self.features, self.mask = features, mask
        return self.pair


def usual_pair(candidates: Sequence[int]) -> tuple[int, int]:
    """The pair that most frames get: the two widest."""
    return candidates[-1], candidates[-2]


def pairs(candidates: Sequence[int], inter: bool) -> list[tuple[int, int]]:
    """The pairs tried of a table."""
    beyond = _BEYOND if candidates == _TABLES[-1] else ()
    tried = [*product(candidates, repeat=2), *beyond]
    return [(roi, bg) for roi, bg in tried if bg or inter]


def samples_of_clip(
    name: str, pictures: Sequence[Picture], roi: RoiSource, quality: int, model: Model
) -> Iterator[Sample]:
    """Samples of the first frame and of the run after it, for every table."""
    size = pictures[0].width, pictures[0].height
    options = EncoderOptions(quality=quality, candidates=BITS, gop=65535, effort=_EFFORT)
    known = _Remembered(roi, "mask")
    proposals = None
    for table in _TABLES:
        fixed = _Fixed(usual_pair(table))
        encoder = Encoder(*size, options, known, model, fixed)  # type: ignore[arg-type]
        proposals = proposals or _Remembered(encoder._searcher._proposals, "push")
        encoder._searcher._proposals = proposals  # type: ignore[assignment]
        for run in (pictures[: 1 + LEANING], pictures[1 : 1 + _RUN]):
            sample = _sample(name, encoder, fixed, run, table)
            if sample:
                yield sample
            encoder.encode(run[0])


def _sample(
    name: str,
    encoder: Encoder,
    fixed: _Fixed,
    run: Sequence[Picture],
    candidates: tuple[int, ...],
) -> Sample | None:
    inter = encoder._count > 0
    plain = _coded(encoder, fixed, run, (8, 8))
    if not 0.02 < plain.shares.min() <= plain.shares.max() < 0.9:
        return None
    coarser = _coded(encoder, fixed, run, (8, 8), _COARSER)
    slope = math.log(plain.bits / coarser.bits) / (plain.psnr - coarser.psnr)
    cost = np.full((len(BITS), len(BITS)), np.nan)
    for pair in pairs(candidates, inter):
        coded = plain if pair == (8, 8) else _coded(encoder, fixed, run, pair)
        at = BITS.index(pair[0]), BITS.index(pair[1])
        cost[at] = coded.bits * math.exp(slope * (plain.psnr - coded.psnr))
    share = float(plain.shares[-1])
    return Sample(name, inter, fixed.usual, plain.features, share, cost)


@dataclass(frozen=True)
class _Coded:
    """What a run comes to: bits, the mean of ROI-weighted PSNR in dB, features of the first frame,
    and each frame's share of ROI."""

    bits: float
    psnr: float
    features: Features
    shares: NDArray[np.float64]


def _coded(
    encoder: Encoder,
    fixed: _Fixed,
    run: Sequence[Picture],
    pair: tuple[int, int],
    coarser: int = 0,
) -> _Coded:
    """Encode a run from an encoder's state, which stays, some quality indices coarser.

    The pair is that of the whole run, or of its first frame alone where that is intra.
    """
    fixed.pair = pair
    trial = copy.copy(encoder)
    trial._core = copy.copy(encoder._core)
    trial._control = copy.copy(encoder._control)
    assert isinstance(trial._control, ConstantQuality)
    trial._control.index -= coarser
    bits, psnr = 0.0, []
    features: list[Features] = []
    shares: list[float] = []
    for picture in run:
        chunk, made = trial.encode(picture)
        features.append(fixed.features)
        shares.append(float(fixed.mask.mean()))
        bits += 8.0 * sum(map(len, (chunk.mask, chunk.motion, chunk.latents)))
        where = samples_of(fixed.mask, picture.width, picture.height)
        psnr.append(psnr_regions(picture, made, where).weighted_yuv)
        if encoder._count == 0:
            fixed.pair = fixed.usual
    fixed.pair = fixed.usual
    return _Coded(bits, float(np.mean(psnr)), features[0], np.array(shares))


def region_costs(sample: Sample, candidates: Sequence[int]) -> NDArray[np.float64]:
    """What each bit-width costs a region, the other having the best that goes with it.

    So the best bit-width of each region together are the best pair, though costs do not add up.

    Args:
        sample: of a frame.
        candidates: what both regions choose from.

    Returns:
        ``[2, bits]`` as a share of the region's part of J at 8 bits, 0 at 8; linear in between
        where not tried, NaN for 0 if it was not.
    """
    table = np.full_like(sample.cost, np.nan)
    chosen = np.ix_(*[[BITS.index(b) for b in candidates]] * 2)
    table[chosen] = sample.cost[chosen]
    costs = np.full((2, len(BITS)), np.nan)
    for region in (0, 1):
        known = ~np.isnan(table).all(1 - region)
        lowest = np.where(np.isnan(table), np.inf, table).min(1 - region)
        costs[region, known] = lowest[known]
    parts = np.array([[sample.share], [1 - sample.share]]) * sample.cost[_PLAIN, _PLAIN]
    costs = np.asarray((costs - costs[:, [_PLAIN]]) / parts)
    for row in costs:
        known = ~np.isnan(row[1:])
        row[1:] = np.interp(BITS[1:], np.array(BITS[1:])[known], row[1:][known])
    return costs


def fit_layer(
    samples: Sequence[Sample], candidates: Sequence[int] = BITS
) -> dict[str, NDArray[np.float64]]:
    """Ridge regression of minus the regions' costs on their normalized features.

    Args:
        samples: to fit to; those of other usual pairs than the candidates' do not count.
        candidates: what both regions choose from.

    Returns:
        Arrays of :class:`~roicodec.roi.selector.LinearSelector` over :data:`BITS`, and ``bits``.
    """
    samples = [s for s in samples if s.usual == usual_pair(candidates)]
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
            # One dear frame must not outvote many: what costs a whole J more is bad enough.
            y = -np.minimum(costs[known, region, k], 1.0)
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
    samples: Sequence[Sample], candidates: Sequence[int], layer: dict[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Mean cost of every fixed pair and of the layer's choices, over the oracle's, as a share."""
    chosen = [BITS.index(b) for b in candidates]
    tables = np.stack([s.cost[np.ix_(chosen, chosen)] for s in samples])
    best = np.nanmin(tables, (1, 2))
    ratio = tables / best[:, None, None] - 1
    out = {
        f"{a}/{b}": float(ratio[:, i, j].mean())
        for (i, a), (j, b) in product(enumerate(candidates), repeat=2)
    }
    linear = LinearSelector(
        candidates,
        *(layer["weights"][:, :, chosen], layer["bias"][:, :, chosen]),
        *(layer["mean"], layer["scale"]),
    )
    mixed = np.array([[True, False]])
    picks = [linear.choose(s.features, mixed, inter=s.inter) for s in samples]
    found = [ratio[n, candidates.index(a), candidates.index(b)] for n, (a, b) in enumerate(picks)]
    return {**out, "learned": float(np.mean(found))}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--cache", type=click.Path(path_type=Path), default=Path("runs/cache"))
@click.option("--clips", "count", default=24, show_default=True, help="Clips to measure on.")
@click.option(
    "--held-out", type=click.Path(path_type=Path, exists=True), help="Clips to score the choice on."
)
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
def selector(
    data: Path, cache: Path, count: int, held_out: Path | None, kept: Path, out: Path
) -> None:
    """Measure what every pair of bit-widths costs, and fit the selector to it."""
    torch.set_num_threads(1)
    model = load_model()
    samples = _measured(data, cache, count, model, kept)
    fitted = {name_of(c): fit_layer(samples, c) for c in (*_TABLES, BITS)}
    lists = {c: {n: a.tolist() for n, a in layer.items()} for c, layer in fitted.items()}
    out.write_text(json.dumps(lists) + "\n", encoding="utf-8")
    _show("fitted on", samples, fitted)
    if held_out:
        scored = _measured(held_out, cache, 1000, model, kept)
        _show("held out", scored, fitted)
        for clip in dict.fromkeys(s.clip for s in scored):
            _show(clip, [s for s in scored if s.clip == clip], fitted)


def _measured(data: Path, cache: Path, count: int, model: Model, kept: Path) -> list[Sample]:
    """Samples of clips spread over a folder; each clip's are written to ``kept`` when measured."""
    kept.mkdir(parents=True, exist_ok=True)
    clips = [c for c in load_folder(data, cache, motion=False) if len(c.frames) > _RUN]
    samples = []
    for number, clip in enumerate(clips[:: max(1, len(clips) // count)]):
        quality = _QUALITIES[number % len(_QUALITIES)]
        path = kept / f"{model.id.hex()}-{clip.name}-{quality}.json"
        if not path.exists():
            pictures = [picture_of(f, t) for t, f in enumerate(clip.frames[: _RUN + 1])]
            roi = parse_roi(("auto",), clip.width, clip.height)
            found = [asdict(s) for s in samples_of_clip(clip.name, pictures, roi, quality, model)]
            part = path.with_suffix(".tmp")
            part.write_text(json.dumps(found, default=np.ndarray.tolist), encoding="utf-8")
            part.rename(path)
        for kept_sample in json.loads(path.read_text(encoding="utf-8")):
            fields = {**kept_sample, "cost": np.array(kept_sample["cost"], np.float64)}
            fields["features"] = np.array(kept_sample["features"])
            fields["usual"] = tuple(kept_sample["usual"])
            samples.append(Sample(**fields))
            click.echo(f"{clip.name}: quality {quality}, ROI {samples[-1].share:.2f}", err=True)
    return samples


def _show(
    name: str, samples: list[Sample], fitted: dict[str, dict[str, NDArray[np.float64]]]
) -> None:
    for candidates in _TABLES:
        for kind in (False, True):
            usual = usual_pair(candidates)
            some = [s for s in samples if s.inter == kind and s.usual == usual]
            if not some:
                continue
            shares = excess(some, candidates, fitted[name_of(candidates)])
            what = "inter" if kind else "intra"
            row = ", ".join(f"{k} {100 * v:+.1f}%" for k, v in shares.items())
            click.echo(f"{name}, {len(some)} {what} frames, {candidates}, over the oracle: {row}")
