"""The integer networks: the same results on every machine.

Rows are positions, columns channels. Latents, means and table indices leave this module as int16
and int32 tensors in raster order; no float is ever rounded on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import (
    CODING_STEPS,
    FEATURE_CHANNELS,
    INDEX_EXPONENT,
    LATENT_EXPONENT,
    PIXEL_CHANNELS,
    SAMPLE_SHIFT,
    STEP_EXPONENT,
)
from roicodec.decoder.architecture import Projection, QualityVectors, ResidualBlock
from roicodec.decoder.layers import BlockLayers, NetworkArrays
from roicodec.decoder.regions import Layout, RegionQuality
from roicodec.decoder.weights import Arrays
from roicodec.kernels.integer import SKELETON
from roicodec.kernels.interface import Backend, PointwiseOp, TensorOp

__all__ = ["EntropyState", "IntegerNetwork", "Synthesis"]

_SYMBOL_SHIFT = LATENT_EXPONENT - STEP_EXPONENT


@dataclass(frozen=True)
class Synthesis:
    """Output of the synthesis network.

    Attributes:
        residual: to be added to the prediction (or to mid-gray), packed, in 2**-4 sample values,
            int16 ``[(H/8) (W/8), 96]``.
        features: for the next frame's context, int16 ``[(H/8) (W/8), 32]``.
    """

    residual: Tensor
    features: Tensor


EntropyState = Tensor
"""Residual stream of the entropy network between coding steps, rows of computed positions."""


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


class IntegerNetwork:
    """One network (intra or inter) on a backend.

    Args:
        arrays: integer arrays of the network (:func:`roicodec.networks.export.export_network`).
        backend: prepared layers run on it.
    """

    def __init__(self, arrays: Arrays, backend: Backend) -> None:
        self.arrays = NetworkArrays(arrays)
        self.architecture = self.arrays.architecture
        self.backend = backend
        self.step: NDArray[np.int32] = self.arrays.ints("step").astype(np.int32)
        self.hyper_step: NDArray[np.int32] = self.arrays.ints("hyper_step").astype(np.int32)
        self.latents = self.step.shape[1]
        self._blocks: Callable[[ResidualBlock, int], _Block] = cache(self._prepare)
        self._vectors = {
            table: torch.from_numpy(self.arrays.ints(table.name)).to(backend.device)
            for table in self.architecture.quality_vectors
        }

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
        """The head of a step, for every fourth channel from ``first``."""
        head = self.architecture.heads[step]
        layer = self.arrays.projection(head)
        own = np.r_[first : self.latents : CODING_STEPS]
        own = np.concatenate((own, own + self.latents))
        part = replace(
            layer, weight=layer.weight[own], bias=layer.bias[own], shift=layer.shift[own]
        )
        quantize = self.backend.quantize(self.arrays.quantizer(head))
        return _Projection(quantize, self.backend.pointwise(part))

    # --- pieces -----------------------------------------------------------------------------

    def _run(
        self, block: ResidualBlock, rows: Tensor, layout: Layout, context: Tensor | None = None
    ) -> Tensor:
        """One block, in place on rows of a residual stream."""
        parts = [(part, self._blocks(block, part.bits)) for part in layout.parts]
        hidden = []
        for part, layers in parts:
            x = rows[part.rows]
            if context is not None:
                x = torch.cat((x, context[part.rows]), 1)
            hidden.append(layers.mix_in(layers.quantize_first(x)))
        field = layout.field(hidden)
        for part, layers in parts:
            spatial = layers.depthwise(layout.around(field, part))
            x = layers.mix_out.accumulate(rows[part.rows], layout.inside(spatial, part))
            layers.project.accumulate(x, layers.expand(layers.quantize_second(x)))
        return rows

    def _vector(self, table: QualityVectors, quality: int | list[int]) -> Tensor:
        return self._vectors[table][quality]

    def _start(self, table: QualityVectors, layout: Layout, quality: RegionQuality) -> Tensor:
        """Rows of a residual stream that hold the vector of each part's quality."""
        rows = []
        for part in layout.parts:
            vector = self.backend.skeleton(self._vector(table, quality.of(part.roi)))
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

    # --- the networks -----------------------------------------------------------------------

    def context(self, layout: Layout, prediction: Tensor, features: Tensor) -> Tensor:
        """Context of an inter frame, rows of computed positions ``[N, 64]``.

        Args:
            layout: regions of the frame.
            prediction: packed samples minus 128, integers ``[(H/8) (W/8), 96]``.
            features: int16 ``[(H/8) (W/8), 32]``, motion-compensated.
        """
        path = self.architecture.context
        assert path is not None
        values = torch.cat((prediction.to(torch.int16) << SAMPLE_SHIFT, features), 1)
        rows = self._run(path.block, self.backend.skeleton(layout.rows(values)), layout)
        return self._projection(path.out)(rows)

    def analyse(
        self,
        layout: Layout,
        residual: Tensor,
        quality: RegionQuality,
        context: Tensor | None,
    ) -> Tensor:
        """Latents before quantization, int16 ``[(H/8) (W/8), 96]``; encoder only.

        Args:
            layout: regions of the frame.
            residual: packed samples minus their prediction (or 128), ``[(H/8) (W/8), 96]``.
            quality: indices of the regions.
            context: of :meth:`context`.
        """
        net = self.architecture
        values = torch.nn.functional.pad(residual.int() << SAMPLE_SHIFT, (0, FEATURE_CHANNELS))
        values = layout.rows(values)
        for part in layout.parts:
            values[part.rows] += self._vector(net.analysis_quality, quality.of(part.roi))
        rows = self.backend.skeleton(values)
        for block in net.analysis:
            rows = self._run(block, rows, layout, context)
        return layout.frame(self.backend.values(self._projection(net.down)(rows)))

    def hyper_analyse(self, layout: Layout, latents: Tensor) -> Tensor:
        """Hyper-latents before quantization, in units, float ``[(H/32) (W/32), 32]``."""
        height, width = layout.height, layout.width
        first, second, third = self.architecture.hyper_analysis
        z = self._projection(first)(self.backend.skeleton(latents))
        z = self.backend.integers(z, first.target.grid)
        z = self._hidden(second, self._unshuffled(z, height, width))
        z = self._hidden(third, self._unshuffled(z, height // 2, width // 2))
        return z.float() * 2.0**LATENT_EXPONENT

    def _hidden(self, layer: Projection, values: Tensor) -> Tensor:
        """A projection from integers after a ReLU to integers of its target."""
        codes = self._pointwise(layer)(self.backend.codes(values, layer.source.grid))
        if layer.target.grid == SKELETON:
            return self.backend.values(codes)
        return self.backend.integers(codes, layer.target.grid)

    def entropy_start(
        self,
        layout: Layout,
        hyper: NDArray[np.int32],
        quality: RegionQuality,
        base_quality: int,
        context: Tensor | None,
    ) -> EntropyState:
        """Everything that is known before the first latent.

        Args:
            layout: regions of the frame.
            hyper: hyper-latents, ``[(H/32) (W/32), 32]``.
            quality: indices of the regions.
            base_quality: the frame's index, at which hyper-latents are quantized.
            context: of :meth:`context`, for inter frames.
        """
        net = self.architecture
        first, second, third = net.hyper_synthesis
        height, width = layout.height, layout.width
        z = np.clip(hyper.astype(np.int64) * self.hyper_step[base_quality], -32768, 32767)
        z = z.astype(np.int32)
        rows = self.backend.skeleton(torch.from_numpy(z).to(self.backend.device))
        h = self.backend.integers(self._projection(first)(rows), first.target.grid)
        h = self._hidden(second, self._shuffled(h, height // 4, width // 4))
        h = self.backend.codes(self._shuffled(h, height // 2, width // 2), third.source.grid)
        state = self._start(net.entropy_quality, layout, quality)
        self._pointwise(third).accumulate(state, layout.rows(h))
        if context is not None and net.context is not None:
            self._projection(net.context.into).accumulate(state, context)
        return self._run(net.entropy[0], state, layout)

    def entropy_next(
        self, layout: Layout, state: EntropyState, step: int, decoded: Tensor
    ) -> EntropyState:
        """Take in the latents of all steps before this one.

        Args:
            layout: regions of the frame.
            state: of the step before.
            step: 1, 2, …
            decoded: latents, int16 ``[(H/8) (W/8), 96]``, 0 where they are not known.
        """
        inject = self._projection(self.architecture.inject[step - 1])
        inject.accumulate(state, self.backend.skeleton(layout.rows(decoded)))
        return self._run(self.architecture.entropy[step], state, layout)

    def distribution(
        self, layout: Layout, state: EntropyState, step: int, quality: RegionQuality
    ) -> tuple[Tensor, Tensor]:
        """Means (int16) and table indices (int32) of the latents that a step codes.

        Each ``[N, 24]``, of the layout's positions: those channels of a position that are its own
        in this step, ascending.
        """
        table = self.architecture.index_quality
        rows = layout.phased(state)
        shape = len(rows), self.latents // CODING_STEPS
        mean = torch.empty(shape, dtype=torch.int16, device=rows.device)
        index = torch.empty(shape, dtype=torch.int32, device=rows.device)
        for phase, spans in enumerate(layout.phases):
            first = (step - phase) % CODING_STEPS
            start, stop = spans[0][1].start, spans[-1][1].stop
            values = self.backend.values(self._head(step, first)(rows[start:stop]))
            mean[start:stop] = values[:, : shape[1]]
            index[start:stop] = values[:, shape[1] :]
            for roi, own in spans:
                index[own] += self._vector(table, quality.of(roi))[first::CODING_STEPS]
        half = 1 << (-INDEX_EXPONENT - 1)
        index.add_(half).bitwise_right_shift_(-INDEX_EXPONENT)
        return layout.ordered(mean), layout.ordered(index)

    def steps(self, quality: RegionQuality) -> NDArray[np.int32]:
        """Quantizer steps of the latents outside the ROI and in it, int32 ``[2, 96]``."""
        return self.step[quality.by_mask]

    @staticmethod
    def dequantize(
        symbols: NDArray[np.int32], mean: NDArray[np.int16], steps: NDArray[np.int32]
    ) -> NDArray[np.int16]:
        """``clamp(mean + symbol * step)``, the product rounded half up to the latents' exponent."""
        some = np.flatnonzero(symbols != 0)
        product = symbols[some].astype(np.int64) * steps[some]
        rounded = (product + (1 << (_SYMBOL_SHIFT - 1))) >> _SYMBOL_SHIFT
        latents = mean.copy()
        latents[some] = np.clip(mean[some] + rounded, -32768, 32767)
        return latents

    def unmatched(self, quality: RegionQuality) -> Tensor:
        """Features of intra-coded cells of inter frames, outside the ROI and in it, int16
        ``[2, 32]``."""
        path = self.architecture.context
        assert path is not None
        return self._vector(path.unmatched, quality.by_mask).to(torch.int16)

    def synthesise(
        self,
        layout: Layout,
        latents: Tensor,
        quality: RegionQuality,
        context: Tensor | None,
    ) -> Synthesis:
        """Residual and features from dequantized latents.

        Args:
            layout: regions of the frame.
            latents: int16 ``[(H/8) (W/8), 96]``.
            quality: indices of the regions.
            context: of :meth:`context`, for inter frames.
        """
        net = self.architecture
        rows = self._start(net.synthesis_quality, layout, quality)
        self._projection(net.up).accumulate(rows, self.backend.skeleton(layout.rows(latents)))
        for block in net.synthesis:
            rows = self._run(block, rows, layout, context)
        values = layout.frame(self.backend.values(rows))
        return Synthesis(values[:, :PIXEL_CHANNELS], values[:, PIXEL_CHANNELS:])
