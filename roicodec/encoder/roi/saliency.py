"""Saliency maps: the interface, and models that need no training."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.encoder.roi.inputs import NetworkInput
from roicodec.encoder.roi.scene import motion_contrast
from roicodec.picture import Picture, Plane

__all__ = ["Moving", "SaliencyMap", "SaliencyModel", "SpectralMotion", "spectral_residual"]

SaliencyMap = NDArray[np.float32]

_WIDTH = 256
_SPECTRAL_WIDTH = 64
_MOTION = 2.0
_STILL = 0.5


class SaliencyModel(Protocol):
    """Estimate of where people look, for the frames of one video, in order."""

    @property
    def bits(self) -> SaliencyMap | None:
        """Estimated bits of each place of the last frame, on no scale, above 0, of any size; None
        where unknown."""

    def map(self, picture: Picture, previous: Picture | None) -> SaliencyMap:
        """Saliency of a frame: float32 ``[h, w]`` in 0..1, of any size that covers the frame.

        Args:
            picture: the frame.
            previous: the frame before it, of the same scene; ``None`` when there is none.
        """


def spectral_residual(plane: Plane) -> SaliencyMap:
    """Spectral residual of one plane, float32 of the plane's shape, not normalized.

    X. Hou, L. Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007, sections
    3.1-3.2: what the log amplitude spectrum has beyond its local (3x3) mean, with the phase kept,
    transformed back and squared. As there, at 64 samples of width; then Gaussian smoothing.
    """
    small = cv2.resize(plane, _fit(plane.shape, _SPECTRAL_WIDTH), interpolation=cv2.INTER_AREA)
    spectrum = np.fft.fft2(small.astype(np.float64))
    amplitude = np.log(np.abs(spectrum) + 1e-6)
    residual = amplitude - cv2.blur(amplitude, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    energy = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    smooth = cv2.GaussianBlur(energy, (0, 0), 2.5)
    size = (plane.shape[1], plane.shape[0])
    return np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR), np.float32)


class SpectralMotion:
    """Spectral residual of luma and chroma with motion contrast; needs no training.

    At about 256 samples of width. The parts are each scaled to a maximum of 1 (motion to less
    where nothing moves by more than half a sample), motion counts twice, and their sum is
    weighted towards the centre of the frame, where people look more often.
    """

    bits = None

    def map(self, picture: Picture, previous: Picture | None) -> SaliencyMap:
        size = _fit(picture.y.shape, _WIDTH)
        planes = [_shrink(plane, size) for plane in picture.planes]
        now = planes[0]
        total = np.sum([spectral_residual(plane) for plane in planes], axis=0)
        saliency: SaliencyMap = total / max(float(total.max()), 1e-9)
        if previous is not None:
            motion = motion_contrast(now, _shrink(previous.y, size))
            saliency = saliency + _MOTION * motion / max(float(motion.max()), _STILL)
        saliency *= _centre(now.shape)
        return np.asarray(saliency / max(float(saliency.max()), 1e-9), np.float32)


def _fit(shape: tuple[int, ...], width: int) -> tuple[int, int]:
    """Size (width, height) that is ``width`` wide at most, of the same aspect, 12 at least."""
    scale = min(1.0, width / shape[1])
    return max(12, round(shape[1] * scale)), max(12, round(shape[0] * scale))


def _centre(shape: tuple[int, ...]) -> SaliencyMap:
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    return np.asarray(np.exp(-(x**2 + y**2)), np.float32)


def _shrink(plane: Plane, size: tuple[int, int]) -> Plane:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)


class Moving:
    """Map of what moves: foreground of a fixed camera, else what moves against the camera's motion.

    For the frames of one video.
    """

    def __init__(self) -> None:
        self._input = NetworkInput()

    @property
    def bits(self) -> SaliencyMap | None:
        return self._input.bits

    def map(self, picture: Picture, previous: Picture | None) -> SaliencyMap:
        motion = self._input(picture, previous)[3:]
        return np.asarray(motion[3 if self._input.fixed_camera else 0], np.float32)
