"""Table of the networks' layers: the one place that states their topology.

Export, restoring, the integer runtime, the float networks and the complexity counts all derive from
it. Names are those of the arrays in the weights files. Feature maps at a stride of 8 luma samples::

    x - p ─ analysis ─ down ─ latents ─ quantize ─ latents ─ up ─ synthesis ─ + p
                                │                    └ inject ┐
                                └ hyper_analysis ─ hyper_synthesis ─ entropy ─ heads: mean, index
    p, features ─ context_block ─ context_out ───────── context_in ┘
                                      └ context of analysis and synthesis
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import (
    BLOCK,
    CODING_STEPS,
    CONTEXT_CHANNELS,
    FEATURE_CHANNELS,
    HYPER_CHANNELS,
    INDEX_EXPONENT,
    INDEX_GAIN,
    LATENT_CHANNELS,
    LATENT_EXPONENT,
    PAD,
    PIXEL_CHANNELS,
    STREAM_EXPONENT,
)
from roicodec.kernels.integer import SKELETON, Grid

__all__ = [
    "ARCHITECTURES",
    "BLOCK_PROJECTIONS",
    "Architecture",
    "ContextPath",
    "FeatureMap",
    "Projection",
    "QualityVectors",
    "ResidualBlock",
    "architecture_of",
]

BLOCK_PROJECTIONS = ("mix_in", "mix_out", "expand", "project")
"""Pointwise layers of a block: the first two on either side of its depthwise layer."""

EXPANSION = 2
"""Hidden channels of a block's second branch for each channel of the stream."""

_DEPTH = 3
"""Number of blocks of analysis and of synthesis."""

_ENTROPY_CHANNELS = {False: 96, True: 88}
"""Width of the entropy network: intra, inter."""

_UNSIGNED = Grid(16, signed=False)


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """A tensor between layers.

    Attributes:
        name: of the map; a measured exponent is stored in the array ``exponent.<name>``.
        channels: number of channels.
        exponent: log2 of the unit in which its integers count; None where it is measured on
            calibration data and stored.
        stride: luma samples from one position to the next.
        grid: integers it may hold.
        by_spread: whether the exponent of channel c is less by ``spread[c]``: the layer computes
            latents divided by ``2**spread``, and its integers are those of the latents themselves.
    """

    name: str
    channels: int
    exponent: int | None
    stride: int = BLOCK
    grid: Grid = SKELETON
    by_spread: bool = False

    @property
    def array(self) -> str:
        """Name of the array that stores a measured exponent."""
        return f"exponent.{self.name}"


@dataclass(frozen=True, eq=False)
class Projection:
    """A 1x1 convolution with 16-bit weights between two feature maps.

    Attributes:
        name: prefix of its arrays.
        source: its input. Where the strides differ, each position of the target has those of a
            square of the source in its channels (unshuffled), or the reverse (shuffled).
        targets: its outputs, one behind the other in the channels; usually one.
        normalized: whether the source is divided by ``2**spread`` of its channel first.
        whole_frame: whether it runs on every position of the frame, not on computed ones alone.
        encoder: whether only encoders run it.
        share: each position computes one in so many of the outputs.
    """

    name: str
    source: FeatureMap
    targets: tuple[FeatureMap, ...]
    normalized: bool = False
    whole_frame: bool = False
    encoder: bool = False
    share: int = 1

    @property
    def target(self) -> FeatureMap:
        """The first output."""
        return self.targets[0]

    @property
    def stride(self) -> int:
        """Luma samples from one of the positions where it runs to the next."""
        return self.target.stride

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return self.source.channels * self.stride**2 // self.source.stride**2

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return sum(target.channels for target in self.targets)


@dataclass(frozen=True, eq=False)
class ResidualBlock:
    """Two branches, each added to a residual stream, at the bit-width of the region.

    Attributes:
        name: prefix of its arrays.
        stream: residual stream that it reads and adds to.
        context: what the first branch reads besides, behind the stream's channels; None for none.
        encoder: whether only encoders run it.
    """

    name: str
    stream: FeatureMap
    context: FeatureMap | None = None
    encoder: bool = False

    @property
    def inputs(self) -> int:
        """Number of channels that the first branch reads."""
        return self.stream.channels + (self.context.channels if self.context else 0)

    @property
    def marks(self) -> int:
        """Number of ReLUs at a position: behind the first branch's two layers, and the second's."""
        return (2 + EXPANSION) * self.stream.channels

    @property
    def projections(self) -> tuple[str, ...]:
        """Prefixes of its pointwise layers' arrays, in the order of :data:`BLOCK_PROJECTIONS`."""
        return tuple(f"{self.name}.{part}" for part in BLOCK_PROJECTIONS)

    @property
    def depthwise(self) -> str:
        """Prefix of its depthwise layer's arrays."""
        return f"{self.name}.depthwise"


@dataclass(frozen=True, eq=False)
class QualityVectors:
    """A table of vectors, one for each quality index.

    Attributes:
        name: of the array, int16 ``[64, channels]``.
        target: feature map that a vector is added to or stands for.
    """

    name: str
    target: FeatureMap


@dataclass(frozen=True, eq=False)
class ContextPath:
    """The layers that only inter networks have: the context, from prediction and features.

    Attributes:
        block, out: from prediction and features to the context.
        into: from the context to the entropy network's stream.
        unmatched: features of intra-coded cells.
    """

    block: ResidualBlock
    out: Projection
    into: Projection
    unmatched: QualityVectors


@dataclass(frozen=True, eq=False)
class Architecture:
    """All layers of one network, intra or inter; attributes in the order of the drawing above.

    Attributes:
        context: None in an intra network.
        heads, entropy: one for each coding step.
        inject: latents of the steps so far, one for each step after the first.
    """

    context: ContextPath | None
    analysis_quality: QualityVectors
    analysis: tuple[ResidualBlock, ...]
    down: Projection
    hyper_analysis: tuple[Projection, ...]
    hyper_synthesis: tuple[Projection, ...]
    entropy_quality: QualityVectors
    entropy: tuple[ResidualBlock, ...]
    inject: tuple[Projection, ...]
    heads: tuple[Projection, ...]
    index_quality: QualityVectors
    up: Projection
    synthesis_quality: QualityVectors
    synthesis: tuple[ResidualBlock, ...]

    @property
    def inter(self) -> bool:
        """Whether the network codes inter frames."""
        return self.context is not None

    @property
    def blocks(self) -> tuple[ResidualBlock, ...]:
        """All blocks."""
        first = (self.context.block,) if self.context else ()
        return (*first, *self.analysis, *self.entropy, *self.synthesis)

    @property
    def projections(self) -> tuple[Projection, ...]:
        """All projections; of those that add to one stream, the one that runs first is first."""
        path = self.context
        return (
            *((path.out,) if path else ()),
            self.down,
            *self.hyper_analysis,
            *self.hyper_synthesis,
            *((path.into,) if path else ()),
            *self.inject,
            *self.heads,
            self.up,
        )

    @property
    def quality_vectors(self) -> tuple[QualityVectors, ...]:
        """All tables of vectors by quality."""
        last = (self.context.unmatched,) if self.context else ()
        return (
            self.analysis_quality,
            self.synthesis_quality,
            self.entropy_quality,
            self.index_quality,
            *last,
        )

    def measured(self) -> Iterator[tuple[FeatureMap, Projection]]:
        """Feature maps whose exponents are measured, each with the first layer that writes it."""
        seen = set()
        for layer in self.projections:
            for target in layer.targets:
                if target.exponent is None and target.name not in seen:
                    seen.add(target.name)
                    yield target, layer


def _architecture(*, inter: bool) -> Architecture:
    stream = FeatureMap("stream", PIXEL_CHANNELS + FEATURE_CHANNELS, STREAM_EXPONENT)
    features = FeatureMap("features", FEATURE_CHANNELS, STREAM_EXPONENT)
    latents = FeatureMap("latents", LATENT_CHANNELS, LATENT_EXPONENT)
    hyper_latents = FeatureMap("hyper_latents", HYPER_CHANNELS, LATENT_EXPONENT, PAD)
    entropy = FeatureMap("entropy", _ENTROPY_CHANNELS[inter], None)
    means = FeatureMap("means", LATENT_CHANNELS, LATENT_EXPONENT, by_spread=True)
    indices = FeatureMap("indices", LATENT_CHANNELS, INDEX_EXPONENT)
    # Heads compute table indices divided by the gain; their integers are those of the indices.
    gain = INDEX_GAIN.bit_length() - 1
    divided = FeatureMap("divided_indices", LATENT_CHANNELS, INDEX_EXPONENT - gain)
    analysed = (
        latents,
        FeatureMap("hyper_analysis.0", 64, None, BLOCK, _UNSIGNED),
        FeatureMap("hyper_analysis.1", 128, None, 2 * BLOCK, _UNSIGNED),
        hyper_latents,
    )
    synthesised = (
        hyper_latents,
        FeatureMap("hyper_synthesis.0", 512, None, PAD, _UNSIGNED),
        FeatureMap("hyper_synthesis.1", 256, None, 2 * BLOCK, _UNSIGNED),
        entropy,
    )
    context = FeatureMap("context_out", CONTEXT_CHANNELS, None) if inter else None
    path = None
    if context:
        path = ContextPath(
            ResidualBlock("context_block", stream),
            Projection(context.name, stream, (context,)),
            Projection("context_in", context, (entropy,)),
            QualityVectors("unmatched", features),
        )
    return Architecture(
        context=path,
        analysis_quality=QualityVectors("analysis_quality", stream),
        analysis=_blocks("analysis", _DEPTH, stream, context, encoder=True),
        down=Projection("down", stream, (latents,), encoder=True),
        hyper_analysis=tuple(
            Projection(
                *(f"hyper_analysis.{i}", before, (after,)),
                normalized=before is latents,
                whole_frame=True,
                encoder=True,
            )
            for i, (before, after) in enumerate(pairwise(analysed))
        ),
        hyper_synthesis=tuple(
            Projection(
                *(f"hyper_synthesis.{i}", before, (after,)), whole_frame=after is not entropy
            )
            for i, (before, after) in enumerate(pairwise(synthesised))
        ),
        entropy_quality=QualityVectors("entropy_quality", entropy),
        entropy=_blocks("entropy", CODING_STEPS, entropy),
        inject=tuple(
            Projection(f"inject.{k}", latents, (entropy,), normalized=True)
            for k in range(CODING_STEPS - 1)
        ),
        heads=tuple(
            Projection(f"heads.{k}", entropy, (means, divided), share=CODING_STEPS)
            for k in range(CODING_STEPS)
        ),
        index_quality=QualityVectors("index_quality", indices),
        up=Projection("up", latents, (stream,), normalized=True),
        synthesis_quality=QualityVectors("synthesis_quality", stream),
        synthesis=_blocks("synthesis", _DEPTH, stream, context),
    )


def _blocks(
    name: str,
    count: int,
    stream: FeatureMap,
    context: FeatureMap | None = None,
    *,
    encoder: bool = False,
) -> tuple[ResidualBlock, ...]:
    """Numbered blocks on one stream."""
    return tuple(ResidualBlock(f"{name}.{i}", stream, context, encoder) for i in range(count))


ARCHITECTURES: dict[bool, Architecture] = {
    inter: _architecture(inter=inter) for inter in (False, True)
}
"""The intra network (False) and the inter network (True)."""


def architecture_of(arrays: Mapping[str, NDArray[np.generic]]) -> Architecture:
    """The architecture that stored arrays are of: inter where they hold a context."""
    path = ARCHITECTURES[True].context
    assert path is not None
    return ARCHITECTURES[f"{path.out.name}.weight" in arrays]
