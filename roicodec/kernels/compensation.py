"""Overlapped block motion compensation with quarter-sample vectors, from planes to packed rows.

Integers throughout; the text is in ``docs/format.md``, section "Prediction". A sample is predicted
by its block's vector and by those of its two nearest neighbours, one above or below, one left
or right (Orchard and Sullivan, IEEE Trans. Image Processing 3(5), 1994), with the interpolation
filters of HEVC (ITU-T H.265, 8.5.3.3.3, tables 8-11 and 8-12). Both passes keep full precision; the
sum of all three predictions is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation
from roicodec.kernels.packing import ROW, pack

__all__ = ["CHROMA_FILTERS", "LUMA_FILTERS", "WINDOWS", "compensate", "compensate_features"]

_BLOCK = 8
"""Side of a motion block in luma samples."""

LUMA_FILTERS = ((0, 0, 0, 64, 0, 0, 0, 0), (-1, 4, -10, 58, 17, -5, 1, 0),
                (-1, 4, -11, 40, 40, -11, 4, -1), (0, 1, -5, 17, 58, -10, 4, -1))  # fmt: skip
"""Interpolation filters for each quarter sample."""

CHROMA_FILTERS = ((0, 64, 0, 0), (-2, 58, 10, -2), (-4, 54, 16, -2),
                  (-6, 46, 28, -4), (-4, 36, 36, -4), (-4, 28, 46, -6),
                  (-2, 16, 54, -4), (-2, 10, 58, -2))  # fmt: skip
"""Interpolation filters for each eighth of a sample."""

WINDOWS = {8: (5, 3, 2, 1), 4: (4, 2)}
"""Weights of a neighbour's prediction by the side of a block, in sixteenths, from the border
inwards; the own vector's prediction has the rest. By least squares on 16 training clips
(``docs/training.md``)."""

_FULL = 255 << 12
"""White, where predictions count in ``2**-12``."""

Ints = NDArray[np.int32]
Rows = NDArray[np.int16]
Vectors = NDArray[np.int16]
Samples = NDArray[np.uint8]
Wanted = NDArray[np.bool_]
Planes = tuple[Samples, Samples, Samples]


# --- reference ----------------------------------------------------------------------------------


def _predicted(
    plane: Samples, size: int, filters: Ints, blocks: Ints, vectors: Ints,
    rows: slice, columns: slice,
) -> Ints:  # fmt: skip
    """Rows and columns of some blocks by one vector each, ``[rows, columns, N]`` in ``2**-12``.

    Args:
        plane: ``[H, W]``.
        size: side of a block.
        filters: one for each fraction, ``[F, T]``.
        blocks: their numbers in raster order ``[N]``.
        vectors: ``[N, 2]`` in samples divided by F.
    """
    # Blocks are the last axis: all that follows runs along it.
    height, width = plane.shape
    unit, taps = filters.shape
    dx, dy = vectors.T
    line, column = np.divmod(blocks, width // size)

    def span(part: slice) -> Ints:
        ends = part.start - (taps // 2 - 1), part.stop + taps // 2
        return np.arange(*ends, dtype=np.int32)[:, None]

    y = (line * size + dy // unit + span(rows)).clip(0, height - 1)
    x = (column * size + dx // unit + span(columns)).clip(0, width - 1)
    patch = plane.ravel().take(x[:, None] + y * width).astype(np.int32)
    across = _filtered(patch, filters[dx % unit].T, columns.stop - columns.start)
    both = _filtered(across.swapaxes(0, 1), filters[dy % unit].T, rows.stop - rows.start)
    np.clip(both, 0, _FULL, out=both)
    return both


def _filtered(patch: Ints, taps: Ints, size: int) -> Ints:
    """Weighted sum by ``taps`` ``[T, N]`` along the first axis of ``[size + T - 1, ..., N]``."""
    out: Ints = patch[:size] * taps[0]
    for k in range(1, len(taps)):
        out += patch[k : k + size] * taps[k]
    return out


def _neighbours(vectors: Ints, axis: int, *, after: bool) -> Ints:
    """Vectors of the blocks before or after each along an axis; at the edge its own."""
    place = np.arange(vectors.shape[axis]) + (1 if after else -1)
    neighbours: Ints = vectors.take(place, axis, mode="clip")
    return neighbours


def _compensate_plane(
    plane: Samples, vectors: Ints, size: int, table: tuple[tuple[int, ...], ...]
) -> Samples:
    filters, flat = np.array(table, np.int32), vectors.reshape(-1, 2)
    blocks = np.arange(len(flat), dtype=np.int32)
    whole, half = slice(0, size), size // 2
    own = _predicted(plane, size, filters, blocks, flat, whole, whole)
    total = own << 4
    weights = np.array(WINDOWS[size], np.int32)
    for axis, after in (0, False), (0, True), (1, False), (1, True):
        neighbours = _neighbours(vectors, axis, after=after).reshape(-1, 2)
        at = np.flatnonzero((neighbours != flat).any(1))
        part = slice(half, size) if after else slice(0, half)
        rows, columns = (part, whole) if axis == 0 else (whole, part)
        other = _predicted(plane, size, filters, blocks[at], neighbours[at], rows, columns)
        weight = weights[::-1] if after else weights
        weight = weight[:, None, None] if axis == 0 else weight[:, None]
        total[rows, columns, at] += weight * (other - own[rows, columns, at])
    total += 1 << 15
    total >>= 16
    lines, per_line, _ = vectors.shape
    out = total.reshape(size, size, lines, per_line).transpose(2, 0, 3, 1)
    return out.reshape(plane.shape).astype(np.uint8)


def _compensate(planes: Planes, vectors: Vectors, wanted: Wanted | None = None) -> Rows:
    field = vectors.astype(np.int32)
    y = _compensate_plane(planes[0], field, _BLOCK, LUMA_FILTERS)
    u, v = (_compensate_plane(p, field, _BLOCK // 2, CHROMA_FILTERS) for p in planes[1:])
    rows: Rows = pack.reference((y, u, v))
    if wanted is not None:
        rows[~wanted] = 0
    return rows


def _compensate_features(features: Rows, vectors: Vectors) -> Rows:
    height, width, _ = vectors.shape
    unit = 4 * _BLOCK
    shift = (vectors.astype(np.int32) + unit // 2) // unit
    y = (np.arange(height)[:, None] + shift[..., 1]).clip(0, height - 1)
    x = (np.arange(width) + shift[..., 0]).clip(0, width - 1)
    fetched: Rows = features[(y * width + x).ravel()]
    return fetched


# --- native -------------------------------------------------------------------------------------


def _native_compensate(planes: Planes, vectors: Vectors, wanted: Wanted | None = None) -> Rows:
    y, u, v = (np.ascontiguousarray(plane) for plane in planes)
    vectors = np.ascontiguousarray(vectors)
    height, width = y.shape
    lines, per_line = _grid(vectors)
    chroma = height // 2, width // 2
    if (8 * lines, 8 * per_line) != y.shape or u.shape != chroma or v.shape != chroma:
        raise ValueError(f"planes {y.shape}, {u.shape}, {v.shape} and vectors {vectors.shape}")
    rows = np.empty((lines * per_line, ROW), np.int16)
    if wanted is not None and wanted.shape != rows.shape[:1]:
        raise ValueError(f"{wanted.shape} blocks wanted of {len(rows)}")
    if len(rows):
        function("rq_compensate", "pppllppp")(
            *(address(y, np.uint8), address(u, np.uint8), address(v, np.uint8), height, width),
            address(vectors, np.int16),
            None if wanted is None else address(wanted, np.bool_),
            address(rows, np.int16),
        )
    return rows


def _native_compensate_features(features: Rows, vectors: Vectors) -> Rows:
    features, vectors = np.ascontiguousarray(features), np.ascontiguousarray(vectors)
    height, width = _grid(vectors)
    if features.ndim != 2 or len(features) != height * width:
        raise ValueError(f"features {features.shape} and vectors {vectors.shape}")
    out = np.empty(features.shape, np.int16)
    function("rq_compensate_features", "plllpp")(
        *(address(features, np.int16), height, width, features.shape[1]),
        *(address(vectors, np.int16), address(out, np.int16)),
    )
    return out


def _grid(vectors: Vectors) -> tuple[int, int]:
    if vectors.ndim != 3 or vectors.shape[2] != 2:
        raise ValueError(f"vectors {vectors.shape}")
    return vectors.shape[0], vectors.shape[1]


# --- operations ---------------------------------------------------------------------------------


def _probe_vectors(rows: int, columns: int) -> Vectors:
    """Every fraction, equal and different neighbours, and far outside."""
    row, column = np.indices((rows, columns))
    wild = np.stack([row * 613 % 97 - 40, column * 419 % 83 - 40], -1)
    wild[1, 2], wild[2, 1] = (2047, -2047), (-2047, 2047)
    calm = np.broadcast_to([3, -6], wild.shape)
    return np.where((column > columns // 2)[..., None], calm, wild).astype(np.int16)


def _probe_compensate(form: Callable[[Planes, Vectors, Wanted | None], Rows]) -> Arrays:
    y, x = np.indices((40, 56))
    luma = (x * y * 7 + (x ^ y) * 13) % 256
    planes = [p.astype(np.uint8) for p in (luma, luma[::2, ::2], 255 * (luma[1::2, ::2] > 128))]
    for wanted in (None, np.arange(35) % 3 > 0):
        yield form((planes[0], planes[1], planes[2]), _probe_vectors(5, 7), wanted)


def _probe_features(form: Callable[[Rows, Vectors], Rows]) -> Arrays:
    features = np.arange(-500, -500 + 35 * 32).reshape(35, 32).astype(np.int16)
    yield form(features, _probe_vectors(5, 7))


compensate = Operation(
    "compensation", _compensate, _native_compensate, _probe_compensate, 0xB87F6A2B
)
"""Predict a frame from its reference.

Args:
    planes: Y, U and V of the reference, uint8 ``[H, W]`` and twice ``[H / 2, W / 2]``; H and W
        multiples of 8.
    vectors: int16 ``[H / 8, W / 8, 2]``, (dx, dy) in quarter luma samples: each of a sample's three
        vectors predicts (x, y) by the reference at (x + dx / 4, y + dy / 4), edges repeated.
    wanted: rows that are predicted, bool ``[(H/8) (W/8)]``, others are 0; None for all.

Returns:
    packed samples, int16 ``[(H/8) (W/8), 96]``.
"""

compensate_features = Operation(
    "feature compensation",
    _compensate_features,
    _native_compensate_features,
    _probe_features,
    0x539A5B25,
)
"""Each position's features from the nearest position that its vector names.

Args:
    features: int16 ``[(H/8) (W/8), C]``.
    vectors: int16 ``[H / 8, W / 8, 2]`` in quarter luma samples.

Returns:
    int16 of the features' shape.
"""
