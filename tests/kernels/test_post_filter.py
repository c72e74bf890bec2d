"""The post-filter's native form against its reference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.kernels.post_filter import (
    ACTIVITIES,
    ALL_ON,
    DIRECTIONS,
    WEIGHTS,
    filter_plane,
    filter_table,
    merge,
    squared_gains,
)
from tests.kernels.operations import agree

SIDES = ((4, 4), (4, 64), (64, 4), (8, 36), (132, 100), (64, 96), (36, 1284), (200, 28))
LEVELS = (150 * 2 ** (np.arange(15) / 1.8)).astype(np.int32)
BOUNDS = (2 ** (np.arange(16) / 2)).astype(np.int32)


def planes() -> dict[str, NDArray[np.uint8]]:
    """Planes of all sides: noise, its extremes, flat, waves in noise, and noise that grows."""
    rng = np.random.default_rng(7)
    found = {}
    for number, (height, width) in enumerate(SIDES):
        y, x = np.indices((height, width))
        waves = 128 + 90 * np.sin((y * np.sin(number) + x * np.cos(number)) * 0.4)
        kinds = {
            "noise": rng.integers(0, 256, (height, width)),
            "extremes": rng.integers(0, 2, (height, width)) * 255,
            "white": np.full((height, width), 255),
            "waves": waves + rng.normal(0, 2 * number, (height, width)),
            "louder": 128 + rng.normal(0, 2 ** np.linspace(-3, 6, width), (height, width)),
        }
        for kind, plane in kinds.items():
            found[f"{kind} {height}x{width}"] = plane.clip(0, 255).astype(np.uint8)
    return found


PLANES = planes()


def table(largest: int) -> NDArray[np.int16]:
    rng = np.random.default_rng(largest)
    shape = ACTIVITIES, DIRECTIONS, WEIGHTS
    return filter_table(rng.integers(-largest, largest + 1, shape).astype(np.int32))


@pytest.mark.parametrize("name", PLANES)
@pytest.mark.parametrize("largest", [60, 1365])
def test_filter(instructions: str, name: str, largest: int) -> None:
    plane = PLANES[name]
    for switches in (ALL_ON, 0, 0x35, 0x80):
        after, _ = agree(filter_plane, plane, table(largest), LEVELS, BOUNDS, switches)
        assert switches or (after == plane).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_at_their_limit(instructions: str, sign: int) -> None:
    weights = np.zeros((ACTIVITIES, DIRECTIONS, WEIGHTS), np.int32)
    weights[..., ::2] = sign * ((1 << 15) // 12 - 1)
    bounds = np.full(16, 1 << 30, np.int32)
    for name in ("extremes 132x100", "noise 132x100"):
        agree(filter_plane, PLANES[name], filter_table(weights), LEVELS, bounds, ALL_ON)
    one = np.zeros_like(weights)
    one[..., 12] = sign * ((1 << 15) - 1)
    agree(filter_plane, PLANES["extremes 132x100"], filter_table(one), LEVELS, bounds, ALL_ON)


def test_every_class_occurs() -> None:
    seen = [filter_plane.reference(p, table(60), LEVELS, BOUNDS, 0)[1] for p in PLANES.values()]
    assert set(np.concatenate([a.ravel() for a in seen])) == set(range(ACTIVITIES))


@pytest.mark.parametrize("name", PLANES)
def test_switches(instructions: str, name: str) -> None:
    before = PLANES[name]
    after, activity = filter_plane.reference(before, table(60), LEVELS, BOUNDS, ALL_ON)
    rng = np.random.default_rng(3)
    for switches in (0, 0x5A, ALL_ON):
        agree(merge, before, after, activity, switches)
    for less in range(4):
        height, width = before.shape
        target = rng.integers(0, 256, (height - less, width - less), np.uint8)
        agree(squared_gains, before, after, activity, target)
    black, white = np.zeros_like(before), np.full_like(before, 255)
    agree(squared_gains, black, white, activity, black)


def test_strided_planes(instructions: str) -> None:
    plane = PLANES["louder 132x100"].T
    agree(filter_plane, plane, table(60), LEVELS, BOUNDS, ALL_ON)


def test_shapes_are_checked(instructions: str) -> None:
    plane = np.zeros((8, 10), np.uint8)
    with pytest.raises(ValueError, match="plane of shape"):
        filter_plane.native(plane, table(60), LEVELS, BOUNDS, ALL_ON)
    plane = np.zeros((8, 12), np.uint8)
    with pytest.raises(ValueError, match="filters of shape"):
        filter_plane.native(plane, table(60)[1:], LEVELS, BOUNDS, ALL_ON)
    with pytest.raises(ValueError, match="activity of shape"):
        merge.native(plane, plane, np.zeros((3, 3), np.uint8), 1)
    with pytest.raises(ValueError, match="target of shape"):
        squared_gains.native(plane, plane, np.zeros((2, 3), np.uint8), np.zeros((9, 1), np.uint8))
