"""Report on a stream as one HTML page: bits, quality, bit-widths, ROI, arithmetic, pictures."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.resources import files
from os import PathLike, fspath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from roicodec.bitstream.constants import CELL, MAX_AREA, MAX_FRAMES
from roicodec.bitstream.reader import StreamReader
from roicodec.errors import InputError, ModelError, StreamError
from roicodec.output import OutputFile
from roicodec.stream_info import PARTS, FrameInfo, StreamInfo
from roicodec.stream_listing import header_dict, totals_dict

if TYPE_CHECKING:
    from roicodec.bitstream.masks import Mask
    from roicodec.decoder.weights import Arrays
    from roicodec.transcode import Listener
    from roicodec.video import DecodedPicture, Video

__all__ = ["PICTURES", "mask_paths", "write_report"]

PICTURES = 12
"""Pictures that a report shows by default."""
_MOST_PICTURES = 200
_PICTURE_WIDTH = 480
_COLUMNS = (
    *("number", "time", "type", "layer", "quality", "b_roi", "b_bg", "roi_share", "skip_share"),
    *("unmatched_share", *PARTS, "bit_ops", "bit_ops_8"),
)
"""Fields of a frame that the page draws, each as a list over all frames."""
_DATA = "{{DATA}}"


def write_report(
    source: str | PathLike[str],
    out: str | PathLike[str],
    *,
    pictures: int = PICTURES,
    replace: bool = True,
    backend: str | None = None,
    max_pixels: int = MAX_AREA,
    max_frames: int = MAX_FRAMES,
    listener: Listener | None = None,
) -> StreamInfo:
    """One HTML page about a stream, which needs no other file and no network.

    Args:
        source: path of a stream.
        out: path of the page, which appears when it is complete.
        pictures: most pictures to show, 0..200, spread over the stream: intra frames where there
            are enough, which take little time; else every frame up to the last one is decoded.
        replace: whether an existing file may be replaced.
        backend: of the networks; None for the fastest that is exact here.
        max_pixels, max_frames: limits for streams from strangers, as :func:`roicodec.info` takes
            them.
        listener: receiver of progress (pictures) and warnings.

    Returns:
        the listing of the stream; its ``damages`` are on the page, too.

    Raises:
        InputError: if a file cannot be opened or written.
        StreamError: if it is no stream, or its header is damaged.
    """
    if not 0 <= pictures <= _MOST_PICTURES:
        raise InputError(f"pictures {pictures}: give 0..{_MOST_PICTURES}", parameter="pictures")
    limits = {"max_pixels": max_pixels, "max_frames": max_frames}
    path = fspath(source)
    networks = _networks()
    with OutputFile(fspath(out), replace=replace) as file:
        try:
            with open(path, "rb") as stream:
                reader = StreamReader(stream, **limits)
                warn = listener.warn if listener else None
                info = StreamInfo(reader, warn, networks=networks).read()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        shown, note = _pictures(path, info, pictures, backend, listener, limits)
        data = {
            "name": PurePath(path).name,
            "header": header_dict(info.header),
            "totals": totals_dict(info),
            "contents": info.contents.to_dict(),
            "damages": info.damages,
            "frames": _columns(info.frame_list),
            "layers": _layers(info.frame_list),
            "arithmetic": _arithmetic(info),
            "pictures": shown,
            "note": note,
        }
        template = files("roicodec").joinpath("stream_report.html").read_text("utf-8")
        # "<" may not appear in a script element, whatever the stream's texts are.
        text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
        file.stream.write(template.replace(_DATA, text).encode("utf-8", "replace"))
    return info


def _networks() -> Mapping[str, Arrays] | None:
    from roicodec.decoder.weights import load_arrays

    try:
        return load_arrays()
    except ModelError:
        return None


# --- numbers ---------------------------------------------------------------------------------


def _columns(frames: Iterable[FrameInfo]) -> dict[str, list[Any]]:
    """Each of :data:`_COLUMNS` over all frames in the order of presentation."""
    ordered = sorted(frames, key=lambda frame: frame.number)
    return {name: [getattr(frame, name) for frame in ordered] for name in _COLUMNS}


def _layers(frames: Iterable[FrameInfo]) -> list[dict[str, Any]]:
    """Means by type and temporal layer."""
    groups: dict[tuple[str, int], list[FrameInfo]] = defaultdict(list)
    for frame in frames:
        groups[frame.type, frame.layer].append(frame)
    order = ("intra", "inter", "bidirectional")
    return [
        {
            "type": kind,
            "layer": layer,
            "frames": len(group),
            "bytes": sum(f.bytes for f in group),
            "quality": float(np.mean([f.quality for f in group])),
            "b_roi": float(np.mean([f.b_roi for f in group])),
            "b_bg": float(np.mean([f.b_bg for f in group])),
            "roi": _mean(f.roi_share for f in group),
            "skip": _mean(f.skip_share for f in group),
            "bit_ops": _mean(f.bit_ops for f in group),
        }
        for (kind, layer), group in sorted(
            groups.items(), key=lambda item: (order.index(item[0][0]), item[0][1])
        )
    ]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _arithmetic(info: StreamInfo) -> dict[str, Any] | None:
    """BitOPs a pixel of decoding as coded and with 8 bits everywhere; None where unknown."""
    counts = [
        (f.bit_ops, f.bit_ops_8)
        for f in info.frame_list
        if f.bit_ops is not None and f.bit_ops_8 is not None
    ]
    if not counts:
        return None
    pixels = len(counts) * info.header.width * info.header.height
    coded, eight = (sum(column) / pixels for column in zip(*counts, strict=True))
    return {"frames": len(counts), "coded": coded, "eight": eight}


# --- pictures --------------------------------------------------------------------------------


def _pictures(
    path: str,
    info: StreamInfo,
    count: int,
    backend: str | None,
    listener: Listener | None,
    limits: dict[str, int],
) -> tuple[list[dict[str, Any]], str]:
    """Pictures of the page, and a line on why some that were asked for are not there."""
    from roicodec.video import Video

    if not count or not info.frame_list:
        return [], ""
    shown: list[dict[str, Any]] = []
    try:
        with Video(path, errors="skip", backend=backend, **limits) as video:
            wanted = _numbers(video, info, count)
            if listener is not None:
                listener.start(len(wanted))
            for number in wanted:
                try:
                    shown.append(_picture(video[number], info))
                except (StreamError, IndexError):  # a loss, which the listing tells
                    continue
                if listener is not None:
                    listener.frame(len(shown))
    except (ModelError, StreamError) as error:
        return shown, f"No pictures: {error}"
    lost = len(wanted) - len(shown)
    return shown, f"{lost} of {len(wanted)} pictures cannot be decoded." if lost else ""


def _numbers(video: Video, info: StreamInfo, count: int) -> list[int]:
    """Numbers of the frames to show, ascending."""
    intra = [number for number, _ in video.intra_frames()]
    known = intra if len(intra) >= count else sorted(f.number for f in info.frame_list)
    places = np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int)
    return [known[place] for place in dict.fromkeys(places.tolist())]


def _picture(picture: DecodedPicture, info: StreamInfo) -> dict[str, Any]:
    from roicodec.thumbnails import encoded_image, quarter_turns, shown_rgb

    header = info.header
    rgb = shown_rgb(picture, header, min(_PICTURE_WIDTH, max(picture.y.shape)))
    data = base64.b64encode(encoded_image(rgb, ".webp")).decode("ascii")
    rest, outline = mask_paths(
        picture.mask, header.width, header.height, quarter_turns(header.rotation)
    )
    return {
        "number": picture.number,
        "width": rgb.shape[1],
        "height": rgb.shape[0],
        "image": f"data:image/webp;base64,{data}",
        "rest": rest,
        "outline": outline,
    }


def mask_paths(mask: Mask, width: int, height: int, quarters: int) -> tuple[str, str]:
    """Area outside the ROI and border of the ROI as paths of SVG in a square of 1000 by 1000;
    empty without a ROI.

    Args:
        mask: bool ``[ceil(H/16), ceil(W/16)]``.
        width, height: of the picture in luma samples.
        quarters: of a turn counterclockwise, which a player makes.
    """

    def point(column: int, row: int) -> str:
        x, y = min(column * CELL / width, 1.0), min(row * CELL / height, 1.0)
        for _ in range(quarters):
            x, y = y, 1 - x
        return f"{1000 * x:.4g} {1000 * y:.4g}"

    if not mask.any():
        return "", ""
    rest = []
    for row, cells in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.r_[True, cells, True].astype(np.int8)))
        for a, b in edges.reshape(-1, 2).tolist():
            corners = ((a, row), (b, row), (b, row + 1), (a, row + 1))
            rest.append("M" + "L".join(point(*corner) for corner in corners) + "Z")
    framed = np.pad(mask, 1).astype(np.int8)
    border = [
        f"M{point(c, r)}L{point(c + 1, r)}"
        for r, c in np.argwhere(np.diff(framed[:, 1:-1], axis=0)).tolist()
    ] + [
        f"M{point(c, r)}L{point(c, r + 1)}"
        for r, c in np.argwhere(np.diff(framed[1:-1], axis=1)).tolist()
    ]
    return "".join(rest), "".join(border)
