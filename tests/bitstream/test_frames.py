"""Frames decoded by the written definition alone are those of encoder and stream."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.bitstream.constants import BIDIRECTIONAL, INTER, INTRA
from roicodec.bitstream.motion_section import MotionReader
from roicodec.encoder.roi.sources import RectangleRoi, RoiSource
from tests import tiny_model
from tests.encoder.test_codec import Coded, Wandering, encode, motion_sections, window_opens
from tests.independent_decoder import Decoder

_WIDE, _HIGH = 70, 50


@pytest.mark.parametrize(
    ("roi", "pairs"),
    [
        (RectangleRoi((30, 17, 40, 33), (_WIDE, _HIGH)), [(3, 5), (6, 3), (5, 0)]),
        (Wandering((4, 5)), [(16, 8), (7, 0), (2, 16)]),
        (Wandering((4, 5)), [(8, 4), (4, 6), (16, 7)]),
    ],
)
def test_frames_decode_by_the_written_definition(
    roi: RoiSource, pairs: list[tuple[int, int]]
) -> None:
    # So fast that features are displaced, too; by half a position in one direction.
    clip = tiny_model.pictures(_WIDE, _HIGH, 3, seed=6, speed=(4, -5))
    widths = tuple(sorted({b for pair in pairs for b in pair}))
    coded = encode(clip, roi=roi, pairs=pairs, candidates=widths, quality=40)
    assert [(c.b_roi, c.b_bg) for c in coded.chunks] == pairs
    _decode(coded)


def test_skipped_cells_decode_by_the_written_definition() -> None:
    """At the edges of an odd grid; in the whole of a frame; in the first map of a second GOP."""
    clip = tiny_model.pictures(_WIDE, _HIGH, 6, seed=6, speed=(0, 0))
    for frame in (1, 2, 3, 5):
        clip[frame].y[:20, :20] ^= 64
    coded = encode(clip, pairs=[(8, 8)], candidates=(8,), quality=4, gop=4)
    kinds = [(c.kind, bool(c.motion), bool(c.latents)) for c in coded.chunks]
    assert kinds[:2] == kinds[4:] == [(INTRA, False, True), (INTER, True, True)]
    assert (INTER, True, False) in kinds
    for number in (1, 5):
        assert MotionReader(coded.chunks[number].motion, (4, 5), None).skip.any()
    decoder = _decode(coded)
    assert decoder.skip is not None
    assert decoder.skip[:, -1].any()
    assert decoder.skip[-1].any()
    assert not decoder.skip.all()


def test_cells_without_a_match_decode_by_the_written_definition() -> None:
    """At the edges of an odd grid, of a ROI and of the rest."""
    roi = RectangleRoi((30, 17, 40, 33), (_WIDE, _HIGH))
    clip = window_opens(_WIDE, _HIGH)
    coded = encode(clip, roi=roi, pairs=[(8, 4)], candidates=(4, 8), quality=50)
    new = motion_sections(coded, (4, 5))[1].unmatched
    assert new is not None
    assert new[-1].any()
    assert new[:, -1].any()
    _decode(coded)


@pytest.mark.parametrize(
    ("structure", "pairs"),
    [
        ("4", [(8, 4), (3, 5), (16, 7), (6, 2), (5, 0), (4, 4)]),
        ("8", [(6, 3), (7, 0), (2, 16), (8, 8), (4, 5)]),
    ],
)
def test_bidirectional_frames_decode_by_the_written_definition(
    structure: str, pairs: list[tuple[int, int]]
) -> None:
    """Whole pyramids and what is left of one; features are displaced in both directions."""
    clip = tiny_model.pictures(_WIDE, _HIGH, 12, seed=6, speed=(2, -3))
    widths = tuple(sorted({b for pair in pairs for b in pair}))
    coded = encode(
        clip, roi=Wandering((4, 5)), pairs=pairs, candidates=widths, quality=24, gop=12,
        structure=structure,
    )  # fmt: skip
    assert {c.kind for c in coded.chunks} == {INTRA, INTER, BIDIRECTIONAL}
    _decode(coded)


def _decode(coded: Coded) -> Decoder:
    """Decode and compare all frames; the decoder after the last."""
    decoder = Decoder(coded.header, tiny_model.networks()[2])
    for chunk, made in zip(coded.chunks, coded.made, strict=True):
        for plane, expected in zip(decoder.decode(chunk), made.planes, strict=True):
            np.testing.assert_array_equal(plane, expected)
    return decoder
