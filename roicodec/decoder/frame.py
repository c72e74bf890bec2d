"""What encoder and decoder do alike with a frame: predict, model, reconstruct."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import INTER, INTRA, PAD, PHASES, QUALITIES, SAMPLE_SHIFT
from roicodec.bitstream.entropy import Ints
from roicodec.decoder.adaptation import ChannelSums
from roicodec.decoder.compensation import compensate, compensate_features
from roicodec.decoder.model import Model, NetworkModel
from roicodec.decoder.planes import bytes_of, crop, pack, padded_size, plane_means, unpack
from roicodec.decoder.post_filter import FilteredPlane, shown
from roicodec.decoder.regions import Layout, RegionQuality, finer
from roicodec.decoder.shapes import padded_grid
from roicodec.errors import StreamError
from roicodec.kernels.integer import CANDIDATE_BITS
from roicodec.picture import Picture

__all__ = ["Distribution", "FrameCore", "FrameSetting", "LatentCoder"]

Mask = NDArray[np.bool_]
Planes = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class FrameSetting:
    """What a frame chunk says before its latents.

    Attributes:
        kind: ``INTRA`` or ``INTER``.
        quality: index 0..63.
        b_roi, b_bg: bit-widths.
        mask: ROI of the unpadded frame, bool ``[ceil(H/16), ceil(W/16)]``.
        vectors: int16 ``[Hp/8, Wp/8, 2]``; None for intra frames.
        skip: cells where the prediction stands as it is, of the mask's shape; None for none.
        unmatched: cells of an inter frame without a match in the reference, of the mask's shape:
            only the mean of each block is predicted there; None for none.
    """

    kind: int
    quality: int
    b_roi: int
    b_bg: int
    mask: Mask
    vectors: NDArray[np.int16] | None
    skip: Mask | None = None
    unmatched: Mask | None = None


@dataclass(frozen=True)
class Distribution:
    """One step's model of its latents, in coding order.

    Attributes:
        pairs: positions in the flattened ``[(H/8) (W/8), 96]`` latents, int64 ``[N]``.
        mean: int16 ``[N]``.
        index: table numbers, int32 ``[N]``: stand-ins for those that the network names.
        steps: quantizer steps, int32 ``[N]``.
        place: channel times the number of tables, plus the one that the network names, int64
            ``[N]``.
        ratios: class of each channel's ratio (:mod:`roicodec.decoder.adaptation`), int32 ``[96]``.
    """

    pairs: NDArray[np.int64]
    mean: NDArray[np.int16]
    index: Ints
    steps: Ints
    place: NDArray[np.int64]
    ratios: Ints


LatentCoder = Callable[[Distribution], Ints]
"""Gives the symbols of a step, by choosing and writing them, or by reading them."""


@dataclass
class _Reference:
    planes: Planes
    features: Tensor
    vectors: NDArray[np.int16] | None
    sums: ChannelSums


@dataclass
class Prepared:
    """A frame between its setting and its latents."""

    setting: FrameSetting
    layout: Layout
    model: NetworkModel
    quality: RegionQuality
    prediction: Tensor
    """Packed, int32 ``[(H/8) (W/8), 96]``; 128 in intra frames."""
    features: Tensor | None
    context: Tensor | None
    sums: ChannelSums
    """Of all that was coded of the frame and before it, as :meth:`FrameCore.latents` left them."""


class FrameCore:
    """The frames of one stream, one after another; holds the reference.

    Args:
        width, height: of the luma plane.
        model: the networks.
        offsets: quality offset of each candidate bit-width.
    """

    def __init__(self, width: int, height: int, model: Model, offsets: Mapping[int, int]) -> None:
        self.width, self.height = width, height
        self.padded_width, self.padded_height = padded_size(width, height)
        self.model = model
        self.offsets = dict(offsets)
        self.reference: _Reference | None = None
        self._steps = _coding_steps(*self.motion_shape, model.intra.network.latents)

    @property
    def motion_shape(self) -> tuple[int, int]:
        """Rows and columns of the motion field."""
        return self.padded_height // 8, self.padded_width // 8

    @property
    def previous_vectors(self) -> NDArray[np.int16] | None:
        """The motion field of the frame before; None after an intra frame."""
        return self.reference.vectors if self.reference else None

    @property
    def hyper_shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the hyper-latents."""
        channels = self.model.intra.network.hyper_step.shape[1]
        return self.padded_height // PAD, self.padded_width // PAD, channels

    def prepare(self, setting: FrameSetting, like: Prepared | None = None) -> Prepared:
        """Predict a frame and run what needs no latents.

        Args:
            setting: of the frame.
            like: the same frame prepared with another skip map and the same motion and cells
                without a match, whose prediction is taken over.

        Raises:
            StreamError: if an inter frame has no reference, or the bit-widths do not go with the
                frame: 0 is for the rest of an inter frame that has a ROI.
        """
        usable = self.offsets.keys() & set(CANDIDATE_BITS)
        skip = setting.b_bg == 0 and setting.kind == INTER and setting.mask.any()
        if setting.b_roi not in usable or not (
            setting.b_bg in usable or (skip and 0 in self.offsets)
        ):
            raise StreamError(
                f"bit-widths {setting.b_roi} and {setting.b_bg} cannot be used in this frame"
            )
        model = self.model.intra if setting.kind == INTRA else self.model.inter
        mask, skipped = padded_grid(setting.mask, setting.skip)
        layout = Layout(mask, setting.b_roi, setting.b_bg, self.model.backend.device, skipped)
        quality = RegionQuality(
            *(
                min(max(setting.quality + self.offsets[bits], 0), QUALITIES - 1)
                for bits in (setting.b_roi, setting.b_bg)
            )
        )
        area = self.padded_height * self.padded_width // 64
        if setting.kind != INTER:
            flat = torch.full((area, 96), 128, dtype=torch.int32)
            return Prepared(setting, layout, model, quality, flat, None, None, self._sums())
        if self.reference is None or setting.vectors is None:
            raise StreamError("an inter frame without the frame before it")
        if like is not None and like.features is not None:
            prediction, features = like.prediction, like.features
        else:
            vectors = torch.from_numpy(setting.vectors.astype(np.int64))[None]
            prediction = pack(compensate(*self.reference.planes, vectors))
            features = self.reference.features.view(1, *self.motion_shape, -1)
            features = compensate_features(features, vectors).view(area, -1)
            if setting.unmatched is not None:
                at = finer(padded_grid(setting.unmatched, None)[0])
                prediction[at] = plane_means(prediction[at])
                features[at] = model.network.unmatched(quality)[layout.roi[at].astype(np.int64)]
        context = None
        if layout.parts:
            context = model.network.context(layout, prediction - 128, features)
        sums = self._sums(self.reference)
        return Prepared(setting, layout, model, quality, prediction, features, context, sums)

    def _sums(self, reference: _Reference | None = None) -> ChannelSums:
        """What the frames up to the reference leave: nothing without one."""
        return reference.sums if reference else ChannelSums(self.model.intra.network.latents)

    def latents(self, frame: Prepared, hyper: Ints, coder: LatentCoder) -> Tensor:
        """Code the latents step by step; int16 ``[(H/8) (W/8), 96]``, 0 where skipped.

        Args:
            frame: of :meth:`prepare`.
            hyper: hyper-latents, int32 of :attr:`hyper_shape`.
            coder: chooses or reads the symbols of a step.
        """
        network, layout = frame.model.network, frame.layout
        shape = (layout.height * layout.width, network.latents)
        if not layout.parts:
            return torch.zeros(shape, dtype=torch.int16)
        state = network.entropy_start(
            layout, hyper.reshape(-1, hyper.shape[2]), frame.quality, frame.setting.quality,
            frame.context,
        )  # fmt: skip
        adaptation = frame.model.adaptation
        sums = self._sums(self.reference if frame.setting.kind == INTER else None).copy()
        tables = len(frame.model.latents)
        own = network.steps(frame.quality)
        region = network.latents * layout.roi[layout.positions, None]
        decoded = np.zeros(shape, np.int16)
        for step, arrays in enumerate(self._steps):
            pairs, channel = (layout.of(a) for a in arrays)
            if step:
                state = network.entropy_next(layout, state, step, torch.from_numpy(decoded))
            mean, index = network.distribution(layout, state, step, frame.quality)
            named = np.clip(index.numpy(force=True), 0, tables - 1)
            ratios = sums.ratios()
            place = (channel * tables + named).ravel()
            model = Distribution(
                pairs.ravel(),
                mean.numpy(force=True).ravel(),
                adaptation(ratios).take(place),
                own.take(channel + region).ravel(),
                place,
                ratios,
            )
            symbols = coder(model)
            sums.add(symbols, place, adaptation)
            latents = network.dequantize(symbols, model.mean, model.steps)
            decoded.ravel()[model.pairs] = latents
        frame.sums = sums
        return torch.from_numpy(decoded)

    def synthesise(self, frame: Prepared, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Packed samples, int32 ``[(H/8) (W/8), 96]``, and the features left for the next frame."""
        if frame.features is not None and not frame.layout.parts:
            return frame.prediction, frame.features
        network = frame.model.network
        made = network.synthesise(frame.layout, latents, frame.quality, frame.context)
        samples = (frame.prediction << SAMPLE_SHIFT).add_(made.residual)
        samples.add_(1 << (SAMPLE_SHIFT - 1)).bitwise_right_shift_(SAMPLE_SHIFT).clamp_(0, 255)
        # An intra frame's features speak of the picture, not of what a prediction leaves over.
        if frame.features is None:
            return samples, torch.zeros_like(made.features)
        return samples, frame.layout.merged(made.features, frame.features)

    def reconstruct(self, frame: Prepared, latents: Tensor) -> list[FilteredPlane]:
        """Finish a frame: its planes with and without post-filter, and the next one's reference."""
        samples, features = self.synthesise(frame, latents)
        planes = unpack(samples, self.padded_width, self.padded_height)
        sums = self._sums() if frame.setting.kind == INTRA else frame.sums.copy()
        sums.fade()
        self.reference = _Reference(planes, features, frame.setting.vectors, sums)
        return self.filtered(frame, planes)

    def filtered(self, frame: Prepared, planes: Planes) -> list[FilteredPlane]:
        """Padded planes of a frame with and without post-filter."""
        post, quality = frame.model.post_filter, frame.setting.quality
        parts = zip(planes, (0, 1, 1), strict=True)
        return [post.filtered(bytes_of(plane), part, quality) for plane, part in parts]

    def picture(
        self, planes: list[FilteredPlane], filters: tuple[int, int], pts: int, duration: int
    ) -> Picture:
        """What is shown of a frame, by the switches of its luma and of its chroma."""
        return crop(shown(planes, filters), self.width, self.height, pts, duration)


def _coding_steps(
    height: int, width: int, channels: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of the latents that each step codes (:func:`roicodec.networks.frame_net.coding_steps`) flat
    positions and channels, each ``[height * width, channels / 4]``."""
    row, column, channel = np.ogrid[:height, :width, :channels]
    step = ((channel + PHASES[row % 2, column % 2]) % PHASES.size).ravel()
    steps = [np.flatnonzero(step == k).reshape(height * width, -1) for k in range(PHASES.size)]
    return [(pairs, pairs % channels) for pairs in steps]
