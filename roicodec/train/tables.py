"""Entropy tables: logistic at first, then counted from what the encoder really codes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.codec.core import FrameSetting
from roicodec.container import INTRA
from roicodec.entropy import PRECISION, Ints, integer_frequencies
from roicodec.model.networks import HYPER, QUALITIES, SCALES, FrameNet, log_scale
from roicodec.model.schema import HYPER_ALPHABET, LATENT_ALPHABET

__all__ = ["Counter", "fitted", "logistic_tables"]

_BANDS = QUALITIES // 8

Tables = dict[str, NDArray[np.int32]]


def _logistic(log_s: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Probabilities of -size..size and of all beyond, ``[T, 2 * size + 2]``."""
    s = np.exp(log_s)[:, None]
    edge = np.arange(-size, size + 2) - 0.5
    below = 1 / (1 + np.exp(-np.clip(edge / s, -700, 700)))
    inside = np.diff(below, axis=1)
    return np.concatenate((inside, 1 - inside.sum(1, keepdims=True).clip(0, 1)), 1)


def logistic_tables(net: FrameNet) -> Tables:
    """Tables of the densities that the network was trained with."""
    latents = _logistic(log_scale(torch.arange(SCALES).double()).numpy(), LATENT_ALPHABET)
    middle = torch.arange(_BANDS) * 8 + 3.5
    with torch.no_grad():
        scales = net.hyper_log_scale(middle).double().numpy().ravel()
    return fitted({"latents": latents, "hyper": _logistic(scales, HYPER_ALPHABET)})


def fitted(weights: dict[str, NDArray[np.float64]]) -> Tables:
    """Frequencies from weights; table 0 of the latents is certain of zero."""
    tables = {f"tables.{n}": integer_frequencies(w) for n, w in weights.items()}
    tables["tables.latents"][0] = 0
    tables["tables.latents"][0, LATENT_ALPHABET] = 1 << PRECISION
    return {n: t.astype(np.int32) for n, t in tables.items()}


class Counter:
    """Counts the symbols of an encoder, as its observer, for one kind of frame."""

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.latents = np.zeros((SCALES, 2 * LATENT_ALPHABET + 2))
        self.hyper = np.zeros((_BANDS * HYPER, 2 * HYPER_ALPHABET + 2))

    def __call__(self, setting: FrameSetting, hyper: Ints, coded: list[tuple[Ints, Ints]]) -> None:
        if setting.kind != self.kind:
            return
        for index, symbols in coded:
            _count(self.latents, index, symbols, LATENT_ALPHABET)
        band = setting.quality // 8 * HYPER
        channels = np.broadcast_to(np.arange(HYPER, dtype=np.int32) + band, hyper.shape)
        _count(self.hyper, channels.ravel(), hyper.ravel(), HYPER_ALPHABET)

    def tables(self, prior: Tables) -> Tables:
        """Tables of the counts, the prior weighing as much as a few symbols."""
        mixed = {}
        for name, counts, weight in (("latents", self.latents, 64), ("hyper", self.hyper, 16)):
            share = prior[f"tables.{name}"] / (1 << PRECISION)
            mixed[name] = counts + weight * share
        return fitted(mixed)

    @property
    def is_intra(self) -> bool:
        return self.kind == INTRA


def _count(into: NDArray[np.float64], table: Ints, symbols: Ints, size: int) -> None:
    column = np.where(abs(symbols) > size, 2 * size + 1, symbols + size)
    np.add.at(into, (table, column), 1)
