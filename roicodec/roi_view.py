"""A video that shows what becomes ROI, without encoding."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from roicodec.bitstream.constants import QUANTIZER_STEPS
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.encoder.motion.search import search_pair
from roicodec.encoder.roi.auto import AutoRoi
from roicodec.encoder.roi.features import region_features
from roicodec.encoder.roi.overlay import draw, overlay_size
from roicodec.encoder.roi.selector import SizedSelector, fitted_selector
from roicodec.encoder.roi.sources import is_given, parse_roi
from roicodec.media import Reader, Writer
from roicodec.picture import Picture
from roicodec.transcode import Listener

__all__ = ["Shown", "show_roi"]

_QUALITY = 40


@dataclass(slots=True)
class Shown:
    """Result of a view.

    Attributes:
        frames: how many.
        cells: of the grid.
        share: mean share of the cells that is ROI, 0..1.
        changed: cells that change from one frame to the next, in the mean.
    """

    frames: int = 0
    cells: int = 0
    share: float = 0.0
    changed: float = 0.0


def show_roi(
    source: str,
    target: str,
    specs: Sequence[str],
    *,
    replace: bool = False,
    share: float | None = None,
    level: float | None = None,
    candidates: Sequence[int] = (4, 8, 16),
    frames: slice | None = None,
    threads: int = 0,
    listener: Listener | None = None,
) -> Shown:
    """Video of :func:`roicodec.encoder.roi.overlay.draw`'s pictures.

    Args:
        source: path of a video, or ``-`` for standard input.
        target: path, as :class:`roicodec.media.Writer` takes it.
        replace: whether an existing file may be overwritten.
        specs, share, level: as :func:`roicodec.encoder.roi.sources.parse_roi` takes them.
        candidates: bit-widths to choose from.
        frames: part of the video.
        threads: for decoding and encoding; 0 lets FFmpeg choose.
        listener: receiver of progress and warnings.

    Raises:
        InputError: if the source, a ROI source or the target cannot be used.
    """
    listener = listener or Listener()
    with Reader(source, frames, threads) as reader:
        info = reader.info
        size = info.width, info.height
        shown = Shown(cells=int(np.prod(grid_shape(*size))))
        step = float(QUANTIZER_STEPS[_QUALITY])
        listener.start(reader.frame_count)
        with closing(parse_roi(specs, *size, share=share, level=level)) as roi:
            auto = roi if isinstance(roi, AutoRoi) else None
            fitted = fitted_selector(candidates)
            selector = SizedSelector(fitted, candidates) if is_given(roi) else fitted
            width, height = overlay_size(*size, with_map=auto is not None)
            shown_info = dataclasses.replace(info, width=width, height=height)
            out = Writer(target, shown_info, threads=threads, replace=replace)
            with out as writer:
                before: Picture | None = None
                last: Mask | None = None
                first = 0
                for index, picture in enumerate(reader):
                    first = picture.pts if before is None else first
                    time = float((picture.pts - first) * info.time_base)
                    mask = roi.mask(index, time, picture, before)
                    vectors = None
                    if before is not None:
                        vectors = search_pair(picture.y, before.y, step=step)
                    features = region_features(picture, vectors, mask)
                    b_roi, b_bg = selector.choose(features, mask, inter=vectors is not None)
                    changed = 0 if last is None else int(np.count_nonzero(mask != last))
                    text = (
                        f"frame {index}  ROI {mask.mean():.1%}  bits {b_roi}/{b_bg}"
                        f"  {changed} cells changed"
                    )
                    chances = None if auto is None else auto.chances
                    writer.write(draw(picture, mask, chances, text))
                    shown.frames += 1
                    shown.share += float(mask.mean())
                    shown.changed += changed
                    before, last = picture, mask
                    listener.frame(shown.frames)
        for message in (*reader.warnings, *out.warnings):
            listener.warn(message)
    shown.share /= max(shown.frames, 1)
    shown.changed /= max(shown.frames - 1, 1)
    return shown
