"""The networks in integers: what the decoder computes, on every machine alike.

Rows are positions, columns channels. Latents, means and table indices leave this module as int16
and int32 tensors in raster order; nothing in it is a float that was rounded.
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
    SAMPLE_SHIFT,
    STEP_EXPONENT,
)
from roicodec.decoder.layers import Arrays, BlockLayers, NetworkArrays
from roicodec.decoder.regions import Layout
from roicodec.kernels.integer import SKELETON, Grid, Quantize
from roicodec.kernels.interface import Backend, PointwiseOp, TensorOp

__all__ = ["EntropyState", "IntegerNetwork", "Reconstruction"]

_WIDE = Grid(16, signed=False)
_SYMBOL_SHIFT = LATENT_EXPONENT - STEP_EXPONENT


@dataclass(frozen=True)
class Reconstruction:
    """A decoded frame inside the codec.

    Attributes:
        residual: what the network adds to the prediction (or to mid-gray), in 2**-4 sample
            values, int16 ``[(H/8) (W/8), 96]``.
        features: for the next frame's context, int16 ``[(H/8) (W/8), 32]``.
    """

    residual: Tensor
    features: Tensor


EntropyState = Tensor
"""What the entropy network knows between its steps: skeleton rows."""


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


class _Skeleton:
    """A 16-bit layer with the quantizer that feeds it."""

    def __init__(self, quantize: TensorOp, op: PointwiseOp) -> None:
        self.quantize, self.op = quantize, op

    def __call__(self, skeleton: Tensor) -> Tensor:
        return self.op(self.quantize(skeleton))

    def accumulate(self, onto: Tensor, skeleton: Tensor) -> Tensor:
        return self.op.accumulate(onto, self.quantize(skeleton))


class IntegerNetwork:
    """One network (intra or inter) on a backend.

    Args:
        arrays: integer arrays of the network (:func:`roicodec.networks.export.export_network`).
        backend: prepared layers run on it.
    """

    def __init__(self, arrays: Arrays, backend: Backend) -> None:
        self.arrays = NetworkArrays(arrays)
        self.inter = self.arrays.inter
        self.backend = backend
        self.step: NDArray[np.int32] = self.arrays.ints("step").astype(np.int32)
        self.hyper_step: NDArray[np.int32] = self.arrays.ints("hyper_step").astype(np.int32)
        self.latents = self.step.shape[1]
        self.features = FEATURE_CHANNELS
        self.entropy_steps = self.arrays.entropy_steps
        self._blocks: Callable[[str, int], _Block] = cache(self._prepare)
        names = ["analysis_quality", "synthesis_quality", "entropy_quality", "index_quality"]
        names += ["unmatched"] * self.inter
        self._tables = {n: torch.from_numpy(self.arrays.ints(n)).to(backend.device) for n in names}

    # --- preparation ------------------------------------------------------------------------

    @cache  # noqa: B019 - one network lives as long as the process
    def _skeleton(self, name: str) -> _Skeleton:
        layer = self.arrays.skeleton_layer(name)
        normal = name in ("up", "hyper_analysis.0") or name.startswith("inject")
        shift = self.arrays.spread if normal else np.zeros(layer.weight.shape[1], np.int64)
        quantize = self.backend.quantize(Quantize(shift, SKELETON))
        return _Skeleton(quantize, self.backend.pointwise(layer))

    def _prepare(self, name: str, bits: int) -> _Block:
        return _Block(self.arrays.block(name, bits), self.backend)

    # --- pieces -----------------------------------------------------------------------------

    def _run(
        self, name: str, rows: Tensor, layout: Layout, context: Tensor | None = None
    ) -> Tensor:
        """One block, in place on skeleton rows."""
        parts = [(part, self._blocks(name, part.bits)) for part in layout.parts]
        hidden = []
        for part, block in parts:
            x = rows[part.rows]
            if context is not None:
                x = torch.cat((x, context[part.rows]), 1)
            hidden.append(block.mix_in(block.quantize_first(x)))
        field = layout.field(hidden)
        for part, block in parts:
            spatial = block.depthwise(layout.around(field, part))
            x = block.mix_out.accumulate(rows[part.rows], layout.inside(spatial, part))
            block.project.accumulate(x, block.expand(block.quantize_second(x)))
        return rows

    def _stack(
        self, name: str, rows: Tensor, layout: Layout, context: Tensor | None = None
    ) -> Tensor:
        count = sum(n.startswith(f"{name}.") for n in self.arrays.blocks())
        for i in range(count):
            rows = self._run(f"{name}.{i}", rows, layout, context)
        return rows

    def _table(self, name: str, quality: int | list[int]) -> Tensor:
        return self._tables[name][quality]

    def _start(self, name: str, layout: Layout, quality: dict[bool, int]) -> Tensor:
        """Skeleton rows that hold the vector of each part's quality."""
        rows = []
        for part in layout.parts:
            vector = self.backend.skeleton(self._table(name, quality[part.roi]))
            rows.append(vector.expand(part.rows.stop - part.rows.start, -1))
        return torch.cat(rows)

    @staticmethod
    def _shrink(frame: Tensor, height: int, width: int) -> Tensor:
        """Raster ``[height * width, C]`` to ``[height / 2 * width / 2, C * 4]``, unshuffled."""
        c = frame.shape[1]
        blocks = frame.view(height // 2, 2, width // 2, 2, c).permute(0, 2, 4, 1, 3)
        return blocks.reshape(height * width // 4, 4 * c)

    @staticmethod
    def _grow(frame: Tensor, height: int, width: int) -> Tensor:
        """Raster ``[height * width, 4 * C]`` to ``[4 * height * width, C]``, shuffled."""
        c = frame.shape[1] // 4
        blocks = frame.view(height, width, c, 2, 2).permute(0, 3, 1, 4, 2)
        return blocks.reshape(4 * height * width, c)

    # --- the networks -----------------------------------------------------------------------

    def context(self, layout: Layout, prediction: Tensor, features: Tensor) -> Tensor:
        """Context, skeleton rows ``[N, C]``.

        Args:
            layout: regions of the frame.
            prediction: packed samples minus 128, integers ``[(H/8) (W/8), 96]``.
            features: int16 ``[(H/8) (W/8), 32]``, motion-compensated.
        """
        values = torch.cat((prediction.to(torch.int16) << SAMPLE_SHIFT, features), 1)
        rows = self._run("context_block", self.backend.skeleton(layout.rows(values)), layout)
        return self._skeleton("context_out")(rows)

    def analyse(
        self,
        layout: Layout,
        residual: Tensor,
        quality: dict[bool, int],
        context: Tensor | None,
    ) -> Tensor:
        """Latents before quantization, int16 ``[(H/8) (W/8), 96]``; encoder only.

        Args:
            layout: regions of the frame.
            residual: packed samples minus their prediction (or 128), ``[(H/8) (W/8), 96]``.
            quality: index of the ROI (True) and of the rest (False).
            context: of :meth:`context`.
        """
        values = torch.nn.functional.pad(residual.int() << SAMPLE_SHIFT, (0, self.features))
        values = layout.rows(values)
        for part in layout.parts:
            values[part.rows] += self._table("analysis_quality", quality[part.roi])
        rows = self._stack("analysis", self.backend.skeleton(values), layout, context)
        return layout.frame(self.backend.values(self._skeleton("down")(rows)))

    def hyper_analyse(self, layout: Layout, latents: Tensor) -> Tensor:
        """Hyper-latents before quantization, in units, float ``[(H/32) (W/32), 32]``."""
        height, width = layout.height, layout.width
        z = self._skeleton("hyper_analysis.0")(self.backend.skeleton(latents))
        z = self.backend.integers(z, _WIDE)
        z = self._wide("hyper_analysis.1", self._shrink(z, height, width), _WIDE)
        z = self._wide("hyper_analysis.2", self._shrink(z, height // 2, width // 2), SKELETON)
        return z.float() * 2.0**LATENT_EXPONENT

    def _wide(self, name: str, values: Tensor, target: Grid) -> Tensor:
        """A layer from unsigned 16-bit integers to integers of the target."""
        skeleton = self._skeleton(name)
        out = skeleton.op(self.backend.codes(values, _WIDE))
        return (
            self.backend.values(out) if target == SKELETON else self.backend.integers(out, target)
        )

    def entropy_start(
        self,
        layout: Layout,
        hyper: NDArray[np.int32],
        quality: dict[bool, int],
        base_quality: int,
        context: Tensor | None,
    ) -> EntropyState:
        """Everything that is known before the first latent.

        Args:
            layout: regions of the frame.
            hyper: hyper-latents, ``[(H/32) (W/32), 32]``.
            quality: index of the ROI (True) and of the rest (False).
            base_quality: the frame's index, at which hyper-latents are quantized.
            context: of :meth:`context`, for inter frames.
        """
        height, width = layout.height, layout.width
        z = np.clip(hyper.astype(np.int64) * self.hyper_step[base_quality], -32768, 32767)
        z = z.astype(np.int32)
        rows = self.backend.skeleton(torch.from_numpy(z).to(self.backend.device))
        h = self.backend.integers(self._skeleton("hyper_synthesis.0")(rows), _WIDE)
        h = self._wide("hyper_synthesis.1", self._grow(h, height // 4, width // 4), _WIDE)
        h = self.backend.codes(self._grow(h, height // 2, width // 2), _WIDE)
        state = self._start("entropy_quality", layout, quality)
        self._skeleton("hyper_synthesis.2").op.accumulate(state, layout.rows(h))
        if context is not None:
            self._skeleton("context_in").accumulate(state, context)
        return self._run("entropy.0", state, layout)

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
        inject = self._skeleton(f"inject.{step - 1}")
        inject.accumulate(state, self.backend.skeleton(layout.rows(decoded)))
        return self._run(f"entropy.{step}", state, layout)

    def distribution(
        self, layout: Layout, state: EntropyState, step: int, quality: dict[bool, int]
    ) -> tuple[Tensor, Tensor]:
        """Means (int16) and table indices (int32) of the latents that a step codes.

        Each ``[N, 24]``, of the layout's positions: those channels of a position that are its own
        in this step, ascending.
        """
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
                index[own] += self._table("index_quality", quality[roi])[first::CODING_STEPS]
        half = 1 << (-INDEX_EXPONENT - 1)
        index.add_(half).bitwise_right_shift_(-INDEX_EXPONENT)
        return layout.ordered(mean), layout.ordered(index)

    @cache  # noqa: B019 - one network lives as long as the process
    def _head(self, step: int, first: int) -> _Skeleton:
        """The head of a step, for every fourth channel from ``first``."""
        layer = self.arrays.skeleton_layer(f"heads.{step}")
        own = np.r_[first : self.latents : CODING_STEPS]
        own = np.concatenate((own, own + self.latents))
        part = replace(
            layer, weight=layer.weight[own], bias=layer.bias[own], shift=layer.shift[own]
        )
        quantize = Quantize(np.zeros(layer.weight.shape[1], np.int64), SKELETON)
        return _Skeleton(self.backend.quantize(quantize), self.backend.pointwise(part))

    def steps(self, quality: dict[bool, int]) -> NDArray[np.int32]:
        """Quantizer steps of the rest's latents and of the ROI's, ``[2, 96]``."""
        return self.step[[quality[False], quality[True]]]

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

    def unmatched(self, quality: dict[bool, int]) -> Tensor:
        """What an inter frame takes for features where the reference has no match, of the rest and
        of the ROI, int16 ``[2, 32]``."""
        rows = self._table("unmatched", [quality[False], quality[True]])
        return rows.to(torch.int16)

    def synthesise(
        self,
        layout: Layout,
        latents: Tensor,
        quality: dict[bool, int],
        context: Tensor | None,
    ) -> Reconstruction:
        """From latents, int16 ``[(H/8) (W/8), 96]``, to what is added to a prediction."""
        rows = self._start("synthesis_quality", layout, quality)
        self._skeleton("up").accumulate(rows, self.backend.skeleton(layout.rows(latents)))
        rows = self._stack("synthesis", rows, layout, context)
        values = layout.frame(self.backend.values(rows))
        return Reconstruction(values[:, : -self.features], values[:, -self.features :])
