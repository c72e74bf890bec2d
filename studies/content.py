"""Section of docs/results.md on kinds of content, from the output of ``roicodec eval``."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from math import isnan
from pathlib import Path
from statistics import mean

import cv2
import numpy as np

from roicodec.bitstream.masks import samples_of
from roicodec.evaluate.run import Encode
from roicodec.evaluate.streams import FrameRegions, frame_regions
from roicodec.evaluate.tables import Comparison, compare_all, speed

__all__ = ["KINDS", "content", "table"]

KINDS = {
    "carphone_qcif": "talking head",
    "webcam_office_640x360": "talking head",
    "davis_horsejump-high_426x240": "sport",
    "football_cif_compressed": "sport",
    "davis_car-roundabout_426x240": "surveillance",
    "surveil_highway_640x360": "surveillance",
    "flowergarden_cif": "nature",
    "crowd_1280x720": "crowd",
    "bbb_640x360": "animation",
}
_OWN = "roicodec_ld"
_WITH_ROI = f"{_OWN}+"
"""Prefix of the names of codecs with a ROI."""
_BD = {"w YUV": "wpsnr_yuv", "ROI Y": "psnr_roi_y", "rest Y": "psnr_bg_y", "whole YUV": "psnr_yuv"}
_FEATURES = ("gradient_y", "sigma_y", "sigma_dx")
_MIDDLE = 34
"""Quality index whose features and regions are shown; one of ``studies.results``."""

Row = dict[str, str]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table, the first column left-aligned."""
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def content(out: Path, encodes: Sequence[Encode], images: Path, anchor: str) -> Iterator[str]:
    """Lines of the section.

    Args:
        out: output folder of ``roicodec eval``.
        encodes: its encodes.
        images: folder for pictures.
        anchor: codec with a ROI that is compared, too.
    """
    listed = out / "regions.csv"
    if not listed.exists():
        return
    with listed.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with_roi = [e for e in encodes if e.codec.startswith(_WITH_ROI)]
    clips = list(dict.fromkeys(e.clip for e in with_roi))
    clips.sort(key=lambda c: list(KINDS).index(c) if c in KINDS else len(KINDS))

    def of(clip: str) -> list[Row]:
        return [r for r in rows if r["clip"] == clip and r["codec"].startswith(_WITH_ROI)]

    yield from (
        "### With a ROI, by kind of content",
        "",
        "Bit-widths, shares and arithmetic, all qualities; skip: share of skipped cells;",
        "BitOPs of decoding against the same frames all at 8 bits; CPU time of decoding against",
        "the same clip without ROI.",
        "",
    )
    head = ["clip", "kind", "ROI", "b ROI", "b rest", "skip", "BitOPs", "decoding time"]
    yield from table(head, ([c, KINDS.get(c, ""), *_choice(of(c), encodes, c)] for c in clips))
    yield from (f"BD-BR with the ROI in %, against {_OWN} (no ROI) and, last, {anchor}:", "")
    own, other = compare_all(encodes, _OWN), compare_all(encodes, anchor)
    yield from table(
        ["clip", "kind", *_BD, f"w YUV, {anchor}"],
        (
            [c, KINDS.get(c, ""), *(_percent(own, c, key) for key in _BD.values()),
             _percent(other, c, "wpsnr_yuv")]
            for c in clips
        ),
    )  # fmt: skip
    yield from (f"Features at quality {_MIDDLE}, mean over frames, ROI / rest:", "")
    middle = {c: [r for r in of(c) if int(r["setting"]) == _MIDDLE] for c in clips}
    yield from table(
        ["clip", *_FEATURES],
        (
            [c, *(f"{_mean(r, f'roi_{n}'):.1f} / {_mean(r, f'bg_{n}'):.1f}" for n in _FEATURES)]
            for c, r in middle.items()
        ),
    )
    for clip in clips:
        drawn = _drawn(out, with_roi, clip, images)
        if drawn:
            yield f"![{clip}: ROI and bit-widths]({images.name}/{drawn.name})"
    yield ""


def _choice(rows: Sequence[Row], encodes: Sequence[Encode], clip: str) -> list[str]:
    spent, plain = (sum(float(r[n]) for r in rows) for n in ("bit_ops", "plain_bit_ops"))
    own = [e for e in encodes if e.clip == clip and e.codec.startswith(_OWN)]
    plain_time = _cpu([e for e in own if e.codec == _OWN])
    time = _cpu([e for e in own if e.codec != _OWN]) / plain_time
    return [
        f"{100 * _mean(rows, 'roi_share'):.0f} %",
        f"{_mean(rows, 'b_roi'):.1f}",
        f"{_mean(rows, 'b_bg'):.1f}",
        f"{100 * _mean(rows, 'skip_share'):.0f} %",
        f"{100 * (spent / plain - 1):+.0f} %",
        f"{100 * (time - 1):+.0f} %",
    ]


def _mean(rows: Sequence[Row], name: str) -> float:
    return mean(float(r[name]) for r in rows) if rows else float("nan")


def _cpu(encodes: Sequence[Encode]) -> float:
    found = speed(encodes, lambda e: e.decoding)
    return found.cpu_ms if found else float("nan")


def _percent(comparisons: Sequence[Comparison], clip: str, key: str) -> str:
    for c in comparisons:
        if (c.clip, c.measure) == (clip, key) and c.codec.startswith(_WITH_ROI) and c.result:
            star = "\\*" if c.result.warning else ""
            return "" if isnan(c.result.percent) else f"{c.result.percent:+.1f}{star}"
    return ""


def _drawn(out: Path, with_roi: Sequence[Encode], clip: str, images: Path) -> Path | None:
    """Path of the decoded middle frame with ROI outline and bit-widths."""
    chosen = [e for e in with_roi if e.clip == clip and e.setting == _MIDDLE]
    encode = next((e for e in chosen if e.stream), None)
    if encode is None:
        return None
    stream = out / encode.stream
    regions = frame_regions(stream, encode.frames // 2)
    picture = cv2.imread(str(stream.with_suffix(".png")))
    if regions is None or picture is None:
        return None
    images.mkdir(parents=True, exist_ok=True)
    target = images / f"regions_{clip}.jpg"
    cv2.imwrite(str(target), _outlined(picture, regions), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return target


def _outlined(picture: np.ndarray, regions: FrameRegions) -> np.ndarray:
    height, width = picture.shape[:2]
    inside = samples_of(regions.mask, width, height)
    drawn = picture.copy()
    drawn[~inside] = (0.6 * drawn[~inside]).astype(np.uint8)
    outlines, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(drawn, outlines, -1, (80, 220, 80), 1)
    for text, where in (
        (f"rest: {regions.b_bg} bits", np.array([4, height - 6])),
        (f"ROI: {regions.b_roi} bits", _first(inside)),
    ):
        if where is not None:
            place = int(where[0]), int(where[1])
            for colour, thick in ((0, 0, 0), 3), ((255, 255, 255), 1):
                cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, thick)
    return drawn


def _first(inside: np.ndarray) -> np.ndarray | None:
    found = np.argwhere(inside)
    if not len(found):
        return None
    y, x = found[0]
    return np.array([min(x + 2, inside.shape[1] - 90), max(y + 12, 12)])
