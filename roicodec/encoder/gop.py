"""Coding structures: in which order the frames of a mini-GOP are coded, and what each refers to.

A mini-GOP is a pyramid: its last frame refers to the last one of the mini-GOP before, the middle
one to both of these, and so on, halving, down to the leaves, which nobody refers to (hierarchical B
pictures; Schwarz, Marpe and Wiegand, ICME 2006). A pyramid of one frame is low delay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from roicodec.bitstream.constants import BIDIRECTIONAL, INTER
from roicodec.bitstream.frame_chunk import LOW_DELAY, Place

__all__ = [
    "AUTO",
    "AUTO_INTRA_OFFSET",
    "INTRA_OFFSETS",
    "MAX_LOOKAHEAD",
    "PYRAMIDS",
    "STRUCTURES",
    "Planned",
    "Prices",
    "mini_gop",
    "prices",
    "references_kept",
]

PYRAMIDS = {"low-delay": 1, "4": 4, "8": 8, "16": 16}
"""Length of a mini-GOP of each coding structure: every frame refers to the one before, or pyramids
of bidirectional frames."""

AUTO = "auto"
"""The structure that is chosen a mini-GOP at a time."""

STRUCTURES = (AUTO, *PYRAMIDS)

MAX_LOOKAHEAD = 8
"""Most pictures that wait for the choice of ``auto``."""

INTRA_OFFSETS, AUTO_INTRA_OFFSET = (14, 16), 15
"""Quality indices that an intra frame gets on top for the frames that refer to it: before low
delay, before pyramids, whose frames are further away, and before it is known which."""

_OFFSETS = {1: (0,), 2: (-2, 2), 4: (-3, 0, 4), 8: (-2, 0, 3, 7), 16: (-2, 0, 2, 5, 9)}
"""Quality indices on top of a pyramid's frames, from the leaves to the last frame."""


@dataclass(frozen=True)
class Prices:
    """Lagrange multipliers of a layer: the higher the layer, the fewer frames gain by a bit.

    Attributes:
        symbols: squared quantizer steps, where latents' symbols are chosen.
        skip: the same, where cells are skipped.
        vectors: bits of residual.
    """

    symbols: float
    skip: float
    vectors: float


_PRICES = (
    Prices(0.09, 0.06, 0.35),
    Prices(0.10, 0.08, 0.5),
    Prices(0.13, 0.12, 0.75),
    Prices(0.18, 0.16, 1.0),
)


def prices(layer: int) -> Prices:
    """Prices of a layer, from 0."""
    return _PRICES[min(layer, len(_PRICES) - 1)]


@dataclass(frozen=True)
class Planned:
    """A frame of a mini-GOP.

    Attributes:
        number: in the order of presentation, 1 for the first.
        kind: ``INTER`` or ``BIDIRECTIONAL``; ``INTRA`` of a frame alone.
        place: among the other frames.
        offset: quality indices that it gets on top.
    """

    number: int
    kind: int
    place: Place = LOW_DELAY
    offset: int = 0


def mini_gop(length: int) -> list[Planned]:
    """The frames of a pyramid in coding order.

    Args:
        length: number of frames, 1..16.
    """
    if length == 1:
        return [Planned(1, INTER)]
    size = next(pyramid for pyramid in _OFFSETS if pyramid >= length)
    offsets = _OFFSETS[size]
    planned = [Planned(length, INTER, Place(length - 1, length), offsets[-1])]
    for past, future, layer in _between(0, length, 1):
        number = (past + future) // 2
        kept = future - past > 2
        offset = offsets[(future - past - 1).bit_length() - 1] if kept else offsets[0]
        place = Place(number - 1 - len(planned), number - past, future - number, layer, kept)
        planned.append(Planned(number, BIDIRECTIONAL, place, offset))
    return planned


def _between(past: int, future: int, layer: int) -> Iterator[tuple[int, int, int]]:
    """Pairs of references that have frames between them, depth first, with their layers."""
    if future - past > 1:
        middle = (past + future) // 2
        yield past, future, layer
        yield from _between(past, middle, layer + 1)
        yield from _between(middle, future, layer + 1)


def references_kept(length: int) -> int:
    """Decoded frames that must be kept for pyramids of at most a length."""
    return 1 if length == 1 else (length - 1).bit_length() + 1
