"""The counts, on layers worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from roicodec.decoder.complexity import FLOAT, Complexity, LayerShape, complexity

# 3x3 from 2 to 3 channels: 54 weights. 10 positions in the ROI at W4A8, 30 outside at W2A2.
CONV = LayerShape("conv", 2, 3, 10, 30, (4, 8), (2, 2), kernel=3)


def test_a_layer_by_hand() -> None:
    # ROI: 54 * 10 = 540 MACs. BitOPs 4 * 8 * 540. Bit-FLOPs 32/32 * 2 * 2*3*9*10. OPs: 8 bits
    # count as float. Memory 54 * 4 bits.
    assert complexity([CONV], "roi") == Complexity(540, 17280, 1080.0, 540.0, 216)
    # Outside: 54 * 30 = 1620 MACs; 4 * 1620; 4/32 * 2 * 1620; 1620 / 32; 54 * 2.
    assert complexity([CONV], "bg") == Complexity(1620, 6480, 405.0, 50.625, 108)
    assert complexity([CONV]) == Complexity(2160, 23760, 1485.0, 590.625, 324)


def test_depthwise_has_one_input_channel_a_group() -> None:
    layer = LayerShape("dw", 16, 16, 5, 0, (8, 8), (8, 8), kernel=3, groups=16)
    assert complexity([layer]) == Complexity(720, 46080, 2880.0, 720.0, 1152)


def test_float_counts_as_32_bits() -> None:
    layer = LayerShape("head", 4, 8, 10, 10, (FLOAT, FLOAT), (FLOAT, FLOAT))
    # 640 MACs; Bit-FLOPs 32 * 32 / 32 * 2 * 640; the weights are held once.
    assert complexity([layer]) == Complexity(640, 655360, 40960.0, 640.0, 1024)


def test_a_skipped_region_costs_nothing() -> None:
    skipped = replace(CONV, positions_bg=0)
    assert complexity([skipped]) == complexity([CONV], "roi")
    assert complexity([skipped], "bg") == Complexity(0, 0, 0.0, 0.0, 0)


@pytest.mark.parametrize(("bits", "share"), [(1, 64), (2, 32), (3, 16), (4, 8), (5, 1), (8, 1)])
def test_ops_shares(bits: int, share: int) -> None:
    layer = LayerShape("l", 1, 1, 64, 0, (bits, bits), (bits, bits))
    assert complexity([layer]).ops == 64 / share


def test_layers_add_up() -> None:
    one, two = complexity([CONV]), complexity([CONV, CONV])
    assert (two.macs, two.bit_ops, two.ops) == (2 * one.macs, 2 * one.bit_ops, 2 * one.ops)


def test_no_torch_needed() -> None:
    code = "import sys, roicodec.decoder.complexity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
