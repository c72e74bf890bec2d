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
import types
import zlib
from dataclasses import dataclass

import numpy as np

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.mask_coding import encode_mask
from roicodec.errors import ModelError, StreamError
from roicodec.picture import Picture

MODEL_ID = b"a stand-in model"


@dataclass(frozen=True)
class CodedFrame:
    chunk: FrameChunk
    reconstruction: Picture


@dataclass(frozen=True)
class DecodedFrame:
    picture: Picture


class Model:
    id = MODEL_ID


def load_model(backend: str | None = None) -> Model:
    if os.environ.get("FAKE_NO_MODEL"):
        raise ModelError("the released weights are missing; install roicodec again")
    match os.environ.get("FAKE_INTERRUPT"):
        case "exec":  # of text, as imports have it
            exec("signal.raise_signal(2)", {"signal": signal})
        case "import":  # of a module that takes for ever
            importlib.import_module("tests.cli.endless")
        case "wait":  # in C, out of reach of exceptions
            mutex = ctypes.create_string_buffer(64)
            for _ in range(2):
                ctypes.CDLL(None).pthread_mutex_lock(mutex)
    return Model()


def _samples(picture: Picture) -> np.ndarray:
    return np.concatenate([p.ravel() for p in picture.planes])


class FrameEncoder:
    def __init__(self, width, height, options, roi, model) -> None:  # noqa: ANN001
        self._options, self._roi = options, roi
        self._count = 0
        self._reference = self._mask = None
        self.header_fields = {
            "candidates": tuple(Candidate(b) for b in options.candidates),
            "model_id": model.id,
            "arithmetic_id": 0,
        }

    def missed(self) -> str:
        return "the mean PSNR is low" if self._options.psnr == 60 else ""

    def encode(self, picture: Picture | None) -> list[CodedFrame]:
        if picture is None:
            return []
        time.sleep(float(os.environ.get("FAKE_SECONDS", 0)))
        if os.environ.get("FAKE_BUG"):
            raise ZeroDivisionError("of some\nkind")
        intra = self._count % self._options.gop == 0
        samples = _samples(picture)
        residual = samples if intra else samples - self._reference
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
        return [CodedFrame(chunk, picture)]


class FrameDecoder:
    def __init__(self, header: Header, model: Model) -> None:
        if header.model_id != model.id:
            raise ModelError("the stream needs another model")
        self._shape = header.height, header.width
        self._reference = None

    def decode(self, chunk: FrameChunk | None) -> list[DecodedFrame]:
        if chunk is None:
            return []
        samples = np.frombuffer(zlib.decompress(chunk.latents), np.uint8)
        if chunk.kind == INTER:
            assert self._reference is not None, "inter frame without a reference"
            samples = samples + self._reference
        height, width = self._shape
        half = (height + 1) // 2, (width + 1) // 2
        y, u, v = np.split(samples, [height * width, height * width + half[0] * half[1]])
        picture = Picture(
            y.reshape(height, width), u.reshape(half), v.reshape(half), chunk.pts, chunk.duration
        )
        if picture.crc32() != chunk.crc32:
            raise StreamError("the CRC of the decoded picture is wrong")
        self._reference = samples
        return [DecodedFrame(picture)]


def modules() -> dict[str, types.ModuleType]:
    """What to put into ``sys.modules``."""
    encoder = types.ModuleType("roicodec.encoder.encoder")
    decoder = types.ModuleType("roicodec.decoder.decoder")
    model = types.ModuleType("roicodec.decoder.model")
    threads = types.ModuleType("roicodec.cli.threads")
    encoder.FrameEncoder, encoder.CodedFrame = FrameEncoder, CodedFrame  # type: ignore[attr-defined]
    decoder.FrameDecoder, decoder.DecodedFrame = FrameDecoder, DecodedFrame  # type: ignore[attr-defined]
    model.load_model = load_model  # type: ignore[attr-defined]
    model.tried_layers = lambda networks: []  # type: ignore[attr-defined]
    threads.limit_threads = lambda count: None  # type: ignore[attr-defined]
    return {m.__name__: m for m in (encoder, decoder, model, threads)}


if __name__ == "__main__":
    sys.modules |= modules()
    from roicodec.cli import main

    main()
