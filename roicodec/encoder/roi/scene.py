"""Motion in a scene, seen one frame after the other."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.picture import Picture

__all__ = ["MOTION_CHANNELS", "Scene", "affine_motion", "inter_bits", "intra_bits", "is_cut",
           "motion_contrast", "optical_flow", "thumbnail"]  # fmt: skip

MOTION_CHANNELS = 4
"""Contrast on an absolute and on a relative scale, absolute contrast over time, foreground."""

Planes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Camera = NDArray[np.float64]

_CUT_CORRELATION = 0.15
_ROWS = 144
_LEAST = 32
"""Samples on a side below which OpenCV's optical flow reads what is not there, and crashes."""
_STILL = 0.5
_SLOW = np.float32(0.25)
_AT_REST = 0.3
_FIXED, _MOVES = 0.5, 0.3
_SURE = 2
_NEW, _OLD, _RESTED = 0.05, 0.01, 0.15
_NOISE = 5.0
_LASTS = 0.75
_QUIET = 3.0
_TEXTURE, _AT_LEAST = 0.05, 0.2
_NO_MOTION = np.zeros((3, 2))
_AROUND = np.ones((9, 9), np.uint8)


def thumbnail(picture: Picture) -> NDArray[np.float64]:
    """64x36 samples of luma less their mean, of length 1 (or 0 where all are the same)."""
    rows = picture.y[:: max(1, picture.height // _ROWS)]
    small = cv2.resize(rows, (64, 36), interpolation=cv2.INTER_AREA).astype(np.float64).ravel()
    small -= small.mean()
    return np.asarray(small / max(math.sqrt(float(small @ small)), 1e-9))


def is_cut(now: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    """Whether a frame begins a new scene: its thumbnail has little to do with the last one's."""
    return bool(before.any() and now.any() and float(now @ before) < _CUT_CORRELATION)


def optical_flow(now: Planes, before: Planes) -> Floats:
    """Dense optical flow, float32 ``[h, w, 2]``, from a frame to the one before it, in samples.

    T. Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016; planes that are
    too small for it are continued by their edge.
    """
    height, width = now.shape
    missing = (max(0, _LEAST - height), max(0, _LEAST - width))
    first, second = (np.pad(p, [(0, n) for n in missing], "edge") for p in (now, before))
    # Of each call's own: what it works in must not be another thread's.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = search.calc(first, second, np.zeros((*first.shape, 2), np.float32))
    return np.asarray(flow[:height, :width], np.float32)


def affine_motion(flow: Floats) -> Camera:
    """The affine motion that fits a flow best, large deviations weighed down.

    Returns:
        float64 ``[3, 2]``: ``fit[0] + fit[1] x/w + fit[2] y/h`` is the displacement at (x, y).
    """
    height, width = flow.shape[:2]
    y, x = np.mgrid[0:height:8, 0:width:8]
    design = np.stack([np.ones(x.size), x.ravel() / width, y.ravel() / height], 1)
    sampled = flow[::8, ::8].reshape(-1, 2).astype(np.float64)
    ridge = 1e-6 * np.eye(3)
    fit = np.zeros((3, 2))
    weight = np.ones(len(sampled))
    for _ in range(4):
        weighed = design * weight[:, None]
        fit = np.linalg.solve(weighed.T @ design + ridge, weighed.T @ sampled)
        error = np.hypot(*(sampled - design @ fit).T)
        weight = 1 / (1 + (error / max(float(np.median(error)), 0.1)) ** 2) ** 2
    return fit


def intra_bits(luma: Planes) -> Floats:
    """Bits that each place takes without a frame before it, on no scale: float32 ``[h/4, w/4]``."""
    y = luma.astype(np.float32)
    mean, square = (_quarter(plane) for plane in (y, y * y))
    texture = np.log2(1 + np.maximum(square - mean * mean, 0) / _QUIET)
    return np.asarray(texture + _AT_LEAST, np.float32)


def inter_bits(now: Planes, before: Planes, flow: Floats) -> Floats:
    """Bits that each place takes with motion compensation, on no scale: float32 ``[h/4, w/4]``.

    By what is left of a small picture when the flow predicts it, and a little by its texture.
    """
    height, width = now.shape
    x = np.arange(width, dtype=np.float32)[None] + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    predicted = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = now.astype(np.float32) - predicted
    coded = np.log2(1 + _quarter(error * error) / _QUIET)
    return np.asarray(coded + _TEXTURE * intra_bits(now), np.float32)


def _quarter(plane: Floats) -> Floats:
    size = max(1, plane.shape[1] // 4), max(1, plane.shape[0] // 4)
    small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.blur(small, (3, 3)), np.float32)


class Scene:
    """Motion against the camera's, and what differs from the background of a fixed camera.

    Everything is at the size of the planes it is given, those of the network's input.

    Attributes:
        bits: what each place of the last frame takes, see :func:`inter_bits`.
    """

    bits: Floats

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Reset for a new scene."""
        self._slow: Floats | None = None
        self._still_for = 0
        self._background: _Background | None = None

    @property
    def fixed(self) -> bool:
        """Whether the camera stands still, as far as is known."""
        return self._background is not None

    def follow(self, planes: Planes, before: Planes) -> Floats:
        """Motion channels of the next frame that is looked at; others may lie in between.

        Args:
            planes: uint8 ``[h, w, 3]``: Y, U, V.
            before: luma of the frame right before it, uint8 ``[h, w]``.

        Returns:
            float32 ``[MOTION_CHANNELS, h, w]`` in 0..1.
        """
        luma = np.ascontiguousarray(planes[..., 0])
        flow = optical_flow(luma, before)
        self._watch(flow)
        self.bits = inter_bits(luma, before, flow)
        speed = _speed(flow, _NO_MOTION if self.fixed else affine_motion(flow))
        out = np.zeros((MOTION_CHANNELS, *speed.shape), np.float32)
        out[0] = speed / (1 + speed)
        out[1] = speed / max(float(speed.max()), _STILL)
        self._slow = out[0] if self._slow is None else self._slow + _SLOW * (out[0] - self._slow)
        out[2] = self._slow
        if self._background is not None:
            out[3] = self._background.follow(planes.transpose(2, 0, 1).astype(np.float32))
        return out

    def _watch(self, flow: Floats) -> None:
        """Decision, with hysteresis, whether the camera is fixed: by the share of it at rest."""
        samples = flow[::8, ::8]
        rests = float(np.mean(np.hypot(samples[..., 0], samples[..., 1]) < _AT_REST))
        if rests < _MOVES:
            self._still_for = 0
            self._background = None
        elif rests > _FIXED:
            self._still_for += 1
            if self._still_for >= _SURE and self._background is None:
                self._background = _Background()


def motion_contrast(now: Planes, before: Planes) -> Floats:
    """Distance that each sample moves against the camera, in samples, float32 ``[h, w]``.

    Args:
        now, before: luma of a frame and of the one before it, uint8 ``[h, w]``.
    """
    flow = optical_flow(now, before)
    return _speed(flow, affine_motion(flow))


def _speed(flow: Floats, camera: Camera) -> Floats:
    """Speed against the camera's motion in samples, smoothed, float32 ``[h, w]``."""
    height, width = flow.shape[:2]
    fit = camera.astype(np.float32)
    x = np.arange(width, dtype=np.float32)[None] / width
    y = np.arange(height, dtype=np.float32)[:, None] / height
    rest = [flow[..., k] - (fit[0, k] + fit[1, k] * x) - fit[2, k] * y for k in range(2)]
    # Not cv2.magnitude: its last bit depends on where memory lies.
    speed = np.sqrt(rest[0] * rest[0] + rest[1] * rest[1])
    return np.asarray(cv2.GaussianBlur(speed, (0, 0), 3), np.float32)


class _Background:
    """Background model of a fixed camera.

    Every sample's mean and mean deviation are followed, slowly where the foreground is; what has
    come to rest becomes background, and what always moves (leaves, water) raises its deviation.
    """

    def __init__(self) -> None:
        self._mean: Floats | None = None
        self._count = 0

    def follow(self, planes: Floats) -> Floats:
        """Foreground share of each sample, float32 ``[h, w]`` in 0..1, of planes ``[3, h, w]``."""
        shape = planes.shape[1:]
        if self._mean is None:
            self._mean, self._before = planes.copy(), planes
            self._deviation = np.full(shape, 2.0, np.float32)
            self._active = np.zeros(shape, np.float32)
            return np.zeros(shape, np.float32)
        self._count += 1
        step = _distance(planes - self._before)
        self._before = planes
        # Inside a thing of one colour nothing changes while its edges pass by.
        near = cv2.dilate(step, _AROUND)
        self._active = np.maximum(near, np.float32(_LASTS) * self._active)
        difference = planes - self._mean
        difference[0] -= np.median(difference[0, ::4, ::4])
        distance = _distance(difference)
        excess = np.maximum(distance - 2 * self._deviation, 0)
        foreground = np.asarray(cv2.blur(excess / (excess + _NOISE), (3, 3)), np.float32)
        rate = max(_NEW, 1 / (self._count + 1))
        pace = rate + np.float32(_OLD - rate) * foreground
        pace[self._active < 3 + 2 * self._deviation] = max(_RESTED, rate)
        difference *= pace
        self._mean += difference
        self._deviation += np.float32(_NEW) * (np.minimum(distance, 30) - self._deviation)
        return foreground


def _distance(difference: Floats) -> Floats:
    """Y + 1.5 U + 1.5 V of absolute differences ``[3, h, w]``; summed in order, by no library whose
    last bit may depend on where memory lies."""
    y, u, v = np.abs(difference)
    u += v
    u *= np.float32(1.5)
    y += u
    return np.asarray(y, np.float32)
