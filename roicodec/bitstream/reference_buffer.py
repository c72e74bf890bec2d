"""The decoded frames that later ones may refer to, and which of them."""

from __future__ import annotations

from typing import Generic, TypeVar

from roicodec.bitstream.constants import BIDIRECTIONAL, INTRA
from roicodec.bitstream.frame_chunk import Place
from roicodec.errors import ReferenceLost

__all__ = ["ReferenceBuffer"]

T = TypeVar("T")


class ReferenceBuffer(Generic[T]):
    """Decoded frames that later ones may refer to, by their numbers in presentation order.

    The past references of frames never go back in time. So a frame drops all that was shown before
    its own past reference, an intra frame everything; beyond its size the buffer drops what was
    shown first.

    Args:
        size: most frames that are kept, as the header tells.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: dict[int, T] = {}

    def references(self, kind: int, place: Place, number: int) -> tuple[T, ...]:
        """References of a frame: none, the past one, or the past and the future one.

        Args:
            kind: frame type.
            place: of the frame.
            number: in the order of presentation.

        Raises:
            ReferenceLost: if one is not there; the message names it.
        """
        if kind == INTRA:
            self._kept.clear()
            return ()
        past = number - place.past
        self._kept = {shown: kept for shown, kept in self._kept.items() if shown >= past}
        wanted = (past, number + place.future) if kind == BIDIRECTIONAL else (past,)
        for shown in wanted:
            if shown not in self._kept:
                raise ReferenceLost(f"frame {shown}, which it refers to, is lost")
        return tuple(self._kept[shown] for shown in wanted)

    def __copy__(self) -> ReferenceBuffer[T]:
        other: ReferenceBuffer[T] = ReferenceBuffer(self._size)
        other._kept = dict(self._kept)
        return other

    def keep(self, number: int, frame: T) -> None:
        """New entry of a frame that others refer to."""
        self._kept[number] = frame
        while len(self._kept) > self._size:
            del self._kept[min(self._kept)]
