"""A lossless stand-in for the networks: the command line's tests are about everything else.

``python -m tests.fake_codec ARGUMENTS`` is ``roicodec ARGUMENTS`` with it, in a process of its own.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import time
import zlib
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.mask_coding import decode_mask, encode_mask
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.cli import main
from roicodec.errors import ModelError, ReferenceLost, StreamError
from roicodec.picture import Picture

if TYPE_CHECKING:
    from roicodec.encoder.options import EncoderOptions
    from roicodec.encoder.roi.sources import RoiSource

Samples = NDArray[np.uint8]
MODEL_ID = b"a stand-in model"


@dataclass(frozen=True)
class CodedFrame:
    """A frame of the stand-in: zlib of the difference to the one before."""

    chunk: FrameChunk


@dataclass(frozen=True)
class FrameSetting:
    """What the chunk says of a frame."""

    quality: int
    b_roi: int
    b_bg: int
    mask: Mask


@dataclass(frozen=True)
class DecodedFrame:
    """A picture as it was."""

    picture: Picture
    number: int
    setting: FrameSetting


class FakeEncoder:
    """Keeps every sample."""

    def __init__(self, options: EncoderOptions, roi: RoiSource) -> None:
        self._options, self._roi = options, roi
        self._count = 0
        self._reference: Samples | None = None
        self._mask: Mask | None = None
        self.header_fields: dict[str, Any] = {
            "candidates": tuple(Candidate(b) for b in options.candidates),
            "model_id": MODEL_ID,
            "arithmetic_id": 0,
        }

    def missed(self) -> str:
        """A line if the PSNR asked for is 60."""
        return "the mean PSNR is low" if self._options.psnr == 60 else ""

    def encode(self, picture: Picture | None) -> list[CodedFrame]:
        """The frame of a picture."""
        if picture is None:
            return []
        time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
        if os.environ.get("FAKE_BUG"):
            raise ZeroDivisionError("of some\nkind")
        intra = self._count % self._options.gop == 0
        samples = np.concatenate([p.ravel() for p in picture.planes])
        residual = samples if self._reference is None or intra else samples - self._reference
        seconds = float(picture.pts * self._options.time_base)
        mask = self._roi.mask(self._count, seconds, picture, None)
        coded = encode_mask(mask, None if intra else self._mask)
        self._reference, self._mask = samples, mask
        self._count += 1
        chunk = FrameChunk(
            self._options.candidates[-1], self._options.candidates[0], INTRA if intra else INTER,
            self._options.quality, picture.pts, picture.duration, (0, 0), coded, b"",
            zlib.compress(residual.tobytes()), picture.crc32(),
        )  # fmt: skip
        return [CodedFrame(chunk)]


class FakeDecoder:
    """Inverse of the encoder.

    Args:
        header: of the stream.
        wrong: time stamps of pictures that come out wrong.

    Attributes:
        decoded: numbers of the frames so far.
    """

    ahead = 3

    def __init__(self, header: Header, wrong: Collection[int] = ()) -> None:
        if header.model_id != MODEL_ID:
            raise ModelError("the stream needs another model")
        self._shape, self._wrong = (header.height, header.width), wrong
        self._reference: Samples | None = None
        self._mask: Mask | None = None
        self._number = -1
        self.decoded: list[int] = []
        self._submitted: deque[tuple[FrameChunk, int | None]] = deque()

    def submit(self, chunk: FrameChunk, number: int | None = None) -> None:
        """Notice of a frame."""
        self._submitted.append((chunk, number))

    def rest(self) -> list[DecodedFrame]:
        """Nothing: no frame waits for another."""
        self._submitted.clear()
        return []

    def take(self) -> list[DecodedFrame]:
        """The picture of the oldest frame."""
        chunk, number = self._submitted.popleft()
        due = self._number + 1
        self._number = due if number is None else number
        if self._number != due:
            self._reference = None
        samples = np.frombuffer(zlib.decompress(chunk.latents), np.uint8)
        if chunk.kind == INTER:
            if self._reference is None:
                raise ReferenceLost("the frame before is lost")
            samples = samples + self._reference
        height, width = self._shape
        half = (height + 1) // 2, (width + 1) // 2
        y, u, v = np.split(samples, [height * width, height * width + half[0] * half[1]])
        picture = Picture(
            y.reshape(height, width), u.reshape(half), v.reshape(half), chunk.pts, chunk.duration
        )
        if picture.crc32() != chunk.crc32 or picture.pts in self._wrong:
            self._reference = None
            raise StreamError("the CRC of the decoded picture is wrong")
        self._reference = samples
        shape = grid_shape(width, height)
        self._mask = decode_mask(chunk.mask, shape, None if chunk.kind == INTRA else self._mask)
        setting = FrameSetting(chunk.quality, chunk.b_roi, chunk.b_bg, self._mask)
        self.decoded.append(self._number)
        return [DecodedFrame(picture, self._number, setting)]


class FakeFactory:
    """Maker of the stand-ins; what the environment asks for goes wrong on the way.

    Args:
        wrong: as :class:`FakeDecoder` takes it.

    Attributes:
        made: the last decoder; None if there is none.
    """

    made: FakeDecoder | None = None

    command = (sys.executable, "-m", "tests.fake_codec")

    def __init__(self, wrong: Collection[int] = ()) -> None:
        self._wrong = wrong

    def encoder(
        self, width: int, height: int, options: EncoderOptions, roi: RoiSource, backend: str | None
    ) -> FakeEncoder:
        """An encoder for any size."""
        self._go_wrong()
        return FakeEncoder(options, roi)

    def decoder(self, header: Header, backend: str | None) -> FakeDecoder:
        """A decoder of the stand-in's streams."""
        self._go_wrong()
        self.made = FakeDecoder(header, self._wrong)
        return self.made

    def _go_wrong(self) -> None:
        if os.environ.get("FAKE_NO_MODEL"):
            raise ModelError("the released weights are missing; install roicodec again")
        match os.environ.get("FAKE_INTERRUPT"):
            case "exec":  # of text, as imports have it
                exec("signal.raise_signal(2)", {"signal": signal})
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "import":  # of a module that takes for ever
                importlib.import_module("tests.cli.endless")
            case "wait":  # in C, out of reach of exceptions
                mutex = ctypes.create_string_buffer(64)
                for _ in range(2):
                    ctypes.CDLL(None).pthread_mutex_lock(mutex)


if __name__ == "__main__":
    main(factory=FakeFactory())
