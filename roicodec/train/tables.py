"""Frequency tables of latents and hyper-latents: logistic at first, then counted in encoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.bitstream.constants import (
    HYPER_ALPHABET,
    HYPER_CHANNELS,
    HYPER_CONTEXTS,
    LATENT_ALPHABET,
    LATENT_TABLES,
    QUALITIES,
)
from roicodec.bitstream.entropy import PRECISION, Ints, integer_frequencies
from roicodec.decoder.adaptation import RATIOS
from roicodec.decoder.coding_step import Distribution
from roicodec.decoder.latents import hyper_tables
from roicodec.networks.frame_net import FrameNet, log_scale

__all__ = ["Counter", "fitted", "logistic_tables"]

Tables = dict[str, NDArray[np.int32]]

_ROUNDS = 3
"""Rounds of fitting stand-ins and tables to each other."""
_FAR = 20.0
"""Bits that a stand-in must save for each table of distance from the named one."""


def _logistic(log_s: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Probabilities of -size..size and of all beyond, ``[T, 2 * size + 2]``."""
    s = np.exp(log_s)[:, None]
    edge = np.arange(-size, size + 2) - 0.5
    below = 1 / (1 + np.exp(-np.clip(edge / s, -700, 700)))
    inside = np.diff(below, axis=1)
    return np.concatenate((inside, 1 - inside.sum(1, keepdims=True).clip(0, 1)), 1)


def logistic_tables(net: FrameNet) -> Tables:
    """Tables of the logistic densities of training, each its own stand-in."""
    latents = _logistic(log_scale(torch.arange(LATENT_TABLES).double()).numpy(), LATENT_ALPHABET)
    with torch.no_grad():
        scales = net.hyper_log_scale(torch.tensor((QUALITIES - 1) / 2)).double().numpy()
    hyper = _logistic(scales.repeat(HYPER_CONTEXTS), HYPER_ALPHABET)
    return fitted(latents, hyper, np.tile(np.arange(LATENT_TABLES), (RATIOS, 1)))


def fitted(
    latents: NDArray[np.float64], hyper: NDArray[np.float64], stand_ins: NDArray[np.int64]
) -> Tables:
    """Tables of a weights file; table 0 of the latents is certain of zero.

    Args:
        latents: weights of the symbols of each table, ``[48, 130]``.
        hyper: the same of the hyper-latents, ``[channels * contexts, 50]``.
        stand_ins: table for every class of ratio and table, ``[9, 48]``.
    """
    tables = {"latents": integer_frequencies(latents), "hyper": integer_frequencies(hyper)}
    tables["latents"][0] = 0
    tables["latents"][0, LATENT_ALPHABET] = 1 << PRECISION
    tables["stand_ins"] = stand_ins
    return {f"tables.{name}": t.astype(np.int32) for name, t in tables.items()}


class Counter:
    """Counts of the symbols of one frame type."""

    def __init__(self) -> None:
        self.latent_counts = np.zeros((RATIOS, LATENT_TABLES, 2 * LATENT_ALPHABET + 2))
        self.hyper_counts = np.zeros((HYPER_CHANNELS * HYPER_CONTEXTS, 2 * HYPER_ALPHABET + 2))

    def add(self, hyper: Ints, coded: Sequence[tuple[Distribution, Ints]]) -> None:
        """Update of the counts by a frame's symbols.

        Args:
            hyper: hyper-latents, int32 ``[Hp/32, Wp/32, 32]``.
            coded: model and symbols of each coding step.
        """
        for model, symbols in coded:
            channels, named = np.divmod(model.latents.place, LATENT_TABLES)
            _count(self.latent_counts, (model.ratios[channels], named), symbols, LATENT_ALPHABET)
        flat = hyper.reshape(-1, hyper.shape[2])
        for places, index in hyper_tables(hyper):
            _count(self.hyper_counts, (index.ravel(),), flat[places].ravel(), HYPER_ALPHABET)

    def tables(self, prior: Tables) -> Tables:
        """Tables of a weights file from the counts.

        Args:
            prior: tables in use; they have the weight of a few symbols.
        """
        latents, hyper, stand_ins = (
            prior[f"tables.{name}"] for name in ("latents", "hyper", "stand_ins")
        )
        counts = self.latent_counts + _mirrored(self.latent_counts)
        known = 64 * latents / (1 << PRECISION)
        chosen = np.asarray(stand_ins, np.int64)
        for _ in range(_ROUNDS):
            weights = known.copy()
            np.add.at(weights, chosen, counts)
            bits = -np.log2(weights / weights.sum(1, keepdims=True) + 1e-12)
            chosen = _stand_ins(counts, bits)
        weights = known.copy()
        np.add.at(weights, chosen, counts)
        near = self.hyper_counts.reshape(-1, HYPER_CONTEXTS, self.hyper_counts.shape[1])
        near = near + _mirrored(near[:, _OPPOSITE])
        return fitted(
            weights, near.reshape(self.hyper_counts.shape) + 16 * hyper / (1 << PRECISION), chosen
        )


_OPPOSITE = np.r_[0, HYPER_CONTEXTS - 1 : 0 : -1]
"""Context with the neighbours' signs reversed, of each context."""


def _mirrored(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts ``[..., S]`` with the symbols' signs reversed; the last symbol is the escape."""
    return np.concatenate((counts[..., -2::-1], counts[..., -1:]), -1)


def _stand_ins(counts: NDArray[np.float64], bits: NDArray[np.float64]) -> NDArray[np.int64]:
    """Table that codes each class of ratio and named table best, ``[R, T]``.

    Args:
        counts: ``[R, T, S]``.
        bits: cost of each symbol by table, ``[T, S]``.
    """
    number = np.arange(len(bits))
    cost = counts @ bits.T + _FAR * abs(number[:, None] - number)
    cost[..., 0] = np.inf
    chosen = np.asarray(cost.argmin(-1), np.int64)
    chosen[:, 0] = 0
    return chosen


def _count(
    into: NDArray[np.float64], table: tuple[NDArray[np.integer], ...], symbols: Ints, size: int
) -> None:
    column = np.where(abs(symbols) > size, 2 * size + 1, symbols + size)
    np.add.at(into, (*table, column), 1)
