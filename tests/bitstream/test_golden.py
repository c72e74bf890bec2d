"""Golden streams: pixels of an earlier day, from the package and from the written definition.

If these fail after a change of format or arithmetic, raise the version or the arithmetic id; after
new weights, make the streams anew (``python -m tests.make_golden``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from roicodec.bitstream.chunks import Chunk, Damage
from roicodec.bitstream.constants import BIDIRECTIONAL, INTER, INTRA, VERSION
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.reader import StreamReader
from roicodec.decoder.decoder import DecodedFrame, FrameDecoder
from roicodec.decoder.model import load_model
from roicodec.errors import ReferenceLost
from roicodec.kernels import native
from roicodec.video import Video
from tests.independent_decoder import Decoder
from tests.make_golden import FOLDER, LOST, MAP, STREAMS

_OLD = "carphone.rq"
_PYRAMIDS = [name for structure, name in STREAMS.items() if structure != "low-delay"]
_ALL = [_OLD, LOST, MAP, *STREAMS.values()]

Numbered = list[tuple[int, FrameChunk]]


@cache
def chunks(name: str) -> tuple[Header, Numbered, list[Damage]]:
    """Header, frames with their numbers in coding order, and damages of a golden stream."""
    with (FOLDER / name).open("rb") as file:
        reader = StreamReader(file)
        items = list(reader)
    frames = [(i.number, i.frame) for i in items if isinstance(i, Chunk) and i.frame is not None]
    return reader.header, frames, [i for i in items if isinstance(i, Damage)]


def shown_at(number: int, frame: FrameChunk) -> int:
    return number + frame.place.shift


def crcs(frames: Numbered) -> dict[int, int]:
    """CRC of each picture, by its number in the order of presentation."""
    return {shown_at(number, frame): frame.crc32 for number, frame in frames}


def decoded(header: Header, frames: Numbered, backend: str | None = None) -> Iterator[DecodedFrame]:
    """What the package shows of some frames."""
    decoder = FrameDecoder(header, load_model(backend=backend))
    for number, frame in frames:
        try:
            yield from decoder.decode(frame, number)
        except ReferenceLost:
            continue
    yield from decoder.decode(None)


def dependants(frames: Numbered, lost: int) -> set[int]:
    """Frame ``lost`` and all that need it, by their numbers in the order of presentation."""
    gone = {lost}
    for number, frame in frames:
        shown, place = shown_at(number, frame), frame.place
        needed = [set(), {shown - place.past}, {shown - place.past, shown + place.future}]
        if gone & needed[frame.kind]:
            gone.add(shown)
    return gone


def test_there_is_a_stream_of_each_structure_and_an_old_one() -> None:
    assert sorted(p.name for p in FOLDER.glob("*.rq")) == sorted(_ALL)
    assert sum(p.stat().st_size for p in FOLDER.glob("*.rq")) < 300_000
    for name in _ALL:
        (version,) = struct.unpack_from(">H", (FOLDER / name).read_bytes(), 8)
        assert version == chunks(name)[0].version == (6 if name == _OLD else VERSION)


@pytest.mark.parametrize("name", _ALL)
def test_pictures_are_those_of_the_day(name: str) -> None:
    """Also through the reader of files, which puts them in order and names what is missing."""
    header, frames, damages = chunks(name)
    pictures = list(decoded(header, frames))
    assert [p.number for p in pictures] == sorted(crcs(frames))
    assert {p.number: p.picture.crc32() for p in pictures} == crcs(frames)
    with Video(FOLDER / name, errors="skip") as video:
        found = {p.number: p.picture.crc32() for p in video}
    assert found == crcs(frames)
    assert bool(video.damages) == bool(damages) == (name == LOST)


@pytest.mark.parametrize("level", native.LEVELS)
def test_pictures_are_the_same_on_every_instruction_set(level: str) -> None:
    if level not in native.levels():
        pytest.skip(f"{level}: {native.reason()}")
    with native.forced(level):
        for name in _ALL:
            header, frames, _ = chunks(name)
            made = decoded(header, frames, "native")
            assert {p.number: p.picture.crc32() for p in made} == crcs(frames)


@pytest.mark.parametrize("name", _ALL)
def test_the_written_definition_suffices(name: str) -> None:
    weights = Path(__file__).parents[2] / "roicodec" / "weights"
    networks = {
        n: load_file(weights / f"{n}.safetensors") for n in ("intra", "inter", "post_filter")
    }
    header, frames, _ = chunks(name)
    # That a picture has the right CRC is what makes it one.
    numbers = [number for number, _ in Decoder(header, networks).pictures(frames)]
    assert numbers == sorted(crcs(frames))


@pytest.mark.parametrize("name", [MAP, *STREAMS.values()])
def test_the_streams_have_all_that_a_frame_can_have(name: str) -> None:
    header, frames, _ = chunks(name)
    pictures = list(decoded(header, frames))
    settings = [p.setting for p in pictures]
    assert header.width % 2
    assert header.height % 2
    kinds = [s.kind for s in settings]
    assert kinds[0] == INTRA
    assert INTRA in kinds[1:-1], "no cut"
    assert INTER in kinds
    masks = [s.mask for s in settings]
    assert all(m.any() and not m.all() for m in masks)
    assert any(not np.array_equal(a, b) for a, b in pairwise(masks))
    assert any(s.skip is not None and s.skip.any() for s in settings)
    assert any(s.unmatched is not None and s.unmatched.any() for s in settings)
    assert any(p.picture.pts != header.nominal(p.number) for p in pictures)
    modes = [s.motion.modes.ravel() for s in settings if s.motion and s.motion.modes is not None]
    assert (BIDIRECTIONAL in kinds) == bool(modes) == (name in {MAP, *_PYRAMIDS})
    maps = {s.kind for s in settings if s.offsets is not None}
    assert maps == (set(kinds) if name == MAP else set())
    if modes:
        assert set(np.concatenate(modes).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", _PYRAMIDS)
def test_a_lost_frame_costs_those_that_need_it(name: str) -> None:
    """Each frame lost in turn: a leaf costs itself alone, no loss reaches beyond an intra frame."""
    header, frames, _ = chunks(name)
    for missing in frames:
        shown = shown_at(*missing)
        gone = dependants(frames, shown)
        assert missing[1].place.kept or gone == {shown}
        rest = [frame for frame in frames if frame is not missing]
        pictures = list(decoded(header, rest))
        assert [p.number for p in pictures] == sorted(crcs(frames).keys() - gone)
        assert all(p.picture.crc32() == crcs(frames)[p.number] for p in pictures)


def test_of_the_damaged_stream_a_leaf_is_missing() -> None:
    header, frames, damages = chunks(LOST)
    _, whole, _ = chunks(STREAMS["8"])
    [lost] = crcs(whole).keys() - crcs(frames)
    assert sum(d.frames for d in damages) == 1
    assert dependants(whole, lost) == {lost}
    assert header == chunks(STREAMS["8"])[0]
