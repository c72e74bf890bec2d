"""Motion that is expected, by the format's text; which frames are kept, and when each is shown."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from roicodec.bitstream.constants import BIDIRECTIONAL, INTER, INTRA
from roicodec.bitstream.frame_chunk import Place
from roicodec.bitstream.presentation_order import PresentationOrder
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.decoder.adaptation import ChannelSums
from roicodec.decoder.references import Motion, Reference, expected_motion
from roicodec.encoder.gop import mini_gop, references_kept
from roicodec.errors import ReferenceLost, StreamError
from tests import independent_prediction as written

_SHAPE = 4, 6


def _field(seed: int) -> written.Vectors:
    """Vectors of all sizes, the largest among them."""
    rng = np.random.default_rng(seed)
    largest = rng.choice((3, 100, 2047), _SHAPE)[..., None]
    return rng.integers(-largest, largest + 1, (*_SHAPE, 2)).astype(np.int16)


def _pair(a: int, b: int, seed: int) -> tuple[Reference, written.Reference]:
    """A reference with fields over ``a`` and ``b`` frames, 0 for none, here and in the text."""
    past, future = (_field(seed + k) if n else None for k, n in enumerate((a, b)))
    motion = None if past is None else Motion(past, a, future, b)
    plane, grid = np.zeros((32, 48), np.uint8), np.zeros((2, 3), bool)
    features = np.zeros((24, 32), np.int16)
    ours = Reference((plane,) * 3, features, motion, ChannelSums(96), grid, None)
    nothing = np.zeros(0, np.int64)
    theirs = written.Reference([], nothing, grid, nothing, nothing, None, past, a, future, b)
    return ours, theirs


def _assert_same(one: written.Vectors | None, other: written.Vectors | None) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one.dtype == np.int16
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("own", [0, 1, 3, 4, 16])
def test_an_inter_frame_expects_the_motion_of_its_reference(own: int) -> None:
    for distance in (1, 2, 3, 4, 16):
        ours, theirs = _pair(own, 0, seed=own)
        past, future = expected_motion((ours,), distance, 0)
        _assert_same(past, written.expected(theirs, distance))
        assert future is None
        assert (past is None) == (own == 0)


def test_a_bidirectional_frame_expects_motion_from_one_reference_to_the_other() -> None:
    """Whichever of the two was predicted from the other; failing that, as the future one moves."""
    known = 0
    for a, b, own, ahead, its in product((1, 2, 3), (1, 2), (0, 2, 4), (0, 3, 4), (0, 3, 4, 5)):
        if ahead and not own:
            continue
        past = _pair(own, ahead, seed=a)
        future = _pair(its, 0, seed=b + 10)
        ours = expected_motion((past[0], future[0]), a, b)
        theirs = written.both_expected(past[1], future[1], a, b)
        for one, other in zip(ours, theirs, strict=True):
            _assert_same(one, other)
        known += ours[0] is not None
    assert known > 40


def test_an_example_of_each_source() -> None:
    """Halves are rounded up: a quarter of 6 is 2, of -6 it is -1."""
    vectors = np.array([[[3, -3], [6, -6]]], np.int16)
    plane, grid = np.zeros((8, 16), np.uint8), np.zeros((1, 1), bool)

    def reference(motion: Motion | None) -> Reference:
        return Reference(
            (plane,) * 3, np.zeros((2, 32), np.int16), motion, ChannelSums(96), grid, None
        )

    still, across = reference(None), reference(Motion(vectors, 4))
    past, future = expected_motion((still, across), 1, 3)
    assert past is not None
    assert future is not None
    assert past.tolist() == [[[1, -1], [2, -1]]]
    assert future.tolist() == [[[-2, 2], [-4, 5]]]
    ahead = reference(Motion(vectors, 9, vectors, 4))
    past, future = expected_motion((ahead, still), 1, 3)
    assert past is not None
    assert future is not None
    assert past.tolist() == [[[-1, 1], [-1, 2]]]
    assert future.tolist() == [[[2, -2], [5, -4]]]
    assert expected_motion((still, still), 1, 3) == (None, None)


# --- which frames are kept ------------------------------------------------------------------


@pytest.mark.parametrize("length", range(1, 17))
def test_pyramids_of_every_length_find_their_references(length: int) -> None:
    """In a buffer of the size that the header tells, through three pyramids in a row."""
    size = references_kept(length)
    buffer: ReferenceBuffer[int] = ReferenceBuffer(size)
    order: PresentationOrder[int] = PresentationOrder()
    assert buffer.references(INTRA, Place(), 0) == ()
    buffer.keep(0, 0)
    shown, first = order.add(0, 0), 0
    for _ in range(3):
        for planned in mini_gop(length):
            number, place = first + planned.number, planned.place
            order.reach(number - place.past)
            wanted = [number - place.past, number + place.future]
            wanted = wanted if planned.kind == BIDIRECTIONAL else wanted[:1]
            assert list(buffer.references(planned.kind, place, number)) == wanted
            if place.kept:
                buffer.keep(number, number)
            shown += order.add(number, number)
        first += length
        assert shown == list(range(first + 1))


def test_a_frame_drops_what_is_shown_before_its_past_reference() -> None:
    buffer: ReferenceBuffer[str] = ReferenceBuffer(6)
    for number in (0, 4, 2):
        buffer.keep(number, f"frame {number}")
    place = Place(past=1, future=1)
    assert buffer.references(BIDIRECTIONAL, place, 3) == ("frame 2", "frame 4")
    with pytest.raises(ReferenceLost, match="frame 0"):
        buffer.references(INTER, Place(past=5), 5)
    buffer.keep(3, "frame 3")
    assert buffer.references(INTRA, Place(), 9) == ()
    with pytest.raises(ReferenceLost, match="frame 4"):
        buffer.references(INTER, Place(past=1), 5)


def test_beyond_its_size_the_buffer_drops_what_is_shown_first() -> None:
    buffer: ReferenceBuffer[int] = ReferenceBuffer(2)
    for number in (8, 0, 4):
        buffer.keep(number, number)
    assert buffer.references(BIDIRECTIONAL, Place(past=2, future=2), 6) == (4, 8)
    with pytest.raises(ReferenceLost, match="frame 0"):
        buffer.references(INTER, Place(past=1), 1)


def test_pictures_wait_for_those_before_them_or_until_they_cannot_come() -> None:
    order: PresentationOrder[str] = PresentationOrder()
    assert order.add(0, "a") == ["a"]
    assert order.add(4, "e") == []
    assert order.add(2, "c") == []
    order.reach(2)  # frame 1 is lost: one comes that refers to frame 2
    assert order.add(3, "d") == ["c", "d", "e"]
    assert order.add(8, "i") == []
    assert order.add(6, "g") == []
    assert order.rest() == ["g", "i"]


@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_number_has_one_turn(number: int) -> None:
    """Shown, passed over, or waiting."""
    order: PresentationOrder[str] = PresentationOrder()
    order.add(0, "a")
    order.reach(2)
    order.add(4, "e")
    with pytest.raises(StreamError, match=f"number {number}, which has had its turn"):
        order.check(number)
    order.check(3)
    assert order.add(2, "c") == ["c"]
