"""Pictures from numpy, their ROI from a function: ``python -m examples.encode_arrays A.rq``."""

import sys

import numpy as np
from numpy.typing import NDArray

import roicodec

WIDTH, HEIGHT, FRAMES = 96, 64, 8


def bright(picture: roicodec.Picture) -> NDArray[np.bool_]:
    """Samples that are ROI, bool ``[H, W]``."""
    return picture.y > 150


encoder = roicodec.Encoder(WIDTH, HEIGHT, roicodec.EncoderOptions(quality=30), roi=bright)
with open(sys.argv[1], "wb") as file:
    for n in range(FRAMES):
        rgb = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
        rgb[20:44, 8 * n : 8 * n + 24] = 220
        picture = roicodec.picture_from_rgb(rgb, pts=3600 * n, duration=3600)
        file.writelines(encoder.encode(picture))
    file.writelines(encoder.encode(None))
