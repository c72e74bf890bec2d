"""Decoded frames as later frames refer to them, and the motion that is expected from theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import VECTOR_LIMIT
from roicodec.bitstream.frame_chunk import Place
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.quality_map import QualityMap
from roicodec.decoder.adaptation import ChannelSums
from roicodec.picture import Plane

__all__ = ["Motion", "Moving", "Reference", "References", "expected_motion", "read_motion"]

Vectors = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of a frame against its references.

    Attributes:
        vectors: to its past reference in quarter luma samples, int16 ``[Hp / 8, Wp / 8, 2]``.
        distance: frames to that reference.
        future: to its future reference, likewise; None of frames that have none.
        future_distance: frames to that reference; 0 for none.
        modes: prediction mode of each cell, uint8 ``[Hp / 16, Wp / 16]``; None of frames without a
            future reference.
    """

    vectors: Vectors
    distance: int = 1
    future: Vectors | None = None
    future_distance: int = 0
    modes: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Reference:
    """Decoded frame as later frames refer to it; never changed.

    Attributes:
        planes: padded Y, U and V before the post-filter, uint8 ``[Hp, Wp]`` and twice
            ``[Hp / 2, Wp / 2]``.
        features: for the next frame's context, int16 ``[(Hp/8) (Wp/8), 32]``.
        motion: its own; None of an intra frame.
        sums: magnitudes of the latents coded since the intra frame, faded
            (:mod:`roicodec.decoder.adaptation`).
        mask: its ROI, bool ``[ceil(H/16), ceil(W/16)]``.
        skip: its skip map, of the same shape; None of an intra frame.
        offsets: its quality map, of the same shape; None where it is flat.
    """

    planes: tuple[Plane, Plane, Plane]
    features: NDArray[np.int16]
    motion: Motion | None
    sums: ChannelSums
    mask: Mask
    skip: Mask | None
    offsets: QualityMap | None = None


References = tuple[Reference, ...]
"""What a frame refers to: nothing (intra), the past reference, or the past and the future one."""


class Moving(Protocol):
    """Anything that has a frame's motion."""

    @property
    def motion(self) -> Motion | None:
        """Motion of the frame; None of an intra frame."""


def read_motion(
    reader: MotionReader, place: Place, references: Sequence[Moving], shape: tuple[int, int]
) -> Motion:
    """Motion of a frame by its section.

    Args:
        reader: of the section.
        place: of the frame.
        references: that it refers to.
        shape: of its fields, (Hp / 8, Wp / 8).

    Raises:
        StreamError: if the section cannot be read.
    """
    expected = expected_motion(references, place.past, place.future)
    if not place.future:
        return Motion(reader.vectors(shape, expected[0]), place.past)
    past, future, modes = reader.bidirectional(shape, expected)
    return Motion(past, place.past, future, place.future, modes)


def expected_motion(
    references: Sequence[Moving], distance: int, future_distance: int
) -> tuple[Vectors | None, Vectors | None]:
    """Fields to the past and to the future reference if all goes on as it does in these.

    Args:
        references: of the frame.
        distance, future_distance: frames to them; 0 for none.

    Returns:
        int16 ``[Hp / 8, Wp / 8, 2]`` each; None where nothing is known.
    """
    if not references:
        return None, None
    if not future_distance:
        motion = references[0].motion
        if motion is None:
            return None, None
        return _scaled(motion.vectors, distance, motion.distance), None
    past, future = (reference.motion for reference in references)
    whole = distance + future_distance
    # One of the two was predicted from the other: it tells the way from one end to the other.
    if future is not None and future.distance == whole:
        across, span = future.vectors, whole
    elif past is not None and past.future is not None and past.future_distance == whole:
        across, span = past.future, -whole
    elif future is not None:
        across, span = future.vectors, future.distance
    else:
        return None, None
    return _scaled(across, distance, span), _scaled(across, -future_distance, span)


def _scaled(vectors: Vectors, numerator: int, denominator: int) -> Vectors:
    """Vectors times a fraction, halves rounded up."""
    if numerator == denominator:
        return vectors
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    scaled = (2 * numerator * vectors.astype(np.int32) + denominator) // (2 * denominator)
    return np.asarray(np.clip(scaled, -VECTOR_LIMIT, VECTOR_LIMIT), np.int16)
