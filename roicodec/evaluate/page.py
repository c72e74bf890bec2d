"""One HTML file with everything in it: curves, tables, and frames to compare."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from math import isnan
from pathlib import Path
from typing import Any

import cv2

from roicodec.bitstream.constants import CELL
from roicodec.errors import InputError
from roicodec.evaluate.anchors import rectangles
from roicodec.evaluate.plots import colours, is_dashed
from roicodec.evaluate.process import Usage
from roicodec.evaluate.run import Clip, Encode, jsonable
from roicodec.evaluate.streams import frame_regions
from roicodec.evaluate.tables import (
    Comparison,
    codecs_of,
    cost,
    mean_comparison,
    measures_of,
    options_of,
    speed,
)

__all__ = ["write_page"]

_DATA = "{{DATA}}"
_LOSSLESS = [cv2.IMWRITE_WEBP_QUALITY, 101]


def write_page(
    path: Path,
    clips: Sequence[Clip],
    encodes: Sequence[Encode],
    comparisons: Sequence[Comparison],
    reference: str,
    about: dict[str, str],
) -> None:
    """Page of the results, written to a file.

    Args:
        path: the HTML file, in the folder of the results.
        clips, encodes, comparisons: what was found.
        reference: the codec that BD-BR speaks of.
        about: lines about the run, by title.
    """
    data = {
        "about": about,
        "reference": reference,
        "measures": [
            {"key": m.key, "title": m.title, "short": m.short, "unit": m.unit}
            for m in measures_of(encodes)
        ],
        "codecs": [
            {"name": name, "colour": colour, "dashed": is_dashed(name)}
            for name, colour in colours(codecs_of(encodes)).items()
        ],
        "means": _means(encodes, comparisons, reference),
        "speeds": _speeds(encodes),
        "options": [
            {"codec": codec, **asdict(options_of(encodes, codec))} for codec in codecs_of(encodes)
        ],
        "clips": [_clip(path.parent, clip, encodes, comparisons) for clip in clips],
    }
    template = files("roicodec.evaluate").joinpath("page.html").read_text("utf-8")
    # "<" may not appear in a script element, whatever a file is called.
    text = json.dumps(jsonable(data), ensure_ascii=False).replace("<", "\\u003c")
    path.write_text(template.replace(_DATA, text), "utf-8")


def _means(
    encodes: Sequence[Encode], comparisons: Sequence[Comparison], reference: str
) -> list[dict[str, Any]]:
    rows = []
    for codec in codecs_of(encodes):
        if codec == reference:
            continue
        means = {}
        for measure in measures_of(encodes):
            mean = mean_comparison(comparisons, codec, measure.key)
            if mean.clips or mean.problems:
                means[measure.key] = {
                    "percent": mean.percent,
                    "clips": mean.clips,
                    "short": mean.short,
                    "problems": mean.problems,
                }
        rows.append({"codec": codec, "means": means})
    return rows


def _speeds(encodes: Sequence[Encode]) -> list[dict[str, Any]]:
    rows = []
    for codec in codecs_of(encodes):
        chosen = [e for e in encodes if e.codec == codec]
        row: dict[str, Any] = {"codec": codec}
        for name, found, spent in (
            (
                "encode",
                speed(chosen, lambda e: e.encoding),
                cost(chosen, lambda e: e.encode_cost),
            ),
            (
                "decode",
                speed(chosen, lambda e: e.decoding),
                cost(chosen, lambda e: e.decode_cost),
            ),
        ):
            row[name] = found and {**asdict(found), **(asdict(spent) if spent else {})}
        if row["encode"] or row["decode"]:
            rows.append(row)
    return rows


def _clip(
    out: Path, clip: Clip, encodes: Sequence[Encode], comparisons: Sequence[Comparison]
) -> dict[str, Any]:
    chosen = [e for e in encodes if e.clip == clip.name]
    shown = _shown(chosen)
    return {
        "name": clip.name,
        "width": clip.info.width,
        "height": clip.info.height,
        "frames": clip.frames,
        "frame": clip.middle,
        "cell": CELL,
        "original": _picture(out / clip.original),
        "encodes": [_encode(out, clip, e, shown=e in shown) for e in chosen],
        "bd": [
            {
                "codec": c.codec,
                "measure": c.measure,
                "percent": c.result and c.result.percent,
                "low": c.result and c.result.low,
                "high": c.result and c.result.high,
                "note": c.problem or (c.result.warning if c.result else ""),
            }
            for c in comparisons
            if c.clip == clip.name
        ],
    }


def _shown(encodes: Sequence[Encode]) -> list[Encode]:
    """One encode of each codec, all about as large as the middle one of the first codec."""
    files_at_hand = [e for e in encodes if e.stream]
    chosen: list[Encode] = []
    for codec in codecs_of(files_at_hand):
        by_size = sorted((e for e in files_at_hand if e.codec == codec), key=lambda e: e.bytes)
        target = chosen[0].bytes if chosen else by_size[len(by_size) // 2].bytes
        chosen.append(min(by_size, key=lambda e: abs(e.bytes - target)))
    return chosen


def _encode(out: Path, clip: Clip, encode: Encode, *, shown: bool) -> dict[str, Any]:
    stream = out / encode.stream
    regions = None
    if shown and stream.suffix == ".rq":
        found = frame_regions(stream, clip.middle)
        if found is not None:
            regions = {
                "roi": found.b_roi,
                "background": found.b_bg,
                "rectangles": rectangles(found.mask),
            }

    def fps(usage: Usage | None) -> float | None:
        found = speed([encode], lambda _: usage)
        return None if found is None else found.fps

    return {
        "codec": encode.codec,
        "setting": encode.setting,
        "bytes": encode.bytes,
        "bpp": encode.bpp,
        "kbps": 8 * encode.bytes * encode.fps / encode.frames / 1000,
        "encode_fps": fps(encode.encoding),
        "decode_fps": fps(encode.decoding),
        "command": encode.command,
        "values": {
            m.key: m.of(encode.quality)
            for m in measures_of([encode])
            if not isnan(m.of(encode.quality))
        },
        "picture": _picture(stream.with_suffix(".png")) if shown else None,
        "regions": regions,
    }


def _picture(path: Path) -> str:
    """A PNG as a data URL, in lossless WebP, which is a third smaller."""
    image = cv2.imread(str(path))
    if image is None:
        raise InputError(f"{path}: the picture of a finished encode is gone; remove its folder")
    done, data = cv2.imencode(".webp", image, _LOSSLESS)
    assert done
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode("ascii")
