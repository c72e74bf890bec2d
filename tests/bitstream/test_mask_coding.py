"""Masks survive their coding, cost little, and damage never crashes the decoder."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roicodec.bitstream.mask_coding import contexts, decode_mask, encode_mask
from roicodec.bitstream.masks import Mask
from roicodec.errors import StreamError


def blob(rows: int, columns: int, y: float, x: float, radius: float) -> Mask:
    row, column = np.mgrid[0:rows, 0:columns]
    return np.asarray((row - y) ** 2 + (column - x) ** 2 < radius**2)


@st.composite
def masks(draw: st.DrawFn) -> tuple[Mask, Mask | None]:
    """A mask and the one before: unrelated, related, or none; of any size, dense or sparse."""
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = random.random(shape) < draw(st.sampled_from([0.0, 0.02, 0.3, 0.5, 0.98, 1.0]))
    kind = draw(st.sampled_from(["none", "other", "near"]))
    if kind == "none":
        return mask, None
    if kind == "other":
        return mask, random.random(shape) < 0.5
    return mask, mask ^ (random.random(shape) < 0.05)


@given(masks())
@settings(deadline=None, max_examples=150)
def test_round_trip(case: tuple[Mask, Mask | None]) -> None:
    mask, previous = case
    data = encode_mask(mask, previous)
    shape = (mask.shape[0], mask.shape[1])
    assert np.array_equal(decode_mask(data, shape, previous), mask)
    unchanged = not mask.any() if previous is None else np.array_equal(mask, previous)
    assert (data == b"") == unchanged


def test_every_cell_is_coded_once() -> None:
    for shape in [(1, 1), (1, 9), (7, 3), (45, 80)]:
        cells = np.concatenate([stage for stage, _ in contexts(np.zeros(shape, bool), None)])
        assert np.array_equal(np.sort(cells), np.arange(shape[0] * shape[1]))


def test_nothing_to_say_takes_no_bytes() -> None:
    mask = blob(15, 27, 7, 9, 4)
    assert encode_mask(mask, mask.copy()) == b""
    assert encode_mask(np.zeros((15, 27), bool), None) == b""
    assert np.array_equal(decode_mask(b"", (15, 27), mask), mask)
    assert not decode_mask(b"", (15, 27), None).any()


def test_the_decoded_mask_is_a_copy() -> None:
    mask = blob(15, 27, 7, 9, 4)
    decode_mask(b"", (15, 27), mask)[:] = False
    assert mask.any()


def test_a_drifting_region_is_cheap() -> None:
    """At 1280x720, 0.2 bpp: 23 kB a frame, of which 2 % are 460 bytes."""
    sizes = []
    previous = None
    for frame in range(10):
        mask = blob(45, 80, 20 + 0.3 * frame, 30 + 0.8 * frame, 9)
        data = encode_mask(mask, previous)
        assert np.array_equal(decode_mask(data, (45, 80), previous), mask)
        sizes.append(len(data))
        previous = mask
    assert sizes[0] <= 40
    assert np.mean(sizes[1:]) <= 20


def test_previous_of_another_size_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="previous mask"):
        encode_mask(np.ones((2, 2), bool), np.ones((2, 3), bool))


@given(st.binary(min_size=1, max_size=60), st.integers(1, 30), st.integers(1, 30), st.booleans())
@settings(deadline=None, max_examples=200)
def test_damage_never_crashes(data: bytes, rows: int, columns: int, inter: bool) -> None:
    previous = blob(rows, columns, rows / 2, columns / 2, 4) if inter else None
    try:
        mask = decode_mask(data, (rows, columns), previous)
    except StreamError:
        return
    assert mask.shape == (rows, columns)
    assert mask.dtype == np.bool_


def test_golden_bytes() -> None:
    """The tables and the order of coding are part of the format."""
    first, second = blob(9, 11, 4, 5, 3), blob(9, 11, 4, 6, 3)
    assert encode_mask(first, None).hex() == "9ed143a811"
    assert encode_mask(second, first).hex() == "d7d3"


def test_listing_masks_needs_neither_torch_nor_opencv_nor_av() -> None:
    script = (
        "import sys, roicodec.bitstream.mask_coding; "
        "print([name for name in ('torch', 'cv2', 'av') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert result.stdout.strip() == b"[]"


def test_roi_needs_no_torch() -> None:
    script = (
        "import sys, roicodec.encoder.roi.sources, roicodec.encoder.roi.features, "
        "roicodec.encoder.roi.selector, "
        "roicodec.encoder.roi.export; print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert result.stdout.strip() == b"False"
