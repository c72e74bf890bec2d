"""Layers that a frame runs, with positions and bit-widths, for the complexity counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np

from roicodec.bitstream.constants import CELL, PAD
from roicodec.bitstream.masks import Mask
from roicodec.decoder.architecture import Projection, ResidualBlock, architecture_of
from roicodec.decoder.complexity import LayerShape
from roicodec.decoder.weights import Arrays

__all__ = ["Box", "FrameShape", "box_around", "decoder_layers", "encoder_layers", "padded_grid"]

_PROJECTION_BITS = 16
_DEPTHWISE_BITS = 8
"""Bit-widths of weights and activations where they do not follow the region's."""

Box = tuple[slice, slice]
"""Rows and columns of positions."""


@dataclass(frozen=True)
class FrameShape:
    """Sizes of the regions of a frame, padded to multiples of 32 luma samples.

    Attributes:
        roi, bg: number of 16x16 cells in each region.
        b_roi, b_bg: bit-widths; 0 is skip.
        skip_roi, skip_bg: number of skipped cells in each region.
        box_roi, box_bg: number of positions in the box around the computed ones of each region
            (:func:`box_around`); None for the whole frame.
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
            skip: skipped cells, of the same shape; None for none.
            b_roi, b_bg: bit-widths.
        """
        roi, skipped = padded_grid(mask, skip)
        count = (roi, ~roi, skipped & roi, skipped & ~roi)
        in_roi, in_bg, skip_roi, skip_bg = (int(m.sum()) for m in count)
        boxes = (_area(box_around(region & ~skipped)) for region in (roi, ~roi))
        return cls(in_roi, in_bg, b_roi, b_bg, skip_roi, skip_bg, *boxes)

    @property
    def parts(self) -> tuple[int, int]:
        """Number of computed cells in each region."""
        roi = self.roi - self.skip_roi if self.b_roi else 0
        return roi, self.bg - self.skip_bg if self.b_bg else 0


def box_around(cells: Mask) -> Box:
    """Smallest box that holds the positions of cells and their neighbours in the frame.

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
    """ROI and skip map on the padded frame's grid, bool ``[h, w]``.

    Beyond the frame there is no ROI, and cells are skipped as at its edge.

    Args:
        mask: ROI of the unpadded frame.
        skip: skipped cells, of the same shape; None for none.
    """
    beyond = [(0, -n % (PAD // CELL)) for n in mask.shape]
    nowhere = np.zeros_like(mask) if skip is None else skip
    return np.pad(mask, beyond), np.pad(nowhere, beyond, "edge")


def decoder_layers(arrays: Arrays, frame: FrameShape) -> Iterator[LayerShape]:
    """The layers that decoding a frame runs: hyper-synthesis, entropy model, context, synthesis.

    Args:
        arrays: arrays of the network.
        frame: regions and bit-widths.
    """
    return _layers(arrays, frame, encoder=False)


def encoder_layers(arrays: Arrays, frame: FrameShape) -> Iterator[LayerShape]:
    """The layers that encoding a frame runs: the decoder's, and analysis and hyper-analysis.

    Args:
        arrays: arrays of the network.
        frame: regions and bit-widths.
    """
    return _layers(arrays, frame, encoder=True)


def _layers(arrays: Arrays, frame: FrameShape, *, encoder: bool) -> Iterator[LayerShape]:
    architecture = architecture_of(arrays)
    for projection in architecture.projections:
        if encoder or not projection.encoder:
            yield _projection(projection, frame)
    for block in architecture.blocks:
        if encoder or not block.encoder:
            yield from _block(arrays, block, frame)


def _projection(layer: Projection, frame: FrameShape) -> LayerShape:
    positions = Fraction(CELL**2, layer.stride**2)  # of a cell
    if layer.whole_frame:
        cells = frame.roi + frame.bg
        total = round(cells * positions)
        roi = round(Fraction(total * frame.roi, cells))
        bg = total - roi
    else:
        roi, bg = (int(n * positions / layer.share) for n in frame.parts)
    bits = _PROJECTION_BITS, _PROJECTION_BITS
    return LayerShape(layer.name, layer.inputs, layer.outputs, roi, bg, bits, bits)


def _block(arrays: Arrays, block: ResidualBlock, frame: FrameShape) -> Iterator[LayerShape]:
    positions = CELL**2 // block.stream.stride**2
    roi, bg = (positions * n for n in frame.parts)
    bits = (frame.b_roi, frame.b_roi), (frame.b_bg, frame.b_bg)
    for name in block.projections:
        c_out, c_in = np.shape(arrays[f"{name}.weight"])
        yield LayerShape(name, c_in, c_out, roi, bg, *bits)
    # Each region's bit-width needs the layer's output once, and the layer runs on whole boxes.
    width = len(arrays[f"{block.depthwise}.bias"])
    everywhere = positions * (frame.roi + frame.bg)
    in_roi, in_bg = (everywhere if n is None else n for n in (frame.box_roi, frame.box_bg))
    depthwise = _DEPTHWISE_BITS, _DEPTHWISE_BITS
    yield LayerShape(
        block.depthwise,
        *(width, width, in_roi * bool(roi), in_bg * bool(bg), depthwise, depthwise),
        kernel=3,
        groups=width,
    )
