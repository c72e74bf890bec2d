"""Other codecs through FFmpeg (PyAV): what they are given, and their bare streams on disk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np

from roicodec.bitstream.constants import CELL
from roicodec.bitstream.masks import Mask, cells_of
from roicodec.errors import InputError
from roicodec.media import VideoInfo
from roicodec.media.convert import FrameReader, picture_frame
from roicodec.picture import Picture

__all__ = [
    "ASSUMED_TIME_BASE",
    "CONFIGS",
    "FAMILIES",
    "Anchor",
    "anchors",
    "by_name",
    "decode",
    "encode",
    "rectangles",
    "with_roi",
]

CONFIGS = ("ld", "default", "intra")
"""Low delay (one intra frame, no B frames), the codec's own default, every frame intra."""

_ROI_DELTA_QP = 6
"""Difference in QP between the ROI and the rest in ``+roi6``: half down inside, half up outside."""

_QP_RANGE = 51
"""``addroi`` offsets are shares of this QP range (libx264 and libx265 at 8 bits)."""

_ASSUMED_RATE = Fraction(25)
ASSUMED_TIME_BASE = 1 / _ASSUMED_RATE
"""Time base of the pictures of an elementary stream, which has no times of its own."""

_CRF = (18, 23, 28, 33, 38)


@dataclass(frozen=True, slots=True)
class Anchor:
    """One encoder with its settings; the rate comes from ``crf``.

    Attributes:
        name: as in tables, e.g. ``x265_medium_ld_tuned+roi6``.
        encoder: FFmpeg's name of it.
        options: FFmpeg options without ``crf``.
        qualities: default values of ``crf``.
        delta_qp: QP outside the ROI less that inside it; 0 when no ROI is passed on.
    """

    name: str
    encoder: str
    options: tuple[tuple[str, str], ...]
    qualities: tuple[int, ...] = _CRF
    delta_qp: int = 0

    @property
    def suffix(self) -> str:
        """File name suffix of the bare stream."""
        return _STREAMS[self.encoder].suffix

    def options_at(self, quality: int) -> dict[str, str]:
        """Every FFmpeg option of an encode, ``crf`` included."""
        return {**dict(self.options), "crf": str(quality)}

    def command(self, quality: int) -> str:
        """The encode in the notation of the ``ffmpeg`` command."""
        options = " ".join(f"-{k} {v}" for k, v in self.options_at(quality).items())
        half = _offset(self.delta_qp)
        roi = f"-vf addroi=ROI:-{half},addroi=frame:{half} " if self.delta_qp else ""
        return f"{roi}-c:v {self.encoder} {options} -threads 1"


@dataclass(frozen=True, slots=True)
class _Stream:
    suffix: str
    demuxer: str
    user_data_sei: re.Pattern[bytes] | None


_STREAMS = {
    # An SEI unit whose first message has payload type 5, user data unregistered.
    "libx264": _Stream(".h264", "h264", re.compile(rb"[\x06\x26\x46\x66]\x05", re.DOTALL)),
    "libx265": _Stream(".hevc", "hevc", re.compile(rb"[\x4e\x50].\x05", re.DOTALL)),
    "libsvtav1": _Stream(".obu", "obu", None),
}

_X265_TUNED = "psy-rd=0:psy-rdoq=0:early-skip=0:rskip=0:rdoq-level=2:rd=4:aq-mode=0"
_X265_ONE_THREAD = "pools=none:frame-threads=1"


def _options(**options: str) -> tuple[tuple[str, str], ...]:
    return tuple((key.replace("_", "-"), value) for key, value in options.items())


def _x264(name: str, tune: str, params: str) -> Anchor:
    options = {"preset": "medium", "tune": tune, "x264_params": params}
    return Anchor(name, "libx264", _options(**{k: v for k, v in options.items() if v}))


def _x265(name: str, tune: str, params: str) -> Anchor:
    joined = ":".join(p for p in (params, _X265_ONE_THREAD) if p)
    options = {"preset": "medium", "tune": tune, "x265_params": joined}
    return Anchor(name, "libx265", _options(**{k: v for k, v in options.items() if v}))


def _svtav1(name: str, g: str, params: str) -> Anchor:
    options = {"preset": "4", "g": g, "svtav1_params": params}
    kept = _options(**{k: v for k, v in options.items() if v})
    return Anchor(name, "libsvtav1", kept, (20, 30, 40, 50, 60))


_ALL: dict[tuple[str, str], tuple[Anchor, ...]] = {
    ("x264", "ld"): (
        _x264("x264_medium_ld", "zerolatency", "keyint=infinite:scenecut=0"),
        _x264("x264_medium_ld_psnr", "psnr,zerolatency", "keyint=infinite:scenecut=0"),
    ),
    ("x264", "default"): (
        _x264("x264_medium", "", ""),
        _x264("x264_medium_psnr", "psnr", ""),
    ),
    ("x264", "intra"): (
        _x264("x264_medium_intra", "", "keyint=1"),
        _x264("x264_medium_intra_psnr", "psnr", "keyint=1"),
    ),
    ("x265", "ld"): (
        _x265("x265_medium_ld", "zerolatency", "keyint=-1:scenecut=0"),
        _x265("x265_medium_ld_tuned", "zerolatency", f"keyint=-1:scenecut=0:{_X265_TUNED}"),
    ),
    ("x265", "default"): (
        _x265("x265_medium", "", ""),
        _x265("x265_medium_tuned", "", _X265_TUNED),
    ),
    ("x265", "intra"): (
        _x265("x265_medium_intra", "", "keyint=1"),
        _x265("x265_medium_intra_tuned", "", f"keyint=1:{_X265_TUNED}"),
    ),
    ("svtav1", "ld"): (_svtav1("svtav1_p4_ld", "9999", "pred-struct=1:lp=1:tune=1"),),
    ("svtav1", "default"): (_svtav1("svtav1_p4", "", "lp=1:tune=1"),),
    ("svtav1", "intra"): (_svtav1("svtav1_p4_intra", "1", "lp=1:tune=1"),),
}

FAMILIES = tuple(dict.fromkeys(family for family, _ in _ALL))


def anchors(family: str, config: str) -> tuple[Anchor, ...]:
    """The anchors of a codec in a configuration: default tuning first, then tuned for PSNR.

    Raises:
        InputError: if there is no such codec or configuration.
    """
    if (family, config) not in _ALL:
        known = ", ".join(FAMILIES)
        raise InputError(
            f"no anchor {family!r} in configuration {config!r}: "
            f"codecs are {known}; configurations {', '.join(CONFIGS)}"
        )
    return _ALL[family, config]


def by_name(name: str) -> Anchor:
    """The anchor of that name, ``+roi`` and its QP difference included.

    Raises:
        InputError: if there is none.
    """
    plain, roi, delta = name.partition("+roi")
    found = next((a for group in _ALL.values() for a in group if a.name == plain), None)
    if found is not None and roi:
        found = with_roi(found, int(delta)) if delta.isdecimal() else None
    if found is None:
        raise InputError(f"no anchor is called {name!r}")
    return found


def with_roi(anchor: Anchor, delta_qp: int = _ROI_DELTA_QP) -> Anchor | None:
    """The same anchor with its ROI ``delta_qp`` finer; None where the encoder ignores ``addroi``.

    x264 and x265 apply offsets only with adaptive quantization on: where the anchor has it off,
    a strength of 0.01 leaves the offsets alone.
    """
    if anchor.encoder == "libsvtav1":
        return None
    options = dict(anchor.options)
    faint = "aq-mode=1:aq-strength=0.01"
    if anchor.encoder == "libx265":
        options["x265-params"] = options["x265-params"].replace("aq-mode=0", faint)
    elif "psnr" in options.get("tune", ""):
        options["x264-params"] = ":".join(filter(None, (options.get("x264-params", ""), faint)))
    name = f"{anchor.name}+roi{delta_qp}"
    return replace(anchor, name=name, options=tuple(options.items()), delta_qp=delta_qp)


def rectangles(cells: Mask) -> list[tuple[int, int, int, int]]:
    """Disjoint rectangles (x, y, w, h), in cells, that cover exactly the True ones.

    Runs along rows, merged downwards where the next row has the same run.
    """
    done: list[tuple[int, int, int, int]] = []
    growing: dict[tuple[int, int], int] = {}
    for y, row in enumerate([*cells, np.zeros(cells.shape[1], np.bool_)]):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
        runs = {(int(a), int(b - a)) for a, b in edges.reshape(-1, 2)}
        for run in [r for r in growing if r not in runs]:
            top = growing.pop(run)
            done.append((run[0], top, run[1], y - top))
        for run in runs:
            growing.setdefault(run, y)
    return sorted(done, key=lambda r: (r[1], r[0]))


def _offset(delta_qp: int) -> str:
    """Half a QP difference as ``addroi`` takes it.

    Five decimals, as the stored results have it: the digits beyond decide how encoders round.
    """
    return f"{delta_qp / 2 / _QP_RANGE:.5f}"


def _roi_frame(frame: av.VideoFrame, cells: Mask, delta_qp: int, rate: Fraction) -> av.VideoFrame:
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=1 / rate
    )
    half = _offset(delta_qp)
    rows, columns = cells.shape
    # Of overlapping regions the first holds: the whole frame, last, is what lies outside.
    regions = [(r, f"-{half}") for r in rectangles(cells)] + [((0, 0, columns, rows), half)]
    for (x, y, w, h), offset in regions:
        x, y = CELL * x, CELL * y
        w, h = min(CELL * w, frame.width - x), min(CELL * h, frame.height - y)
        node = graph.add("addroi", f"x={x}:y={y}:w={w}:h={h}:qoffset={offset}")
        last.link_to(node)
        last = node
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    out = graph.pull()
    assert isinstance(out, av.VideoFrame)
    return out


def _without_user_data(packet: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """An Annex B packet without its user-data SEI units."""
    starts = [m.start() for m in re.finditer(rb"\x00?\x00\x00\x01", packet)]
    units = [packet[a:b] for a, b in zip(starts, [*starts[1:], len(packet)], strict=True)]
    kept = [u for u in units if not pattern.match(u, u.index(b"\x01") + 1)]
    return packet[: starts[0]] + b"".join(kept) if starts else packet


def encode(
    anchor: Anchor,
    quality: int,
    pictures: Iterable[Picture],
    info: VideoInfo,
    path: Path,
    masks: Iterable[Mask] | None = None,
) -> None:
    """Encoding of pictures on one thread; only the elementary stream is written.

    Args:
        quality: the encoder's ``crf``.
        info: size and frame rate of the pictures (25 where it has none); they are coded at
            that rate whatever their time stamps say.
        masks: for an anchor with ROI, a pixel mask bool ``[H, W]`` for every picture.

    Raises:
        InputError: if FFmpeg lacks the encoder or refuses an option, or masks are missing.
    """
    if anchor.delta_qp and masks is None:
        raise InputError(f"{anchor.name} needs a ROI mask")
    try:
        codec = av.CodecContext.create(anchor.encoder, "w")
    except (av.FFmpegError, ValueError):
        raise InputError(f"{anchor.name}: this FFmpeg has no encoder {anchor.encoder}") from None
    assert isinstance(codec, av.VideoCodecContext)
    rate = info.frame_rate or _ASSUMED_RATE
    codec.width, codec.height, codec.pix_fmt = info.width, info.height, "yuv420p"
    codec.framerate, codec.time_base = rate, 1 / rate
    codec.thread_count = 1
    codec.options = anchor.options_at(quality)
    sei = _STREAMS[anchor.encoder].user_data_sei
    mask = iter(masks) if masks is not None and anchor.delta_qp else None
    try:
        with path.open("wb") as file:
            for packet in _packets(codec, pictures, mask, anchor.delta_qp, rate):
                file.write(_without_user_data(packet, sei) if sei else packet)
    except av.FFmpegError as error:
        raise InputError(f"{anchor.name} at crf {quality}: {error}") from None


def _packets(
    codec: av.VideoCodecContext,
    pictures: Iterable[Picture],
    masks: Iterator[Mask] | None,
    delta_qp: int,
    rate: Fraction,
) -> Iterator[bytes]:
    for number, picture in enumerate(pictures):
        frame = picture_frame(picture)
        frame.pts, frame.time_base = number, 1 / rate
        if masks is not None:
            mask = next(masks, None)
            if mask is None:
                raise InputError(f"ROI mask ends after {number} frames, before the clip does")
            frame = _roi_frame(frame, cells_of(mask), delta_qp, rate)
        yield from map(bytes, codec.encode(frame))
    yield from map(bytes, codec.encode(None))


def decode(path: Path) -> Iterator[Picture]:
    """Pictures of an elementary stream that :func:`encode` wrote, on one thread.

    Raises:
        InputError: if it cannot be decoded.
    """
    demuxer = next(s.demuxer for s in _STREAMS.values() if s.suffix == path.suffix)
    try:
        with av.open(str(path), format=demuxer) as container:
            container.streams.video[0].thread_count = 1
            convert: FrameReader | None = None
            for number, frame in enumerate(container.decode(video=0)):
                if convert is None:
                    info = VideoInfo(frame.width, frame.height, ASSUMED_TIME_BASE)
                    convert = FrameReader(frame.format, info)
                yield convert(frame, number, 1)
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path}: cannot be decoded ({error})") from None
