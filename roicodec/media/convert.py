"""Conversion of FFmpeg's frames to planes of 8-bit 4:2:0 and back; colour stays as it is."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from roicodec.bitstream.color import LOCATIONS
from roicodec.media.info import VideoInfo
from roicodec.picture import Picture, Plane

__all__ = [
    "FrameReader", "Scaler", "filter_graph", "hidden_properties", "picture_frame", "run_graph",
]  # fmt: skip

UNKNOWN, LIMITED, FULL = 0, 1, 2
RGB, BT709, UNSPECIFIED = 0, 1, 2
_BITS = 8
"""Bits of a sample that is coded."""
_DIRECT = {"yuv420p", "yuvj420p", "yuva420p"}


def _planes(frame: VideoFrame) -> tuple[Plane, Plane, Plane]:
    """The first three planes of a planar 4:2:0 frame, copied."""
    y, u, v = map(_samples, frame.planes[:3])
    return y, u, v


def _samples(plane: VideoPlane) -> Plane:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))
    if plane.line_size < 0:  # stored bottom up
        rows = rows[::-1]
    return rows[: plane.height, : plane.width].copy()


def picture_frame(picture: Picture) -> VideoFrame:
    """A ``yuv420p`` frame with the planes of ``picture``; no time stamp, no colour."""
    frame = VideoFrame(picture.width, picture.height, "yuv420p")
    for plane, samples in zip(frame.planes, picture.planes, strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = samples
        plane.update(padded.tobytes())
    return frame


def filter_graph(
    format: str, width: int, height: int, matrix: int, range: int, *filters: tuple[str, str]
) -> Graph:
    """A chain of FFmpeg's filters, each given by name and options, between two buffers."""
    graph = Graph()
    nodes: list[FilterContext] = [
        graph.add(
            "buffer", video_size=f"{width}x{height}", pix_fmt=format, time_base="1/1",
            pixel_aspect="1/1", colorspace=str(matrix), range=str(range),
        ),
        *(graph.add(name, options) for name, options in filters),
        graph.add("buffersink"),
    ]  # fmt: skip
    for one, other in pairwise(nodes):
        one.link_to(other)
    graph.configure()
    return graph


def run_graph(graph: Graph, frame: VideoFrame) -> VideoFrame:
    """Frame that comes out of a filter graph for one that goes in."""
    graph.push(frame)
    out = graph.pull()
    assert isinstance(out, VideoFrame)
    return out


class Scaler:
    """FFmpeg's ``scale`` filter, which changes pixel format and nothing else.

    YUV to YUV keeps matrix and range; RGB becomes BT.709, limited range. Samples of
    more than 8 bits are dithered by the same ordered pattern in every picture, which keeps slow
    gradients.

    Attributes:
        dithers: whether they are; else they are rounded.
    """

    dithers = True

    def __init__(
        self, source: VideoFormat, width: int, height: int, target: str, info: VideoInfo
    ) -> None:
        rgb = source.is_rgb or source.has_palette
        # Gray is full range to the scaler whatever it is told; with full on both sides it keeps
        # the samples as they are.
        full = info.color_range == FULL or _is_gray(source)
        kept = "full" if full else "limited"
        self._matrix, self._range = (RGB, FULL) if rgb else (BT709, FULL if full else LIMITED)
        options = {
            "in_range": "full" if rgb else kept,
            "out_range": "limited" if rgb else kept,
            "out_color_matrix": "bt709",
            "in_chroma_loc": LOCATIONS[info.chroma_location or 1],
            "out_chroma_loc": LOCATIONS[info.chroma_location or 1],
            "sws_dither": "bayer" if self.dithers and _is_deep(source) else "none",
            "flags": "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact",
        }
        if not rgb:
            options["in_color_matrix"] = "bt709"
        scale = ":".join(f"{name}={value}" for name, value in options.items())
        self._graph = filter_graph(
            source.name, width, height, self._matrix, self._range,
            ("scale", scale), ("format", target),
        )  # fmt: skip

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        # The tags of the source must not make the scaler convert: neither side has a say but
        # the options above.
        frame.colorspace, frame.color_range = self._matrix, self._range
        frame.color_primaries = frame.color_trc = UNSPECIFIED
        frame.pts = None
        return run_graph(self._graph, frame)


def _is_deep(format: VideoFormat) -> bool:
    return any(component.bits > _BITS for component in format.components)


def _is_gray(format: VideoFormat) -> bool:
    return sum(not c.is_alpha for c in format.components) == 1 and not format.has_palette


_LOG_LEVEL = threading.Lock()
"""Held while the level is not what it was: there is one for all threads."""


def hidden_properties(frame: VideoFrame) -> tuple[int, Fraction, str]:
    """FFmpeg's number of the chroma location, the sample aspect ratio (0 unknown), and the field
    order (``tt``, ``bb``, or empty).

    PyAV shows none of them in an attribute of the frame, but FFmpeg's ``showinfo`` filter logs
    them; its log is captured for this one frame.
    """
    with _LOG_LEVEL:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as log:
                graph = filter_graph(
                    frame.format.name, frame.width, frame.height, int(frame.colorspace),
                    int(frame.color_range), ("sidedata", "mode=delete"), ("showinfo", "checksum=0"),
                )  # fmt: skip
                run_graph(graph, frame)
        finally:
            # Not None: what another thread is logging just now is compared with it.
            av.logging.set_level(av.logging.PANIC if level is None else level)
    text = "".join(message for *_, message in log)
    location = re.search(rf" cl:({'|'.join(LOCATIONS)}) ", text)
    aspect = re.search(r" sar:(\d+)/([1-9]\d*) ", text)
    fields = re.search(r" i:([TB]) ", text)
    return (
        LOCATIONS.index(location[1]) if location else 0,
        Fraction(int(aspect[1]), int(aspect[2])) if aspect else Fraction(0),
        fields[1].lower() * 2 if fields else "",
    )


class FrameReader:
    """Turns the decoder's frames into planes.

    Attributes:
        info: ``source``, with the colour description that the planes have.
        warning: what the conversion changes, in one line; empty when the planes are the source's.
    """

    def __init__(self, format: VideoFormat, source: VideoInfo) -> None:
        self.info = source
        self.warning = ""
        self._format = format.name
        self._scaler: Scaler | None = None
        if format.name in _DIRECT:
            if "yuvj" in format.name:
                self.info = replace(source, color_range=FULL)
            if "yuva" in format.name:
                self.warning = "transparency is dropped"
            return
        info, notes = source, []
        if "yuvj" in format.name:
            info = replace(info, color_range=FULL)
        if _is_gray(format) and info.color_range == UNKNOWN:
            info = replace(info, color_range=FULL)
        if format.is_rgb or format.has_palette:
            info = replace(info, color_matrix=BT709, color_range=LIMITED)
            notes.append("BT.709, limited range")
        if not info.chroma_location:
            info = replace(info, chroma_location=1)
        if any(c.is_alpha for c in format.components):
            notes.append("transparency dropped")
        self.info = info
        self.warning = f"converted from {format.name} to 8-bit 4:2:0" + "".join(
            f", {note}" for note in notes
        )
        self._scaler = Scaler(format, source.width, source.height, "yuv420p", info)

    def __call__(self, frame: VideoFrame, pts: int, duration: int) -> Picture:
        """Planes of ``frame``, which must have the format and size given at the start."""
        if self._scaler is not None:
            frame = self._scaler(frame)
        return Picture(*_planes(frame), pts=pts, duration=duration)
