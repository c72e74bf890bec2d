"""Saliency maps: the interface, and a model that needs no training."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.picture import Picture, Plane

__all__ = ["SaliencyMap", "SaliencyModel", "SpectralMotion", "motion_contrast", "spectral_residual"]

SaliencyMap = NDArray[np.float32]

_WIDTH = 256
_SPECTRAL_WIDTH = 64
_MOTION = 2.0
_STILL = 0.5
_LEAST = 32
"""Samples on a side below which OpenCV's optical flow reads what is not there, and crashes."""


class SaliencyModel(Protocol):
    """Says where in a frame people look."""

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


def motion_contrast(now: Plane, before: Plane) -> SaliencyMap:
    """How far each sample moves against the rest of the frame, in samples; float32 ``[h, w]``.

    Dense optical flow (T. Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV
    2016) less the affine motion that fits the frame best, so that a moving camera does not light
    up the whole background.
    """
    height, width = now.shape
    flow = _flow(now, before)[:height, :width]
    y, x = np.mgrid[0:height:8, 0:width:8]
    design = np.stack([np.ones(x.size), x.ravel() / width, y.ravel() / height], 1)
    sampled = flow[::8, ::8].reshape(-1, 2).astype(np.float64)
    weight = np.ones(len(sampled))
    for _ in range(4):
        fit = np.linalg.lstsq(design * weight[:, None], sampled * weight[:, None], rcond=None)[0]
        error = np.linalg.norm(sampled - design @ fit, axis=1)
        weight = 1 / (1 + (error / max(float(np.median(error)), 0.1)) ** 2)
    ramp_x = np.arange(width, dtype=np.float32)[None, :, None] / width
    ramp_y = np.arange(height, dtype=np.float32)[:, None, None] / height
    rest = flow - (fit[0] + fit[1] * ramp_x + fit[2] * ramp_y).astype(np.float32)
    speed = np.hypot(rest[..., 0], rest[..., 1])
    return np.asarray(cv2.GaussianBlur(speed, (0, 0), 3), np.float32)


def _flow(now: Plane, before: Plane) -> NDArray[np.float32]:
    """Dense optical flow, float32 ``[h, w, 2]``, of planes that are made large enough for it."""
    missing = (max(0, _LEAST - now.shape[0]), max(0, _LEAST - now.shape[1]))
    first, second = (np.pad(p, [(0, n) for n in missing], "edge") for p in (now, before))
    # Of each call's own: what it works in must not be another thread's.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    return np.asarray(search.calc(first, second, np.zeros((*first.shape, 2), np.float32)))


class SpectralMotion:
    """Spectral residual of luma and chroma with motion contrast; needs no training.

    At about 256 samples of width. The parts are each scaled to a maximum of 1 (motion to less
    where nothing moves by more than half a sample), motion counts twice, and their sum is
    weighted towards the centre of the frame, where people look more often.
    """

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
