"""The integer networks on a torch backend; arguments and results are numpy arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import (
    CODING_STEPS,
    FEATURE_CHANNELS,
    INDEX_EXPONENT,
    LATENT_CHANNELS,
    LATENT_EXPONENT,
    MID_GRAY,
    SAMPLE_SHIFT,
)
from roicodec.decoder.architecture import Projection, QualityVectors, ResidualBlock
from roicodec.decoder.layers import BlockLayers
from roicodec.decoder.network import IntegerNetwork
from roicodec.decoder.regions import Layout, Qualities
from roicodec.decoder.shapes import Box
from roicodec.decoder.weights import Arrays
from roicodec.kernels.back_projection import marks
from roicodec.kernels.integer import SKELETON
from roicodec.kernels.interface import Backend, PointwiseOp, TensorOp

__all__ = ["BackendNetwork"]

Words = NDArray[np.int16]
Marks = NDArray[np.uint8]


class _Block:
    """A block at one bit-width, prepared by a backend."""

    def __init__(self, layers: BlockLayers, backend: Backend) -> None:
        self.quantize_first = backend.quantize(layers.quantize_first)
        self.mix_in = backend.pointwise(layers.mix_in)
        self.depthwise = backend.depthwise(layers.depthwise)
        self.mix_out = backend.pointwise(layers.mix_out)
        self.quantize_second = backend.quantize(layers.quantize_second)
        self.expand = backend.pointwise(layers.expand)
        self.project = backend.pointwise(layers.project)


class _Projection:
    """A 16-bit layer from a signed feature map, with its quantizer."""

    def __init__(self, quantize: TensorOp, op: PointwiseOp) -> None:
        self.quantize, self.op = quantize, op

    def __call__(self, stream: Tensor) -> Tensor:
        return self.op(self.quantize(stream))

    def accumulate(self, onto: Tensor, stream: Tensor) -> Tensor:
        return self.op.accumulate(onto, self.quantize(stream))


class _Places:
    """Indices of a layout on the device of a backend."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self._whole = layout.whole
        self.order = torch.from_numpy(layout.order).to(device)
        row, column = np.divmod(layout.order, layout.width)
        spans = [
            [_span(axis[part.rows], size) for part in layout.bands]
            for axis, size in ((row, layout.height), (column, layout.width))
        ]
        self._field = tuple(
            slice(min(s.start for s in own), max(s.stop for s in own)) for own in spans
        )
        top, left = (span.start for span in self._field)
        self._boxes: list[Box] = []
        self._inside: list[Tensor] = []
        self._placed: list[Tensor] = []
        for part, rows, columns in zip(layout.bands, *spans, strict=True):
            y, x = row[part.rows], column[part.rows]
            self._boxes.append(
                (
                    slice(rows.start - top, rows.stop - top),
                    slice(columns.start - left, columns.stop - left),
                )
            )
            for box, found in (((rows, columns), self._inside), (self._field, self._placed)):
                width = box[1].stop - box[1].start
                raster = (y - box[0].start) * width + x - box[1].start
                found.append(torch.from_numpy(raster).to(device))

    def field(self, rows: list[Tensor]) -> Tensor:
        """Smallest box with all parts and their neighbours, ``[h, w, C]``; zeros between them.

        Args:
            rows: rows of each part, ``[N, C]``.
        """
        height, width = (span.stop - span.start for span in self._field)
        if self._whole:
            return rows[0].view(height, width, -1)
        return _filled(rows, self._placed, height * width).view(height, width, -1)

    def around(self, field: Tensor, part: int) -> Tensor:
        """Box of a field with a part and its neighbours, contiguous."""
        return field[self._boxes[part]].contiguous()

    def inside(self, box: Tensor, part: int) -> Tensor:
        """Rows of a part from its box."""
        rows = box.reshape(-1, box.shape[-1])
        return rows if self._whole else rows.index_select(0, self._inside[part])

    def rows(self, frame: Tensor) -> Tensor:
        """Rows from raster order; the frame itself where these are all positions."""
        return frame if self._whole else frame.index_select(0, self.order)


class BackendNetwork(IntegerNetwork):
    """One network (intra or inter) on a backend.

    Args:
        arrays: as of :class:`~roicodec.decoder.network.IntegerNetwork`.
        backend: prepared layers run on it.
    """

    def __init__(self, arrays: Arrays, backend: Backend) -> None:
        super().__init__(arrays)
        self.backend = backend
        self._blocks: Callable[[ResidualBlock, int], _Block] = cache(self._prepare)
        self._places: WeakKeyDictionary[Layout, _Places] = WeakKeyDictionary()

    # --- preparation ------------------------------------------------------------------------

    def _prepare(self, block: ResidualBlock, bits: int) -> _Block:
        return _Block(self.arrays.block(block, bits), self.backend)

    @cache  # noqa: B019 - one network lives as long as the process
    def _projection(self, layer: Projection) -> _Projection:
        quantize = self.backend.quantize(self.arrays.quantizer(layer))
        return _Projection(quantize, self._pointwise(layer))

    @cache  # noqa: B019
    def _pointwise(self, layer: Projection) -> PointwiseOp:
        return self.backend.pointwise(self.arrays.projection(layer))

    @cache  # noqa: B019
    def _head(self, step: int, first: int) -> _Projection:
        quantize = self.backend.quantize(self.arrays.quantizer(self.architecture.heads[step]))
        return _Projection(quantize, self.backend.pointwise(self.head(step, first)))

    def _of(self, layout: Layout) -> _Places:
        found = self._places.get(layout)
        if found is None:
            found = self._places[layout] = _Places(layout, self.backend.device)
        return found

    # --- pieces -----------------------------------------------------------------------------

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.backend.device)

    def _array(self, stream: Tensor) -> Words:
        """The integers of a residual stream."""
        return np.asarray(self.backend.values(stream).numpy(force=True))

    def _run(
        self,
        block: ResidualBlock,
        rows: Tensor,
        layout: Layout,
        context: Tensor | None = None,
        active: list[Marks] | None = None,
    ) -> Tensor:
        """One block, in place on rows of a residual stream."""
        places = self._of(layout)
        parts = [(band, self._blocks(block, band.bits)) for band in layout.bands]
        hidden = []
        for part, layers in parts:
            x = rows[part.rows]
            if context is not None:
                x = torch.cat((x, context[part.rows]), 1)
            hidden.append(layers.mix_in(layers.quantize_first(x)))
        field = places.field(hidden)
        opened = []
        for number, (part, layers) in enumerate(parts):
            spatial = places.inside(layers.depthwise(places.around(field, number)), number)
            x = layers.mix_out.accumulate(rows[part.rows], spatial)
            inside = layers.expand(layers.quantize_second(x))
            layers.project.accumulate(x, inside)
            if active is not None:
                codes = hidden[number], spatial, inside
                opened.append(marks(*((c != 0).numpy(force=True) for c in codes)))
        if active is not None:
            active.append(np.concatenate(opened))
        return rows

    def _start(self, table: QualityVectors, layout: Layout, quality: Qualities) -> Tensor:
        """Rows of a residual stream that hold the vector of each part's quality."""
        rows = []
        for part in layout.parts:
            vector = self.backend.skeleton(self._tensor(self.vector(table, quality[part.level])))
            rows.append(vector.expand(part.rows.stop - part.rows.start, -1))
        return torch.cat(rows)

    @staticmethod
    def _unshuffled(frame: Tensor, height: int, width: int) -> Tensor:
        """Raster ``[height * width, C]`` to ``[height / 2 * width / 2, C * 4]``, unshuffled."""
        c = frame.shape[1]
        blocks = frame.view(height // 2, 2, width // 2, 2, c).permute(0, 2, 4, 1, 3)
        return blocks.reshape(height * width // 4, 4 * c)

    @staticmethod
    def _shuffled(frame: Tensor, height: int, width: int) -> Tensor:
        """Raster ``[height * width, 4 * C]`` to ``[4 * height * width, C]``, shuffled."""
        c = frame.shape[1] // 4
        blocks = frame.view(height, width, c, 2, 2).permute(0, 3, 1, 4, 2)
        return blocks.reshape(4 * height * width, c)

    def _hidden(self, layer: Projection, values: Tensor) -> Tensor:
        """A projection from integers after a ReLU to integers of its target."""
        codes = self._pointwise(layer)(self.backend.codes(values, layer.source.grid))
        if layer.target.grid == SKELETON:
            return self.backend.values(codes)
        return self.backend.integers(codes, layer.target.grid)

    # --- the networks -----------------------------------------------------------------------

    @torch.inference_mode()
    def context(self, layout: Layout, prediction: Words, features: Words) -> Tensor:
        path = self.architecture.context
        assert path is not None
        centred = (self._tensor(prediction).to(torch.int16) - MID_GRAY) << SAMPLE_SHIFT
        values = self._of(layout).rows(torch.cat((centred, self._tensor(features)), 1))
        rows = self._run(path.block, self.backend.skeleton(values), layout)
        return self._projection(path.out)(rows)

    def context_values(self, layout: Layout, context: Tensor) -> Words:
        return layout.frame(self._array(context))

    @torch.inference_mode()
    def analyse(
        self, layout: Layout, residual: Words, quality: Qualities, context: Tensor | None
    ) -> Words:
        net = self.architecture
        values = self._tensor(residual).int() << SAMPLE_SHIFT
        values = self._of(layout).rows(torch.nn.functional.pad(values, (0, FEATURE_CHANNELS)))
        for part in layout.parts:
            vector = self.vector(net.analysis_quality, quality[part.level])
            values[part.rows] += self._tensor(vector)
        rows = self.backend.skeleton(values)
        for block in net.analysis:
            rows = self._run(block, rows, layout, context)
        return layout.frame(self._array(self._projection(net.down)(rows)))

    @torch.inference_mode()
    def hyper_analyse(self, layout: Layout, latents: Words) -> NDArray[np.float32]:
        height, width = layout.height, layout.width
        first, second, third = self.architecture.hyper_analysis
        z = self._projection(first)(self.backend.skeleton(self._tensor(latents)))
        z = self.backend.integers(z, first.target.grid)
        z = self._hidden(second, self._unshuffled(z, height, width))
        z = self._hidden(third, self._unshuffled(z, height // 2, width // 2))
        return np.asarray((z.float() * 2.0**LATENT_EXPONENT).numpy(force=True))

    @torch.inference_mode()
    def entropy_start(
        self,
        layout: Layout,
        hyper: NDArray[np.int32],
        quality: Qualities,
        base_quality: int,
        context: Tensor | None,
    ) -> Tensor:
        net = self.architecture
        first, second, third = net.hyper_synthesis
        height, width = layout.height, layout.width
        rows = self.backend.skeleton(self._tensor(self.hyper_values(hyper, base_quality)))
        h = self.backend.integers(self._projection(first)(rows), first.target.grid)
        h = self._hidden(second, self._shuffled(h, height // 4, width // 4))
        h = self.backend.codes(self._shuffled(h, height // 2, width // 2), third.source.grid)
        state = self._start(net.entropy_quality, layout, quality)
        self._pointwise(third).accumulate(state, self._of(layout).rows(h))
        if context is not None and net.context is not None:
            self._projection(net.context.into).accumulate(state, context)
        return self._run(net.entropy[0], state, layout)

    @torch.inference_mode()
    def entropy_next(self, layout: Layout, state: Tensor, step: int, decoded: Words) -> Tensor:
        inject = self._projection(self.architecture.inject[step - 1])
        values = self._of(layout).rows(self._tensor(decoded))
        inject.accumulate(state, self.backend.skeleton(values))
        return self._run(self.architecture.entropy[step], state, layout)

    @torch.inference_mode()
    def distribution(
        self, layout: Layout, state: Tensor, step: int, quality: Qualities
    ) -> tuple[Words, NDArray[np.int32]]:
        table = self.architecture.index_quality
        shape = len(state), LATENT_CHANNELS // CODING_STEPS
        mean, index = np.empty(shape, np.int16), np.empty(shape, np.int32)
        for number, phase in enumerate(layout.phases):
            first = (step - number) % CODING_STEPS
            rows = state.index_select(0, self._tensor(phase.rows))
            values = self._array(self._head(step, first)(rows))
            mean[phase.places] = values[:, : shape[1]]
            named = values[:, shape[1] :].astype(np.int32)
            for level, own in phase.parts:
                named[own] += self.vector(table, quality[level])[first::CODING_STEPS]
            index[phase.places] = named
        half = 1 << (-INDEX_EXPONENT - 1)
        return mean, (index + half) >> -INDEX_EXPONENT

    @torch.inference_mode()
    def synthesise(
        self,
        layout: Layout,
        latents: Words,
        quality: Qualities,
        context: Tensor | None,
        active: list[Marks] | None = None,
    ) -> Words:
        net = self.architecture
        rows = self._start(net.synthesis_quality, layout, quality)
        values = self._of(layout).rows(self._tensor(latents))
        self._projection(net.up).accumulate(rows, self.backend.skeleton(values))
        for block in net.synthesis:
            rows = self._run(block, rows, layout, context, active)
        return self._array(rows)


def _span(places: NDArray[np.int64], size: int) -> slice:
    """Range from the first of some rows or columns to the last, with neighbours in the frame."""
    return slice(max(int(places.min()) - 1, 0), min(int(places.max()) + 2, size))


def _filled(rows: list[Tensor], places: list[Tensor], count: int) -> Tensor:
    """Rows ``[N, C]`` at their places among zeros, ``[count, C]``."""
    first = rows[0]
    shape = count, first.shape[1]
    full = sum(map(len, rows)) == count
    out = first.new_empty(shape) if full else first.new_zeros(shape)
    # Copying a row of bytes is many times faster as a row of wide words.
    wide = shape[1] * first.element_size() % 8 == 0
    to = out.view(torch.int64) if wide else out
    for some, place in zip(rows, places, strict=True):
        to.index_copy_(0, place, some.contiguous().view(torch.int64) if wide else some)
    return out
