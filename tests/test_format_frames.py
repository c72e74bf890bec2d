"""Frames decoded by the written definition alone are those of encoder and stream."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from roicodec.container import INTER, INTRA, Chunk, StreamReader
from roicodec.roi.sources import RectangleRoi, RoiSource

from . import tiny_model
from .independent_decoder import Decoder
from .test_codec import Wandering, encode

_ROOT = Path(__file__).parent.parent
_WIDE, _HIGH = 70, 50


def test_golden_stream_decodes_by_the_written_definition() -> None:
    weights = _ROOT / "roicodec" / "weights"
    networks = {n: load_file(weights / f"{n}.safetensors") for n in ("intra", "inter")}
    with (_ROOT / "tests" / "golden" / "carphone.rq").open("rb") as file:
        reader = StreamReader(file)
        decoder = Decoder(reader.header, networks)
        frames = [i.frame for i in reader if isinstance(i, Chunk) and i.frame is not None]
    assert {f.kind for f in frames} == {INTRA, INTER}
    for frame in frames:
        crc = 0
        for plane in decoder.decode(frame):
            crc = zlib.crc32(plane.tobytes(), crc)
        assert crc == frame.crc32


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
    decoder = Decoder(coded.header, tiny_model.networks()[2])
    for chunk, made in zip(coded.chunks, coded.made, strict=True):
        for plane, expected in zip(decoder.decode(chunk), made.planes, strict=True):
            np.testing.assert_array_equal(plane, expected)
