"""Motion search: native against reference, with every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.bitstream.motion_trees import shipped_contexts
from roicodec.bitstream.motion_walk import Previous
from roicodec.encoder.motion.match import Matcher, interpolate, match_prices
from roicodec.encoder.motion.pyramid import Level, halve, search_all, search_near
from roicodec.encoder.motion.refine import Refinement, refine_colour
from tests.kernels.operations import agree

SIZES = [(16, 16), (32, 80), (64, 48)]


def plane(rng: np.random.Generator, height: int, width: int, *, extreme: bool) -> NDArray[np.uint8]:
    found = rng.integers(0, 256, (height, width), np.uint8)
    return (255 * (found >> 7)).astype(np.uint8) if extreme else found


def matcher(rng: np.random.Generator, height: int, width: int, *, extreme: bool) -> Matcher:
    current, reference, beside = (plane(rng, height, width, extreme=extreme) for _ in range(3))
    found = Matcher.of(current, interpolate.reference(reference), float(rng.uniform(0.5, 60)))
    uses = rng.integers(0, 3, (height // 8, width // 8), np.uint8)
    return found.averaged(beside, uses) if extreme else found


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("extreme", [False, True])
def test_interpolation_and_prices(
    instructions: str, height: int, width: int, extreme: bool
) -> None:
    rng = np.random.default_rng((height, width))
    agree(interpolate, plane(rng, height, width, extreme=extreme))
    own = matcher(rng, height, width, extreme=extreme)
    units = rng.integers(0, height * width // 256, 300).astype(np.int32)
    vectors = rng.integers(-90, 91, (300, 2)).astype(np.int32)
    vectors[::7] = rng.integers(-2047, 2048, vectors[::7].shape)
    agree(match_prices, own, units, vectors)
    agree(match_prices, own, units[:0], vectors[:0])


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("known", [False, True])
def test_refinement(instructions: str, height: int, width: int, known: bool) -> None:
    rng = np.random.default_rng((height, width))
    own = matcher(rng, height, width, extreme=known)
    count = height * width // 256
    previous = rng.integers(-9, 10, (height // 8, width // 8, 2)).astype(np.int16)
    blocks = rng.integers(-5, 6, (count, 4, 2)).astype(np.int32)
    blocks[::5] = rng.integers(-2047, 2048, (1, 4, 2))
    before = Previous(previous if known else None, (height // 8, width // 8))
    states = [
        Refinement(
            own, blocks.copy(), np.zeros(count, np.int32), before, shipped_contexts(),
            300, np.zeros((count, 121), np.int32),
        )
        for _ in range(2)
    ]  # fmt: skip
    forms = refine_colour.reference, refine_colour.native
    for turn in range(6):
        ring = rng.integers(-4, 5, (8 - turn, 2)).astype(np.int32)
        for form, state in zip(forms, states, strict=True):
            form(state, ring, turn % 2)
        assert (states[0].blocks == states[1].blocks).all()
        assert (states[0].isnew == states[1].isnew).all()
    assert (states[0].blocks != blocks).any()


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize(("spacing", "window"), [(4, 8), (8, 8), (16, 16)])
def test_levels(instructions: str, height: int, width: int, spacing: int, window: int) -> None:
    rng = np.random.default_rng((height, width, spacing))
    margin = window + 5
    current = plane(rng, height, width, extreme=False)
    agree(halve, current)
    level = Level(
        np.pad(current, margin, mode="edge"),
        np.pad(np.roll(current, (2, -3), (0, 1)), margin, mode="edge"),
        margin, spacing, window,
    )  # fmt: skip
    found = agree(search_all, level, 30, 4)
    assert (found == (-3, 2)).all(-1).any()
    fields = rng.integers(-40, 41, (3, *level.grid, 2)).astype(np.int16)
    agree(search_near, level, 17, 20, fields[0], list(fields[1:]), 3)
    agree(search_near, level, 0, 511, fields[0], (), 0)
