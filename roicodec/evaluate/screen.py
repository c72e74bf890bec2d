"""A comparison on the terminal: a line for every encode, tables at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from math import isnan

from rich.console import Console
from rich.table import Table

from roicodec.evaluate.run import Encode, Listener
from roicodec.evaluate.tables import (
    Comparison,
    Mean,
    codecs_of,
    mean_comparison,
    measures_of,
    speed,
)

__all__ = ["Screen"]

_PIPED_WIDTH = 200
_SHOWN = ("psnr_y", "psnr_yuv", "msssim_y", "wpsnr_y", "psnr_roi_y", "psnr_bg_y")


class Screen(Listener):
    """Tells of progress on standard error and shows tables on standard output.

    Args:
        total: number of encodes to come.
        quiet: no line for every encode.

    Attributes:
        messages: every warning and failure so far.
        failures: number of encodes that failed.
    """

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self._progress = Console(stderr=True, highlight=False, soft_wrap=True)
        self._total, self._quiet, self._done = total, quiet, 0
        self._lock = threading.Lock()
        self.messages: list[str] = []
        self.failures = 0

    def done(self, encode: Encode, *, fresh: bool) -> None:
        with self._lock:
            self._done += 1
            if self._quiet:
                return
            q = encode.quality
            weighted = "" if isnan(q.wpsnr_y) else f"  ROI-weighted {q.wpsnr_y:6.2f} dB"
            rates = [speed([encode], lambda e: e.encoding), speed([encode], lambda e: e.decoding)]
            times = " / ".join("?" if r is None else f"{r.fps:.1f}" for r in rates)
            self._say(
                f"[{self._done}/{self._total}] {encode.clip}  {encode.codec} at {encode.setting}:"
                f"  {encode.bytes} bytes  {encode.bpp:.4f} bpp  {q.psnr_y:6.2f} dB{weighted}"
                f"  {times} fps{'' if fresh else '  (from before)'}"
            )

    def failed(self, clip: str, codec: str, setting: int, message: str) -> None:
        with self._lock:
            self._done += 1
            self.failures += 1
        self._note(f"{clip}: {codec} at {setting} failed: {message}")

    def warn(self, message: str) -> None:
        self._note(message)

    def _note(self, message: str) -> None:
        with self._lock:
            self.messages.append(message)
            self._say(f"roicodec: warning: {message}")

    def _say(self, text: str) -> None:
        self._progress.print(text, markup=False)

    def show(
        self, encodes: Sequence[Encode], comparisons: Sequence[Comparison], reference: str
    ) -> None:
        """The tables: mean BD-BR by codec and measure, BD-BR by clip, speed and memory."""
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=_PIPED_WIDTH)
        console.print(_means(encodes, comparisons, reference))
        console.print(_by_clip(encodes, comparisons, reference))
        console.print(_speeds(encodes))
        for problem in dict.fromkeys(
            f"{c.clip}, {c.codec}, {c.measure}: {c.problem or (c.result and c.result.warning)}"
            for c in comparisons
            if c.problem or (c.result and c.result.warning)
        ):
            console.print(f"* {problem}", markup=False, soft_wrap=True)


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _cell(mean: Mean) -> str:
    if not mean.clips:
        return "none *" if mean.problems else ""
    return f"{mean.percent:+.1f}" + (" *" if mean.short or mean.problems else "")


def _means(encodes: Sequence[Encode], comparisons: Sequence[Comparison], reference: str) -> Table:
    measures = [m for m in measures_of(encodes) if m.key in _SHOWN]
    title = f"Mean BD-BR [%] against {reference} (less is better; PSNR of Y, YUV; w: ROI-weighted)"
    table = _table(title, "codec", [*(m.short for m in measures), "clips"])
    for codec in codecs_of(encodes):
        if codec != reference:
            means = [mean_comparison(comparisons, codec, m.key) for m in measures]
            clips = max((m.clips for m in means), default=0)
            table.add_row(codec, *map(_cell, means), str(clips))
    return table


def _by_clip(encodes: Sequence[Encode], comparisons: Sequence[Comparison], reference: str) -> Table:
    clips = list(dict.fromkeys(e.clip for e in encodes))
    table = _table(f"BD-BR [%] on PSNR-Y against {reference}, by clip", "codec", clips)
    for codec in codecs_of(encodes):
        if codec != reference:
            by_clip = ([c for c in comparisons if c.clip == clip] for clip in clips)
            table.add_row(codec, *(_cell(mean_comparison(x, codec, "psnr_y")) for x in by_clip))
    return table


def _speeds(encodes: Sequence[Encode]) -> Table:
    columns = [f"{step} {x}" for step in ("encode", "decode") for x in ("fps", "CPU ms", "MB")]
    table = _table("Speed (loop), CPU time a frame and peak memory (process)", "codec", columns)
    for codec in codecs_of(encodes):
        chosen = [e for e in encodes if e.codec == codec]
        cells: list[str] = []
        for found in (
            speed(chosen, lambda e: e.encoding),
            speed(chosen, lambda e: e.decoding),
        ):
            values = (found.fps, found.cpu_ms, found.peak_mb) if found else ()
            cells += ["" if isnan(v) else f"{v:.1f}" for v in values] or ["", "", ""]
        if any(cells):
            table.add_row(codec, *cells)
    return table
