"""All of a file that is not its pictures or packets: tracks, tags, chapters, properties.

An :class:`Extras` that is damaged in places keeps what is sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

from roicodec.bitstream.fields import Cursor, blob, fraction, signed, varint
from roicodec.errors import StreamError
from roicodec.media.tracks import (
    MAX_INT,
    MAX_TICKS,
    MAX_TRACKS,
    UNUSABLE,
    Problems,
    Track,
    get_metadata,
    put_metadata,
)

__all__ = ["Chapter", "Extras"]

_MAX_CHAPTERS = 4096


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter of the source file; ``start`` and ``end`` in units of ``time_base``."""

    id: int
    start: int
    end: int
    time_base: Fraction
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Cursor, problems: Problems) -> Self | None:
        """The next chapter of ``data``; None if its times make no sense."""
        identity, start, end = data.signed(), data.signed(), data.signed()
        numerator, denominator = data.varint(), data.varint()
        metadata = get_metadata(data, f"chapter {identity}", problems)
        if not (0 < numerator <= MAX_INT and 0 < denominator <= MAX_INT):
            reason = f"time base {numerator}/{denominator} is out of range"
        elif not -MAX_TICKS <= start <= end <= MAX_TICKS or abs(identity) > MAX_TICKS:
            reason = f"{start} to {end} is not a time span"
        else:
            return cls(identity, start, end, Fraction(numerator, denominator), metadata)
        problems.add(f"chapter {identity}: {reason}; left out")
        return None


@dataclass(frozen=True, slots=True)
class Extras:
    """All of a file that is not its pictures or packets.

    Attributes:
        tracks: all tracks but the video.
        metadata: of the file (title, creation time, ...).
        video_metadata: of the video track.
        chapters: in order.
        display_matrix: as in :class:`roicodec.media.VideoInfo`.
        properties: of the pictures, as :class:`roicodec.media.VideoInfo` names them: texts for
            which neither the stream's header nor the metadata has a place.
    """

    tracks: tuple[Track, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    video_metadata: Mapping[str, str] = field(default_factory=dict)
    chapters: tuple[Chapter, ...] = ()
    display_matrix: tuple[int, ...] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Fields in the order of the attributes, lists after their length; ``properties`` only if
        there are any, since format version 6 has none."""
        out = [varint(len(self.tracks)), *(blob(t.to_bytes()) for t in self.tracks)]
        out += [put_metadata(self.metadata), put_metadata(self.video_metadata)]
        out.append(varint(len(self.chapters)))
        for c in self.chapters:
            out += [signed(c.id), signed(c.start), signed(c.end)]
            out += [fraction(c.time_base), put_metadata(c.metadata)]
        matrix = self.display_matrix or ()
        out += [varint(len(matrix)), *map(signed, matrix)]
        if self.properties:
            out.append(put_metadata(self.properties))
        return b"".join(out)

    @classmethod
    def from_bytes(cls, payload: bytes, problems: Problems | None = None) -> Self:
        """The sound parts of ``payload``.

        Args:
            payload: as :meth:`to_bytes` writes it.
            problems: takes a line for each part that had to be left out.

        Raises:
            StreamError: only without ``problems``, if anything is left out.
        """
        found = Problems() if problems is None else problems
        reader = _ExtrasReader(Cursor(payload), found)
        try:
            reader.read()
        except StreamError as error:
            found.add(f"{reader.part}: {error}; left out, with all that follows")
        if problems is None and found:
            raise StreamError(found[0])
        return cls(
            tuple(reader.tracks), reader.metadata, reader.video_metadata, tuple(reader.chapters),
            reader.matrix, reader.properties,
        )  # fmt: skip


class _ExtrasReader:
    """Reader of one field after the other, so that those before a damage are kept."""

    def __init__(self, data: Cursor, problems: Problems) -> None:
        self._data, self._problems = data, problems
        self.part = "tracks"
        self.tracks: list[Track] = []
        self.metadata: dict[str, str] = {}
        self.video_metadata: dict[str, str] = {}
        self.chapters: list[Chapter] = []
        self.matrix: tuple[int, ...] | None = None
        self.properties: dict[str, str] = {}

    def read(self) -> None:
        self._read_tracks()
        self.part = "tags of the file"
        self.metadata = get_metadata(self._data, "the file", self._problems)
        self.part = "tags of the video"
        self.video_metadata = get_metadata(self._data, "the video", self._problems)
        self.part = "chapters"
        self._read_chapters()
        self.part = "display matrix"
        self._read_matrix()
        self.part = "properties of the video"
        if rest := self._data.rest():
            data = Cursor(rest)
            self.properties = get_metadata(data, "the pictures", self._problems)
            data.end()

    def _read_tracks(self) -> None:
        count = self._data.varint()
        for number in range(count):
            payload = self._data.blob()
            if number >= MAX_TRACKS:
                continue
            try:
                track = Track.from_bytes(payload, self._problems)
            except StreamError as error:
                self._problems.add(f"track {number}: {error}; left out")
                track = Track(UNUSABLE, "", Fraction(1))
            self.tracks.append(track)
        if count > MAX_TRACKS:
            self._problems.add(
                f"{count} tracks are more than {MAX_TRACKS}; those after the first {MAX_TRACKS}"
                " are left out"
            )

    def _read_chapters(self) -> None:
        count = self._data.varint()
        if count > _MAX_CHAPTERS:
            raise StreamError(f"{count} are more than {_MAX_CHAPTERS}")
        for _ in range(count):
            chapter = Chapter.read(self._data, self._problems)
            if chapter is not None:
                self.chapters.append(chapter)

    def _read_matrix(self) -> None:
        count = self._data.varint()
        if count not in (0, 9):
            raise StreamError(f"it has {count} numbers instead of 9")
        matrix = tuple(self._data.signed() for _ in range(count))
        if any(not -MAX_INT <= value <= MAX_INT for value in matrix):
            self._problems.add(f"display matrix {matrix} is out of range; left out")
        elif matrix:
            self.matrix = matrix
