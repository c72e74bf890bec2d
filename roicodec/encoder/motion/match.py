"""Prices of predicting blocks of a frame by displaced blocks of its reference.

Integers, or single floats rounded after every operation: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from roicodec.bitstream.entropy import Ints
from roicodec.kernels.compensation import LUMA_FILTERS
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation
from roicodec.picture import Plane

__all__ = [
    "BIT",
    "UNIT",
    "Matcher",
    "flat_phases",
    "frame_arguments",
    "interpolate",
    "match_prices",
    "pad_plane",
    "probe_matchers",
    "probe_planes",
]

UNIT = 16
"""Side of a unit in luma samples."""

BIT = 1024
"""Prices count in this part of a bit."""

_MARGIN = UNIT + 8
_REACH = 4
_ROWS = 512
"""Units at a time whose temporaries stay in the cache."""

_STEEP = 17.3
"""A coefficient of c steps is priced 0.5 log2(1 + 17.3 c^2) bits: what its square is worth while
it is quantized to zero (12.5 bits for a squared step, as in the choice of symbols), a bit for every
doubling when it is large."""

_NORMS = np.array([8, 578 / 64, 5, 578 / 64, 8, 578 / 64, 5, 578 / 64])
"""Squared lengths of the transform's basis vectors."""

_ONE = 0x3F800000 >> 7
"""The bits of 1.0 in single precision, as they are summed."""


@dataclass(frozen=True, eq=False)
class Matcher:
    """A frame and its reference, as a search compares them.

    Attributes:
        current: luma, uint8 ``[H, W]``, sides multiples of 16.
        phases: the reference at all quarter samples, of :data:`interpolate`.
        scales: worth of the squared coefficients of a block, float32 ``[64]``.
        beside: prediction that is averaged with the displaced reference, uint8 ``[H, W]``.
        uses: of each block, uint8 ``[H / 8, W / 8]``: 0 if this reference does not predict it, 1
            if it does, 2 if the average does; None where it predicts all.
    """

    current: Plane
    phases: NDArray[np.uint8]
    scales: NDArray[np.float32]
    beside: Plane | None = None
    uses: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, current: Plane, phases: NDArray[np.uint8], step: float) -> Matcher:
        """A matcher at a quantizer step.

        Args:
            current, phases: as the attributes.
            step: quantizer step of the residual's coefficients, in sample values.
        """
        scales = _STEEP / (np.multiply.outer(_NORMS, _NORMS) * step**2)
        return cls(np.ascontiguousarray(current), phases, scales.astype(np.float32).ravel())

    def averaged(self, beside: Plane, uses: NDArray[np.uint8]) -> Matcher:
        """The same with another prediction beside, see :attr:`beside` and :attr:`uses`."""
        return replace(
            self, beside=np.ascontiguousarray(beside), uses=np.ascontiguousarray(uses, np.uint8)
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of units."""
        return self.current.shape[0] // UNIT, self.current.shape[1] // UNIT

    def predicted(self, units: NDArray[np.int64] | Ints, vectors: Ints) -> NDArray[np.uint8]:
        """Displaced reference ``[N, 16, 16]`` of unit numbers ``[N]`` and vectors ``[N, 2]``."""
        height, width = self.current.shape
        row, column = np.divmod(units, width // UNIT)
        limit = np.array((width, height)) + _MARGIN - UNIT - 4
        whole = np.stack([column, row], 1) * UNIT + (vectors >> 2)
        at = np.clip(whole, 4 - _MARGIN, limit) + _MARGIN
        phase = (vectors[:, 0] & 3) + 4 * (vectors[:, 1] & 3)
        windows = sliding_window_view(self.phases, (UNIT, UNIT), axis=(1, 2))
        out: NDArray[np.uint8] = windows[phase, at[:, 1], at[:, 0]]
        return out

    def compensated(self, field: NDArray[np.int16]) -> Plane:
        """Each block displaced by its own vector alone, uint8 ``[H, W]``.

        Args:
            field: int16 ``[H / 8, W / 8, 2]``.
        """
        rows, columns = self.grid
        vectors = field.reshape(rows, 2, columns, 2, 2).swapaxes(1, 2).reshape(-1, 4, 2)
        units = np.arange(rows * columns, dtype=np.int32)
        out = np.empty((len(units), 2, 8, 2, 8), np.uint8)
        for k in range(4):
            whole = self.predicted(units, vectors[:, k].astype(np.int32))
            out[:, k // 2, :, k % 2] = whole.reshape(-1, 2, 8, 2, 8)[:, k // 2, :, k % 2]
        units_of = out.reshape(rows, columns, UNIT, UNIT)
        return np.ascontiguousarray(units_of.swapaxes(1, 2).reshape(self.current.shape))


def flat_phases(plane: Plane) -> NDArray[np.uint8]:
    """Phases of which only the first, at whole samples, has values: for vectors of zero."""
    height, width = plane.shape
    out = np.empty((16, height + 2 * _MARGIN, width + 2 * _MARGIN), np.uint8)
    out[0] = np.pad(plane, _MARGIN, mode="edge")
    return out


def pad_plane(plane: Plane, multiple: int) -> Plane:
    """``[H, W]`` extended to the right and down to a multiple, the last samples repeated."""
    height, width = plane.shape
    return np.pad(plane, ((0, -height % multiple), (0, -width % multiple)), mode="edge")


# --- reference ----------------------------------------------------------------------------------


def _interpolate(plane: Plane) -> NDArray[np.uint8]:
    border = _MARGIN + _REACH
    wide = np.pad(plane, border, mode="edge").astype(np.int32)
    height, width = (side + 2 * _MARGIN for side in plane.shape)
    out = np.empty((16, height, width), np.uint8)
    taps = np.array(LUMA_FILTERS, np.int32)
    for fx in range(4):
        across = sum(taps[fx, k] * wide[:, k + 1 : k + 1 + width] for k in range(8))
        for fy in range(4):
            both = sum(taps[fy, k] * across[k + 1 : k + 1 + height] for k in range(8))
            out[fx + 4 * fy] = np.clip((both + 2048) >> 12, 0, 255)
    return out


def _transform(v: NDArray[np.int32]) -> NDArray[np.int32]:
    """Transform of H.264 (ITU-T H.264, 8.6.4) along the first axis of ``[8, ...]``."""
    s, d = v[:4] + v[:3:-1], v[:4] - v[:3:-1]
    a0, a1, a2, a3 = s[0] + s[3], s[1] + s[2], s[0] - s[3], s[1] - s[2]
    a4 = d[1] + d[2] + d[0] + (d[0] >> 1)
    a5 = d[0] - d[3] - d[2] - (d[2] >> 1)
    a6 = d[0] + d[3] - d[1] - (d[1] >> 1)
    a7 = d[1] - d[2] + d[3] + (d[3] >> 1)
    return np.stack(
        [
            *(a0 + a1, a4 + (a7 >> 2), a2 + (a3 >> 1), a5 + (a6 >> 2)),
            *(a0 - a1, a6 - (a5 >> 2), (a2 >> 1) - a3, (a4 >> 2) - a7),
        ]
    )


def _match_prices(matcher: Matcher, units: Ints, vectors: Ints) -> Ints:
    out = np.empty((len(units), 4), np.int32)
    for start in range(0, len(units), _ROWS):
        part = slice(start, start + _ROWS)
        out[part] = _part_prices(matcher, units[part], vectors[part])
    return out


def _part_prices(matcher: Matcher, units: Ints, vectors: Ints) -> Ints:
    def blocks(plane: Plane) -> NDArray[np.int32]:
        height, width = plane.shape
        shape = height // UNIT, UNIT, width // UNIT, UNIT
        found = plane.reshape(shape).swapaxes(1, 2).reshape(-1, UNIT, UNIT)[units]
        return found.astype(np.int32)

    predicted = matcher.predicted(units, vectors).astype(np.int32)
    used = np.ones((len(units), 4), np.bool_)
    if matcher.uses is not None:
        rows, columns = matcher.grid
        by_unit = matcher.uses.reshape(rows, 2, columns, 2).swapaxes(1, 2).reshape(-1, 4)[units]
        used = by_unit > 0
        if matcher.beside is not None:
            both = (predicted + blocks(matcher.beside) + 1) >> 1
            at = np.repeat(np.repeat((by_unit == 2).reshape(-1, 2, 2), 8, 1), 8, 2)
            predicted = np.where(at, both, predicted)
    residual = (predicted - blocks(matcher.current)).reshape(-1, 2, 8, 2, 8)
    down = _transform(residual.transpose(2, 0, 1, 3, 4))
    both = _transform(down.transpose(4, 1, 2, 3, 0))
    energy = (both * both).astype(np.float32).transpose(1, 2, 3, 0, 4).reshape(-1, 64)
    # The bits of a float32 are, as an integer, its logarithm but for a small error.
    worth = energy * matcher.scales + np.float32(1)
    total = (worth.view(np.int32) >> 7).sum(1, dtype=np.int32)
    return np.where(used, ((total - 64 * _ONE) >> 7).reshape(-1, 4), 0).astype(np.int32)


# --- native -------------------------------------------------------------------------------------


def _native_interpolate(plane: Plane) -> NDArray[np.uint8]:
    plane = np.ascontiguousarray(plane)
    height, width = plane.shape
    if height % UNIT or width % UNIT:
        raise ValueError(f"a plane {plane.shape} to interpolate")
    out = np.empty((16, height + 2 * _MARGIN, width + 2 * _MARGIN), np.uint8)
    call = function("rq_interpolate", "pllp", "i")
    if call(address(plane, np.uint8), height, width, address(out, np.uint8)):
        raise MemoryError("no memory to interpolate a plane")
    return out


def frame_arguments(matcher: Matcher) -> tuple[int | None, ...]:
    """The first seven arguments of the native functions, ``pllpppp``."""
    height, width = matcher.current.shape
    beside, uses = matcher.beside, matcher.uses
    if matcher.phases.shape != (16, height + 2 * _MARGIN, width + 2 * _MARGIN):
        raise ValueError(f"phases {matcher.phases.shape} of a plane {matcher.current.shape}")
    if uses is not None and uses.shape != (height // 8, width // 8):
        raise ValueError(f"uses {uses.shape} of a plane {matcher.current.shape}")
    if beside is not None and beside.shape != matcher.current.shape:
        raise ValueError(f"planes {beside.shape} and {matcher.current.shape} to average")
    if beside is None and uses is not None and uses.max() > 1:
        raise ValueError("blocks that use an average of one prediction")
    return (
        address(matcher.current, np.uint8), height, width, address(matcher.phases, np.uint8),
        None if beside is None else address(beside, np.uint8),
        None if uses is None else address(uses, np.uint8), address(matcher.scales, np.float32),
    )  # fmt: skip


def _native_match_prices(matcher: Matcher, units: Ints, vectors: Ints) -> Ints:
    units = np.ascontiguousarray(units, np.int32)
    vectors = np.ascontiguousarray(vectors, np.int32)
    rows, columns = matcher.grid
    if vectors.shape != (len(units), 2) or (
        len(units) and not 0 <= units.min() <= units.max() < rows * columns
    ):
        raise ValueError(f"vectors {vectors.shape} of units {units.shape} among {rows}x{columns}")
    out = np.empty((len(units), 4), np.int32)
    function("rq_match_prices", "pllpppp" + "pplp")(
        *frame_arguments(matcher), address(units, np.int32), address(vectors, np.int32),
        len(units), address(out, np.int32),
    )  # fmt: skip
    return out


# --- operations ---------------------------------------------------------------------------------


def probe_planes() -> tuple[Plane, Plane]:
    """Two small planes of texture and extremes."""
    y, x = np.indices((48, 64))
    one = (x * y * 7 + (x ^ y) * 13) % 256
    other = np.where(x * y % 11 < 2, 255 * (x & 1), np.roll(one, 3, 1))
    return one.astype(np.uint8), other.astype(np.uint8)


def _probe_interpolate(form: Callable[[Plane], NDArray[np.uint8]]) -> Arrays:
    for plane in probe_planes():
        yield form(plane)


def probe_matchers() -> tuple[Matcher, Matcher]:
    """A matcher, and one with an average."""
    current, reference = probe_planes()
    scales = (np.arange(1, 65) / 4096).astype(np.float32)
    matcher = Matcher(current, _interpolate(reference), scales)
    uses = (np.arange(48) % 3).reshape(6, 8).astype(np.uint8)
    return matcher, matcher.averaged(current[::-1], uses)


def _probe_prices(form: Callable[[Matcher, Ints, Ints], Ints]) -> Arrays:
    units = np.arange(48, dtype=np.int32) % 12
    vectors = np.stack([units * 613 % 97 - 40, np.arange(48) * 419 % 83 - 40], 1)
    vectors[5], vectors[6] = (2047, -2047), (-2047, 2047)
    for matcher in probe_matchers():
        yield form(matcher, units, vectors.astype(np.int32))


interpolate = Operation(
    "quarter samples", _interpolate, _native_interpolate, _probe_interpolate, 0xA2D54BFB
)
"""A plane at all quarter samples, as :data:`~roicodec.kernels.compensation.compensate` predicts.

Args:
    plane: uint8 ``[H, W]``, sides multiples of 16.

Returns:
    uint8 ``[16, H + 48, W + 48]``: at a displacement of (dx, dy) quarters, 24 samples of repeated
    edge on every side, in plane ``dx + 4 dy``.
"""

match_prices = Operation(
    "prices of vectors", _match_prices, _native_match_prices, _probe_prices, 0x029683E6
)
"""Price of each unit's 8x8 blocks in 1/1024 bit, in raster order: about the bits that their
residual takes, what it costs in distortion included. Blocks are priced as if their neighbours did
not overlap them.

Args:
    matcher: of the frame.
    units: numbers of units, int32 ``[N]``.
    vectors: int32 ``[N, 2]``, in quarter samples.

Returns:
    int32 ``[N, 4]``.
"""
