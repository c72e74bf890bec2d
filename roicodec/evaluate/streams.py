"""What a coded file of ours says of one frame: its ROI and its bit-widths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roicodec.container import INTRA, StreamReader
from roicodec.roi.mask_coding import decode_mask
from roicodec.roi.masks import Mask, grid_shape

__all__ = ["FrameRegions", "frame_regions"]


@dataclass(frozen=True, slots=True)
class FrameRegions:
    """ROI mask on the 16x16 grid and the two bit-widths of a frame."""

    mask: Mask
    b_roi: int
    b_bg: int


def frame_regions(path: Path, number: int) -> FrameRegions | None:
    """The regions of frame ``number`` of a ``.rq`` file; None if it has no such frame.

    Raises:
        StreamError: if the file is damaged.
    """
    with path.open("rb") as file:
        reader = StreamReader(file)
        shape = grid_shape(reader.header.width, reader.header.height)
        mask: Mask | None = None
        count = 0
        for item in reader:
            frame = getattr(item, "frame", None)
            if frame is None:
                continue
            mask = decode_mask(frame.mask, shape, None if frame.kind == INTRA else mask)
            if count == number:
                return FrameRegions(mask, frame.b_roi, frame.b_bg)
            count += 1
    return None
