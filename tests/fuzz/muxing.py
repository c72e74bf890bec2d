"""What goes along with the pictures, mutated, into containers: every picture must come out."""

from __future__ import annotations

import io
import tempfile
import zlib
from fractions import Fraction
from pathlib import Path

import av

from roicodec.bitstream.chunks import PACKET, TRACK, Chunk
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.errors import StreamError
from roicodec.media import Chapter, Extras, Problems, Reader, Track, TrackPacket, VideoInfo, Writer
from roicodec.media.properties import with_properties
from roicodec.picture import Picture
from tests.fuzz.mutate import Mutant
from tests.media_clips import mux_gray, mux_text, pictures, write_av

__all__ = ["mux", "tracked"]

FORMATS = ("mkv", "mp4", "mov")
MAX_PIXELS = 64 * 64
COUNT = 6
SIZE = 32, 32


def tracked() -> list[bytes]:
    """Streams with audio, texts, an attachment, chapters and tags, of frames of no network."""
    return [_stream(audio) for audio in ("aac", "libopus", "ac3", "flac")]


def _stream(audio: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = write_av(Path(folder) / "a.mkv", size=SIZE, count=COUNT, audio=audio)
        text = _subtitled(Path(folder) / "b.mkv")
        with Reader(path) as reader, Reader(text) as other:
            packets = [i.to_bytes() for i in reader.items() if isinstance(i, TrackPacket)]
            tracks = (*reader.extras.tracks, *other.extras.tracks)
    font = Track("attachment", "", Fraction(1, 1000), 0, {"filename": "a.ttf"}, header=b"font")
    extras = Extras(
        (*tracks, font), {"title": "clip", "comment": "said"}, {"language": "deu"},
        (Chapter(1, 0, 100, Fraction(1, 1000), {"title": "one"}),),
        (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30), {"field_order": "tt"},
    )  # fmt: skip
    header = Header(
        *SIZE, bytes(16), 1, (Candidate(8), Candidate(0)), COUNT, Fraction(1, 1000), Fraction(25),
        encoder="seed",
    )  # fmt: skip
    out = io.BytesIO()
    with StreamWriter(out, header) as writer:
        writer.write_track(extras.to_bytes())
        writer.write_packet(TrackPacket(1, 40, 40, 80, True, b"Hallo").to_bytes())
        for n in range(COUNT):
            for packet in packets[2 * n : 2 * n + 2]:
                writer.write_packet(packet)
            writer.write_frame(
                FrameChunk(8, 0, int(n > 0), 30, 40 * n, 40, (1, 2), b"", b"", b"abc", n)
            )
    return out.getvalue()


def _subtitled(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = SIZE
        track = out.add_mux_stream("subrip")
        track.time_base = Fraction(1, 1000)
        mux_gray(out, video, range(1))
        mux_text(out, track, b"Hallo", pts=0, duration=80)
    return path


def mux(mutant: Mutant) -> str:
    """The writer of containers; pictures are made up, their times are those of the frames."""
    try:
        reader = StreamReader(io.BytesIO(mutant.data), max_pixels=MAX_PIXELS, max_frames=1000)
        items = [item for item in reader if isinstance(item, Chunk)]
    except StreamError:
        return "refused"
    frames = [item.frame for item in items if item.frame is not None][: 2 * COUNT]
    if not frames:
        return "refused"
    header, problems, extras = reader.header, Problems(), Extras()
    for item in items:
        if item.type == TRACK:
            extras = Extras.from_bytes(item.payload, problems)
    shown = iter(frames)
    described = VideoInfo(
        header.width, header.height, header.time_base, header.frame_rate or None,
        header.sample_aspect_ratio, header.color_range, header.color_matrix,
        header.color_primaries, header.color_transfer, header.chroma_location,
        extras.display_matrix,
    )  # fmt: skip
    described = with_properties(described, extras.properties, problems.add)
    (picture,) = pictures(header.width, header.height, pts=(0,))
    target = io.BytesIO()
    format = FORMATS[zlib.crc32(mutant.data) % len(FORMATS)]
    with Writer(target, described, extras, format=format) as writer:
        for item in items:
            if item.type == PACKET:
                try:
                    writer.write_packet(TrackPacket.from_bytes(item.payload))
                except StreamError as error:
                    problems.add(str(error))
            elif item.frame is not None and (frame := next(shown, None)) is not None:
                writer.write(Picture(*picture.planes, pts=frame.pts, duration=frame.duration))
    assert len(problems) <= 11
    assert len(writer.problems) <= 11
    written = io.BytesIO(target.getvalue())
    with av.open(written, "r", metadata_errors="surrogateescape") as file:
        count = len(list(file.decode(video=0)))
    assert count == len(frames), f"{count} of {len(frames)} pictures in {format}"
    return "damaged" if problems or writer.problems else "sound"
