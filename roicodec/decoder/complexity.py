"""Complexity of a frame: MACs, BitOPs, Bit-FLOPs, OPs and memory, from a list of layers.

``docs/complexity.md`` has the formula and the source of each count. None of them is run time, which
depends on the machine: ``make bench`` measures that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["FLOAT", "Complexity", "LayerShape", "Region", "complexity"]

Region = Literal["roi", "bg"]

FLOAT = 32
"""Bit-width of weights and activations that are not quantized."""

_OPS_SHARE = {1: 1 / 64, 2: 1 / 32, 3: 1 / 16, 4: 1 / 8}
"""OPs of a multiply-accumulate by bit-width."""


@dataclass(frozen=True)
class LayerShape:
    """One convolution of a network as it runs on one frame.

    Attributes:
        name: name of the layer.
        c_in, c_out: number of input and output channels.
        positions_roi, positions_bg: number of output positions in each region; 0 if it is skipped.
        bits_roi, bits_bg: bit-widths ``(weights, activations)`` in each region; :data:`FLOAT` where
            not quantized.
        kernel: side of the square kernel.
        groups: number of groups of channels; ``c_in`` for a depthwise layer.
    """

    name: str
    c_in: int
    c_out: int
    positions_roi: int
    positions_bg: int
    bits_roi: tuple[int, int]
    bits_bg: tuple[int, int]
    kernel: int = 1
    groups: int = 1

    def positions(self, region: Region) -> int:
        """Number of output positions in a region."""
        return self.positions_roi if region == "roi" else self.positions_bg

    def bits(self, region: Region) -> tuple[int, int]:
        """Bit-widths (weights, activations) in a region."""
        return self.bits_roi if region == "roi" else self.bits_bg

    @property
    def weights(self) -> int:
        """Number of weights, without biases."""
        return self.c_out * (self.c_in // self.groups) * self.kernel**2


@dataclass(frozen=True)
class Complexity:
    """The counts of one frame or region; formulas in ``docs/complexity.md``.

    Attributes:
        macs: multiply-accumulate operations.
        bit_ops: BitOPs, the sum over layers of ``b_w * b_a * MACs``.
        bit_flops: Bit-FLOPs, the sum of ``b_w * b_a / 32 * 2 * MACs``.
        ops: OPs as counted by Bi-Real Net and Q-DETR.
        memory_bits: bits of the weights, at each bit-width in use.
    """

    macs: int
    bit_ops: int
    bit_flops: float
    ops: float
    memory_bits: int


def complexity(layers: Iterable[LayerShape], region: Region | None = None) -> Complexity:
    """Complexity of a frame or of one of its regions.

    Operations of the two regions add up. Weights count once for each bit-width at which they are
    used; biases and steps do not count.

    Args:
        layers: layers that the frame runs.
        region: None for the whole frame.
    """
    regions: tuple[Region, ...] = ("roi", "bg") if region is None else (region,)
    macs = bit_ops = memory = 0
    ops = 0.0
    for layer in layers:
        held = set()
        for r in regions:
            count = layer.weights * layer.positions(r)
            if not count:
                continue
            weight_bits, activation_bits = layer.bits(r)
            held.add(weight_bits)
            macs += count
            bit_ops += weight_bits * activation_bits * count
            # The papers define shares up to 4 bits; wider ones count as float.
            ops += count * _OPS_SHARE.get(max(weight_bits, activation_bits), 1)
        memory += layer.weights * sum(held)
    return Complexity(macs, bit_ops, bit_ops / FLOAT * 2, ops, memory)
