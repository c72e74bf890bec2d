"""ROI from the boxes of a detector: ``python -m examples.detector_roi CLIP A.rq``.

The detector here finds what moves, in ten lines of OpenCV. Put your own into
:meth:`Detector.boxes`: a network's faces, number plates, players.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
from numpy.typing import NDArray

import roicodec

MARGIN = 8
"""Samples around a box that are ROI, too: an object has edges."""

Box = tuple[int, int, int, int]
"""Left, top, width and height in luma samples."""


class Detector:
    """Boxes of a picture; calling it with a picture gives the mask that the encoder asks for."""

    def __init__(self) -> None:
        self._background = cv2.createBackgroundSubtractorMOG2(history=50, detectShadows=False)

    def boxes(self, picture: roicodec.Picture) -> list[Box]:
        """Boxes around what differs from the background, of 64 samples or more."""
        moving = self._background.apply(cv2.GaussianBlur(picture.y, (5, 5), 0))
        _, _, found, _ = cv2.connectedComponentsWithStats(moving, connectivity=8)
        return [(x, y, w, h) for x, y, w, h, area in found[1:].tolist() if area >= 64]

    def __call__(self, picture: roicodec.Picture) -> NDArray[np.bool_]:
        """ROI of a picture, bool ``[H, W]``."""
        mask = np.zeros(picture.y.shape, np.bool_)
        for x, y, w, h in self.boxes(picture):
            rows = slice(max(y - MARGIN, 0), y + h + MARGIN)
            mask[rows, max(x - MARGIN, 0) : x + w + MARGIN] = True
        return mask


def main(clip: str, stream: str) -> None:
    report = roicodec.encode(clip, stream, roi=Detector())
    shares = [frame.roi_share or 0 for frame in roicodec.info(stream).frame_list]
    print(f"{report.frames} frames, {report.bytes} bytes, ROI {sum(shares) / len(shares):.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
