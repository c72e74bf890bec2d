"""Motion search between any two pictures.

A hierarchical search finds displacements of up to 128 samples and more; they are then weighed
against their neighbours' by what they really predict and by what this codec charges for them
(:mod:`roicodec.encoder.motion.refine`).
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import PAD, VECTOR_LIMIT
from roicodec.bitstream.motion_vectors import bases, units
from roicodec.encoder.motion.match import (
    BIT,
    UNIT,
    Matcher,
    flat_phases,
    interpolate,
    match_prices,
    pad_plane,
)
from roicodec.encoder.motion.pyramid import Pyramid, hierarchical
from roicodec.encoder.motion.refine import VECTOR_WEIGHT, refine
from roicodec.picture import Plane

__all__ = ["Match", "SearchPlane", "filled", "match_of", "refine_pair", "search_pair"]

Field = NDArray[np.int16]

_REACHES = (4, 2)
"""Displacements, in quarter samples, that the first sweeps try around whole samples; the last alone
where only one more sweep follows."""

_UNMATCHED = 1.0
"""Price of a unit by its vector over that around its blocks' means, from which it has no match."""


class SearchPlane:
    """Luma of a picture with what searches need of it, computed once.

    Args:
        luma: uint8 ``[H, W]``.

    Attributes:
        luma: extended to multiples of 32, uint8 ``[Hp, Wp]``.
    """

    def __init__(self, luma: Plane) -> None:
        self.luma = np.ascontiguousarray(pad_plane(luma, PAD))

    @cached_property
    def pyramid(self) -> Pyramid:
        """The picture at four sizes; 4/3 of its bytes."""
        return Pyramid(self.luma)

    @cached_property
    def phases(self) -> NDArray[np.uint8]:
        """The picture at all quarter samples; 16 times its bytes."""
        return interpolate(self.luma)


class Match(NamedTuple):
    """How well a picture is predicted by another.

    Attributes:
        unmatched: share of the units that their vectors predict no better than their blocks' own
            means do.
        bits: about those of the residual, what it costs in distortion included.
    """

    unmatched: float
    bits: float


def _plane(given: Plane | SearchPlane) -> SearchPlane:
    return given if isinstance(given, SearchPlane) else SearchPlane(given)


def search_pair(
    current: Plane | SearchPlane,
    reference: Plane | SearchPlane,
    *,
    step: float,
    start: Field | None = None,
    previous: Field | None = None,
    sweeps: int = 1,
    weight: float = VECTOR_WEIGHT,
) -> Field:
    """Motion of a picture against any other, int16 ``[Hp / 8, Wp / 8, 2]``, (dx, dy) in quarter
    luma samples, within +-2047.

    Args:
        current: luma of the picture, uint8 ``[H, W]``; a :class:`SearchPlane` if it is searched
            more than once.
        reference: luma of the picture that predicts it, before or after it, of the same size:
            best as decoded.
        step: quantizer step that the residual will be coded with, in sample values.
        start: a field to begin from, too, such as a scaled or chained one; None for none.
        previous: the field that vectors are coded after; None after an intra frame.
        sweeps: how often every vector is weighed against its neighbours' after the first time.
        weight: of a bit of motion against a bit of residual; 0 for the best prediction.

    Raises:
        ValueError: if the planes or fields differ in size.
    """
    current, reference = _plane(current), _plane(reference)
    if current.luma.shape != reference.luma.shape:
        raise ValueError(f"planes {current.luma.shape} and {reference.luma.shape} to match")
    offers = [field for field in (start, previous) if field is not None]
    whole = hierarchical(current.pyramid, reference.pyramid, offers, step=step)
    quarters = np.clip(4 * whole.astype(np.int32), -VECTOR_LIMIT, VECTOR_LIMIT)
    field = quarters.repeat(2, 0).repeat(2, 1).astype(np.int16)
    matcher = Matcher.of(current.luma, reference.phases, step)
    return refine(
        matcher,
        field,
        previous,
        weight=weight,
        sweeps=sweeps,
        reaches=_REACHES[-1:] if sweeps < 2 else _REACHES,
    )


def refine_pair(
    current: Plane | SearchPlane,
    references: tuple[Plane | SearchPlane, Plane | SearchPlane],
    start: tuple[Field, Field],
    modes: NDArray[np.uint8],
    *,
    step: float,
    previous: tuple[Field | None, Field | None] = (None, None),
    rounds: int = 1,
    sweeps: int = 1,
    weight: float = VECTOR_WEIGHT,
) -> tuple[Field, Field]:
    """Both fields of a B frame, refined in turns, each with the other's prediction standing.

    Args:
        current: luma of the picture, as for :func:`search_pair`.
        references: what predicts it.
        start: a field for each reference, int16 ``[Hp / 8, Wp / 8, 2]``.
        modes: of each block, uint8 ``[Hp / 8, Wp / 8]``: 0 predicted by the first reference, 1 by
            the second, 2 by the average of both.
        step: quantizer step of the residual, in sample values.
        previous: the fields that vectors are coded after.
        rounds: turns of both.
        sweeps: visits of every vector in a turn.
        weight: of a bit of motion against a bit of residual.
    """
    current = _plane(current)
    matchers = [Matcher.of(current.luma, _plane(r).phases, step) for r in references]
    found = list(start)
    for turn in range(2 * rounds):
        own = turn % 2
        uses = np.where(modes == 2, 2, modes == own).astype(np.uint8)
        beside = matchers[1 - own].compensated(found[1 - own])
        matcher = matchers[own].averaged(beside, uses)
        found[own] = refine(matcher, found[own], previous[own], weight=weight, sweeps=sweeps)
    return found[0], found[1]


def match_of(current: SearchPlane, reference: SearchPlane, field: Field, *, step: float) -> Match:
    """How well a picture is predicted by a field.

    Args:
        current, reference: the planes.
        field: int16 ``[Hp / 8, Wp / 8, 2]``.
        step: quantizer step of the residual, in sample values.
    """
    vectors = bases(units(field.astype(np.int32)))
    number = np.arange(len(vectors), dtype=np.int32)
    by_vector = match_prices(Matcher.of(current.luma, reference.phases, step), number, vectors)
    rows, columns = current.luma.shape
    coarse = current.pyramid.levels[3]
    margin = (coarse.shape[0] - rows // 8) // 2
    means = coarse[margin : margin + rows // 8, margin : margin + columns // 8]
    flat = Matcher.of(current.luma, flat_phases(means.repeat(8, 0).repeat(8, 1)), step)
    by_means = match_prices(flat, number, np.zeros_like(vectors))
    unmatched = by_vector.sum(1) >= _UNMATCHED * by_means.sum(1) + UNIT
    return Match(float(unmatched.mean()), float(by_vector.sum()) / BIT)


def filled(vectors: Field, missing: NDArray[np.bool_]) -> Field:
    """Field in which missing blocks have the vector of the nearest block that has one.

    Args:
        vectors: int16 ``[H, W, 2]``.
        missing: bool ``[H, W]``.
    """
    if not missing.any() or missing.all():
        return vectors
    _, label = cv2.distanceTransformWithLabels(
        missing.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros((int(label.max()) + 1, 2), np.int16)
    by_label[label[~missing]] = vectors[~missing]
    out: Field = by_label[label]
    return out
