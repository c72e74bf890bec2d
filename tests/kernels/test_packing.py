"""Native forms of packed rows against their references."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.kernels.packing import ROW, block_means, pack, unpack
from tests.kernels.operations import agree


@pytest.mark.parametrize("shape", [(8, 8), (8, 72), (72, 8), (64, 104)])
def test_planes_to_rows_and_back(instructions: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape)
    height, width = shape
    y, u, v = (rng.integers(0, 256, (height // n, width // n), np.uint8) for n in (1, 2, 2))
    rows = agree(pack, (y, u, v))
    assert (rows[0, :8] == y[0, :8]).all()
    assert (rows[-1, 80:84] == v[-4, -4:]).all()
    for made, plane in zip(agree(unpack, rows, width, height), (y, u, v), strict=True):
        assert (made == plane).all()


def test_block_means(instructions: str) -> None:
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 256, (50, ROW)).astype(np.int16)
    rows[:3] = [[0], [255], [1]]
    rows[3, 64:80] = [0] * 8 + [1] * 8  # Half: rounded up.
    means = agree(block_means, rows, np.ones(50, np.bool_))
    assert (means[3, 64:80] == 1).all()
    agree(block_means, rows, rng.random(50) < 0.5)
    agree(block_means, rows[:0], np.zeros(0, np.bool_))


def test_shapes_are_checked(instructions: str) -> None:
    rows, plane = np.zeros((4, ROW), np.int16), np.zeros((16, 16), np.uint8)
    with pytest.raises(ValueError, match="sides must be multiples"):
        unpack.native(rows, 12, 16)
    with pytest.raises(ValueError, match="of a frame of 16x24"):
        unpack.native(rows, 16, 24)
    with pytest.raises(ValueError, match="planes"):
        pack.native((plane, plane, plane))
    with pytest.raises(ValueError, match="choice"):
        block_means.native(rows, np.zeros(3, np.bool_))
