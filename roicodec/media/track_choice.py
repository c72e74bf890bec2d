"""Choice of the tracks of a source that are taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from av.container import InputContainer
from av.stream import Stream

from roicodec.errors import InputError

__all__ = ["ALL_TRACKS", "TrackChoice"]

_KINDS = {"v": "video", "a": "audio", "s": "subtitle", "t": "attachment"}
_SPECIFIER = re.compile(r"(-?)(?:0:)?(?:([vast])(?::(\d{1,4}))?|(\d{1,4}))", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Specifier:
    """Tracks that one text names.

    Attributes:
        kind: of the tracks; empty if ``number`` counts all of them.
        number: from 0, among those of the kind; None for all of the kind.
    """

    kind: str
    number: int | None

    def names(self, stream: Stream, container: InputContainer) -> bool:
        if not self.kind:
            return stream.index == self.number
        same = [s.index for s in container.streams if s.type == self.kind]
        if stream.index not in same:
            return False
        return self.number is None or same.index(stream.index) == self.number


@dataclass(frozen=True, slots=True)
class TrackChoice:
    """Choice of tracks by specifiers as FFmpeg's ``-map`` has them.

    Attributes:
        taken: what is taken; empty for all.
        left: what is left out of that.
    """

    taken: tuple[_Specifier, ...] = ()
    left: tuple[_Specifier, ...] = ()

    @classmethod
    def of(
        cls, specifiers: Sequence[str] = (), *, audio: bool = True, subtitles: bool = True
    ) -> Self:
        """A choice from text.

        Args:
            specifiers: each ``v``, ``a``, ``s`` or ``t`` (attachments), with the number of one of
                them as in ``a:1``; or the number of a track, ``0:2``; with ``-`` before it what is
                left out. The video is one track, by default the one marked so, else the largest.
            audio, subtitles: whether any are taken.

        Raises:
            InputError: if one cannot be read.
        """
        taken: list[_Specifier] = []
        left: list[_Specifier] = []
        for text in specifiers:
            if (found := _SPECIFIER.fullmatch(text)) is None:
                raise InputError(
                    f"track {text!r}: give v, a, s or t, one of them as in a:1, or a number as in"
                    " 0:2; -a:1 leaves it out",
                    parameter="tracks",
                )
            minus, kind, number, index = found.groups()
            count = number if index is None else index
            one = _Specifier(_KINDS.get(kind or "", ""), None if count is None else int(count))
            (left if minus else taken).append(one)
        left += [_Specifier("audio", None)] if not audio else []
        left += [_Specifier("subtitle", None)] if not subtitles else []
        return cls(tuple(taken), tuple(left))

    def takes(self, stream: Stream, container: InputContainer) -> bool:
        """Whether a track other than the video is taken."""
        if any(one.names(stream, container) for one in self.left):
            return False
        return not self.taken or any(one.names(stream, container) for one in self.taken)

    def videos(self, container: InputContainer) -> list[Stream]:
        """Tracks among which the video is chosen.

        Raises:
            InputError: if one was asked for that is none.
        """
        streams = [s for s in container.streams if s.type == "video"]
        asked = [s for s in streams if any(one.names(s, container) for one in self.taken)]
        if any(one.kind == "video" for one in self.taken) and not asked:
            raise InputError("has no such video track", parameter="tracks")
        kept = [s for s in asked or streams if not any(o.names(s, container) for o in self.left)]
        if streams and not kept:
            raise InputError("all its video tracks are left out", parameter="tracks")
        return kept


ALL_TRACKS = TrackChoice()
