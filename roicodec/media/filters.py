"""Changes of the pictures between decoding and encoding: fields, crop, frame rate, size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Self

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from roicodec.errors import InputError

__all__ = ["NO_FILTERS", "FilterChain", "Filters"]

_SAME_SHAPE = Fraction(1, 100)
"""Relative change of the shape that is rounding to even sides: samples then keep theirs."""
_SCALER = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


@dataclass(frozen=True, slots=True)
class Filters:
    """Changes of the pictures, in this order.

    Attributes:
        deinterlace: whether pictures of two fields become progressive (bwdif, one picture each).
        crop: width, height, left, top in luma samples; -1 for the middle; None for all.
        fps: frames per second, by repeating and leaving out pictures; None as they come.
        scale: width and height; -2 for what keeps the shape, and is even; None as they are.
    """

    deinterlace: bool = False
    crop: tuple[int, int, int, int] | None = None
    fps: Fraction | None = None
    scale: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        scale: str | None = None,
        crop: str | None = None,
        fps: float | Fraction | str | None = None,
        *,
        deinterlace: bool = False,
    ) -> Self:
        """Filters from text.

        Args:
            scale: ``W:H`` (one of them may be -1: what keeps the shape), or the number of lines as
                ``720p``.
            crop: ``W:H`` from the middle, or ``W:H:X:Y``.
            fps: 1..1000, as ``25``, ``29.97`` or ``30000/1001``.
            deinterlace: as the attribute.

        Raises:
            InputError: if one cannot be read.
        """
        return cls(
            deinterlace,
            None if crop is None else _crop_of(crop),
            None if fps is None else _fps_of(fps),
            None if scale is None else _scale_of(scale),
        )

    def chain(self) -> list[tuple[str, str]]:
        """FFmpeg's filters, by name and options."""
        found = []
        if self.deinterlace:
            found.append(("bwdif", "mode=send_frame:parity=auto:deint=all"))
        if self.crop is not None:
            width, height, x, y = self.crop
            place = "" if x < 0 else f":x={x}:y={y}"
            found.append(("crop", f"w={width}:h={height}{place}:exact=1"))
        if self.fps is not None:
            found.append(("fps", f"fps={self.fps.numerator}/{self.fps.denominator}"))
        if self.scale is not None:
            width, height = self.scale
            found.append(("scale", f"w={width}:h={height}:flags={_SCALER}"))
        return found


NO_FILTERS = Filters()


def _crop_of(text: str) -> tuple[int, int, int, int]:
    found = re.fullmatch(r"(\d{1,5})[:x](\d{1,5})(?::(\d{1,5}):(\d{1,5}))?", text, re.ASCII)
    if found is None or not int(found[1]) or not int(found[2]):
        raise InputError(
            f"crop {text!r}: give W:H, or W:H:X:Y with the corner, as 640:360:0:60",
            parameter="crop",
        )
    width, height, x, y = (-1 if part is None else int(part) for part in found.groups())
    return width, height, x, y


def _scale_of(text: str) -> tuple[int, int]:
    if (lines := re.fullmatch(r"(\d{1,4})p", text, re.ASCII)) and int(lines[1]):
        return -2, int(lines[1])
    found = re.fullmatch(r"(-[12]|[1-9]\d{0,4})[:x](-[12]|[1-9]\d{0,4})", text, re.ASCII)
    if found is None or (int(found[1]) < 0 and int(found[2]) < 0):
        raise InputError(
            f"scale {text!r}: give W:H, -1:H or W:-1 to keep the shape, or lines as 720p",
            parameter="scale",
        )
    width, height = (-2 if int(part) < 0 else int(part) for part in found.groups())
    return width, height


def _fps_of(value: float | Fraction | str) -> Fraction:
    try:
        fps = Fraction(value).limit_denominator(1001)
    except (ValueError, ZeroDivisionError, OverflowError):
        fps = Fraction(0)
    if not 1 <= fps <= 1000:
        raise InputError(
            f"fps {value}: give frames a second, 1 to 1000, as 25 or 30000/1001", parameter="fps"
        )
    return fps


class FilterChain:
    """Filters at work on one video.

    Args:
        filters: at least one.
        name: of the source, for messages.
        time_base: seconds per unit of the frames' time stamps.

    Attributes:
        time_base: of the frames that come out.
    """

    def __init__(self, filters: Filters, name: str, time_base: Fraction) -> None:
        self._filters, self._name, self._unit = filters, name, time_base
        self.time_base = time_base if filters.fps is None else 1 / filters.fps
        self._graph: Graph | None = None
        self._size = (0, 0)
        self._format = ""

    def __call__(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Frames that come out when one goes in, with times in units of ``time_base``; all that
        are left after None.

        Raises:
            InputError: if the frame cannot be filtered so.
        """
        if frame is None:
            yield from self._rest()
            return
        size = frame.width, frame.height
        if self._graph is None or frame.format.name != self._format:
            yield from self._rest()
            self._build(frame)
        elif size != self._size:
            raise InputError(
                f"{self._name}: the picture size changes to {size[0]}x{size[1]}; split the file"
                " there"
            )
        self._size, self._format = size, frame.format.name
        yield from self._run(frame)

    def aspect(self, source: Fraction, width: int, height: int) -> Fraction:
        """Sample aspect ratio of the pictures that come out.

        Args:
            source: of those that go in; 0 when unknown.
            width, height: of those that come out.
        """
        scale = self._filters.scale
        if scale is None or min(scale) < 0:  # even sides are near enough
            return source
        before = self._filters.crop[:2] if self._filters.crop else self._size
        stretched = Fraction(before[0] * height, before[1] * width)
        return source if abs(stretched - 1) < _SAME_SHAPE else (source or 1) * stretched

    def _rest(self) -> Iterator[VideoFrame]:
        if self._graph is not None:
            yield from self._run(None)
            self._graph = None

    def _run(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        graph = self._graph
        assert graph is not None
        try:
            graph.push(frame)
        except av.FFmpegError as error:
            raise self._failed(error) from error
        while True:
            try:
                out = graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(out, VideoFrame)
            ratio = Fraction(out.time_base or self.time_base) / self.time_base
            out.pts = None if out.pts is None else round(out.pts * ratio)
            out.duration = round((out.duration or 0) * ratio)
            out.time_base = self.time_base
            yield out

    def _build(self, frame: VideoFrame) -> None:
        graph = Graph()
        try:
            nodes: list[FilterContext] = [
                graph.add(
                    "buffer", video_size=f"{frame.width}x{frame.height}",
                    pix_fmt=frame.format.name, pixel_aspect="1/1",
                    time_base=f"{self._unit.numerator}/{self._unit.denominator}",
                    colorspace=str(int(frame.colorspace)), range=str(int(frame.color_range)),
                ),
                *(graph.add(name, options) for name, options in self._filters.chain()),
                graph.add("buffersink"),
            ]  # fmt: skip
            for one, other in pairwise(nodes):
                one.link_to(other)
            graph.configure()
        except (av.FFmpegError, ValueError) as error:
            raise self._failed(error) from error
        self._graph = graph

    def _failed(self, error: Exception) -> InputError:
        wanted = ", ".join(f"{name} {options}" for name, options in self._filters.chain())
        reason = getattr(error, "strerror", None) or error
        return InputError(
            f"{self._name}: pictures of {self._size[0]}x{self._size[1]} cannot be changed so:"
            f" {wanted} ({reason})"
        )
