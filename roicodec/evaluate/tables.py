"""Summary of the encodes: BD-BR by clip and measure, means, speed and memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, log10, nan

from roicodec.errors import InputError
from roicodec.evaluate.bd import BdRate, compare
from roicodec.evaluate.metrics import Quality
from roicodec.evaluate.process import Usage
from roicodec.evaluate.run import Encode
from roicodec.evaluate.streams import Cost
from roicodec.psnr import MAX_PSNR

__all__ = [
    "MEASURES",
    "Comparison",
    "Mean",
    "Measure",
    "Options",
    "Speed",
    "codecs_of",
    "compare_all",
    "cost",
    "mean_comparison",
    "measures_of",
    "options_of",
    "speed",
]


@dataclass(frozen=True, slots=True)
class Measure:
    """A quality that curves are drawn over.

    Attributes:
        key: for files.
        title: for people.
        short: for the head of a column.
        of: its value; NaN where unknown.
        unit: that it counts in; empty for none.
    """

    key: str
    title: str
    short: str
    of: Callable[[Quality], float]
    unit: str = "dB"


def _decibels(ssim: float) -> float:
    """-10 log10(1 - MS-SSIM): spreads the values near 1, of which most are."""
    if isnan(ssim):
        return nan
    return min(MAX_PSNR, -10 * log10(1 - ssim)) if ssim < 1 else MAX_PSNR


MEASURES = (
    Measure("psnr_y", "PSNR-Y", "Y", lambda q: q.psnr_y),
    Measure("psnr_yuv", "PSNR (6Y+U+V)/8", "YUV", lambda q: q.psnr_yuv),
    Measure("msssim_y", "MS-SSIM", "MS-SSIM", lambda q: _decibels(q.msssim_y)),
    Measure("vmaf", "VMAF", "VMAF", lambda q: q.vmaf, ""),
    Measure("wpsnr_y", "ROI-weighted PSNR-Y", "w Y", lambda q: q.wpsnr_y),
    Measure("wpsnr_yuv", "ROI-weighted PSNR-YUV", "w YUV", lambda q: q.wpsnr_yuv),
    Measure("psnr_roi_y", "PSNR-Y in the ROI", "ROI Y", lambda q: q.psnr_roi_y),
    Measure("psnr_bg_y", "PSNR-Y outside", "rest Y", lambda q: q.psnr_bg_y),
    Measure("wmsssim_y", "ROI-weighted MS-SSIM", "w SSIM", lambda q: _decibels(q.wmsssim_y)),
    Measure("msssim_roi_y", "MS-SSIM in the ROI", "ROI SSIM", lambda q: _decibels(q.msssim_roi_y)),
    Measure("msssim_bg_y", "MS-SSIM outside", "rest SSIM", lambda q: _decibels(q.msssim_bg_y)),
)


def measures_of(encodes: Sequence[Encode]) -> list[Measure]:
    """The measures that any of the encodes has."""
    return [m for m in MEASURES if any(not isnan(m.of(e.quality)) for e in encodes)]


def codecs_of(encodes: Sequence[Encode]) -> list[str]:
    """Names of the codecs, in order of appearance."""
    return list(dict.fromkeys(e.codec for e in encodes))


@dataclass(frozen=True, slots=True)
class Comparison:
    """BD-BR of a codec on a clip; ``result`` is None where ``problem`` says why."""

    clip: str
    codec: str
    measure: str
    result: BdRate | None
    problem: str = ""


def compare_all(encodes: Sequence[Encode], reference: str) -> list[Comparison]:
    """BD-BR of every codec against the reference, by clip and by measure that both have.

    Raises:
        InputError: if nothing is called like the reference.
    """
    codecs = codecs_of(encodes)
    if reference not in codecs:
        raise InputError(f"no codec {reference!r} to compare with; there are {', '.join(codecs)}")
    curves: dict[tuple[str, str], list[Encode]] = {}
    for encode in encodes:
        curves.setdefault((encode.clip, encode.codec), []).append(encode)
    found = []
    for (clip, codec), test in curves.items():
        anchor = curves.get((clip, reference))
        if codec == reference or anchor is None:
            continue
        for measure in MEASURES:
            if _knows(anchor, measure) and _knows(test, measure):
                found.append(_comparison(clip, codec, measure, anchor, test))
    return found


def _knows(curve: Sequence[Encode], measure: Measure) -> bool:
    return any(not isnan(measure.of(e.quality)) for e in curve)


def _comparison(
    clip: str, codec: str, measure: Measure, anchor: Sequence[Encode], test: Sequence[Encode]
) -> Comparison:
    def curve(encodes: Sequence[Encode]) -> tuple[list[float], list[float]]:
        return [e.bpp for e in encodes], [measure.of(e.quality) for e in encodes]

    try:
        result = compare(*curve(anchor), *curve(test))
    except InputError as error:
        return Comparison(clip, codec, measure.key, None, str(error))
    return Comparison(clip, codec, measure.key, result)


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean BD-BR over clips.

    Attributes:
        percent: NaN where no clip has one.
        clips: number of clips in the mean.
        short: how many of these overlap but little.
        problems: number of clips without a BD-BR.
    """

    percent: float
    clips: int
    short: int
    problems: int


def mean_comparison(comparisons: Sequence[Comparison], codec: str, measure: str) -> Mean:
    """The plain mean of a codec's BD-BR over the clips that have one."""
    chosen = [c for c in comparisons if (c.codec, c.measure) == (codec, measure)]
    results = [c.result for c in chosen if c.result is not None]
    percent = sum(r.percent for r in results) / len(results) if results else nan
    short = sum(bool(r.warning) for r in results)
    return Mean(percent, len(results), short, len(chosen) - len(results))


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of a codec over its encodes, and its memory.

    Attributes:
        fps: frames a second of the coding loop (of the whole process where that is unknown).
        cpu_ms: CPU milliseconds a frame of the same.
        peak_mb: largest memory of any process, in 10^6 bytes.
    """

    fps: float
    cpu_ms: float
    peak_mb: float


def speed(encodes: Sequence[Encode], usage: Callable[[Encode], Usage | None]) -> Speed | None:
    """Speed over all frames of some encodes; None where none was timed."""
    timed = [(e.frames, u) for e in encodes if (u := usage(e)) is not None]
    if not timed:
        return None
    frames = sum(n for n, _ in timed)
    seconds = sum(u.wall_s if u.loop_s is None else u.loop_s for _, u in timed)
    cpu = sum(u.cpu_s if u.loop_cpu_s is None else u.loop_cpu_s for _, u in timed)
    peak = max(u.peak_bytes for _, u in timed)
    return Speed(
        frames / seconds if seconds > 0 else nan, 1000 * cpu / frames, peak / 1e6 if peak else nan
    )


def cost(encodes: Sequence[Encode], of: Callable[[Encode], Cost | None]) -> Cost | None:
    """Arithmetic a luma sample over all frames of some encodes; None where none is known."""
    known = [(e.frames * e.width * e.height, c) for e in encodes if (c := of(e)) is not None]
    if not known:
        return None
    samples = sum(n for n, _ in known)
    return Cost(
        sum(n * c.macs for n, c in known) / samples, sum(n * c.bit_ops for n, c in known) / samples
    )


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of an encoder.

    Attributes:
        settings: its quality indices, crf or QP.
        command: with ``Q`` for these; empty where unknown.
        version: of the encoder; empty where unknown.
    """

    settings: tuple[int, ...]
    command: str
    version: str


def options_of(encodes: Sequence[Encode], codec: str) -> Options:
    """The options of a codec's encodes."""
    chosen = [e for e in encodes if e.codec == codec]
    first = chosen[0]
    command = re.sub(rf"( -q|-crf|--qp) {first.setting}\b", r"\1 Q", first.command)
    return Options(tuple(dict.fromkeys(e.setting for e in chosen)), command, first.version)
