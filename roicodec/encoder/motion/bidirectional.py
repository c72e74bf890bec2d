"""Motion of bidirectional frames: both fields, and the prediction mode of every cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import AVERAGE, DIRECT, FUTURE, PAST
from roicodec.bitstream.mode_coding import MODES, Modes
from roicodec.bitstream.motion_section import Bidirectional, settled
from roicodec.bitstream.motion_trees import shipped_contexts
from roicodec.bitstream.motion_vectors import bases, units
from roicodec.bitstream.motion_walk import Previous
from roicodec.decoder.references import Motion, References, expected_motion
from roicodec.encoder.motion.match import Matcher, flat_phases, match_prices
from roicodec.encoder.motion.search import SearchPlane, refine_pair
from roicodec.encoder.motion.vector_costs import UnitCosts, difference_bits
from roicodec.kernels.compensation import compensate
from roicodec.kernels.packing import unpack
from roicodec.picture import Plane

__all__ = ["bidirectional_motion"]

Vectors = NDArray[np.int16]

_MODE_BITS = {AVERAGE: 717, PAST: 2560, FUTURE: 2560, DIRECT: 1536}
"""Rounded mean prices of the modes, in 1/1024 bit."""
_SPLIT_BITS, _BLOCK_BITS = 5120, 2048
"""The same of a split unit, and of a block of it that has another vector."""
_USES = {AVERAGE: 2, PAST: 0, FUTURE: 1, DIRECT: 2}
"""How :func:`~roicodec.encoder.motion.search.refine_pair` names the modes."""


def bidirectional_motion(
    plane: SearchPlane,
    references: References,
    planes: tuple[SearchPlane, SearchPlane],
    fields: tuple[Vectors, Vectors],
    distances: tuple[int, int],
    *,
    step: float,
    weight: float,
    sweeps: int,
) -> Motion:
    """The motion of a frame between two references, modes chosen by J = residual bits + weight *
    motion bits, then both fields refined so that their mean predicts better.

    Args:
        plane: luma of the frame.
        references: past and future.
        planes: their luma.
        fields: vectors to each, int16 ``[Hp / 8, Wp / 8, 2]``.
        distances: frames to each.
        step: quantizer step that the residual will be coded with, in sample values.
        weight: of a bit of motion against a bit of residual.
        sweeps: of the refinement.
    """
    expected = expected_motion(references, *distances)
    choice = _ModeChoice(plane.luma, references, expected, step, weight)
    modes = choice.modes(fields)
    uses = np.array([_USES[mode] for mode in range(MODES)], np.uint8)[modes]
    fields = refine_pair(
        plane, planes, fields, uses.repeat(2, 0).repeat(2, 1),
        step=step, previous=expected, sweeps=sweeps, weight=weight,
    )  # fmt: skip
    return choice.motion(fields, distances, choice.modes(fields))


class _ModeChoice:
    """Chooser of the modes of one frame; arguments as above."""

    def __init__(
        self,
        luma: Plane,
        references: References,
        expected: tuple[Vectors | None, Vectors | None],
        step: float,
        weight: float,
    ) -> None:
        self._luma, self._references, self._expected = luma, references, expected
        self._step, self._weight = step, weight

    def modes(self, fields: tuple[Vectors, Vectors]) -> Modes:
        """The best mode of each cell, uint8 ``[Hp / 16, Wp / 16]``."""
        cells = fields[0].shape[0] // 2, fields[0].shape[1] // 2
        known = [np.zeros_like(fields[0]) if e is None else e for e in self._expected]
        past, future = self._predicted(fields)
        bits = [_field_bits(f, e) for f, e in zip(fields, self._expected, strict=True)]
        offers = {
            AVERAGE: (_mean(past, future), bits[0] + bits[1]),
            PAST: (past, bits[0]),
            FUTURE: (future, bits[1]),
            DIRECT: (_mean(*self._predicted(known)), np.zeros_like(bits[0])),
        }
        costs = [
            self._residual_bits(offers[mode][0])
            + self._weight * (offers[mode][1] + _MODE_BITS[mode])
            for mode in range(MODES)
        ]
        return np.asarray(np.argmin(costs, 0), np.uint8).reshape(cells)

    def motion(
        self, fields: tuple[Vectors, Vectors], distances: tuple[int, int], modes: Modes
    ) -> Motion:
        """The motion as a decoder will have it."""
        both = Bidirectional(fields[1], modes, self._expected[1])
        past, future = settled(fields[0], self._expected[0], both)
        return Motion(past, distances[0], future, distances[1], modes)

    def _predicted(self, fields: Sequence[Vectors]) -> tuple[Plane, Plane]:
        """Luma of both predictions."""
        height, width = self._luma.shape
        past, future = (
            unpack(compensate(reference.planes, field), width, height)[0]
            for reference, field in zip(self._references, fields, strict=True)
        )
        return past, future

    def _residual_bits(self, prediction: Plane) -> NDArray[np.int64]:
        """Price of each cell in 1/1024 bit, ``[cells]``."""
        matcher = Matcher.of(self._luma, flat_phases(prediction), self._step)
        number = np.arange(matcher.grid[0] * matcher.grid[1], dtype=np.int32)
        prices = match_prices(matcher, number, np.zeros((len(number), 2), np.int32))
        return np.asarray(prices.sum(1), np.int64)


def _mean(one: Plane, other: Plane) -> Plane:
    return ((one.astype(np.uint16) + other + 1) >> 1).astype(np.uint8)


def _field_bits(vectors: Vectors, expected: Vectors | None) -> NDArray[np.int64]:
    """Estimated bits of the vectors of each cell in 1/1024 bit, ``[cells]``."""
    before = Previous(expected, (vectors.shape[0], vectors.shape[1]))
    blocks = units(vectors.astype(np.int32))
    base = bases(blocks)
    at = np.arange(len(base))
    costs = UnitCosts(at, base, np.zeros(len(base), np.int32), before, shipped_contexts())
    own = costs.bits(base[:, None])[:, 0]
    apart = (blocks != base[:, None]).any(2)
    other = _BLOCK_BITS + difference_bits(blocks - base[:, None]) // 2
    extra = np.where(apart, other, 0).sum(1)
    return np.asarray(own + extra + _SPLIT_BITS * apart.any(1), np.int64)
