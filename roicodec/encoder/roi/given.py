"""ROI of a library's caller: text, arrays, functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.bitstream.masks import Mask, cells_of, grid_shape
from roicodec.encoder.roi.sources import RoiSource, UnionRoi, parse_roi
from roicodec.errors import InputError
from roicodec.picture import Picture

__all__ = ["Roi", "roi_list", "roi_source"]

MaskFunction = Callable[[Picture], ArrayLike]

Roi = str | PathLike[str] | NDArray[np.generic] | MaskFunction
"""A region of interest: ``auto``, ``none``, a rectangle or a file as :func:`~roicodec.encoder.roi.\
sources.parse_roi` takes them; a mask for all frames, or one a frame; or a function that gives the
mask of a picture. A mask is an array ``[H, W]`` of luma samples or ``[ceil(H/16), ceil(W/16)]`` of
cells; what is not 0 is ROI."""


def _cells(mask: ArrayLike, width: int, height: int, what: str) -> Mask:
    """A mask on the 16x16 grid.

    Raises:
        InputError: if its shape is neither the picture's nor the grid's.
    """
    array = np.asarray(mask)
    samples = array != 0
    if array.shape == (height, width):
        return cells_of(samples)
    grid = grid_shape(width, height)
    if array.shape == grid:
        return np.ascontiguousarray(samples)
    raise InputError(
        f"{what} gave a mask of shape {list(array.shape)}; it must be [{height}, {width}]"
        f" (samples) or [{grid[0]}, {grid[1]}] (16x16 cells)",
        parameter="roi",
    )


class _FunctionRoi:
    """Mask of every frame from a function.

    Args:
        function: gets a picture, gives its mask (see :data:`Roi`).
        width, height: size of the pictures.
    """

    def __init__(self, function: MaskFunction, width: int, height: int) -> None:
        self._function, self._size = function, (width, height)

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        made = self._function(picture)
        try:
            return _cells(made, *self._size, "the ROI function")
        except InputError as error:
            raise error.at(frame=index) from None

    def close(self) -> None:
        pass


class _StillRoi:
    """Masks from an array: one for all frames, or one a frame.

    Args:
        masks: see :data:`Roi`; ``[T, …]`` for one a frame.
        width, height: size of the pictures.

    Raises:
        InputError: if the shape of a mask does not fit.
    """

    def __init__(self, masks: NDArray[np.generic], width: int, height: int) -> None:
        if masks.ndim not in (2, 3) or not len(masks):
            raise InputError(
                f"a ROI array has shape {list(masks.shape)}; it must be one mask or [T, …] masks",
                parameter="roi",
            )
        self._still = masks.ndim == 2
        frames = masks[None] if self._still else masks
        self._masks = [_cells(mask, width, height, "the ROI array") for mask in frames]

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        if self._still:
            return self._masks[0]
        if index >= len(self._masks):
            raise InputError(
                f"the ROI array has {len(self._masks)} masks, the video more frames",
                parameter="roi",
            ).at(frame=index)
        return self._masks[index]

    def close(self) -> None:
        pass


def roi_list(roi: Roi | Sequence[Roi] | None) -> list[Roi]:
    """One or several regions of interest, or none, as a list."""
    several = isinstance(roi, Sequence) and not isinstance(roi, str)
    return list(roi) if several else [] if roi is None else [roi]  # type: ignore[arg-type, list-item]


def roi_source(
    roi: Roi | Sequence[Roi] | None,
    width: int,
    height: int,
    *,
    share: float | None = None,
    level: float | None = None,
) -> RoiSource:
    """The source of one or several regions of interest; the union of several counts.

    Args:
        roi: see :data:`Roi`; None for none.
        width, height: size of the pictures.
        share, level: for ``auto``, as :func:`~roicodec.encoder.roi.sources.parse_roi` takes them.

    Raises:
        InputError: if one of them cannot be used.
    """
    given = roi_list(roi)
    texts = [fspath(r) for r in given if isinstance(r, str | PathLike)]
    sources: list[RoiSource] = []
    if texts or not given:
        sources.append(parse_roi(texts, width, height, share=share, level=level))
    for one in given:
        if isinstance(one, np.ndarray):
            sources.append(_StillRoi(one, width, height))
        elif callable(one):
            sources.append(_FunctionRoi(one, width, height))
    return sources[0] if len(sources) == 1 else UnionRoi(sources)
