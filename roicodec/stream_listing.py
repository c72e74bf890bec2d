"""The listing of a stream as text, JSON or CSV, line by line while the stream is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction

from roicodec.bitstream.color import LOCATIONS, MATRICES, PRIMARIES, RANGES, TRANSFERS, name_of
from roicodec.bitstream.constants import BLOCK, FEATURE_CHANNELS, PAD
from roicodec.bitstream.header import Header
from roicodec.stream_info import FrameInfo, StreamInfo

__all__ = ["csv_lines", "header_dict", "json_lines", "text_lines", "totals_dict"]


def header_dict(header: Header) -> dict[str, object]:
    """The object ``header`` of the JSON."""
    fields = asdict(header)
    fields["color"] = {
        "range": name_of(header.color_range, RANGES),
        "matrix": name_of(header.color_matrix, MATRICES),
        "primaries": name_of(header.color_primaries, PRIMARIES),
        "transfer": name_of(header.color_transfer, TRANSFERS),
        "chroma_location": name_of(header.chroma_location, dict(enumerate(LOCATIONS))),
    }
    return {
        name: str(value) if isinstance(value, Fraction)
        else value.hex() if isinstance(value, bytes)
        else value
        for name, value in fields.items()
    }  # fmt: skip


def totals_dict(info: StreamInfo) -> dict[str, object]:
    """The object ``totals`` of the JSON, of a stream that was read to its end."""
    totals, header = info.totals, info.header
    pixels = totals.frames * header.width * header.height
    return {
        "frames": totals.frames,
        "intra_frames": totals.intra,
        "bidirectional_frames": totals.bidirectional,
        "frames_lost": totals.lost,
        "truncated": totals.truncated,
        "seconds": float(info.seconds()),
        "bytes": totals.bytes,
        "bytes_by_part": {
            **totals.parts,
            "header": totals.header,
            "tracks_and_packets": totals.media,
            "index_and_trailer": totals.index,
            "other": totals.other,
            "damaged": totals.damaged,
        },
        "bit_rate": info.bit_rate(totals.bytes),
        "video_bit_rate": info.bit_rate(totals.video),
        "bits_per_pixel": 8 * totals.video / pixels if pixels else None,
        "mean_quality": totals.quality / totals.frames if totals.frames else None,
        "mean_roi_share": totals.roi / totals.roi_frames if totals.roi_frames else None,
    }


def json_lines(info: StreamInfo, *, frames: bool) -> Iterator[str]:
    """One JSON object ``{"header", "frames" (on demand), "totals", "contents"}``, in pieces."""
    import json

    yield '{"header": ' + json.dumps(header_dict(info.header)) + ","
    if frames:
        yield ' "frames": ['
    separator = "  "
    for frame in info.frames():
        if frames:
            yield separator + json.dumps({**asdict(frame), "bytes": frame.bytes})
            separator = "  ,"
    if frames:
        yield " ],"
    yield ' "totals": ' + json.dumps(totals_dict(info)) + ","
    yield ' "contents": ' + json.dumps(info.contents.to_dict()) + "}"


def csv_lines(info: StreamInfo) -> Iterator[str]:
    """A line of names, then a line for each frame."""
    import csv
    import io

    def line(values: list[object]) -> str:
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow(values)
        return out.getvalue()

    names = list(FrameInfo.__dataclass_fields__)
    yield line([*names, "bytes"])
    for frame in info.frames():
        yield line([*(getattr(frame, name) for name in names), frame.bytes])


def text_lines(info: StreamInfo, *, frames: bool) -> Iterator[str]:
    """The listing for people: header, frames on demand, totals."""
    yield from _header_text(info.header)
    if frames:
        yield ""
        yield (
            " frame type  layer        time quality b_roi  b_bg    ROI"
            "   skip    new   SEI   mask motion    map latents overhead   bytes  GBitOPs"
        )
    for f in info.frames():
        if frames:
            yield (
                f"{f.number:6d} {f.type[:5]} {f.layer:5d} {f.time:11.3f} {f.quality:7d} "
                f"{f.b_roi:5d} {f.b_bg:5d} "
                f"{_percent(f.roi_share):>6} {_percent(f.skip_share):>6} "
                f"{_percent(f.unmatched_share):>6} {f.sei:5d} {f.mask:6d} {f.motion:6d} "
                f"{f.map:6d} {f.latents:7d} {f.overhead:8d} {f.bytes:7d} {_giga(f.bit_ops):>8}"
            )
    yield ""
    yield from info.contents.text_lines()
    yield from _totals_text(info)


def _header_text(header: Header) -> Iterator[str]:
    rate = f"{float(header.frame_rate):.6g} frames/s" if header.frame_rate else "rate unknown"
    aspect = header.sample_aspect_ratio
    shape = f"{aspect.numerator}:{aspect.denominator}" if aspect else "unspecified"
    candidates = ", ".join(f"{c.bits} ({c.offset:+d})" for c in header.candidates)
    yield (
        f"picture     {header.width}x{header.height}, source {header.pixel_format},"
        f" sample aspect {shape}, rotation {header.rotation}"
    )
    yield (
        f"colour      range {name_of(header.color_range, RANGES)}, matrix"
        f" {name_of(header.color_matrix, MATRICES)}, primaries"
        f" {name_of(header.color_primaries, PRIMARIES)}, transfer"
        f" {name_of(header.color_transfer, TRANSFERS)}, chroma location"
        f" {name_of(header.chroma_location, dict(enumerate(LOCATIONS)))}"
    )
    yield f"time        {rate}, time base {header.time_base}"
    yield f"coding      GOP {header.gop}, candidates (quality offset) {candidates}"
    size = header.references * _reference_bytes(header)
    yield (
        f"references  {header.references} at most, {size / 2**20:.1f} MiB in a decoder; format"
        f" version {header.version}"
    )
    yield f"model       {header.model_id.hex()}, arithmetic {header.arithmetic_id}"
    yield f"encoder     {header.encoder or 'unknown'}"


def _totals_text(info: StreamInfo) -> Iterator[str]:
    t = info.totals
    video = t.video
    state = "".join([f", {t.lost} LOST" if t.lost else "", ", CUT" if t.truncated else ""])
    types = f"{t.intra} intra, {t.bidirectional} bidirectional{state}"
    yield f"frames      {t.frames} ({types}), {float(info.seconds()):.3f} s"
    parts = ", ".join(f"{'SEI' if k == 'sei' else k} {v}" for k, v in t.parts.items())
    yield f"video       {video} bytes: {parts}"
    rest = {
        "header": t.header,
        "tracks and packets": t.media,
        "index and trailer": t.index,
        "other": t.other,
        "DAMAGED": t.damaged,
    }
    yield (
        f"stream      {t.bytes} bytes: video {video}"
        + "".join(f", {name} {size}" for name, size in rest.items() if size)
    )
    whole, frames_only = info.bit_rate(t.bytes), info.bit_rate(video)
    pixels = t.frames * info.header.width * info.header.height
    if whole is not None and frames_only is not None and pixels:
        yield (
            f"bit rate    {whole / 1000:.2f} kbit/s, video {frames_only / 1000:.2f} kbit/s,"
            f" {8 * video / pixels:.4f} bit/pixel"
        )
    if t.frames:
        roi = _percent(t.roi / t.roi_frames if t.roi_frames else None)
        mask, maps = (_percent(t.parts[part] / video) for part in ("mask", "map"))
        yield (
            f"mean        quality index {t.quality / t.frames:.1f}, ROI {roi} of the picture,"
            f" its mask {mask} of the video's bytes, its maps {maps}"
        )


def _reference_bytes(header: Header) -> int:
    """Bytes of a decoded frame that is kept: planes, features, both fields of motion."""
    width, height = (-(-side // PAD) * PAD for side in (header.width, header.height))
    blocks = width * height // BLOCK**2
    return width * height * 3 // 2 + blocks * (2 * FEATURE_CHANNELS + 8)


def _giga(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e9:.4g}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.1f}%"
