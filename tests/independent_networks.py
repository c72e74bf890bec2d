"""The integer networks of the independent decoder, in plain numpy: docs/arithmetic.md (Operations)
and the sections Model and Layers of docs/format.md by the book. Names are those of the text.

Layers work on whole frames ``[rows, columns, channels]`` or on rows ``[positions, channels]``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Arrays = Mapping[str, NDArray[np.generic]]
Grid = tuple[int, int]
Parts = list[tuple[int, Mask]]
"""Bit-widths, each with the positions that it is used at."""

BITS = (2, 3, 4, 5, 6, 7, 8, 16)
SKELETON = (-32768, 32767)
PROJECTIONS: dict[str, tuple[int | str, int | str]] = {
    "hyper_synthesis.0": (-8, "hyper_synthesis.0"),
    "hyper_synthesis.1": ("hyper_synthesis.0", "hyper_synthesis.1"),
    "hyper_synthesis.2": ("hyper_synthesis.1", "entropy"),
    "context_out": (-9, "context_out"),
    "context_in": ("context_out", "entropy"),
    **{f"heads.{k}": ("entropy", "by channel") for k in range(4)},
    **{f"inject.{k}": (-8, "entropy") for k in range(3)},
    "up": (-8, -9),
}
"""Layers: exponents E of the source and T of the target."""


class Layer(NamedTuple):
    """Integers, by output channel first."""

    weight: Ints
    bias: Ints
    shift: Ints


# --- docs/arithmetic.md: Operations ---------------------------------------------------------


def signed(b: int) -> Grid:
    return -(1 << (b - 1)), (1 << (b - 1)) - 1


def unsigned(b: int) -> Grid:
    return 0, 32767 if b == 16 else (1 << b) - 1


def clip(x: Ints, grid: Grid) -> Ints:
    return np.asarray(np.clip(x, *grid))


def rhe(x: Ints, s: Ints) -> Ints:
    """Rounding: the integer nearest to x / 2^s, the even one if two are as near."""
    x, down = x << np.maximum(-s, 0), np.clip(s, 0, 60)
    floor, one = x >> down, np.int64(1) << down
    rest = 2 * (x - (floor << down))
    return np.asarray(floor + ((rest > one) | ((rest == one) & (floor % 2 == 1))))


def R(acc: Ints, s: Ints, grid: Grid = SKELETON) -> Ints:
    """Requantize; Quantize."""
    return clip(rhe(acc, s), grid)


def sums(a: Ints, layer: Layer) -> Ints:
    """bias + Σ w · a; all sums are far below 2^53, so floats are exact, and fast."""
    products = a.astype(float) @ layer.weight.T.astype(float)
    return np.asarray(layer.bias + products.astype(np.int64))


def pointwise(a: Ints, layer: Layer, grid: Grid = SKELETON) -> Ints:
    """Pointwise."""
    return R(sums(a, layer), layer.shift, grid)


def accumulate(x: Ints, a: Ints, layer: Layer) -> Ints:
    """Accumulate: x + acc / 2^s, rounded once."""
    down, up = np.maximum(layer.shift, 0), np.maximum(-layer.shift, 0)
    return R((x << down) + (sums(a, layer) << up), down)


def depthwise(frame: Ints, layer: Layer, grid: Grid) -> Ints:
    """Depthwise 3x3."""
    rows, columns, _ = frame.shape
    a, acc = np.pad(frame, ((1, 1), (1, 1), (0, 0))), layer.bias
    for dy, dx in np.ndindex(3, 3):
        acc = acc + layer.weight[:, dy, dx] * a[dy : dy + rows, dx : dx + columns]
    return R(acc, layer.shift, grid)


# --- docs/format.md: Model, Layers ----------------------------------------------------------


def model_id(files: Mapping[str, Arrays]) -> bytes:
    """Model: the id of the three files."""
    digest = hashlib.sha256()
    for file in ("inter", "intra", "post_filter"):
        for name, a in sorted(files[file].items()):
            shape = ", ".join(map(str, a.shape)) + "," * (a.ndim == 1)
            digest.update(f"{file}/{name}:{a.dtype.name}:({shape});".encode("ascii"))
            digest.update(a.astype(a.dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:16]


def times(w: Ints, power: Ints) -> Ints:
    """w · 2^power, by output channel, rounded half to even."""
    return rhe(w, -power.reshape(-1, *[1] * (w.ndim - 1)))


def make(w: Ints, e: Ints, bias: Ints, bias_exponent: Ints | int, E: int, T: Ints | int) -> Layer:
    """Layers: *make*; β is bias · 2^bias_exponent."""
    m = np.maximum(1, abs(w.reshape(len(w), -1)).max(1))
    up = np.array([max(0, 7 - int(n).bit_length()) for n in m])
    unit = E + e - up
    return Layer(times(w, up), rhe(bias, unit - bias_exponent), T - unit)


def split(rows: Ints) -> Ints:
    """Layers: *split*."""
    h, w, _ = rows.shape
    return rows.reshape(h, w, -1, 2, 2).transpose(0, 3, 1, 4, 2).reshape(2 * h, 2 * w, -1)


class Network:
    """One file of arrays, and what Layers makes of them."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.skeleton, self.branch = cache(self._skeleton), cache(self._branch)

    def __getitem__(self, name: str) -> Ints:
        return np.asarray(self.arrays[name]).astype(np.int64)

    def exponent(self, name: int | str) -> int:
        return name if isinstance(name, int) else int(self[f"exponent.{name}"][0])

    def spread(self, latents: Ints) -> Ints:
        """Layers: *spread* latents."""
        return R(latents, self["spread"])

    def _skeleton(self, X: str) -> Layer:
        """Layers: skeleton layer X."""
        source, target = PROJECTIONS[X]
        E, e = self.exponent(source), self[f"{X}.exponent"]
        heads = np.r_[-8 - self["spread"], np.full(96, -6)]
        T = heads if X.startswith("heads") else self.exponent(target)
        return make(self[f"{X}.weight"], e, self[f"{X}.bias"], E + e, E, T)

    def _branch(self, L: str, b: int, E: int, T: int) -> Layer:
        """Layers: weights and biases of the layer L = X.Y at b bits."""
        k = BITS.index(b)
        w, e, bias = self[f"{L}.weight"], self[f"{L}.exponent"], self[f"{L}.bias"]
        if not L.endswith("depthwise"):
            bias = bias[k]
            if b < 16:
                steps = self[f"{L}.steps"][k]
                w = clip(times(w, e - steps), (-127, 127) if b == 8 else signed(b))
                e = steps
        g = np.maximum(T - E - e - 24, 0)
        return make(times(w, -g), e + g, bias, -20, E, T)

    def block(self, X: str, stream: Ints, S: int, parts: Parts, context: Ints | None) -> Ints:
        """Layers: the block X on a stream of exponent S."""
        source, G = stream, np.full(stream.shape[-1], S)
        if context is not None:
            source = np.concatenate((stream, context), -1)
            G = np.r_[G, np.full(context.shape[-1], self.exponent("context_out"))]
        D = self[f"{X}.depthwise.input"][0]
        frame = np.zeros((*stream.shape[:2], len(self[f"{X}.depthwise.bias"])), np.int64)
        for b, at in parts:
            I_mix_in = self[f"{X}.mix_in.input"][BITS.index(b)]
            a = R(source[at], self[f"{X}.mix_in.equalize"] + I_mix_in - G, signed(b))
            frame[at] = pointwise(a, self.branch(f"{X}.mix_in", b, I_mix_in, D), unsigned(8))
        out = stream.copy()
        for b, at in parts:
            I_mix_out, I_expand, I_project = (
                self[f"{X}.{Y}.input"][BITS.index(b)] for Y in ("mix_out", "expand", "project")
            )
            across = self.branch(f"{X}.depthwise", b, D, I_mix_out)
            a = depthwise(frame, across, unsigned(b))[at]
            x = accumulate(stream[at], a, self.branch(f"{X}.mix_out", b, I_mix_out, S))
            a = R(x, self[f"{X}.expand.equalize"] + I_expand - S, signed(b))
            a = pointwise(a, self.branch(f"{X}.expand", b, I_expand, I_project), unsigned(b))
            out[at] = accumulate(x, a, self.branch(f"{X}.project", b, I_project, S))
        return out

    def stack(self, X: str, x: Ints, S: int, parts: Parts, context: Ints | None = None) -> Ints:
        """Layers: the blocks X.0, X.1, … in turn."""
        number = 0
        while f"{X}.{number}.depthwise.bias" in self.arrays:
            x = self.block(f"{X}.{number}", x, S, parts, context)
            number += 1
        return x
