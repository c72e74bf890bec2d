"""The integer networks on native kernels: numpy arrays throughout, torch is never imported."""

from __future__ import annotations

from functools import cache
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import (
    CODING_STEPS,
    INDEX_EXPONENT,
    LATENT_CHANNELS,
    LATENT_EXPONENT,
    MID_GRAY,
    SAMPLE_SHIFT,
)
from roicodec.decoder.architecture import Projection, QualityVectors, ResidualBlock
from roicodec.decoder.network import IntegerNetwork
from roicodec.decoder.regions import Layout, Qualities
from roicodec.decoder.weights import Arrays
from roicodec.kernels.integer import SKELETON, Pointwise, Quantize
from roicodec.kernels.matrix import Field, PackedBlock, PackedPointwise, run_block
from roicodec.kernels.rows import gather_rows, put_distribution

__all__ = ["NativeNetwork"]

Words = NDArray[np.int16]
Marks = NDArray[np.uint8]
Places = NDArray[np.int32]


class _Rows:
    """Indices of a layout for the native kernels.

    Attributes:
        order: raster position of each row, int32 ``[N]``.
        places: the same in a field.
        phases: for each phase its rows, and their places among the layout's positions.
        cells, positions: where the shuffled layers of hyper-synthesis run. ``cells``: for each
            computed cell, its row in the first layer's output, which has for each position at 1/32
            the four cells of its square one after another. ``positions``: for each of the layout's
            rows, its row in the second layer's output, which has the four positions of each
            computed cell.
    """

    def __init__(self, layout: Layout) -> None:
        self._shape = layout.height, layout.width
        self.order = layout.order.astype(np.int32)
        self.places = Field.places(layout.order, layout.width)
        self._fields: dict[int, Field] = {}
        self.phases = [
            (phase.rows.astype(np.int32), phase.places.astype(np.int32)) for phase in layout.phases
        ]
        width = layout.width
        cells = np.flatnonzero(layout.computed())
        row, column = np.divmod(cells, width // 2)
        first = 4 * ((row // 2) * (width // 4) + column // 2) + row % 2 * 2 + column % 2
        number = np.empty(layout.mask.size, np.int64)
        number[cells] = np.arange(len(cells))
        row, column = np.divmod(layout.order, width)
        second = 4 * number[row // 2 * (width // 2) + column // 2] + row % 2 * 2 + column % 2
        self.cells, self.positions = first.astype(np.int32), second.astype(np.int32)

    def field(self, channels: int) -> Field:
        """Zeros except at the layout's positions.

        Args:
            channels: number of channels.
        """
        step = Field.step(channels)
        if step not in self._fields:
            self._fields[step] = Field(*self._shape, channels)
        return self._fields[step]


class NativeNetwork(IntegerNetwork):
    """One network (intra or inter) on the native kernels, at the level that is in use.

    Args:
        arrays: as of :class:`~roicodec.decoder.network.IntegerNetwork`.
    """

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self._rows: WeakKeyDictionary[Layout, _Rows] = WeakKeyDictionary()

    # --- preparation ------------------------------------------------------------------------

    @cache  # noqa: B019 - one network lives as long as the process
    def _block(self, block: ResidualBlock, bits: int) -> PackedBlock:
        return PackedBlock.of(self.arrays.block(block, bits))

    def _quantizer(self, layer: Projection) -> Quantize | None:
        return self.arrays.quantizer(layer) if layer.source.grid == SKELETON else None

    @cache  # noqa: B019
    def _projection(self, layer: Projection) -> PackedPointwise:
        return PackedPointwise(self.arrays.projection(layer), self._quantizer(layer))

    @cache  # noqa: B019
    def _head(self, step: int, first: int) -> PackedPointwise:
        return PackedPointwise(
            self.head(step, first), self._quantizer(self.architecture.heads[step])
        )

    @cache  # noqa: B019
    def _by_position(self, layer: Projection) -> PackedPointwise:
        """A projection between strides whose channels are sorted by position in the 2x2 square.

        Each position of a square is a whole row then, and shuffling permutes rows.
        """
        own = self.arrays.projection(layer)
        weight, bias, shift = own.weight, own.bias, own.shift
        if layer.source.stride < layer.stride:
            weight = weight[:, _position_first(weight.shape[1])]
        else:
            order = _position_first(len(weight))
            weight, bias, shift = weight[order], bias[order], shift[order]
        moved = Pointwise(weight, bias, shift, own.source, own.target, name=own.name)
        return PackedPointwise(moved, self._quantizer(layer))

    def _of(self, layout: Layout) -> _Rows:
        found = self._rows.get(layout)
        if found is None:
            found = self._rows[layout] = _Rows(layout)
        return found

    def plan(self, layout: Layout) -> None:
        self._of(layout)

    # --- pieces -----------------------------------------------------------------------------

    def _run(
        self,
        block: ResidualBlock,
        rows: Words,
        layout: Layout,
        context: Words | None = None,
        active: Marks | None = None,
    ) -> Words:
        """One block, in place on rows of a residual stream."""
        own = self._of(layout)
        parts = [(self._block(block, band.bits), band.rows) for band in layout.bands]
        return run_block(parts, rows, own.places, own.field(rows.shape[1]), context, active)

    def _start(self, table: QualityVectors, layout: Layout, quality: Qualities) -> Words:
        """Rows of a residual stream that hold the vector of each part's quality."""
        rows = np.empty((len(layout.order), self.vector(table, 0).size), np.int16)
        for part in layout.parts:
            rows[part.rows] = self.vector(table, quality[part.level])
        return rows

    # --- the networks -----------------------------------------------------------------------

    def context(self, layout: Layout, prediction: Words, features: Words) -> Words:
        path = self.architecture.context
        assert path is not None
        order = self._of(layout).order
        rows = gather_rows(prediction, MID_GRAY, SAMPLE_SHIFT, features, order)
        return self._projection(path.out)(self._run(path.block, rows, layout))

    def context_values(self, layout: Layout, context: Words) -> Words:
        return layout.frame(context)

    def analyse(
        self, layout: Layout, residual: Words, quality: Qualities, context: Words | None
    ) -> Words:
        net = self.architecture
        empty = np.zeros((len(residual), net.analysis_quality.target.channels - residual.shape[1]))
        rows = gather_rows(
            residual, 0, SAMPLE_SHIFT, empty.astype(np.int16), self._of(layout).order
        )
        for part in layout.parts:
            vector = self.vector(net.analysis_quality, quality[part.level])
            rows[part.rows] += vector.astype(np.int16)
        for block in net.analysis:
            rows = self._run(block, rows, layout, context)
        return layout.frame(self._projection(net.down)(rows))

    def hyper_analyse(self, layout: Layout, latents: Words) -> NDArray[np.float32]:
        height, width = layout.height, layout.width
        first, second, third = self.architecture.hyper_analysis
        z = self._projection(first)(latents)
        z = self._by_position(second)(_squares(z, height, width))
        z = self._by_position(third)(_squares(z, height // 2, width // 2))
        return z.astype(np.float32) * np.float32(2.0**LATENT_EXPONENT)

    def entropy_start(
        self,
        layout: Layout,
        hyper: NDArray[np.int32],
        quality: Qualities,
        base_quality: int,
        context: Words | None,
    ) -> Words:
        net, own = self.architecture, self._of(layout)
        first, second, third = net.hyper_synthesis
        h = self._by_position(first)(self.hyper_values(hyper, base_quality))
        h = self._by_position(second)(h.reshape(4 * len(h), -1), own.cells)
        state = self._start(net.entropy_quality, layout, quality)
        self._projection(third).accumulate(state, h.reshape(4 * len(h), -1), own.positions)
        if context is not None and net.context is not None:
            self._projection(net.context.into).accumulate(state, context)
        return self._run(net.entropy[0], state, layout)

    def entropy_next(self, layout: Layout, state: Words, step: int, decoded: Words) -> Words:
        inject = self._projection(self.architecture.inject[step - 1])
        inject.accumulate(state, decoded, self._of(layout).order)
        return self._run(self.architecture.entropy[step], state, layout)

    def distribution(
        self, layout: Layout, state: Words, step: int, quality: Qualities
    ) -> tuple[Words, NDArray[np.int32]]:
        shape = len(state), LATENT_CHANNELS // CODING_STEPS
        mean, index = np.empty(shape, np.int16), np.empty(shape, np.int32)
        table = self.architecture.index_quality
        phases = zip(self._of(layout).phases, layout.phases, strict=True)
        for number, ((rows, places), phase) in enumerate(phases):
            first = (step - number) % CODING_STEPS
            values = self._head(step, first)(state, rows)
            for level, own in phase.parts:
                vector = self.vector(table, quality[level])[first::CODING_STEPS]
                put_distribution(values[own], vector, -INDEX_EXPONENT, places[own], mean, index)
        return mean, index

    def synthesise(
        self,
        layout: Layout,
        latents: Words,
        quality: Qualities,
        context: Words | None,
        active: list[Marks] | None = None,
    ) -> Words:
        net = self.architecture
        rows = self._start(net.synthesis_quality, layout, quality)
        self._projection(net.up).accumulate(rows, latents, self._of(layout).order)
        for block in net.synthesis:
            own = None
            if active is not None:
                own = np.empty((len(rows), block.marks // 8), np.uint8)
                active.append(own)
            rows = self._run(block, rows, layout, context, own)
        return rows


def _position_first(count: int) -> NDArray[np.int64]:
    """Permutation of the channels of 2x2 squares from channel-major to position-major."""
    return np.arange(count).reshape(-1, 4).T.ravel()


def _squares(frame: Words, height: int, width: int) -> Words:
    """Raster ``[height * width, C]`` to ``[height / 2 * width / 2, 4 * C]``, the four positions of
    each square one after another."""
    squares = frame.reshape(height // 2, 2, width // 2, 2, -1).swapaxes(1, 2)
    return np.ascontiguousarray(squares).reshape(height * width // 4, -1)
