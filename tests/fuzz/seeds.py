"""Small sound streams to begin with, made by the released networks."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np

from roicodec.bitstream.constants import INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.writer import StreamWriter
from roicodec.encoder.gop import mini_gop, references_kept
from roicodec.encoder.options import EncoderOptions
from roicodec.picture import Picture
from roicodec.push_pull import Encoder

__all__ = ["coded", "plain", "pyramids", "seeds"]


def seeds() -> list[bytes]:
    """Sound streams of one to 19 frames, with and without tracks, of several sizes and coding
    structures."""
    return [
        coded(16, 16, 3, 20),
        coded(32, 32, 6, 34),
        coded(48, 19, 8, 12, gop=4),
        coded(48, 35, 8, 30, gop=6, structure="4"),
        coded(64, 48, 6, 26, gop=6, structure="4", tune="ssim"),
        *plain(),
        *pyramids(),
    ]


def coded(
    width: int,
    height: int,
    frames: int,
    quality: int,
    gop: int = 3,
    structure: str = "low-delay",
    tune: str = "psnr",
) -> bytes:
    """A stream of a texture that moves, its left half ROI."""

    def left(picture: Picture) -> np.ndarray:
        mask = np.zeros((picture.height, picture.width), bool)
        mask[:, : picture.width // 2] = True
        return mask

    rng = np.random.default_rng(width)
    noise = rng.integers(0, 256, (height + 16, width + 16)).astype(np.float32)
    shifted = [np.roll(noise, (i, j), (0, 1)) for i in range(4) for j in range(4)]
    field = np.mean(shifted, axis=0)
    options = EncoderOptions(quality=quality, gop=gop, effort=1, structure=structure, tune=tune)
    encoder = Encoder(width, height, options, roi=left)
    out = b""
    for n in range(frames):
        y = field[n : n + height, n // 2 : n // 2 + width].astype(np.uint8)
        u, v = (np.full(((height + 1) // 2, (width + 1) // 2), c, np.uint8) for c in (120, 140))
        out += b"".join(encoder.encode(Picture(y, u, v, n, 1)))
    return out + b"".join(encoder.encode(None))


def plain() -> list[bytes]:
    """Streams with tracks, packets and unknown chunks, of frames that no network made."""
    made = []
    for count, rate in ((1, Fraction(0)), (9, Fraction(30000, 1001))):
        header = Header(
            8 * count + 8, 32, bytes(16), 1, (Candidate(8), Candidate(0), Candidate(4, -3)), 4,
            Fraction(1, 1000), rate, encoder="seed",
        )  # fmt: skip
        out = io.BytesIO()
        with StreamWriter(out, header) as writer:
            writer.write_track(b"\0" * 5)
            for n in range(count):
                intra = n % 4 == INTRA
                motion = b"" if intra else b"\x12\x34"
                writer.write_frame(
                    FrameChunk(8, 4, int(not intra), 30, 33 * n, 33, (1, 2), b"", motion, b"abc", n)
                )
                writer.write_packet(b"\0\1\0\0" + bytes(n))
        made.append(out.getvalue())
    return made


def pyramids() -> list[bytes]:
    """Streams of bidirectional frames that no network made: two pyramids of 3, one of 16."""
    made = []
    for length, count in ((3, 2), (16, 1)):
        header = Header(
            40, 32, bytes(16), 1, (Candidate(8),), 1 + length * count, frame_rate=Fraction(25),
            references=references_kept(length), encoder="seed",
        )  # fmt: skip
        out = io.BytesIO()
        with StreamWriter(out, header) as writer:
            writer.write_frame(FrameChunk(8, 8, INTRA, 30, 0, 3600, (1, 2), b"", b"", b"abc", 0))
            for planned in mini_gop(length) * count:
                number, place = writer.frames, planned.place
                pts = header.nominal(number + place.shift)
                writer.write_frame(
                    FrameChunk(8, 8, planned.kind, 30, pts, 3600, (1, 2), b"", b"\x12\x34\x56",
                               b"abc", number, place)
                )  # fmt: skip
        made.append(out.getvalue())
    return made
