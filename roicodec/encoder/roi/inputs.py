"""Inputs of the saliency network: small pictures, and what moves in their scene."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.encoder.roi.scene import MOTION_CHANNELS, Scene, intra_bits
from roicodec.picture import Picture, Plane

__all__ = ["INPUTS", "NetworkInput", "small_planes", "small_size"]

INPUTS = 3 + MOTION_CHANNELS
"""Channels of the input: Y, U, V, and the motion channels of a scene."""

_LONGEST = 256
_SHORTEST = 32
_HALF = 2


class NetworkInput:
    """Input of the network, frame by frame: what a frame shows, and what moves in its scene."""

    bits: NDArray[np.float32] | None = None
    """Estimated bits of each place of the last frame, on no scale: float32 ``[h/4, w/4]``."""

    def __init__(self) -> None:
        self._scene = Scene()
        self._last: tuple[Picture, NDArray[np.uint8]] | None = None

    @property
    def fixed_camera(self) -> bool:
        """Whether the camera stands still, as far as is known."""
        return self._scene.fixed

    def __call__(self, picture: Picture, previous: Picture | None) -> NDArray[np.float32]:
        """The input of a frame: float32 ``[7, h, w]``, its longer side 256 at most.

        Y, U and V less 128, over 64; then the motion channels, 0 without ``previous``. Until a
        call without it, all frames are of one scene, in order; some may be left out.
        """
        size = small_size(picture.width, picture.height)
        planes = small_planes(picture, size)
        out = np.zeros((INPUTS, size[1], size[0]), np.float32)
        out[:3] = (planes.transpose(2, 0, 1).astype(np.float32) - 128) / 64
        if previous is None:
            self._scene.start()
            self.bits = intra_bits(planes[..., 0])
        else:
            last, before = self._last or (None, None)
            if before is None or last is not previous:
                before = _small(previous.y, size)
            out[3:] = self._scene.follow(planes, before)
            self.bits = self._scene.bits
        self._last = picture, np.ascontiguousarray(planes[..., 0])
        return out


def small_planes(picture: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Y, U and V at one size (width, height), uint8 ``[h, w, 3]``."""
    return np.stack([_small(plane, size) for plane in picture.planes], axis=-1)


def _small(plane: Plane, size: tuple[int, int]) -> NDArray[np.uint8]:
    # Means of 2x2 samples take a tenth of the time of other steps.
    while min(plane.shape[1] // size[0], plane.shape[0] // size[1]) >= _HALF:
        half = plane.shape[1] // 2, plane.shape[0] // 2
        even = plane[: 2 * half[1], : 2 * half[0]]
        plane = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the network's input for a frame, of the frame's shape."""
    scale = min(1.0, _LONGEST / max(width, height))
    return max(_SHORTEST, round(width * scale)), max(_SHORTEST, round(height * scale))
