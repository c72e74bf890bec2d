"""Decisions of a frame before it is tried: type, quality, motion, mask and bit-widths."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import INTER, INTRA, QUANTIZER_STEPS
from roicodec.bitstream.masks import Mask
from roicodec.decoder.frame import FrameSetting
from roicodec.decoder.model import Model
from roicodec.decoder.references import Reference
from roicodec.encoder.effort import Effort
from roicodec.encoder.motion.search import SearchPlane, search_pair, unmatched_share
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.rate_control import RateControl
from roicodec.encoder.roi.features import Features, region_features
from roicodec.encoder.roi.selector import BitWidthSelector, SizedSelector, fitted_selector
from roicodec.encoder.roi.sources import RoiSource, is_given
from roicodec.picture import Picture

__all__ = ["FeatureAverage", "FrameDecisions", "bit_width_selector"]

_CUT = 0.8
"""Share of units without a match from which a frame is a new scene: at cuts it is above 0.95."""

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
        if not mask.any() or mask.all():
            return features
        if intra:
            self._average = None
            return features
        before = self._average
        self._average = features if before is None else before + _OWN_SHARE * (features - before)
        return self._average


class FrameDecisions:
    """Chooser of every frame's setting, in coding order.

    Args:
        options: of the encoder.
        effort: how long to search.
        control: chooses the quality.
        roi: finds the ROI.
        selector: picks the bit-widths.
    """

    def __init__(
        self,
        options: EncoderOptions,
        effort: Effort,
        control: RateControl,
        roi: RoiSource,
        selector: BitWidthSelector,
    ) -> None:
        self._options, self._effort, self._control = options, effort, control
        self._roi, self._selector = roi, selector
        self._average = FeatureAverage()
        self._since_intra = 0
        self._count = 0
        self._first_pts: int | None = None
        self._before: Picture | None = None

    def setting(self, picture: Picture, reference: Reference | None) -> FrameSetting:
        """Setting of the next picture, without skip map and intra-coded cells.

        Args:
            picture: to encode.
            reference: reconstruction of the picture before; None before the first.
        """
        due = self._since_intra % self._options.gop == 0
        vectors = None
        if reference is not None and not due:
            vectors = self._motion(picture, reference)
            if vectors is None:
                self._before = None
        intra = vectors is None
        quality = self._control.quality(INTRA if intra else INTER)
        mask = self._roi.mask(self._count, self._time(picture), picture, self._before)
        features = region_features(picture, vectors, mask)
        features = self._average.add(features, mask, intra=intra)
        b_roi, b_bg = self._selector.choose(features, mask, inter=not intra)
        self._before = picture
        self._count += 1
        self._since_intra = 1 if intra else self._since_intra + 1
        return FrameSetting(INTRA if intra else INTER, quality, b_roi, b_bg, mask, vectors)

    def _motion(self, picture: Picture, reference: Reference) -> NDArray[np.int16] | None:
        """Motion of the next picture against its reference; None where a new scene begins."""
        step = float(QUANTIZER_STEPS[self._control.quality(INTER)])
        current, decoded = SearchPlane(picture.y), SearchPlane(reference.planes[0])
        vectors = search_pair(
            current, decoded, step=step, previous=reference.vectors, sweeps=self._effort.sweeps
        )
        if unmatched_share(current, decoded, vectors, step=step) <= _CUT or self._before is None:
            return vectors
        # Coarse quantization may leave nothing to match, so the pictures themselves have the word.
        before = SearchPlane(self._before.y)
        own = search_pair(current, before, step=step)
        return None if unmatched_share(current, before, own, step=step) > _CUT else vectors

    def _time(self, picture: Picture) -> float:
        """Seconds since the first picture."""
        if self._first_pts is None:
            self._first_pts = picture.pts
        return float((picture.pts - self._first_pts) * self._options.time_base)
