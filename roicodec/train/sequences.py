"""Sequences of frames for training in closed loop."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch

from roicodec.bitstream.constants import QUALITIES
from roicodec.train.data import MOTION_QUALITIES, Clip, crop, flip

__all__ = ["TrainingSequence"]


class TrainingSequence:
    """Consecutive frames of a clip, cropped, with their motion fields and quality indices.

    Args:
        clip: a clip with motion, at least as large as the crop.
        rng: source of position, direction and qualities.
        size: side of the crop in luma samples.
        length: frames, the intra frame included.
        finest: highest quality index on average over the frames.

    Attributes:
        frames: I420, uint8 ``[length, size * 3 / 2, size]``.
        motion: vectors from each frame to the one before, int16
            ``[length, size / 8, size / 8, 2]``.
        intra_quality: quality index of the first frame.
        qualities: quality index of each frame as an inter frame, float ``[length]``.
    """

    _ARRAYS = ("frames", "motion", "qualities")

    def __init__(
        self, clip: Clip, rng: np.random.Generator, size: int, length: int, finest: float
    ) -> None:
        assert clip.motion is not None
        runs = clip.runs(length) or [0]
        start = runs[rng.integers(len(runs))]
        top = 8 * int(rng.integers((clip.height - size) // 8 + 1))
        left = 8 * int(rng.integers((clip.width - size) // 8 + 1))
        frames = crop(clip.frames[start : start + length], top, left, size)
        base = rng.uniform(0, finest)
        # At a lower quality the encoder's motion is smoother, too.
        field = int(np.argmin([abs(base - quality) for quality in MOTION_QUALITIES]))
        span = slice(top // 8, (top + size) // 8), slice(left // 8, (left + size) // 8)
        motion = np.array(clip.motion[field, start : start + length][:, *span])
        if rng.random() < 0.5:
            frames, motion = flip(frames), motion[:, :, ::-1] * np.array([-1, 1], np.int16)
        self.frames, self.motion = frames, motion
        self.intra_quality = float(np.clip(base + rng.uniform(3, 17), 0, QUALITIES - 1))
        self.qualities = np.clip(base + rng.uniform(-3, 3, length), 0, QUALITIES - 1)

    def state(self) -> dict[str, Any]:
        """Tensors and numbers only, as a checkpoint may hold them."""
        held = {
            name: torch.tensor(np.ascontiguousarray(getattr(self, name))) for name in self._ARRAYS
        }
        return {"intra_quality": self.intra_quality, **held}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Sequence that had the state :meth:`state`."""
        sequence = cls.__new__(cls)
        for name in cls._ARRAYS:
            setattr(sequence, name, state[name].numpy())
        sequence.intra_quality = state["intra_quality"]
        return sequence
