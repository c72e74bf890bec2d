"""Points of rate-distortion curves as files: CSV and JSON, ours and other people's."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from math import isnan
from pathlib import Path
from typing import Any

from roicodec.errors import InputError
from roicodec.evaluate.metrics import Quality
from roicodec.evaluate.process import Usage
from roicodec.evaluate.run import Encode
from roicodec.evaluate.streams import Cost
from roicodec.psnr import ROI_WEIGHT

__all__ = ["COLUMNS", "read_points", "write_csv"]

_REQUIRED = ("clip", "codec", "q", "frames", "width", "height", "bytes", "psnr_y")
_WEIGHTED = f"@{ROI_WEIGHT:g}"


def _column(measure: str) -> str:
    return measure + _WEIGHTED if measure.startswith("w") else measure


_QUALITY = {f.name: _column(f.name) for f in fields(Quality)}
_USAGE: dict[str, Callable[[Usage], float | None]] = {
    "wall_s": lambda u: u.wall_s,
    "cpu_s": lambda u: u.cpu_s,
    "loop_s": lambda u: u.loop_s,
    "loop_cpu_s": lambda u: u.loop_cpu_s,
    "peak_mb": lambda u: u.peak_bytes / 1e6,
}
_COST: dict[str, Callable[[Cost], float]] = {
    "kmac_px": lambda c: c.macs / 1000,
    "kbitops_px": lambda c: c.bit_ops / 1000,
}

COLUMNS = (
    *("clip", "codec", "q", "frames", "width", "height", "fps", "bytes", "bpp"),
    *_QUALITY.values(),
    *(f"{step}_{name}" for step in ("enc", "dec") for name in (*_USAGE, *_COST)),
    *("version", "command"),
)
"""Columns of the CSV file; weighted measures carry the ROI's weight in their name.

``loop_s`` and ``loop_cpu_s`` are seconds of the coding loop, ``kmac_px`` and ``kbitops_px``
thousands of MACs and BitOPs of the networks per luma sample.
"""


def _row(encode: Encode) -> dict[str, Any]:
    row: dict[str, Any] = {
        "clip": encode.clip,
        "codec": encode.codec,
        "q": encode.setting,
        "frames": encode.frames,
        "width": encode.width,
        "height": encode.height,
        "fps": encode.fps,
        "bytes": encode.bytes,
        "bpp": round(encode.bpp, 5),
        "version": encode.version,
        "command": encode.command,
    }
    for name, column in _QUALITY.items():
        value = getattr(encode.quality, name)
        row[column] = "" if value != value else round(value, 5)
    for step, usage, cost in (
        ("enc", encode.encoding, encode.encode_cost),
        ("dec", encode.decoding, encode.decode_cost),
    ):
        for name, value_of in _USAGE.items():
            value = None if usage is None else value_of(usage)
            row[f"{step}_{name}"] = "" if value is None else round(value, 4)
        for name, cost_of in _COST.items():
            row[f"{step}_{name}"] = "" if cost is None else round(cost_of(cost), 4)
    return row


def write_csv(path: Path, encodes: Iterable[Encode]) -> None:
    """CSV file with one row for each encode, :data:`COLUMNS`; unknown values stay empty."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_row, encodes))


def read_points(path: Path) -> list[Encode]:
    """Points that another run, or another program, has measured.

    Either a CSV file with at least the columns clip, codec, q, frames, width, height, bytes and
    psnr_y, or JSON: a list of objects with those names, or the ``results.json`` of a run.

    Raises:
        InputError: if the file cannot be read, lacks a column or has a value that is no number.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if path.suffix.lower() == ".json":
        return _from_json(path, text)
    rows = csv.DictReader(text.splitlines())
    missing = [name for name in _REQUIRED if name not in (rows.fieldnames or [])]
    if missing:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}")
    return [_point(row, f"{path}, line {rows.line_num}") for row in rows]


def _from_json(path: Path, text: str) -> list[Encode]:
    try:
        data = json.loads(text)
        if isinstance(data, dict):
            return [Encode.from_dict(e) for e in data["encodes"]]
        rows = [dict(row) for row in data]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: neither a list of points nor results ({error!r})") from None
    for number, row in enumerate(rows):
        if missing := [name for name in _REQUIRED if name not in row]:
            raise InputError(f"{path}, point {number}: lacks {', '.join(missing)}")
    return [_point(row, f"{path}, point {number}") for number, row in enumerate(rows)]


def _point(row: dict[str, Any], where: str) -> Encode:
    def number(name: str) -> float:
        value = row.get(name)
        if value in ("", None):
            return float("nan")
        try:
            return float(value)
        except (TypeError, ValueError):
            raise InputError(f"{where}: {name} is {value!r}, not a number") from None

    def usage(step: str) -> Usage | None:
        wall, cpu, *loop, peak = (number(f"{step}_{name}") for name in _USAGE)
        if isnan(cpu):
            return None
        known = (None if isnan(seconds) else seconds for seconds in loop)
        return Usage(wall, cpu, 0 if isnan(peak) else round(peak * 1e6), *known)

    def cost(step: str) -> Cost | None:
        macs, bit_ops = (1000 * number(f"{step}_{name}") for name in _COST)
        return None if isnan(macs) else Cost(macs, bit_ops)

    whole = {name: number(name) for name in _REQUIRED[2:]}
    if not all(value > 0 for name, value in whole.items() if name != "q"):
        raise InputError(f"{where}: frames, width, height, bytes and psnr_y must be above 0")
    return Encode(
        clip=str(row["clip"]),
        codec=str(row["codec"]),
        setting=int(whole["q"]),
        frames=int(whole["frames"]),
        width=int(whole["width"]),
        height=int(whole["height"]),
        fps=number("fps"),
        bytes=int(whole["bytes"]),
        quality=Quality(*(number(column) for column in _QUALITY.values())),
        command=str(row.get("command") or ""),
        version=str(row.get("version") or ""),
        encoding=usage("enc"),
        decoding=usage("dec"),
        encode_cost=cost("enc"),
        decode_cost=cost("dec"),
    )
