"""Which layers a frame runs, where and at how many bits: what the complexity counts start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from roicodec.bitstream.constants import CELL, PAD
from roicodec.bitstream.masks import Mask
from roicodec.decoder.complexity import LayerShape
from roicodec.decoder.weights import Arrays

__all__ = ["Box", "FrameShape", "box_around", "decoder_layers", "encoder_layers", "padded_grid"]

_SKELETON = 16
_DEPTHWISE = 8

_POSITIONS = 4
"""Of a cell, at 1/8 resolution."""

Box = tuple[slice, slice]
"""Rows and columns of positions."""

_DECODED = ("hyper_synthesis.2", "heads", "inject", "up", "context_out", "context_in")
"""Skeleton layers of a decoder that run on computed positions."""


@dataclass(frozen=True)
class FrameShape:
    """The regions of a frame, on the grid of the frame padded to multiples of 32.

    Attributes:
        roi, bg: 16x16 cells in either region.
        b_roi, b_bg: bit-widths; 0 is skip.
        skip_roi, skip_bg: cells of either region where the prediction stands.
        box_roi, box_bg: positions in the box around what is computed of either region
            (:func:`box_around`); None for those of the whole frame.
    """

    roi: int
    bg: int
    b_roi: int
    b_bg: int
    skip_roi: int = 0
    skip_bg: int = 0
    box_roi: int | None = None
    box_bg: int | None = None

    @classmethod
    def of(cls, mask: Mask, skip: Mask | None, b_roi: int, b_bg: int) -> Self:
        """The shape of a frame.

        Args:
            mask: ROI of the unpadded frame, bool ``[ceil(H/16), ceil(W/16)]``.
            skip: where the prediction stands, of the same shape; None for nowhere.
            b_roi, b_bg: bit-widths.
        """
        roi, skipped = padded_grid(mask, skip)
        count = (roi, ~roi, skipped & roi, skipped & ~roi)
        in_roi, in_bg, skip_roi, skip_bg = (int(m.sum()) for m in count)
        boxes = (_area(box_around(region & ~skipped)) for region in (roi, ~roi))
        return cls(in_roi, in_bg, b_roi, b_bg, skip_roi, skip_bg, *boxes)

    @property
    def parts(self) -> tuple[int, int]:
        """Cells that are computed in either region."""
        roi = self.roi - self.skip_roi if self.b_roi else 0
        return roi, self.bg - self.skip_bg if self.b_bg else 0


def box_around(cells: Mask) -> Box:
    """The smallest box that holds the positions of cells, and their neighbours in the frame.

    Args:
        cells: bool ``[h, w]``, of a frame of 2 h rows and 2 w columns of positions.
    """
    spans = []
    for axis, count in zip((1, 0), cells.shape, strict=True):
        found = np.flatnonzero(cells.any(axis))
        if not len(found):
            return slice(0, 0), slice(0, 0)
        first, last = int(found[0]), int(found[-1])
        spans.append(slice(max(2 * first - 1, 0), min(2 * last + 3, 2 * count)))
    return spans[0], spans[1]


def _area(box: Box) -> int:
    rows, columns = box
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def padded_grid(mask: Mask, skip: Mask | None) -> tuple[Mask, Mask]:
    """ROI and skip map on the padded frame's grid: beyond the frame no ROI, skip as at its edge."""
    beyond = [(0, -n % (PAD // CELL)) for n in mask.shape]
    nowhere = np.zeros_like(mask) if skip is None else skip
    return np.pad(mask, beyond), np.pad(nowhere, beyond, "edge")


def decoder_layers(arrays: Arrays, frame: FrameShape) -> Iterator[LayerShape]:
    """The layers that decoding a frame runs: hyper-synthesis, entropy model, context, synthesis."""
    yield _whole(arrays, "hyper_synthesis.0", frame, 1 / 4)
    yield _whole(arrays, "hyper_synthesis.1", frame, 1)
    for name in _names(arrays, "exponent"):
        if name.startswith(_DECODED):
            # A head gives a position the quarter of the channels that its step codes there.
            scale = 1 if name.startswith("heads") else _POSITIONS
            yield _skeleton(arrays, name, frame, scale)
    for block in _names(arrays, "mix_in.weight"):
        if not block.startswith("analysis"):
            yield from _block(arrays, block, frame)


def encoder_layers(arrays: Arrays, frame: FrameShape) -> Iterator[LayerShape]:
    """The layers that encoding a frame runs: the decoder's, and analysis and hyper-analysis."""
    yield from decoder_layers(arrays, frame)
    yield _skeleton(arrays, "down", frame)
    for name, scale in (("0", _POSITIONS), ("1", 1), ("2", 1 / 4)):
        yield _whole(arrays, f"hyper_analysis.{name}", frame, scale)
    for block in _names(arrays, "mix_in.weight"):
        if block.startswith("analysis"):
            yield from _block(arrays, block, frame)


def _names(arrays: Arrays, end: str) -> list[str]:
    """Names of the layers or blocks that have an array of this kind."""
    return sorted(name[: -len(end) - 1] for name in arrays if name.endswith(f".{end}"))


def _skeleton(arrays: Arrays, name: str, frame: FrameShape, scale: int = _POSITIONS) -> LayerShape:
    """A skeleton layer on ``scale`` positions of every computed cell."""
    c_out, c_in = arrays[f"{name}.weight"].shape
    roi, bg = (scale * n for n in frame.parts)
    bits = _SKELETON, _SKELETON
    return LayerShape(name, c_in, c_out, roi, bg, bits, bits)


def _whole(arrays: Arrays, name: str, frame: FrameShape, scale: float) -> LayerShape:
    """A skeleton layer on ``scale`` positions for every cell of the whole frame."""
    c_out, c_in = arrays[f"{name}.weight"].shape
    total = round((frame.roi + frame.bg) * scale)
    roi = round(total * frame.roi / (frame.roi + frame.bg))
    bits = _SKELETON, _SKELETON
    return LayerShape(name, c_in, c_out, roi, total - roi, bits, bits)


def _block(arrays: Arrays, block: str, frame: FrameShape) -> Iterator[LayerShape]:
    roi, bg = (_POSITIONS * n for n in frame.parts)
    bits = (frame.b_roi, frame.b_roi), (frame.b_bg, frame.b_bg)
    for part in ("mix_in", "mix_out", "expand", "project"):
        c_out, c_in = np.shape(arrays[f"{block}.{part}.weight"])
        yield LayerShape(f"{block}.{part}", c_in, c_out, roi, bg, *bits)
    # Each region's bit-width needs the layer's output once, and the layer runs on whole boxes.
    width = len(arrays[f"{block}.depthwise.bias"])
    everywhere = _POSITIONS * (frame.roi + frame.bg)
    in_roi, in_bg = (everywhere if n is None else n for n in (frame.box_roi, frame.box_bg))
    eight = _DEPTHWISE, _DEPTHWISE
    yield LayerShape(
        f"{block}.depthwise",
        *(width, width, in_roi * bool(roi), in_bg * bool(bg), eight, eight),
        kernel=3,
        groups=width,
    )
