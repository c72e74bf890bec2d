"""Region of interest that differs by zone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from roicodec.bitstream.masks import Mask
from roicodec.encoder.roi.grades import Grade, grades_of
from roicodec.encoder.roi.sources import RoiSource, UnionRoi, parse_roi
from roicodec.encoder.zones import Zone
from roicodec.picture import Picture

__all__ = ["ZonedRoi", "zoned_roi"]


class ZonedRoi(UnionRoi):
    """The ROI of each zone in its time, another one else.

    Args:
        source: of the rest.
        zones: each with the source of its ROI.
        time_base: seconds per unit of the pictures' pts.
    """

    def __init__(
        self, source: RoiSource, zones: Sequence[tuple[Zone, RoiSource]], time_base: Fraction
    ) -> None:
        super().__init__((source, *(own for _, own in zones)))
        self._rest, self._time_base = source, time_base
        self._zones = tuple(zones)
        self._active = source

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        now = picture.pts * self._time_base
        inside = (own for zone, own in reversed(self._zones) if zone.start <= now < zone.end)
        self._active = next(inside, self._rest)
        return self._active.mask(index, time, picture, reference)

    def grades(self) -> list[Grade]:
        return list(grades_of(self._active))


def zoned_roi(
    source: RoiSource, zones: Sequence[Zone], width: int, height: int, time_base: Fraction
) -> RoiSource:
    """A video's ROI with that of its zones.

    Args:
        source: outside of the zones; closed with what is returned.
        zones: of the video.
        width, height: size of the pictures.
        time_base: seconds per unit of their pts.

    Raises:
        InputError: if the ROI of a zone cannot be used; ``source`` is then closed.
    """
    found: list[tuple[Zone, RoiSource]] = []
    try:
        for zone in zones:
            if zone.roi is not None:
                found.append((zone, parse_roi([zone.roi], width, height)))
    except BaseException:
        for opened in (source, *(own for _, own in found)):
            opened.close()
        raise
    return ZonedRoi(source, found, time_base) if found else source
