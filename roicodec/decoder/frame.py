"""The steps of coding one frame that encoder and decoder share: predict, model, reconstruct.

::

    setting, reference ── prepare ── PreparedFrame
                                          │
                hyper-latents ── code_latents ── CodedLatents
                                          │
                                     reconstruct ── Reference (planes, features, ...)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import (
    AVERAGE,
    BIDIRECTIONAL,
    BLOCK,
    CODING_STEPS,
    DIRECT,
    FUTURE,
    INTRA,
    LATENT_CHANNELS,
    MID_GRAY,
    PAD,
    PIXEL_CHANNELS,
)
from roicodec.bitstream.entropy import Ints
from roicodec.bitstream.masks import Mask, computed_cells
from roicodec.bitstream.mode_coding import MODES
from roicodec.bitstream.quality_map import QualityMap
from roicodec.decoder.adaptation import ChannelSums
from roicodec.decoder.coding_step import CodingStep, LatentCoder, StepCoder, code_step
from roicodec.decoder.model import Model, NetworkModel
from roicodec.decoder.network import Context
from roicodec.decoder.planes import Packed, crop, padded_size
from roicodec.decoder.post_filter import FilteredPlane, merged
from roicodec.decoder.references import Motion, Reference, References
from roicodec.decoder.regions import Layout, Qualities, finer
from roicodec.decoder.shapes import padded_grid
from roicodec.errors import StreamError
from roicodec.kernels.compensation import compensate, compensate_features
from roicodec.kernels.integer import CANDIDATE_BITS
from roicodec.kernels.latents import LatentStep
from roicodec.kernels.packing import block_means, unpack
from roicodec.kernels.rows import KEEP, MEAN, OTHER, mix_rows
from roicodec.picture import Picture, Plane

__all__ = [
    "CodedLatents",
    "FrameCodec",
    "FrameSetting",
    "PreparedFrame",
]


@dataclass(frozen=True)
class FrameSetting:
    """Everything that a frame chunk says before its latents.

    Attributes:
        kind: frame type, ``INTRA``, ``INTER`` or ``BIDIRECTIONAL``.
        quality: index 0..63.
        b_roi, b_bg: bit-widths of the ROI and of the rest.
        mask: ROI of the unpadded frame, bool ``[ceil(H/16), ceil(W/16)]``.
        motion: of the frame; None for intra frames.
        skip: cells where the prediction stands as it is, of the mask's shape; None for none.
        unmatched: intra-coded cells of an inter frame, of the mask's shape: only the mean of each
            block is predicted there; None for none.
        offsets: quality map (:mod:`roicodec.bitstream.quality_map`), of the mask's shape; None
            where it is flat.
    """

    kind: int
    quality: int
    b_roi: int
    b_bg: int
    mask: Mask
    motion: Motion | None
    skip: Mask | None = None
    unmatched: Mask | None = None
    offsets: QualityMap | None = None

    @property
    def computed(self) -> Mask:
        """Cells that networks compute, bool of the mask's shape."""
        return computed_cells(self.mask, self.skip, self.b_roi, self.b_bg)


@dataclass(frozen=True, eq=False)
class PreparedFrame:
    """A frame between its setting and its latents.

    Attributes:
        setting: as given.
        references: the frames that it refers to.
        layout: the positions that are computed, by region.
        model: networks of its frame type.
        quality: indices of the layout's levels, all offsets included.
        prediction: packed samples; mid-gray in intra frames.
        features: motion-compensated, int16 ``[(H/8) (W/8), 32]``; None of an intra frame.
        context: of :meth:`~roicodec.decoder.network.IntegerNetwork.context`; None where nothing is
            computed, and of an intra frame.
    """

    setting: FrameSetting
    references: References
    layout: Layout
    model: NetworkModel
    quality: Qualities
    prediction: Packed
    features: NDArray[np.int16] | None
    context: Context | None


@dataclass(frozen=True, eq=False)
class CodedLatents:
    """The latents of a frame as a decoder has them.

    Attributes:
        values: int16 ``[(H/8) (W/8), 96]``, 0 where nothing is computed.
        sums: magnitudes coded in this frame and those it refers to.
    """

    values: NDArray[np.int16]
    sums: ChannelSums


class FrameCodec:
    """The frames of one stream; keeps nothing of a frame, references come and go with the calls.

    Args:
        width, height: size of the luma plane.
        model: the networks.
        offsets: quality offset of each candidate bit-width.
    """

    def __init__(self, width: int, height: int, model: Model, offsets: Mapping[int, int]) -> None:
        self.width, self.height = width, height
        self.padded_width, self.padded_height = padded_size(width, height)
        self.model = model
        self.offsets = dict(offsets)

    @property
    def motion_shape(self) -> tuple[int, int]:
        """Rows and columns of the motion field."""
        return self.padded_height // BLOCK, self.padded_width // BLOCK

    @property
    def hyper_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the hyper-latents."""
        channels = self.model.intra.network.hyper_step.shape[1]
        return self.padded_height // PAD, self.padded_width // PAD, channels

    def networks(self, kind: int) -> NetworkModel:
        """Networks of a frame type."""
        return self.model.intra if kind == INTRA else self.model.inter

    def layout(self, setting: FrameSetting) -> Layout:
        """Regions of a frame.

        Raises:
            StreamError: if the bit-widths do not go with the frame: 0 is for the rest of an inter
                frame that has a ROI.
        """
        self._check_bits(setting)
        mask, skipped = padded_grid(setting.mask, setting.skip)
        offsets = None
        if setting.offsets is not None:
            beyond = [(0, full - n) for full, n in zip(mask.shape, setting.mask.shape, strict=True)]
            offsets = np.pad(setting.offsets, beyond, "edge")
        return Layout(mask, setting.b_roi, setting.b_bg, skipped, offsets)

    def prepare(
        self,
        setting: FrameSetting,
        references: References,
        like: PreparedFrame | None = None,
        layout: Layout | None = None,
    ) -> PreparedFrame:
        """Prediction of a frame, and what its networks compute before the latents.

        Args:
            setting: of the frame.
            references: the frames that it refers to; an intra frame ignores them.
            like: the same frame prepared with another skip map and the same motion and intra-coded
                cells, whose prediction is taken over.
            layout: of :meth:`layout`, if it is there already.

        Raises:
            StreamError: if references are missing, or as :meth:`layout` raises it.
        """
        layout = layout or self.layout(setting)
        model = self.networks(setting.kind)
        offsets = (self.offsets[bits] for bits in (setting.b_roi, setting.b_bg))
        quality = layout.qualities(setting.quality, *offsets)
        if setting.kind == INTRA:
            rows, columns = self.motion_shape
            flat = np.full((rows * columns, PIXEL_CHANNELS), MID_GRAY, np.int16)
            return PreparedFrame(setting, (), layout, model, quality, flat, None, None)
        motion = setting.motion
        if motion is None or len(references) != 1 + (setting.kind == BIDIRECTIONAL):
            raise StreamError("an inter frame without the frames that it refers to")
        if like is not None and like.features is not None:
            prediction, features = like.prediction, like.features
        else:
            prediction, features = _predicted(references, motion)
            if setting.unmatched is not None:
                at = finer(padded_grid(setting.unmatched, None)[0])
                prediction = block_means(prediction, at)
                vectors = model.network.unmatched(quality)
                features[at] = vectors[layout.level[at]]
        context = None
        if layout.parts:
            context = model.network.context(layout, prediction, features)
        return PreparedFrame(
            setting, references, layout, model, quality, prediction, features, context
        )

    def _check_bits(self, setting: FrameSetting) -> None:
        usable = self.offsets.keys() & set(CANDIDATE_BITS)
        skip = setting.b_bg == 0 and setting.kind != INTRA and setting.mask.any()
        if setting.b_roi not in usable or not (
            setting.b_bg in usable or (skip and 0 in self.offsets)
        ):
            raise StreamError(
                f"bit-widths {setting.b_roi} and {setting.b_bg} cannot be used in this frame"
            )

    def code_latents(self, frame: PreparedFrame, hyper: Ints, coder: LatentCoder) -> CodedLatents:
        """Latents of a frame, coded step by step.

        Args:
            frame: of :meth:`prepare`.
            hyper: hyper-latents, int32 of :attr:`hyper_shape`.
            coder: chooses the symbols of a step.
        """
        return self.read_latents(frame, hyper, partial(code_step, coder))

    def read_latents(self, frame: PreparedFrame, hyper: Ints, coder: StepCoder) -> CodedLatents:
        """Latents of a frame, read step by step.

        Args:
            frame, hyper: as of :meth:`code_latents`.
            coder: reads a step.
        """
        network, layout = frame.model.network, frame.layout
        before = frame.references
        sums = before[0].sums.copy() if before else ChannelSums(LATENT_CHANNELS)
        decoded = np.zeros((layout.height * layout.width, LATENT_CHANNELS), np.int16)
        if not layout.parts:
            return CodedLatents(decoded, sums)
        state = network.entropy_start(
            layout, hyper.reshape(-1, hyper.shape[2]), frame.quality, frame.setting.quality,
            frame.context,
        )  # fmt: skip
        adaptation = frame.model.adaptation
        own = network.steps(frame.quality)
        for step in range(CODING_STEPS):
            if step:
                state = network.entropy_next(layout, state, step, decoded)
            mean, index = network.distribution(layout, state, step, frame.quality)
            ratios = sums.ratios()
            latents = LatentStep(
                index, layout.positions, layout.width, step, layout.level, own, adaptation(ratios)
            )
            coding = CodingStep(latents, mean.ravel(), ratios, adaptation.expected)
            sums.add(*coder(coding, decoded))
        return CodedLatents(decoded, sums)

    def synthesise(
        self,
        frame: PreparedFrame,
        latents: NDArray[np.int16],
        active: list[NDArray[np.uint8]] | None = None,
    ) -> tuple[Packed, NDArray[np.int16]]:
        """Packed samples ``[(H/8) (W/8), 96]`` of the reconstruction, and the features for the next
        frame, int16 ``[(H/8) (W/8), 32]``.

        Args:
            frame: of :meth:`prepare`.
            latents: dequantized, int16 ``[(H/8) (W/8), 96]``.
            active: gets which ReLUs were open, of every block; None for none.
        """
        if frame.features is not None and not frame.layout.parts:
            return frame.prediction, frame.features
        network = frame.model.network
        rows = network.synthesise(frame.layout, latents, frame.quality, frame.context, active)
        return network.finish(frame.layout, rows, frame.prediction, frame.features)

    def reconstruct(self, frame: PreparedFrame, coded: CodedLatents) -> Reference:
        """A frame from its latents, without post-filter, as later frames refer to it."""
        samples, features = self.synthesise(frame, coded.values)
        planes = unpack(samples, self.padded_width, self.padded_height)
        sums = coded.sums.copy() if frame.references else ChannelSums(LATENT_CHANNELS)
        sums.fade()
        setting = frame.setting
        return Reference(
            planes, features, setting.motion, sums, setting.mask, setting.skip, setting.offsets
        )

    def filtered(
        self, frame: PreparedFrame, planes: tuple[Plane, Plane, Plane]
    ) -> list[FilteredPlane]:
        """Padded planes of a frame with and without post-filter."""
        post, quality = frame.model.post_filter, frame.setting.quality
        parts = zip(planes, (0, 1, 1), strict=True)
        return [post.filtered(plane, part, quality) for plane, part in parts]

    def picture(
        self, planes: list[FilteredPlane], filters: tuple[int, int], pts: int, duration: int
    ) -> Picture:
        """Output picture of a frame, by the post-filter's switches for luma and for chroma."""
        return crop(merged(planes, filters), self.width, self.height, pts, duration)

    def shown(
        self,
        setting: FrameSetting,
        planes: tuple[Plane, Plane, Plane],
        filters: tuple[int, int],
        pts: int,
        duration: int,
    ) -> Picture:
        """The same from padded planes without post-filter: only what is switched on is filtered."""
        post = self.networks(setting.kind).post_filter
        made = post.shown(planes, setting.quality, filters)
        return crop(made, self.width, self.height, pts, duration)


_MIXED = np.full(MODES, KEEP, np.uint8)
"""Choice of :data:`~roicodec.kernels.rows.mix_rows` in each prediction mode."""
_MIXED[[AVERAGE, DIRECT]] = MEAN
_MIXED[FUTURE] = OTHER


def _predicted(references: References, motion: Motion) -> tuple[Packed, NDArray[np.int16]]:
    """Packed samples and features, motion-compensated, by the prediction modes of the cells."""
    past = references[0]
    if motion.future is None or motion.modes is None:
        prediction = compensate(past.planes, motion.vectors)
        return prediction, compensate_features(past.features, motion.vectors)
    future, choice = references[1], finer(_MIXED[motion.modes])
    prediction = compensate(past.planes, motion.vectors, choice != OTHER)
    features = compensate_features(past.features, motion.vectors)
    mix_rows(prediction, compensate(future.planes, motion.future, choice != KEEP), choice)
    mix_rows(features, compensate_features(future.features, motion.future), choice)
    return prediction, features
