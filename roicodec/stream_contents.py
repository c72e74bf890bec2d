"""Contents of a stream other than its pictures: tracks, chapters, tags, properties."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.fields import Cursor
from roicodec.errors import StreamError

if TYPE_CHECKING:
    from roicodec.media.extras import Extras

__all__ = ["StreamContents"]


class StreamContents:
    """Tracks of a stream, and the number of packets of each.

    Args:
        warn: takes a line on each part that is damaged.

    Attributes:
        extras: what the stream holds; None before its track chunk, or without one.
        packets, bytes: number of packets and bytes of their chunks, by the number of the track.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.extras: Extras | None = None
        self.packets: dict[int, int] = {}
        self.bytes: dict[int, int] = {}

    def take_tracks(self, chunk: Chunk) -> None:
        """Tracks that a track chunk describes."""
        # Only here is PyAV needed: streams without tracks are listed without it.
        from roicodec.media.extras import Extras
        from roicodec.media.tracks import Problems

        problems = Problems()
        self.extras = Extras.from_bytes(chunk.payload, problems)
        for line in problems:
            self._warn(line)

    def take_packet(self, chunk: Chunk) -> None:
        """One more packet of a track."""
        try:
            number = Cursor(chunk.payload).varint()
        except StreamError as error:
            self._warn(f"packet at byte {chunk.offset}: {error}")
            return
        if self.extras is not None and number < len(self.extras.tracks):
            self.packets[number] = self.packets.get(number, 0) + 1
            self.bytes[number] = self.bytes.get(number, 0) + chunk.size

    def to_dict(self) -> dict[str, object]:
        """Tracks, chapters, tags, properties and display matrix, as JSON has them."""
        if self.extras is None:
            return {"tracks": [], "chapters": [], "tags": {}, "video_tags": {}, "properties": {},
                    "display_matrix": None}  # fmt: skip
        return {
            "tracks": [
                {
                    "kind": track.kind,
                    "codec": track.codec or None,
                    "language": track.metadata.get("language"),
                    "title": track.metadata.get("title"),
                    "file_name": track.metadata.get("filename"),
                    "time_base": str(track.time_base),
                    "sample_rate": track.sample_rate or None,
                    "layout": track.layout or None,
                    "bit_rate": track.bit_rate or None,
                    "disposition": track.disposition,
                    "packets": self.packets.get(number, 0),
                    "bytes": self.bytes.get(number, 0) or len(track.header),
                }
                for number, track in enumerate(self.extras.tracks)
            ],
            "chapters": [
                {
                    "start": float(chapter.start * chapter.time_base),
                    "end": float(chapter.end * chapter.time_base),
                    "title": chapter.metadata.get("title"),
                }
                for chapter in self.extras.chapters
            ],
            "tags": dict(self.extras.metadata),
            "video_tags": dict(self.extras.video_metadata),
            "properties": dict(self.extras.properties),
            "display_matrix": self.extras.display_matrix,
        }

    def text_lines(self) -> Iterator[str]:
        """A line for each track and chapter; tags and properties after them."""
        if self.extras is None:
            return
        for number, track in enumerate(self.extras.tracks):
            parts = [str(track)]
            if title := track.metadata.get("title"):
                parts.append(f'"{title}"')
            if track.sample_rate:
                parts.append(f"{track.sample_rate} Hz {track.layout}".rstrip())
            size = self.bytes.get(number, 0) or len(track.header)
            count = self.packets.get(number, 0)
            parts.append(f"{count} packets, {size} bytes" if count else f"{size} bytes")
            yield f"track {number:<5} {', '.join(parts)}"
        for number, chapter in enumerate(self.extras.chapters):
            span = " to ".join(_time(t * chapter.time_base) for t in (chapter.start, chapter.end))
            yield f"chapter {number:<3} {span}  {chapter.metadata.get('title', '')}".rstrip()
        for name, tags in (
            ("tag", self.extras.metadata),
            ("video tag", self.extras.video_metadata),
            ("property", self.extras.properties),
        ):
            for key, value in tags.items():
                yield f"{name:<11} {key} = {value}"


def _time(seconds: Fraction) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{float(rest):06.3f}"
