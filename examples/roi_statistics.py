"""ROI of streams in numbers and as a map: ``python -m examples.roi_statistics A.rq [MAP.png]``.

What a stream says of its ROI can be read without its networks, in milliseconds a minute of video.
"""

from __future__ import annotations

import sys
from collections import Counter

import cv2
import numpy as np
from numpy.typing import NDArray

import roicodec


def bits_by_region(path: str) -> Counter[tuple[int, int]]:
    """Number of frames by bit-widths of ROI and rest."""
    return Counter((frame.b_roi, frame.b_bg) for frame in roicodec.info(path).frame_list)


def heat_map(path: str) -> NDArray[np.float32]:
    """Share of the frames in which each 16x16 cell is ROI, 0..1, float32 ``[rows, columns]``."""
    with roicodec.open(path) as video:
        masks = [picture.mask for picture in video]
    return np.asarray(np.mean(masks, axis=0), np.float32)


def main(path: str, out: str | None = None) -> None:
    listing = roicodec.info(path)
    frames = listing.frame_list
    print("frame  type           bytes  ROI    bits")
    for f in sorted(frames, key=lambda frame: frame.number):
        share = "?" if f.roi_share is None else f"{f.roi_share:.1%}"
        print(f"{f.number:5d}  {f.type:13s} {f.bytes:6d}  {share:>5}  {f.b_roi}/{f.b_bg}")
    known = np.array([f.roi_share for f in frames if f.roi_share is not None])
    print(f"ROI {known.mean():.1%} of the picture, {known.min():.1%} to {known.max():.1%}")
    for (roi, rest), count in bits_by_region(path).most_common():
        print(f"{count} frames at {roi} bits in the ROI, {rest} outside")
    if out is not None:
        gray = np.round(255 * heat_map(path)).astype(np.uint8)
        size = listing.header.width, listing.header.height
        cv2.imwrite(out, cv2.resize(gray, size, interpolation=cv2.INTER_NEAREST))
        print(f"{out}: white where every frame has its ROI")


if __name__ == "__main__":
    main(*sys.argv[1:])
