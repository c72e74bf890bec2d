"""Prediction of frames, part of the independent decoder: "Packing", "Prediction" and "Expected
motion" of docs/format.md by the book."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .independent_networks import Ints, Mask, clip

LUMA = np.array([[0, 0, 0, 64, 0, 0, 0, 0], [-1, 4, -10, 58, 17, -5, 1, 0],
                 [-1, 4, -11, 40, 40, -11, 4, -1], [0, 1, -5, 17, 58, -10, 4, -1]])  # fmt: skip
CHROMA = np.array([[0, 64, 0, 0], [-2, 58, 10, -2], [-4, 54, 16, -2], [-6, 46, 28, -4],
                   [-4, 36, 36, -4], [-4, 28, 46, -6], [-2, 16, 54, -4], [-2, 10, 58, -2],
                   ])  # fmt: skip


# --- Packing, Prediction --------------------------------------------------------------------


def pack(planes: list[Ints]) -> Ints:
    """Packing: rows of 96 samples."""
    rows = [p.reshape(len(p) // n, n, -1, n) for p, n in zip(planes, (8, 4, 4), strict=True)]
    return np.concatenate([r.swapaxes(1, 2).reshape(*r.shape[::2], -1) for r in rows], -1)


def unpack(rows: Ints) -> list[Ints]:
    """Packing: the planes of such rows."""
    h, w, _ = rows.shape
    parts = zip(np.split(rows, [64, 80], -1), (8, 4, 4), strict=True)
    return [p.reshape(h, w, n, n).swapaxes(1, 2).reshape(h * n, w * n) for p, n in parts]


def displaced(ref: Ints, vectors: Ints, F: Ints) -> Ints:
    """Prediction: P of a plane, its vectors ``[N, N, 2]`` those of blocks.

    u is the number of filters, a that of the taps before the middle.
    """
    u, taps, side = len(F), F.shape[1], len(ref) // len(vectors)
    a = taps // 2 - 1
    dx, dy = np.moveaxis(vectors.repeat(side, 0).repeat(side, 1), -1, 0)
    y, x = np.indices(ref.shape)
    X, Y = x + dx // u - a, y + dy // u - a
    total = np.zeros(ref.shape, np.int64)
    for j, i in np.ndindex(taps, taps):
        near = ref[clip(Y + j, (0, len(ref) - 1)), clip(X + i, (0, ref.shape[1] - 1))]
        total += F[dy % u, j] * F[dx % u, i] * near
    return clip(total, (0, 255 * 4096))


def predict(ref: Ints, vectors: Ints, F: Ints) -> Ints:
    """Prediction: a plane."""
    side, (y, x) = len(ref) // len(vectors), np.indices(ref.shape)
    wide = np.pad(vectors, ((1, 1), (1, 1), (0, 0)), "edge")
    above, below, left, right = (
        displaced(ref, v, F)
        for v in (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    )
    v1 = np.where(y % side < side // 2, above, below)
    v2 = np.where(x % side < side // 2, left, right)
    window = np.array({8: (5, 3, 2, 1, 1, 2, 3, 5), 4: (4, 2, 2, 4)}[side])
    g1, g2 = window[y % side], window[x % side]
    total = (16 - g1 - g2) * displaced(ref, vectors, F) + g1 * v1 + g2 * v2
    rounded: Ints = (total + 2**15) // 2**16
    return rounded


def predict_features(features: Ints, vectors: Ints) -> Ints:
    """Prediction: the predicted features."""
    rows, columns, _ = vectors.shape
    (r, m), (dx, dy) = np.indices((rows, columns)), np.moveaxis(vectors, -1, 0)
    r, m = r + (dy + 16) // 32, m + (dx + 16) // 32
    return np.asarray(features[clip(r, (0, rows - 1)), clip(m, (0, columns - 1))])


# --- Expected motion ------------------------------------------------------------------------


Vectors = NDArray[np.int16]


@dataclass
class Reference:
    """What a frame leaves: its fields are ``past`` and ``future``, over ``a`` and ``b`` frames."""

    planes: list[Ints]
    features: Ints
    mask: Mask
    C: Ints
    E: Ints
    skip: Mask | None = None
    past: Vectors | None = None
    a: int = 0
    future: Vectors | None = None
    b: int = 0
    offsets: NDArray[np.int8] | None = None


def scaled(v: Vectors, a: int, d: int) -> Vectors:
    """Expected motion: a field scaled by a/d."""
    if d < 0:
        a, d = -a, -d
    return clip((2 * a * v.astype(np.int64) + d) // (2 * d), (-2047, 2047)).astype(np.int16)


def expected(past: Reference, a: int) -> Vectors | None:
    """Expected motion of an inter frame."""
    return None if past.past is None else scaled(past.past, a, past.a)


def both_expected(
    past: Reference, future: Reference, a: int, b: int
) -> tuple[Vectors | None, Vectors | None]:
    """Expected motion of a bidirectional frame."""
    if future.past is not None and future.a == a + b:
        v, d = future.past, a + b
    elif past.future is not None and past.b == a + b:
        v, d = past.future, -(a + b)
    elif future.past is not None:
        v, d = future.past, future.a
    else:
        return None, None
    return scaled(v, a, d), scaled(v, -b, d)
