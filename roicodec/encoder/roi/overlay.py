"""Pictures that show what became ROI, why, and with which bit-widths."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.masks import Mask, samples_of
from roicodec.picture import Picture, Plane

__all__ = ["HEADER", "draw", "overlay_size"]

HEADER = 32
"""Rows of text above the picture, in luma samples."""

_BLACK, _GRAY, _WHITE = 16, 128, 235
_DIM = 0.45
_LINE = 2
_WARM = (-60, 90)
"""Tint that the map adds to U and V where it is 1: towards orange."""


def overlay_size(width: int, height: int, *, with_map: bool) -> tuple[int, int]:
    """Width and height of what :func:`draw` makes of a frame, both even."""
    even = width + width % 2
    return even * (2 if with_map else 1), HEADER + height + height % 2


def draw(picture: Picture, mask: Mask, chances: NDArray[np.floating] | None, text: str) -> Picture:
    """The frame with what is not ROI dimmed and the ROI outlined, under a line of text.

    Args:
        picture: the frame.
        mask: its ROI, bool ``[ceil(H/16), ceil(W/16)]``.
        chances: the map behind it, on the same grid, 0..1: drawn in orange over the frame once
            more, to the right; None for no map.
        text: one line, ASCII.
    """
    even = _even(picture)
    panels = [_masked(even, mask)]
    if chances is not None:
        panels.append(_heated(even, chances))
    y, u, v = (np.concatenate(parts, axis=1) for parts in zip(*panels, strict=True))
    head = np.full((HEADER, y.shape[1]), _BLACK, np.uint8)
    scale = min(0.6, y.shape[1] / (20 * max(len(text), 1)))
    place = (6, HEADER - 10)
    cv2.putText(head, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, _WHITE, 1, cv2.LINE_AA)
    neutral = np.full((HEADER // 2, u.shape[1]), _GRAY, np.uint8)
    return Picture(
        np.concatenate((head, y)),
        np.concatenate((neutral, u)),
        np.concatenate((neutral, v)),
        picture.pts,
        picture.duration,
    )


def _even(picture: Picture) -> list[Plane]:
    """Y, U and V with an even number of rows and columns of luma, the last repeated."""
    rows, columns = picture.height % 2, picture.width % 2
    y = np.pad(picture.y, ((0, rows), (0, columns)), mode="edge")
    return [y, picture.u, picture.v]


def _masked(planes: list[Plane], mask: Mask) -> list[Plane]:
    height, width = planes[0].shape
    roi = samples_of(mask, width, height)
    y = np.where(roi, planes[0], _BLACK + (planes[0].astype(np.float32) - _BLACK) * _DIM)
    inner = cv2.erode(
        roi.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=_LINE,
        borderType=cv2.BORDER_CONSTANT, borderValue=0,
    )  # fmt: skip
    y[roi & (inner == 0)] = _WHITE
    return [np.clip(y, 0, 255).astype(np.uint8), planes[1], planes[2]]


def _heated(planes: list[Plane], chances: NDArray[np.floating]) -> list[Plane]:
    """Gray where nothing is expected to matter, bright and orange where something is."""
    height, width = planes[0].shape
    heat = np.repeat(np.repeat(chances.astype(np.float32), 16, 0), 16, 1)[:height, :width]
    y = _BLACK + (planes[0].astype(np.float32) - _BLACK) * (0.35 + 0.45 * heat) + 40 * heat
    coarse = heat[::2, ::2]
    chroma = [np.clip(_GRAY + shift * coarse, 0, 255).astype(np.uint8) for shift in _WARM]
    return [np.clip(y, 0, _WHITE).astype(np.uint8), *chroma]
