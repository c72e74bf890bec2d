"""Frames that are decoded side by side: pictures, order and errors are those of one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.reader import StreamReader
from roicodec.decoder.decoder import FrameDecoder
from roicodec.decoder.model import Model, load_model
from roicodec.errors import ReferenceLost, StreamError
from roicodec.kernels.threads import set_threads, threads
from roicodec.video import Video

GOLDEN = Path(__file__).parents[1] / "golden"
COUNTS = (2, 3)
"""Numbers of threads that are compared with one."""


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = threads()
    yield
    set_threads(before)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model()


def shown(path: Path) -> tuple[list[tuple[int, int]], list[str]]:
    """Numbers and CRCs of a stream's pictures, and what was wrong."""
    with Video(path, errors="skip") as video:
        return [(p.number, p.picture.crc32()) for p in video], video.damages


@pytest.mark.parametrize("name", ["low-delay", "pyramid-4", "pyramid-8", "lost"])
def test_pictures_do_not_depend_on_threads(name: str) -> None:
    set_threads(1)
    expected = shown(GOLDEN / f"{name}.rq")
    assert expected[0]
    for number in COUNTS:
        set_threads(number)
        assert shown(GOLDEN / f"{name}.rq") == expected


def damaged(path: Path, target: Path, numbers: tuple[int, ...]) -> None:
    """Copy of a stream in which the pictures of some frames, by coding order, have another CRC.

    A repaired chunk CRC is needed for the decoder to see them.
    """
    from roicodec.bitstream.chunks import pack_chunk

    data = bytearray(path.read_bytes())
    with path.open("rb") as file:
        for item in StreamReader(file):
            if isinstance(item, Chunk) and item.frame is not None and item.number in numbers:
                payload = bytearray(item.payload)
                at = payload.index(item.frame.crc32.to_bytes(4, "big"))
                payload[at] ^= 1
                data[item.offset : item.offset + item.size] = pack_chunk(item.type, bytes(payload))
    target.write_bytes(data)


@pytest.mark.parametrize("numbers", [(1,), (2, 3), (0,)])
@pytest.mark.parametrize("name", ["low-delay", "pyramid-4"])
def test_losses_are_told_in_the_same_order(
    name: str, numbers: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.rq"
    damaged(GOLDEN / f"{name}.rq", path, numbers)
    set_threads(1)
    expected = shown(path)
    assert any("CRC32 differs" in line for line in expected[1])
    for number in COUNTS:
        set_threads(number)
        assert shown(path) == expected


def test_the_picture_before_an_error_is_given_first(tmp_path: Path) -> None:
    path = tmp_path / "damaged.rq"
    damaged(GOLDEN / "low-delay.rq", path, (2,))
    set_threads(3)
    with Video(path) as video:
        assert [video.read().number for _ in range(2)] == [0, 1]  # type: ignore[union-attr]
        with pytest.raises(StreamError, match="CRC32 differs") as caught:
            video.read()
    assert caught.value.frame == 2


def test_a_frame_whose_reference_was_wrong_is_lost_though_it_was_begun(model: Model) -> None:
    set_threads(3)
    with (GOLDEN / "low-delay.rq").open("rb") as file:
        reader = StreamReader(file)
        decoder = FrameDecoder(reader.header, model)
        chunks = [i for i in reader if isinstance(i, Chunk) and i.frame is not None][:3]
    frames = [chunk.frame for chunk in chunks if chunk.frame is not None]
    object.__setattr__(frames[0], "crc32", frames[0].crc32 ^ 1)
    for frame in frames:
        decoder.submit(frame)
    with pytest.raises(StreamError, match="CRC32 differs"):
        decoder.take()
    for lost in (0, 1):
        with pytest.raises(ReferenceLost, match=f"frame {lost}, which"):
            decoder.take()


def test_pictures_of_a_pipe_do_not_wait_for_what_comes_later() -> None:
    path = GOLDEN / "low-delay.rq"
    with path.open("rb") as file:
        reader = StreamReader(file)
        chunks = [item for item in reader if isinstance(item, Chunk)]
        data = path.read_bytes()
    set_threads(3)
    source, sink = os.pipe()
    ends = [chunk.offset + chunk.size for chunk in chunks if chunk.frame is not None][:2]
    with open(source, "rb", buffering=0) as received, open(sink, "wb", buffering=0) as sent:
        sent.write(data[: ends[0]])
        video = Video(received)
        for number, rest in enumerate((data[ends[0] : ends[1]], b"")):
            picture = video.read()
            assert picture is not None
            assert picture.number == number
            sent.write(rest)


def test_submitted_frames_that_are_not_taken_are_dropped(model: Model) -> None:
    set_threads(2)
    with (GOLDEN / "low-delay.rq").open("rb") as file:
        reader = StreamReader(file)
        chunks = [i for i in reader if isinstance(i, Chunk) and i.frame is not None]
    decoder = FrameDecoder(reader.header, model)
    for chunk in chunks[:3]:
        assert chunk.frame is not None
        decoder.submit(chunk.frame, chunk.number)
    assert decoder.rest() == []
    assert chunks[0].frame is not None
    [first] = decoder.decode(chunks[0].frame, 0)
    assert first.picture.crc32() == chunks[0].frame.crc32


def test_fewer_large_pictures_are_decoded_ahead(model: Model) -> None:
    from dataclasses import replace

    with (GOLDEN / "low-delay.rq").open("rb") as file:
        header = StreamReader(file).header
    large = replace(header, width=4096, height=2304)
    found = []
    for number in (1, 2, 4):
        set_threads(number)
        found.append([FrameDecoder(h, model).ahead for h in (header, large)])
    assert found == [[1, 1], [6, 3], [10, 3]]
