"""What a frame costs: MACs, BitOPs, Bit-FLOPs, OPs and memory, from a plain list of layers.

Every count has its own name, formula and source, written out in ``docs/complexity.md``. None of
them is run time, which depends on the machine: ``make bench`` measures that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = ["FLOAT", "Complexity", "LayerShape", "Region", "complexity"]

Region = Literal["roi", "bg"]

FLOAT = 32
"""The bit-width of what is not quantized."""

_OPS_SHARE = {1: 1 / 64, 2: 1 / 32, 3: 1 / 16, 4: 1 / 8}


@dataclass(frozen=True)
class LayerShape:
    """One convolution of a network as it runs on one frame.

    Attributes:
        name: of the layer.
        c_in, c_out: channels.
        positions_roi, positions_bg: output positions it computes in either region.
        bits_roi, bits_bg: bit-widths ``(weights, activations)`` in either region;
            :data:`FLOAT` where it is not quantized. A region that is skipped has no positions.
        kernel: side of the square kernel.
        groups: groups of channels; equal to ``c_in`` for a depthwise layer.
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
        """Output positions in a region."""
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
        ops: OPs of Bi-Real Net and Q-DETR.
        memory_bits: parameters, 32 bits each where float and b bits where quantized.
    """

    macs: int
    bit_ops: int
    bit_flops: float
    ops: float
    memory_bits: int


def complexity(layers: Iterable[LayerShape], region: Region | None = None) -> Complexity:
    """Count the cost of a frame, or of one of its regions.

    Operations of the two regions add up. Parameters count once for each distinct bit-width they are
    used at, since a region's weights are held at that region's bit-width; biases and steps are not
    counted.
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
            # The papers define shares up to 4 bits; what is wider counts as float.
            ops += count * _OPS_SHARE.get(max(weight_bits, activation_bits), 1)
        memory += layer.weights * sum(held)
    return Complexity(macs, bit_ops, bit_ops / FLOAT * 2, ops, memory)
