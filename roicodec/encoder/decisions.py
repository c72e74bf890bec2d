"""Decisions of a frame before it is tried: motion, mask and bit-widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import (
    BIDIRECTIONAL,
    INTER,
    INTRA,
    MAP_STEP,
    MAX_DISTANCE,
    QUANTIZER_STEPS,
)
from roicodec.bitstream.frame_chunk import Place
from roicodec.bitstream.masks import Mask
from roicodec.decoder.frame import FrameSetting
from roicodec.decoder.model import Model
from roicodec.decoder.references import Motion, Reference, expected_motion
from roicodec.encoder.effort import Effort
from roicodec.encoder.gop import Planned, prices
from roicodec.encoder.maps import Steps, by_activity, by_shortfall, quality_map, steadied
from roicodec.encoder.motion.bidirectional import bidirectional_motion
from roicodec.encoder.motion.chain import MotionChain
from roicodec.encoder.motion.search import SearchPlane, match_of, search_pair
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.features import Features, region_features
from roicodec.encoder.roi.grades import Grade, grades_of, wanted_offsets
from roicodec.encoder.roi.selector import (
    BitWidthSelector,
    SizedSelector,
    fitted_selector,
    quality_offsets,
)
from roicodec.encoder.roi.sources import RoiSource, is_given
from roicodec.encoder.tree import importance
from roicodec.encoder.zones import zone_at
from roicodec.picture import Picture

__all__ = ["Arrived", "FeatureAverage", "FrameDecisions", "Source", "bit_width_selector"]

Field = NDArray[np.int16]

_CUT = 0.9
"""Share of units without a match above which a frame is a new scene: at cuts it is above 0.96, in
the fastest motion of 74 training clips 0.87."""

_OWN_SHARE = 0.1
"""Weight of an inter frame's own features in the average by which bit-widths are chosen."""


def bit_width_selector(options: EncoderOptions, model: Model, roi: RoiSource) -> BitWidthSelector:
    """The fitted selector for the options' candidates and price of arithmetic, for one video.

    Args:
        options: of the encoder.
        model: the networks.
        roi: where the ROI comes from. Only one that was given, and not found, can be trusted so
            far that a small one has the rest coded more coarsely.
    """
    price = options.complexity / 100 * model.mega_bit_ops(options.candidates)
    fitted = fitted_selector(options.candidates, price)
    return SizedSelector(fitted, options.candidates) if is_given(roi) else fitted


class FeatureAverage:
    """Average of the region features of the inter frames since the intra frame.

    Bit-widths that alternate cost more than either, for what one frame coarsens the next refines.
    """

    def __init__(self) -> None:
        self._average: Features | None = None

    def add(self, features: Features, mask: Mask, *, intra: bool) -> Features:
        """Features to choose bit-widths by, ``[2, 10]``.

        Args:
            features: of this frame, ``[2, 10]``.
            mask: its ROI; frames without a ROI, or that are all ROI, do not count.
            intra: whether the average starts anew.
        """
        if intra:
            self._average = None
        if intra or not mask.any() or mask.all():
            return features
        before = self._average
        self._average = features if before is None else before + _OWN_SHARE * (features - before)
        return self._average


@dataclass(frozen=True, eq=False)
class Arrived:
    """A picture in presentation order, with what is found out before it is coded.

    Attributes:
        picture: to encode.
        plane: its luma.
        number: of the frame, from 0.
        mask: its ROI, bool ``[ceil(H/16), ceil(W/16)]``.
        grades: what the ROI's sources wish for within the regions.
        vectors: motion against the picture before, int16 ``[Hp / 8, Wp / 8, 2]``; None where an
            intra frame is due.
        matched: whether that is against the decoded picture before.
        price: of its residual, predicted by the picture before, about the bits that it takes.
    """

    picture: Picture
    plane: SearchPlane
    number: int
    mask: Mask
    grades: tuple[Grade, ...]
    vectors: Field | None
    matched: bool
    price: float


@dataclass(frozen=True, eq=False)
class Source:
    """A reference, as it is searched.

    Attributes:
        reference: the decoded frame.
        plane: its luma.
    """

    reference: Reference
    plane: SearchPlane


class FrameDecisions:
    """Chooser of every frame's setting.

    Args:
        options: of the encoder.
        effort: how long to search.
        roi: finds the ROI.
        selector: picks the bit-widths.
    """

    def __init__(
        self, options: EncoderOptions, effort: Effort, roi: RoiSource, selector: BitWidthSelector
    ) -> None:
        self._options, self._effort = options, effort
        self._roi, self._selector = roi, selector
        self._offsets = quality_offsets(options.candidates, options.roi_strength)
        self._chain = MotionChain(2 * MAX_DISTANCE)
        self._since_intra = 0
        self._count = 0
        self._first_pts: int | None = None
        self._before: tuple[Picture, SearchPlane] | None = None

    def arrive(self, picture: Picture, quality: int, source: Source | None) -> Arrived:
        """The next picture in presentation order, with its ROI; where a new scene or a GOP begins,
        without motion.

        Args:
            picture: to encode.
            quality: index of inter frames now.
            source: the decoded picture before, where it is what this one will refer to; its motion
                is then against that, else against the original.
        """
        due = self._since_intra % self._options.gop == 0
        plane, vectors, price = SearchPlane(picture.y), None, 0.0
        if self._before is not None and not due:
            step = float(QUANTIZER_STEPS[quality])
            vectors, price = self._from_before(plane, self._before[1], source, step)
            if vectors is None:
                self._before = None
        before = self._before[0] if self._before else None
        mask = self._roi.mask(self._count, self._time(picture), picture, before)
        grades = grades_of(self._roi) if self._options.roi_grades else ()
        if vectors is not None:
            self._chain.add(self._count, vectors)
        matched = source is not None
        arrived = Arrived(picture, plane, self._count, mask, grades, vectors, matched, price)
        # Not the plane itself, which a search gives all quarter samples: 16 times its bytes.
        self._before = picture, SearchPlane(picture.y)
        self._count += 1
        self._since_intra = 1 if vectors is None else self._since_intra + 1
        return arrived

    def _from_before(
        self, plane: SearchPlane, original: SearchPlane, source: Source | None, step: float
    ) -> tuple[Field | None, float]:
        """Motion from the picture before, None where a new scene begins; bits of the residual."""
        vectors = None
        if source is not None:
            motion = source.reference.motion
            vectors = search_pair(
                plane, source.plane, step=step, previous=motion.vectors if motion else None,
                sweeps=self._effort.sweeps,
            )  # fmt: skip
            match = match_of(plane, source.plane, vectors, step=step)
            if match.unmatched <= _CUT:
                return vectors, match.bits
        # Coarse quantization may leave nothing to match, so the pictures themselves have the word.
        own = search_pair(plane, original, step=step)
        match = match_of(plane, original, own, step=step)
        if match.unmatched > _CUT:
            return None, match.bits
        return own if vectors is None else vectors, match.bits

    def setting(
        self,
        arrived: Arrived,
        place: Place,
        quality: int,
        sources: Sequence[Source],
        average: FeatureAverage,
        relative: Sequence[Steps] = (),
        shortfall: int = 0,
    ) -> FrameSetting:
        """Setting of a frame, without skip map and intra-coded cells; in coding order.

        Args:
            arrived: the frame.
            place: among the others.
            quality: index 0..63.
            sources: what it refers to; nothing of an intra frame.
            average: of the features of frames coded before, which this one's join.
            relative: wanted offsets of the quality map.
            shortfall: indices by which the frame is coarser than it was wanted, for want of bits.
        """
        kind, mask = (INTRA, INTER, BIDIRECTIONAL)[len(sources)], arrived.mask
        motion = None
        if sources:
            motion = self._motion(arrived, place, quality, sources)
        features = region_features(arrived.picture, arrived.vectors if sources else None, mask)
        features = average.add(features, mask, intra=not sources)
        b_roi, b_bg = self._selector.choose(features, mask, inter=bool(sources))
        if shortfall and mask.any():
            relative = (*relative, by_shortfall(mask, shortfall))
        if self._options.tune == "ssim":
            relative = (*relative, by_activity(arrived.picture))
        offsets, stronger = None, self._stronger(arrived)
        if relative or arrived.grades or stronger:
            of_roi, of_rest = (self._offsets[bits] for bits in (b_roi, b_bg))
            wanted = wanted_offsets(arrived.grades, mask, of_roi, of_rest)
            if stronger and wanted is None:
                more = [stronger[bits] - self._offsets[bits] for bits in (b_roi, b_bg)]
                wanted = np.where(mask, *more) / MAP_STEP
            offsets = quality_map((mask.shape[0], mask.shape[1]), relative, wanted)
        before = sources[0].reference.offsets if sources else None
        if self._options.tune == "ssim" and before is not None and not arrived.grades:
            offsets = steadied(offsets, before, kept=place.kept)
        return FrameSetting(kind, quality, b_roi, b_bg, mask, motion, offsets=offsets)

    def _stronger(self, arrived: Arrived) -> dict[int, int] | None:
        """Offsets of bit-widths by the strength of a picture's zone; None for the stream's own."""
        options = self._options
        zone = zone_at(options.zones, arrived.picture.pts * options.time_base)
        if zone is None or zone.strength is None:
            return None
        return quality_offsets(options.candidates, zone.strength)

    def importance(
        self, intra: Arrived, group: Sequence[Arrived], planned: Sequence[Planned], quality: int
    ) -> NDArray[np.float64]:
        """Importance of an intra frame's cells (:func:`roicodec.encoder.tree.importance`).

        Args:
            intra: the frame.
            group: those of the mini-GOP behind it.
            planned: the same in coding order.
            quality: index of its frames before offsets.
        """
        pictures = [arrived.picture for arrived in (intra, *group)]
        return importance(self._chain, pictures, intra.number, planned, quality)

    def _motion(
        self, arrived: Arrived, place: Place, quality: int, sources: Sequence[Source]
    ) -> Motion:
        if arrived.matched and arrived.vectors is not None:
            return Motion(arrived.vectors)
        step, weight = float(QUANTIZER_STEPS[quality]), prices(place.layer).vectors
        references = tuple(source.reference for source in sources)
        expected = expected_motion(references, place.past, place.future)
        numbers = arrived.number - place.past, arrived.number + place.future
        fields = [
            search_pair(
                arrived.plane,
                source.plane,
                step=step,
                start=self._chain.between(arrived.number, number),
                previous=previous,
                sweeps=self._effort.sweeps,
                weight=weight,
            )
            for source, number, previous in zip(sources, numbers, expected, strict=False)
        ]
        if len(fields) == 1:
            return Motion(fields[0], place.past)
        return bidirectional_motion(
            arrived.plane,
            references,
            (sources[0].plane, sources[1].plane),
            (fields[0], fields[1]),
            (place.past, place.future),
            step=step,
            weight=weight,
            sweeps=self._effort.sweeps,
        )

    def _time(self, picture: Picture) -> float:
        """Seconds since the first picture."""
        if self._first_pts is None:
            self._first_pts = picture.pts
        return float((picture.pts - self._first_pts) * self._options.time_base)
