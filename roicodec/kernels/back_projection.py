"""Derivative of a chain of residual blocks by the rows that they begin with, in integers.

Every layer is transposed and has 8-bit codes, and where a ReLU was closed in the forward direction
the derivative is zero. Codes saturate: who calls scales derivatives so that few do. One definition
for all machines, so that an encoder with native kernels writes what it writes without them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels import integer, native
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Pointwise, Quantize
from roicodec.kernels.matrix import Field, PackedDepthwise, PackedPointwise
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = ["MIDDLE", "BackBlock", "BackChain", "back_projected", "latent_steps", "marks",
           "probe_chain", "pull_rows"]  # fmt: skip

Words = NDArray[np.int16]
Marks = NDArray[np.uint8]
Floats = NDArray[np.float32]
Places = NDArray[np.integer[Any]]

MIDDLE = 128
"""What a byte of a field holds where the derivative is zero."""


@dataclass(frozen=True, eq=False)
class BackBlock:
    """The transposed layers of a block of C channels, E of them inside, all on signed 8-bit codes.

    Attributes:
        quantize: of the derivative by the stream, for ``project`` and ``mix_out``.
        project: C to E channels, to signed 8 bits.
        expand: E to C, to the skeleton.
        mix_out: C to C, to unsigned 8 bits around :data:`MIDDLE`.
        depthwise: turned by half a turn, from there to signed 8 bits.
        mix_in: C to C, to the skeleton; without the columns of a context.
    """

    quantize: Quantize
    project: Pointwise
    expand: Pointwise
    mix_out: Pointwise
    depthwise: Depthwise
    mix_in: Pointwise


@dataclass(frozen=True, eq=False)
class BackChain:
    """The transposed layers of a chain of blocks and of the projection in front of it.

    Attributes:
        blocks: in the order of the forward direction.
        quantize: of the derivative, for ``up``.
        up: C channels to those of the rows that the chain begins with, to the skeleton.
    """

    blocks: tuple[BackBlock, ...]
    quantize: Quantize
    up: Pointwise
    _packed: dict[str, _Packed] = field(default_factory=dict, repr=False)

    @property
    def packed(self) -> _Packed:
        """The layers for the instruction set in use."""
        level = native.level()
        if level not in self._packed:
            self._packed[level] = _Packed(self)
        return self._packed[level]


class _Packed:
    """A chain for the native kernels of an instruction set.

    Attributes:
        up: the last layer.
        tables: addresses of the layers of each block.
    """

    def __init__(self, chain: BackChain) -> None:
        self.up = PackedPointwise(chain.up, chain.quantize)
        self._layers = [
            (
                PackedPointwise(block.project, block.quantize),
                PackedPointwise(block.expand, _as_it_is(block.expand)),
                PackedPointwise(block.mix_out, block.quantize, to_bytes=True),
                PackedDepthwise(block.depthwise, to_bytes=False),
                PackedPointwise(block.mix_in, _as_it_is(block.mix_in)),
            )
            for block in chain.blocks
        ]
        self.tables = [
            np.array([layer.address for layer in layers], np.uint64) for layers in self._layers
        ]


def _as_it_is(layer: Pointwise) -> Quantize:
    """A quantizer that changes nothing: the layer reads codes from int16 rows."""
    return Quantize(np.zeros(layer.weight.shape[1], np.int64), layer.source)


def marks(*codes: NDArray[np.generic]) -> Marks:
    """Bits of the codes that are not 0, as native blocks write them, uint8 ``[N, channels / 8]``.

    Args:
        codes: behind ``mix_in``, the depthwise layer and ``expand``, ``[N, C]`` each.
    """
    return np.packbits(np.concatenate([c != 0 for c in codes], 1), axis=1, bitorder="little")


# --- reference ----------------------------------------------------------------------------------


def _back_projected(
    chain: BackChain, rows: Words, active: Sequence[Marks], order: Places, shape: tuple[int, int]
) -> Words:
    stream = rows.astype(np.int64)
    for block, bits in zip(reversed(chain.blocks), reversed(active), strict=True):
        c = stream.shape[1]
        open_ = np.unpackbits(bits, axis=1, bitorder="little").astype(np.int64)
        hidden = integer.pointwise(integer.quantize(stream, block.quantize), block.project)
        stream = integer.accumulate(stream, hidden * open_[:, 2 * c :], block.expand)
        codes = integer.pointwise(integer.quantize(stream, block.quantize), block.mix_out)
        plane = np.full((shape[0] * shape[1], c), MIDDLE, np.int64)
        plane[order] = np.where(open_[:, c : 2 * c], codes, MIDDLE)
        wide = np.pad(plane.reshape(*shape, c), ((1, 1), (1, 1), (0, 0)), constant_values=MIDDLE)
        around = integer.depthwise(wide, block.depthwise)[1:-1, 1:-1].reshape(-1, c)[order]
        stream = integer.accumulate(stream, around * open_[:, :c], block.mix_in)
    return integer.pointwise(integer.quantize(stream, chain.quantize), chain.up).astype(np.int16)


def _pull_rows(error: Words, order: Places, weight: Floats, more: int) -> Words:
    pull = np.rint((error[order] * weight).clip(-32768, 32767)).astype(np.int16)
    return np.pad(pull, ((0, 0), (0, more)))


def _latent_steps(
    gradient: Words,
    order: Places,
    level: NDArray[np.uint8],
    scale: Floats,
    latents: Words,
    target: Floats,
    damping: float,
) -> Floats:
    moves = np.zeros(latents.shape, np.float32)
    pull = gradient * scale[level]
    moves[order] = np.float32(damping) * (latents[order] - pull - target[order])
    return moves


# --- native -------------------------------------------------------------------------------------


def _native_back_projected(
    chain: BackChain, rows: Words, active: Sequence[Marks], order: Places, shape: tuple[int, int]
) -> Words:
    packed, channels = chain.packed, rows.shape[1]
    places = Field.places(order, shape[1])
    own = Field(*shape, channels, MIDDLE)
    own.check(places)
    stream = np.array(rows, np.int16, order="C")
    call = function("rq_back_block", "ppppp" + "ll", "i")
    for block, table, bits in zip(
        reversed(chain.blocks), reversed(packed.tables), reversed(active), strict=True
    ):
        need = len(rows), (2 * channels + len(block.project.weight)) // 8
        if bits.shape != need or channels % 8 or len(order) != len(rows):
            raise ValueError(f"marks {bits.shape} where {need} are needed of {channels} channels")
        done = call(
            *(address(table, np.uint64), address(stream, np.int16, writable=True)),
            *(address(bits, np.uint8), address(places, np.int32)),
            *(address(own.values, np.uint8), own.pitch, len(stream)),
        )
        if done:
            raise MemoryError("no memory for the codes of a tile")
    out: Words = packed.up(stream)
    return out


def _native_pull_rows(error: Words, order: Places, weight: Floats, more: int) -> Words:
    places = _checked(order, len(error))
    if weight.shape != (error.shape[1],):
        raise ValueError(f"{weight.shape} weights of {error.shape[1]} channels")
    rows = np.empty((len(places), error.shape[1] + more), np.int16)
    function("rq_pull_rows", "plplplp")(
        *(address(error, np.int16), error.shape[1], address(places, np.int32), len(places)),
        *(address(weight, np.float32), more, address(rows, np.int16)),
    )
    return rows


def _native_latent_steps(
    gradient: Words,
    order: Places,
    level: NDArray[np.uint8],
    scale: Floats,
    latents: Words,
    target: Floats,
    damping: float,
) -> Floats:
    places = _checked(order, len(latents))
    shapes = gradient.shape[1], scale.shape[1], target.shape, len(level), len(gradient)
    channels = latents.shape[1]
    if shapes != (channels, channels, latents.shape, len(places), len(places)):
        raise ValueError(f"{shapes} do not fit latents {latents.shape} at {len(places)} positions")
    if level.max(initial=0) >= len(scale):
        raise ValueError(f"level {level.max()} of {len(scale)}")
    moves = np.zeros(latents.shape, np.float32)
    function("rq_latent_steps", "plppl" + "pppfp")(
        *(address(gradient, np.int16), channels, address(places, np.int32)),
        *(address(level, np.uint8), len(places), address(scale, np.float32)),
        *(address(latents, np.int16), address(target, np.float32), damping),
        address(moves, np.float32),
    )
    return moves


def _checked(order: Places, size: int) -> NDArray[np.int32]:
    if len(order) and (order.min() < 0 or order.max() >= size):
        raise IndexError(f"positions outside of {size}")
    return np.ascontiguousarray(order, np.int32)


# --- operations ---------------------------------------------------------------------------------


def _scattered(*shape: int, seed: int, span: int) -> NDArray[np.int64]:
    """Integers in -span..span, the same everywhere."""
    values = np.arange(1, int(np.prod(shape)) + 1, dtype=np.int64) * (2654435761 + 2 * seed)
    return ((values >> 7) % (2 * span + 1) - span).reshape(shape)


def probe_chain(channels: int, inside: int, out: int, blocks: int) -> BackChain:
    """A chain of layers with all kinds of weights and shifts."""
    signed = Grid(8, signed=True)

    def layer(cout: int, cin: int, target: Grid, shift: int, seed: int) -> Pointwise:
        weight = _scattered(cout, cin, seed=seed, span=127)
        middle = 0 if target.signed else MIDDLE << shift
        return Pointwise(weight, np.full(cout, middle), np.full(cout, shift), signed, target)

    def block(seed: int) -> BackBlock:
        weight = _scattered(channels, 3, 3, seed=seed, span=127)
        bias = -MIDDLE * weight.sum((1, 2))
        return BackBlock(
            Quantize(np.arange(channels) % 4 + 4, signed),
            layer(inside, channels, signed, 9, seed + 1),
            layer(channels, inside, SKELETON, 4, seed + 2),
            layer(channels, channels, Grid(8, signed=False), 9, seed + 3),
            Depthwise(weight, bias, np.full(channels, 7), Grid(8, signed=False), signed),
            layer(channels, channels, SKELETON, 5, seed + 4),
        )

    last = layer(out, channels, SKELETON, 3, 5)
    made = tuple(block(10 * number) for number in range(blocks))
    return BackChain(made, Quantize(np.full(channels, 6), signed), last)


def _probe_back(form: Callable[..., Words]) -> Arrays:
    chain = probe_chain(16, 24, 9, 1)
    order = np.array([0, 1, 5, 4, 9, 11, 10, 2])
    rows = _scattered(8, 16, seed=3, span=32767).astype(np.int16)
    active = [(_scattered(8, 7, seed=1, span=128) & 255).astype(np.uint8)]
    yield form(chain, rows, active, order, (3, 4))


def _probe_pull(form: Callable[..., Words]) -> Arrays:
    error = _scattered(6, 5, seed=1, span=255).astype(np.int16)
    weight = np.array([0.5, 1.25, 300.0, 0.3, 1e-3], np.float32)
    yield form(error, np.array([5, 0, 2]), weight, 3)


def _probe_steps(form: Callable[..., Floats]) -> Arrays:
    gradient = _scattered(3, 4, seed=1, span=32767).astype(np.int16)
    latents = _scattered(5, 4, seed=2, span=32767).astype(np.int16)
    target = (_scattered(5, 4, seed=3, span=99999) / np.float32(7)).astype(np.float32)
    scale = np.array([[0.1, 1.5, 3e-4, 7.7], [1.0, 0.3, 0.9, 1e-2], [2.0, 0.7, 5e-2, 0.1]])
    level = np.array([2, 0, 1], np.uint8)
    moves = form(
        gradient, np.array([4, 0, 1]), level, scale.astype(np.float32), latents, target, 0.25
    )
    yield moves.view(np.int32)


back_projected = Operation(
    "back-projection", _back_projected, _native_back_projected, _probe_back, 0x865DB1FA
)
"""Derivative by the rows in front of a chain, int16 ``[N, channels of up]``.

Args:
    chain: transposed layers.
    rows: derivative by the rows behind the chain, int16 ``[N, C]``.
    active: of every block, the marks of its codes (:func:`marks`), ``[N, (2 C + E) / 8]``.
    order: raster positions of the rows, all different, ``[N]``.
    shape: height and width of the frame, in positions.
"""

pull_rows = Operation("rows of errors", _pull_rows, _native_pull_rows, _probe_pull, 0x1BC5B479)
"""Weighted errors at some positions, rounded, with zeros in further channels, int16 ``[N, A + B]``.

Args:
    error: int16 ``[P, A]``.
    order: positions, ``[N]``.
    weight: of every channel, float32 ``[A]``.
    more: number B of further channels.
"""

latent_steps = Operation(
    "damped steps of latents", _latent_steps, _native_latent_steps, _probe_steps, 0x2ED773A6
)
"""Steps ``damping * (latents - gradient * scale - target)`` at some positions, zeros elsewhere,
float32 ``[P, C]``.

Args:
    gradient: int16 ``[N, C]``.
    order: positions of its rows, ``[N]``.
    level: of each row, which scale is its own, uint8 ``[N]``.
    scale: float32 ``[L, C]``.
    latents: int16 ``[P, C]``.
    target: float32 ``[P, C]``.
    damping: part of the way.
"""
