"""Element-wise native kernels against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.kernels import integer
from roicodec.kernels.integer import CANDIDATE_BITS, Grid, Quantize
from roicodec.kernels.rows import quantize


@pytest.mark.parametrize("bits", CANDIDATE_BITS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("channels", [1, 7, 32, 88, 129])
def test_quantize(instructions: str, bits: int, signed: bool, channels: int) -> None:
    rng = np.random.default_rng(bits * 1000 + channels)
    layer = Quantize(rng.integers(-15, 17, channels), Grid(bits, signed=signed))
    rows = rng.integers(-32768, 32768, (67, channels)).astype(np.int16)
    rows[0], rows[1] = -32768, 32767
    rows[2:40] >>= rng.integers(0, 15, (38, 1)).astype(np.int16)
    offset = -layer.target.low if bits <= 8 else 0
    for count in (67, 1, 0):
        codes = quantize(rows[:count], layer)
        assert codes.dtype == (np.uint8 if bits <= 8 else np.int16)
        assert (codes.astype(np.int64) - offset == integer.quantize(rows[:count], layer)).all()
