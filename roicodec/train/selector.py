"""Fit of the bit-width selector to the measured costs of pairs
(:mod:`roicodec.train.selector_costs`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.decoder.model import load_model
from roicodec.encoder.roi import selector as selector_module
from roicodec.encoder.roi.features import FEATURES
from roicodec.encoder.roi.selector import PLAIN, LinearSelector, layer_name, log_features
from roicodec.train.selector_costs import BITS, TABLES, Sample, samples_of_folder

__all__ = ["Layer", "excess", "fit_layer", "region_costs", "selector"]

_Pair = tuple[int, int]
Layer = dict[str, NDArray[np.float64]]
"""Arrays of a :class:`~roicodec.encoder.roi.selector.LinearSelector` over :data:`BITS`, and
``bits``."""

_PLAIN = BITS.index(PLAIN)
_RIDGE = 30.0
_PRICES = (0, 5, 10, 15, 30, 100, 400)
"""Prices of 10^6 BitOPs a pixel at which choices are scored, in percent of a region's cost."""


def region_costs(sample: Sample, candidates: Sequence[int]) -> NDArray[np.float64]:
    """Cost of each bit-width in each region, such that the best choices make the best pair.

    J is not additive over regions: the best choice for one depends on the other. These costs are:
    as the price of arithmetic rises, the pair of least J + price * BitOPs changes step by step, and
    each region's choice by these costs changes with it, at the same price. A bit-width that is
    never chosen costs as much more as the best pair with it does, at that price.

    Args:
        sample: measured costs of a clip.
        candidates: bit-widths that both regions choose from.

    Returns:
        ``[2, bits]`` as a share of the region's part of J at 8 bits, 0 at 8; interpolated linearly
        where not measured, NaN for 0 if it was not.
    """
    parts, bit_ops = (sample.share, 1 - sample.share), sample.bit_ops
    chosen = [BITS.index(b) for b in candidates]
    worth = {p: sample.cost[p] / sample.cost[_PLAIN, _PLAIN] for p in product(chosen, chosen)}
    worth = {pair: j for pair, j in worth.items() if pair[0] and not math.isnan(j)}
    work = {(a, b): parts[0] * bit_ops[a] + parts[1] * bit_ops[b] for a, b in worth}
    costs = np.full((2, len(BITS)), np.nan)

    def beyond(region: int, k: int, now: _Pair, price: float) -> float:
        """Excess of the best pair with a bit-width over another pair, as a share of the region."""
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
    """Ridge regression of the regions' negative costs on their normalized features.

    Fitted separately per candidate set: the best choice for one region depends on the options of
    the other.

    Args:
        samples: measured costs.
        candidates: bit-widths that both regions choose from.
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
            # Costs are clipped at tenfold, so that one outlier does not dominate.
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
    """Mean excess cost over the oracle of fixed pairs and of the layers, as a share of J at 8 bits.

    Args:
        samples: measured costs to score on.
        candidates: bit-widths that both regions choose from.
        layers: layer for each clip, by the clip's name.
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
    help="Folder of measured costs; those of the same model are used again.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(selector_module.__file__).with_name("selector.json"),
)
def selector(data: Path, cache: Path, count: int, kept: Path, out: Path) -> None:
    """Measure the cost of every pair of bit-widths, and fit the selector to it.

    Then each clip is scored with a layer fitted to the others.
    """
    torch.set_num_threads(1)
    model = load_model()
    samples = samples_of_folder(data, cache, count, model, kept)
    fitted = {layer_name(c): fit_layer(samples, _served(c)) for c in TABLES}
    lists = {most: {n: a.tolist() for n, a in layer.items()} for most, layer in fitted.items()}
    out.write_text(json.dumps(lists) + "\n", encoding="utf-8")
    for candidates in TABLES:
        _show(samples, candidates)


def _served(candidates: Sequence[int]) -> list[int]:
    """Bit-widths served by the layer of these candidates."""
    return [b for b in BITS if b <= candidates[-1]]


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
