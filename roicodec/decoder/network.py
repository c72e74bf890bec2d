"""The integer networks: the same results on every machine.

Rows are positions, columns channels. Latents, means and table indices leave a network as int16 and
int32 arrays in raster order; no float is ever rounded on the way. What computes them is a subclass:
:class:`~roicodec.decoder.native_network.NativeNetwork`, or
:class:`~roicodec.decoder.backend_network.BackendNetwork` on torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import (
    CODING_STEPS,
    LATENT_CHANNELS,
    PIXEL_CHANNELS,
    SAMPLE_SHIFT,
)
from roicodec.decoder.architecture import QualityVectors
from roicodec.decoder.layers import NetworkArrays
from roicodec.decoder.regions import Layout, Qualities
from roicodec.decoder.weights import Arrays
from roicodec.kernels.integer import Pointwise
from roicodec.kernels.rows import finish_rows

__all__ = ["Context", "EntropyState", "IntegerNetwork"]


Words = NDArray[np.int16]

Marks = NDArray[np.uint8]

Context = Any
"""Context of an inter frame, rows of computed positions; only its network reads it."""

EntropyState = Any
"""Residual stream of the entropy network between coding steps, rows of computed positions."""


class IntegerNetwork(ABC):
    """One network (intra or inter).

    Args:
        arrays: integer arrays of the network (:func:`roicodec.networks.export.export_network`).

    Attributes:
        arrays, architecture: its layers.
        step, hyper_step: quantizer steps at every quality, int32 ``[64, 96]`` and ``[64, 32]``.
    """

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = NetworkArrays(arrays)
        self.architecture = self.arrays.architecture
        self.step: NDArray[np.int32] = self.arrays.ints("step").astype(np.int32)
        self.hyper_step: NDArray[np.int32] = self.arrays.ints("hyper_step").astype(np.int32)
        self._vectors = {
            table: self.arrays.ints(table.name).astype(np.int32)
            for table in self.architecture.quality_vectors
        }

    # --- computed by subclasses -------------------------------------------------------------

    @abstractmethod
    def context(self, layout: Layout, prediction: Words, features: Words) -> Context:
        """Context of an inter frame.

        Args:
            layout: regions of the frame, not empty.
            prediction: packed samples, int16 ``[(H/8) (W/8), 96]``.
            features: int16 ``[(H/8) (W/8), 32]``, motion-compensated.
        """

    @abstractmethod
    def context_values(self, layout: Layout, context: Context) -> Words:
        """Integers of a context in raster order, int16 ``[(H/8) (W/8), 64]``; 0 where nothing is
        computed.

        Args:
            layout: regions of the frame.
            context: of :meth:`context`.
        """

    @abstractmethod
    def analyse(
        self, layout: Layout, residual: Words, quality: Qualities, context: Context | None
    ) -> Words:
        """Latents before quantization, int16 ``[(H/8) (W/8), 96]``; encoder only.

        Args:
            layout: regions of the frame, not empty.
            residual: packed samples minus their prediction (or 128), int16 ``[(H/8) (W/8), 96]``.
            quality: indices of the layout's levels.
            context: of :meth:`context`.
        """

    @abstractmethod
    def hyper_analyse(self, layout: Layout, latents: Words) -> NDArray[np.float32]:
        """Hyper-latents before quantization, in units, float32 ``[(H/32) (W/32), 32]``.

        Args:
            layout: regions of the frame.
            latents: before quantization, int16 ``[(H/8) (W/8), 96]``.
        """

    @abstractmethod
    def entropy_start(
        self,
        layout: Layout,
        hyper: NDArray[np.int32],
        quality: Qualities,
        base_quality: int,
        context: Context | None,
    ) -> EntropyState:
        """State of the entropy network before the first coding step.

        Args:
            layout: regions of the frame, not empty.
            hyper: hyper-latents, ``[(H/32) (W/32), 32]``.
            quality: indices of the layout's levels.
            base_quality: quality index of the frame, at which hyper-latents are quantized.
            context: of :meth:`context`, for inter frames.
        """

    @abstractmethod
    def entropy_next(
        self, layout: Layout, state: EntropyState, step: int, decoded: Words
    ) -> EntropyState:
        """State of the entropy network before a later coding step.

        Args:
            layout: regions of the frame.
            state: of the step before, which is overwritten.
            step: 1..3.
            decoded: latents, int16 ``[(H/8) (W/8), 96]``; 0 where not yet decoded.
        """

    @abstractmethod
    def distribution(
        self, layout: Layout, state: EntropyState, step: int, quality: Qualities
    ) -> tuple[Words, NDArray[np.int32]]:
        """Means (int16) and table indices (int32) of the latents that a step codes, ``[N, 24]``.

        Rows are those of :attr:`Layout.positions`, columns the channels that the step codes there,
        ascending.

        Args:
            layout: regions of the frame.
            state: of the step.
            step: 0..3.
            quality: indices of the layout's levels.
        """

    @abstractmethod
    def synthesise(
        self,
        layout: Layout,
        latents: Words,
        quality: Qualities,
        context: Context | None,
        active: list[Marks] | None = None,
    ) -> Words:
        """Residual, in 2**-4 sample values, and features, from dequantized latents.

        Args:
            layout: regions of the frame, not empty.
            latents: int16 ``[(H/8) (W/8), 96]``.
            quality: indices of the layout's levels.
            context: of :meth:`context`, for inter frames.
            active: gets of each block which ReLUs were open
                (:func:`~roicodec.kernels.back_projection.marks`); None for none.

        Returns:
            rows of computed positions, int16 ``[N, 96 + 32]``.
        """

    def plan(self, layout: Layout) -> None:
        """Computation ahead of what depends on the layout alone.

        Args:
            layout: regions of a frame, not empty.
        """
        _ = layout.phases  # which remembers them

    # --- common to all ----------------------------------------------------------------------

    @staticmethod
    def finish(
        layout: Layout, rows: Words, prediction: Words, features: Words | None
    ) -> tuple[Words, Words]:
        """Reconstruction and features from the output of :meth:`synthesise`.

        Args:
            layout: regions of the frame.
            rows: int16 ``[N, 96 + 32]``.
            prediction: packed samples, int16 ``[(H/8) (W/8), 96]``; kept where nothing is computed.
            features: int16 ``[(H/8) (W/8), 32]``, kept there too; None of an intra frame, whose
                output features are zeros: those of its synthesis describe the picture, not a
                residual.

        Returns:
            packed samples, and features for the next frame.
        """
        samples = prediction.copy()
        if features is None:
            count = rows.shape[1] - PIXEL_CHANNELS
            finish_rows(rows, layout.order, SAMPLE_SHIFT, samples, None)
            return samples, np.zeros((len(prediction), count), np.int16)
        kept = features.copy()
        finish_rows(rows, layout.order, SAMPLE_SHIFT, samples, kept)
        return samples, kept

    def vector(self, table: QualityVectors, quality: int) -> NDArray[np.int32]:
        """Vector of a quality index, int32 ``[C]``.

        Args:
            table: the table.
            quality: index 0..63.
        """
        found: NDArray[np.int32] = self._vectors[table][quality]
        return found

    def head(self, step: int, first: int) -> Pointwise:
        """The head of a step for every fourth channel: means, then indices.

        Args:
            step: coding step, 0..3.
            first: first channel, 0..3.
        """
        layer = self.arrays.projection(self.architecture.heads[step])
        own = np.r_[first:LATENT_CHANNELS:CODING_STEPS]
        own = np.concatenate((own, own + LATENT_CHANNELS))
        return replace(
            layer, weight=layer.weight[own], bias=layer.bias[own], shift=layer.shift[own]
        )

    def hyper_values(self, hyper: NDArray[np.int32], base_quality: int) -> Words:
        """Dequantized hyper-latents, int16 ``[(H/32) (W/32), 32]``.

        Args:
            hyper: hyper-latents, int32 of the same shape.
            base_quality: quality index of the frame.
        """
        product = hyper.astype(np.int64) * self.hyper_step[base_quality]
        found: Words = np.clip(product, -32768, 32767).astype(np.int16)
        return found

    def steps(self, quality: Qualities) -> NDArray[np.int32]:
        """Quantizer steps of the latents at every level, int32 ``[L, 96]``."""
        found: NDArray[np.int32] = self.step[quality]
        return found

    def unmatched(self, quality: Qualities) -> Words:
        """Features of intra-coded cells of inter frames at every level, int16 ``[L, 32]``."""
        path = self.architecture.context
        assert path is not None
        found: Words = self._vectors[path.unmatched][quality].astype(np.int16)
        return found
