"""Programs under test, and what must hold of every input.

Nothing but the errors of :mod:`roicodec.errors` may come out, every byte of a stream is accounted
for, and of a stream that is only damaged every chunk that is left is found.
"""

from __future__ import annotations

import io
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice

from roicodec.bitstream.chunks import Chunk, Damage
from roicodec.bitstream.reader import StreamReader
from roicodec.decoder.decoder import DecodedFrame, FrameDecoder
from roicodec.decoder.model import Model, load_model
from roicodec.decoder.weights import Arrays, load_arrays
from roicodec.errors import RoicodecError, StreamError
from roicodec.stream_info import StreamInfo
from roicodec.stream_listing import csv_lines, json_lines, text_lines
from tests.fuzz.mutate import Mutant
from tests.fuzz.muxing import mux

__all__ = ["FORMS", "TARGETS", "Target", "find", "listed"]

MAX_PIXELS = 64 * 64
"""Largest picture that is decoded."""

Target = Callable[[Mutant], str]
"""Runs a program on an input; a word for what came of it.

Raises:
    AssertionError: if something does not hold.
"""


class Pipe(io.RawIOBase):
    """Bytes that come in pieces and cannot be sought."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 997))


def _items(reader: StreamReader, size: int) -> list[Chunk | Damage]:
    """All that a reader gives, once it is found to be consistent."""
    items, lost, last = [], 0, -1
    for item in reader:
        if isinstance(item, Damage):
            lost += item.frames
            assert item.message.isprintable()
        elif item.frame is not None:
            assert item.number > last, f"frame {item.number} after {last}"
            last = item.number
        items.append(item)
    at = reader.header_size
    for offset, count in sorted((item.offset, item.size) for item in items if item.size):
        assert offset == at, f"byte {at} is in nothing, or twice"
        at += count
    assert at == size, f"{size - at} bytes are in nothing"
    assert lost == reader.frames_lost
    return items


def read(mutant: Mutant) -> str:
    """The reader: from a file and from a pipe, its index, and what follows each entry."""
    data = mutant.data
    try:
        reader = StreamReader(io.BytesIO(data))
        items = _items(reader, len(data))
        piped = list(StreamReader(Pipe(data)))  # type: ignore[arg-type]
    except StreamError:
        return "refused"
    chunks = [i for i in items if isinstance(i, Chunk)]
    assert chunks == [i for i in piped if isinstance(i, Chunk)], "file and pipe differ"
    sound = chunks == items and not reader.truncated
    reader.frame_count()
    try:
        for entry in reader.index()[:3]:
            reader.seek(entry)
            deque(islice(reader, 5), maxlen=0)
    except StreamError:
        pass
    return "sound" if sound else "damaged"


def find(mutant: Mutant, whole: bytes) -> None:
    """Check that chunks of a sound stream that are in a damaged one are found there.

    Raises:
        AssertionError: if one is not.
    """
    try:
        found = {i.payload for i in StreamReader(io.BytesIO(mutant.data)) if isinstance(i, Chunk)}
    except StreamError:
        return
    for chunk in StreamReader(io.BytesIO(whole)):
        piece = whole[chunk.offset : chunk.offset + chunk.size]
        if isinstance(chunk, Chunk) and chunk.type == "FRAM" and piece in mutant.data:
            assert chunk.payload in found, f"frame {chunk.number} is whole, and was not found"


FORMS: dict[str, Callable[[StreamInfo], Iterator[str]]] = {
    "text": lambda listing: text_lines(listing, frames=True),
    "json": lambda listing: json_lines(listing, frames=True),
    "csv": csv_lines,
}
"""Forms of the listing, with the lines of each."""


def info(mutant: Mutant) -> str:
    """A listing, in a form that depends on the mutant."""
    return listed(mutant, tuple(FORMS)[zlib.crc32(mutant.data) % len(FORMS)])


def listed(mutant: Mutant, form: str) -> str:
    """A listing in one of :data:`FORMS`."""
    hashed = len(mutant.data) % 100 == 0  # the networks are, every time that they are given
    told: list[str] = []
    try:
        reader = StreamReader(io.BytesIO(mutant.data), max_pixels=MAX_PIXELS)
        listing = StreamInfo(reader, told.append, networks=_arrays() if hashed else None)
        deque(FORMS[form](listing), maxlen=0)
    except StreamError:
        return "refused"
    assert len(told) <= 11, f"{len(told)} warnings"
    return "damaged" if told or reader.truncated else "sound"


def decode(mutant: Mutant) -> str:
    """The decoder with the released networks, frame by frame."""
    result, crcs = "sound", defaultdict[int, set[int]](set)
    try:
        reader = StreamReader(io.BytesIO(mutant.data), max_pixels=MAX_PIXELS, max_frames=1000)
        decoder = FrameDecoder(reader.header, _model())
        for item in reader:
            shown: list[DecodedFrame] = []
            if isinstance(item, Damage):
                result = "damaged"
            elif item.frame is not None:
                crcs[item.number + item.frame.place.shift].add(item.frame.crc32)
                try:
                    shown = decoder.decode(item.frame, item.number)
                except StreamError:
                    result = "damaged"
            _check(shown, crcs)
        _check(decoder.decode(None), crcs)
    except RoicodecError:
        return "refused"
    return result


def _check(shown: list[DecodedFrame], crcs: dict[int, set[int]]) -> None:
    for decoded in shown:
        assert decoded.picture.crc32() in crcs[decoded.number], f"frame {decoded.number} is wrong"


@cache
def _arrays() -> dict[str, Arrays]:
    return dict(load_arrays())


@cache
def _model() -> Model:
    return load_model()


TARGETS: dict[str, Target] = {"reader": read, "info": info, "decoder": decode, "muxer": mux}
