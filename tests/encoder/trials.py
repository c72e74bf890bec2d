"""Frames of a clip that are coded once, coarsely, for what is learnt from a trial."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.decoder.adaptation import ChannelSums
from roicodec.decoder.frame import CodedLatents, FrameCodec, FrameSetting, PreparedFrame
from roicodec.decoder.model import Model
from roicodec.decoder.planes import Packed, padded
from roicodec.decoder.references import Motion
from roicodec.kernels.packing import pack
from tests import tiny_model

__all__ = ["GRID", "HEIGHT", "POSITIONS", "WIDTH", "Latents", "Trial", "setting", "trial"]

Latents = NDArray[np.int16]

HEIGHT, WIDTH = 4, 8
"""Positions of the frames, which have 64x32 samples."""

POSITIONS = HEIGHT * WIDTH
GRID = HEIGHT // 2, WIDTH // 2


@dataclass(frozen=True, eq=False)
class Trial:
    """A frame and its original."""

    codec: FrameCodec
    frame: PreparedFrame
    samples: Packed

    def latents(self) -> Latents:
        """Coarsely rounded."""
        residual = self.samples - self.frame.prediction
        frame = self.frame
        found = frame.model.network.analyse(frame.layout, residual, frame.quality, frame.context)
        return (found // 96 * 96 + 48).astype(np.int16)

    def error(self, latents: Latents) -> tuple[Packed, list[NDArray[np.uint8]]]:
        """Error of what is made of latents, and the open ReLUs of every block."""
        active: list[NDArray[np.uint8]] = []
        made, _ = self.codec.synthesise(self.frame, latents, active)
        return made - self.samples, active


def setting(kind: int, bits: tuple[int, int] = (8, 8), *, skip: bool = False) -> FrameSetting:
    """A setting with a ROI in the right half, and with the cell (1, 1) skipped if asked for."""
    mask, skipped = np.zeros(GRID, bool), np.zeros(GRID, bool)
    mask[:, GRID[1] // 2 :] = True
    skipped[1, 1] = skip
    motion = Motion(np.zeros((HEIGHT, WIDTH, 2), np.int16)) if kind == INTER else None
    return FrameSetting(kind, 30, *bits, mask, motion, skipped if kind == INTER else None)


def trial(asked: FrameSetting, model: Model | None = None) -> Trial:
    """A frame: the first one, or one behind a bad one.

    Args:
        asked: its setting.
        model: the networks, by default the stand-in.
    """
    codec = FrameCodec(8 * WIDTH, 8 * HEIGHT, model or tiny_model.model(), {8: 0, 16: 3, 4: -6})
    clip = tiny_model.pictures(8 * WIDTH, 8 * HEIGHT, 2)
    if asked.kind == INTRA:
        frame = codec.prepare(asked, ())
    else:
        coded = CodedLatents(np.zeros((POSITIONS, 96), np.int16), ChannelSums(96))
        first = codec.reconstruct(codec.prepare(setting(INTRA), ()), coded)
        frame = codec.prepare(asked, (first,))
    return Trial(codec, frame, pack(padded(clip[1])))
