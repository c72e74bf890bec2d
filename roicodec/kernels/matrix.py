"""Native matrix layers: packed once for the instruction set in use, then run on numpy rows.

Rows are int16 integers (a skeleton, or 16-bit codes); what lies between the layers of a block never
leaves native code. Everything gives the integers of :mod:`roicodec.kernels.integer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels import native
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Layer, Pointwise, Quantize
from roicodec.kernels.native import address

__all__ = ["Field", "PackedBlock", "PackedDepthwise", "PackedPointwise", "run_block"]

Rows = NDArray[np.int16]
Places = NDArray[np.int32]

_BYTES, _WORDS = 0, 1
_LINE = 64


class PackedPointwise:
    """A pointwise layer with the quantizer that feeds it.

    Args:
        layer: with a target that is signed 16 bits, or unsigned.
        quantize: of the rows that the layer reads; None for rows that hold integers of its source
            grid and no others.
        to_bytes: whether codes are written as uint8, which needs an unsigned target of at most 8
            bits; else as int16.

    Attributes:
        reads_bytes: whether codes handed over by another layer must be bytes.
    """

    def __init__(
        self, layer: Pointwise, quantize: Quantize | None = None, *, to_bytes: bool = False
    ) -> None:
        target = layer.target
        if to_bytes and (target.signed or target.bits > 8):
            raise ValueError(f"{layer.name}: its codes are no unsigned bytes")
        self.cout, self.cin = layer.weight.shape
        self.dtype = np.dtype(np.uint8 if to_bytes else np.int16)
        source = layer.source
        if quantize is not None and quantize.target != source:
            raise ValueError(f"{layer.name}: quantizer and layer differ in their grid")
        arrays = layer.weight, layer.bias, layer.shift
        dtypes = np.int16, np.int32, np.int32
        moved = [np.ascontiguousarray(a, t) for a, t in zip(arrays, dtypes, strict=True)]
        shift = None if quantize is None else quantize.shift.astype(np.int32)
        self.memory = _packed(
            _functions().pack_pointwise,
            (self.cin, self.cout, *map(address, moved, dtypes), _optional(shift)),
            source.bits,
            int(source.signed),
            _BYTES if to_bytes else _WORDS,
            target.low,
            target.high,
            int(layer.weight_bits == 8),
        )
        self.address = address(self.memory, np.uint8)
        self.reads_bytes = bool(_functions().reads_bytes(self.address))

    def __call__(self, rows: Rows, index: Places | None = None) -> NDArray[Any]:
        """Codes of rows, or of those that ``index`` lists: ``[N, Cout]``, uint8 or int16."""
        count = len(rows) if index is None else len(index)
        out = np.empty((count, self.cout), self.dtype)
        self._run(rows, index, out, None, accumulate=False)
        return out

    def accumulate(
        self, onto: Rows, rows: Rows, index: Places | None = None, to: Places | None = None
    ) -> Rows:
        """Skeleton rows, changed in place by adding the branch.

        Args:
            onto: int16 ``[M, Cout]``.
            rows: int16 ``[L, Cin]``.
            index: rows that are read, int32 ``[N]``; None for all.
            to: rows that are added to, all different, int32 ``[N]``; None for all.
        """
        self._run(rows, index, onto, to, accumulate=True)
        return onto

    def _run(
        self,
        rows: Rows,
        index: Places | None,
        out: NDArray[Any],
        to: Places | None,
        *,
        accumulate: bool,
    ) -> None:
        count = len(rows) if index is None else len(index)
        if rows.shape[1] != self.cin or out.shape[1] != self.cout:
            raise ValueError(f"rows {rows.shape} and {out.shape} for {self.cin} to {self.cout}")
        if count != (len(out) if to is None else len(to)):
            raise ValueError("as many rows are needed behind a layer as before it")
        for places, size in ((index, len(rows)), (to, len(out))):
            _check_places(places, size)
        done = _functions().pointwise(
            self.address,
            *(address(rows, np.int16), self.cin, _optional(index)),
            *(address(out, out.dtype, writable=True), self.cout, _optional(to)),
            count,
            int(accumulate),
        )
        _check(done)


class PackedDepthwise:
    """A depthwise layer: reads bytes of a :class:`Field`.

    Args:
        layer: the layer.
        to_bytes: as of :class:`PackedPointwise`.
    """

    def __init__(self, layer: Depthwise, *, to_bytes: bool) -> None:
        if to_bytes and (layer.target.signed or layer.target.bits > 8):
            raise ValueError(f"{layer.name}: its codes are no unsigned bytes")
        self.channels = len(layer.weight)
        self.dtype = np.dtype(np.uint8 if to_bytes else np.int16)
        arrays = layer.weight, layer.bias, layer.shift
        dtypes = np.int16, np.int32, np.int32
        moved = [np.ascontiguousarray(a, t) for a, t in zip(arrays, dtypes, strict=True)]
        self.memory = _packed(
            _functions().pack_depthwise,
            (self.channels, *map(address, moved, dtypes)),
            _BYTES if to_bytes else _WORDS,
            layer.target.low,
            layer.target.high,
        )
        self.address = address(self.memory, np.uint8)

    def __call__(self, field: Field, places: Places) -> NDArray[Any]:
        """Codes at positions of a field, ``[N, C]``.

        Args:
            field: of the layer's channels.
            places: of :meth:`Field.places`, int32 ``[N]``.
        """
        out = np.empty((len(places), field.values.shape[2]), self.dtype)
        field.check(places)
        _functions().depthwise(
            self.address,
            *(address(field.values, np.uint8), field.pitch, address(places, np.int32)),
            *(address(out, self.dtype), len(places)),
        )
        return out[:, : self.channels]


class Field:
    """Bytes at the positions of a frame, with a margin around it.

    Args:
        height, width: of the frame, in positions.
        channels: of a position; they are stored in steps of 64.
        fill: what all positions and the margin hold.

    Attributes:
        values: uint8 ``[height + 2, width + 2, step]``.
    """

    def __init__(self, height: int, width: int, channels: int, fill: int = 0) -> None:
        step = self.step(channels)
        self.values = _aligned((height + 2) * (width + 2) * step).reshape(height + 2, -1, step)
        self.values[:] = fill

    @staticmethod
    def step(channels: int) -> int:
        """Channels stored of a position."""
        return -(-channels // _LINE) * _LINE

    @property
    def pitch(self) -> int:
        """Bytes from a row of positions to the next."""
        return self.values.shape[1] * self.values.shape[2]

    def check(self, places: Places) -> None:
        """Check of places.

        Raises:
            IndexError: if one of them is not within the margin.
        """
        rows, columns = self.values.shape[:2]
        if len(places) and not (places.min() > columns and places.max() < (rows - 1) * columns - 1):
            raise IndexError(f"places outside of a field of {rows - 2}x{columns - 2}")

    @staticmethod
    def places(positions: NDArray[np.integer[Any]], width: int) -> Places:
        """Places of a frame's raster positions in its fields, int32 ``[N]``."""
        row, column = np.divmod(positions, width)
        return ((row + 1) * (width + 2) + column + 1).astype(np.int32)


@dataclass(frozen=True, eq=False)
class PackedBlock:
    """The layers of a block at one bit-width."""

    mix_in: PackedPointwise
    depthwise: PackedDepthwise
    mix_out: PackedPointwise
    expand: PackedPointwise
    project: PackedPointwise

    @classmethod
    def of(cls, layers: Iterable[Layer]) -> PackedBlock:
        """Packed form of a block.

        Args:
            layers: quantizer, ``mix_in``, depthwise, ``mix_out``; quantizer, ``expand``,
                ``project``.
        """
        quantize_first, mix_in, depthwise, mix_out, quantize_second, expand, project = layers
        assert isinstance(quantize_first, Quantize)
        assert isinstance(quantize_second, Quantize)
        assert isinstance(depthwise, Depthwise)
        assert isinstance(mix_in, Pointwise)
        assert isinstance(mix_out, Pointwise)
        assert isinstance(expand, Pointwise)
        assert isinstance(project, Pointwise)
        if mix_in.target != Grid(8, signed=False):
            raise ValueError(f"{mix_in.name}: regions meet in unsigned 8 bits")
        if mix_out.target != SKELETON or project.target != SKELETON:
            raise ValueError(f"{mix_out.name}: a block adds to a skeleton")
        out, last = PackedPointwise(mix_out), PackedPointwise(project)
        return cls(
            PackedPointwise(mix_in, quantize_first, to_bytes=True),
            PackedDepthwise(depthwise, to_bytes=out.reads_bytes),
            out,
            PackedPointwise(expand, quantize_second, to_bytes=last.reads_bytes),
            last,
        )

    @property
    def addresses(self) -> tuple[int, ...]:
        """Addresses of the layers, as native code takes them."""
        layers = self.mix_in, self.depthwise, self.mix_out, self.expand, self.project
        return tuple(layer.address for layer in layers)


def run_block(
    parts: Sequence[tuple[PackedBlock, slice]],
    rows: Rows,
    places: Places,
    field: Field,
    context: Rows | None = None,
    active: NDArray[np.uint8] | None = None,
) -> Rows:
    """One block, run in place on the rows of a frame's parts.

    Args:
        parts: the block at the bit-width of each part, and its rows; they follow one another.
        rows: int16 ``[N, C]``.
        places: of the rows in the field, int32 ``[N]``.
        field: zeros at all other positions; what is at these is overwritten.
        context: channels behind those of the rows for the first layer, int16 ``[N, E]``.
        active: overwritten with a bit for every code that is not 0 behind ``mix_in``, the depthwise
            layer and ``expand``, uint8 ``[N, channels / 8]``; None for none.

    Returns:
        ``rows``.
    """
    if not parts:
        return rows
    first = parts[0][0]
    extra = first.mix_in.cin - first.mix_out.cout
    if rows.shape[1] != first.mix_out.cout or (0 if context is None else context.shape[1]) != extra:
        raise ValueError(f"rows {rows.shape} for {first.mix_out.cout} channels and {extra} more")
    starts = np.array([own.start for _, own in parts] + [parts[-1][1].stop], np.int64)
    if starts[-1] != len(rows) or len(places) != len(rows):
        raise ValueError(f"{len(rows)} rows, {len(places)} places, parts up to {starts[-1]}")
    if field.values.shape[2] != Field.step(first.depthwise.channels):
        raise ValueError(f"a field of {field.values.shape[2]} channels")
    if context is not None and len(context) != len(rows):
        raise ValueError(f"{len(context)} rows of context for {len(rows)}")
    field.check(places)
    if active is not None:
        marks = 2 * first.mix_out.cout + first.project.cin
        if first.mix_out.cout % 8 or marks % 8 or active.shape != (len(rows), marks // 8):
            raise ValueError(f"{active.shape} bytes for the marks of {marks} channels")
    table = np.array([block.addresses for block, _ in parts], np.uint64)
    done = _functions().block(
        *(address(table, np.uint64), address(starts, np.int64), len(parts)),
        address(rows, np.int16, writable=True),
        None if context is None else address(context, np.int16),
        *(address(places, np.int32), address(field.values, np.uint8), field.pitch),
        None if active is None else address(active, np.uint8, writable=True),
    )
    _check(done)
    return rows


class _Functions:
    """The functions of the library that this module calls."""

    def __init__(self) -> None:
        self.pack_pointwise = native.function("rq_pack_pointwise", "piippppiiiiii", "l")
        self.pack_depthwise = native.function("rq_pack_depthwise", "pipppiii", "l")
        self.reads_bytes = native.function("rq_reads_bytes", "p", "i")
        self.pointwise = native.function("rq_pointwise", "pplpplpli", "i")
        self.depthwise = native.function("rq_depthwise", "pplppl")
        self.block = native.function("rq_block", "ppippppl" + "p", "i")


@cache
def _functions() -> _Functions:
    return _Functions()


def _packed(
    pack: Callable[..., int], arguments: tuple[Any, ...], *numbers: int
) -> NDArray[np.uint8]:
    memory = _aligned(pack(None, *arguments, *numbers))
    pack(address(memory, np.uint8), *arguments, *numbers)
    return memory


def _aligned(count: int) -> NDArray[np.uint8]:
    """Bytes that begin at a cache line."""
    memory = np.empty(count + _LINE - 1, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + count]


def _check_places(places: Places | None, size: int) -> None:
    if places is not None and len(places) and (places.min() < 0 or places.max() >= size):
        raise IndexError(f"places outside of {size}")


def _optional(places: Places | None) -> int | None:
    return None if places is None else address(places, np.int32)


def _check(done: int) -> None:
    if done < 0:
        raise MemoryError("no memory for the codes of a tile")
