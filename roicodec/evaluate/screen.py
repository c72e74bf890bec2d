"""A comparison on the terminal: a line for every encode, tables at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from math import isnan

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from roicodec.evaluate.run import Encode, Listener
from roicodec.evaluate.statistics import LayerStatistics
from roicodec.evaluate.tables import (
    Comparison,
    Mean,
    codecs_of,
    cost,
    mean_comparison,
    measures_of,
    options_of,
    speed,
)
from roicodec.text import printable

__all__ = ["Screen"]

_PIPED_WIDTH = 200
_CLIP_WIDTH = 10
_SHOWN = ("psnr_y", "psnr_yuv", "msssim_y", "vmaf", "wpsnr_y", "psnr_roi_y", "psnr_bg_y")


class Screen(Listener):
    """Progress on standard error and tables on standard output.

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
        self._progress.print(printable(text), markup=False)

    def show(
        self,
        encodes: Sequence[Encode],
        comparisons: Sequence[Comparison],
        reference: str,
        layers: Sequence[LayerStatistics] = (),
    ) -> None:
        """Options of every codec, mean BD-BR by measure, BD-BR by clip, speed, arithmetic, and what
        roicodec's frames are like, by layer."""
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=_PIPED_WIDTH)
        for line in _options(encodes):
            console.print(printable(line), markup=False, soft_wrap=True)
        console.print()
        console.print(_means(encodes, comparisons, reference))
        for table in _by_clip(encodes, comparisons, reference, console.width):
            console.print(table)
        console.print(_speeds(encodes))
        if any(e.decode_cost for e in encodes):
            console.print(_costs(encodes))
        if layers:
            console.print(_layers(layers))
        shown = [c for c in comparisons if c.measure in _SHOWN]
        for note in dict.fromkeys(_note(c) for c in shown if _note(c)):
            console.print(printable(f"* {note}"), markup=False, soft_wrap=True)


def _note(comparison: Comparison) -> str:
    result = comparison.result
    why = comparison.problem if result is None else result.warning
    return why and f"{comparison.clip}, {comparison.codec}, {comparison.measure}: {why}"


def _options(encodes: Sequence[Encode]) -> Iterator[str]:
    for codec in codecs_of(encodes):
        options = options_of(encodes, codec)
        settings = " ".join(map(str, options.settings))
        yield f"{codec}: {options.command or 'stored points'} (Q: {settings})"


def _text(text: str) -> Text:
    """A cell that is no markup and steers no terminal."""
    return Text(printable(text))


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=Text(printable(title)),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    table.add_column("codec", no_wrap=True)
    for column in columns:
        table.add_column(_text(column), justify="right", overflow="fold")
    return table


def _cell(mean: Mean) -> str:
    if not mean.clips:
        return "none*" if mean.problems else ""
    return f"{mean.percent:+.1f}" + ("*" if mean.short or mean.problems else "")


def _means(encodes: Sequence[Encode], comparisons: Sequence[Comparison], reference: str) -> Table:
    measures = [m for m in measures_of(encodes) if m.key in _SHOWN]
    title = f"Mean BD-BR [%] against {reference}; PSNR of Y, YUV; w: ROI-weighted"
    table = _table(title, [*(m.short for m in measures), "clips"])
    for codec in codecs_of(encodes):
        if codec != reference:
            means = [mean_comparison(comparisons, codec, m.key) for m in measures]
            counts = dict.fromkeys(str(m.clips) for m in means if m.clips)
            table.add_row(_text(codec), *map(_cell, means), "/".join(counts))
    return table


def _by_clip(
    encodes: Sequence[Encode], comparisons: Sequence[Comparison], reference: str, width: int
) -> Iterator[Table]:
    """Tables of as many clips as fit beside each other."""
    codecs = [c for c in codecs_of(encodes) if c != reference]
    clips = list(dict.fromkeys(e.clip for e in encodes))
    count = max(1, (width - max(map(len, codecs), default=0)) // _CLIP_WIDTH)
    for start in range(0, len(clips), count):
        chosen = clips[start : start + count]
        table = _table(f"BD-BR [%] on PSNR-Y against {reference}, by clip", chosen)
        for codec in codecs:
            by_clip = ([c for c in comparisons if c.clip == clip] for clip in chosen)
            table.add_row(
                _text(codec),
                *(_cell(mean_comparison(x, codec, "psnr_y")) for x in by_clip),
            )
        yield table


def _speeds(encodes: Sequence[Encode]) -> Table:
    columns = [f"{step} {x}" for step in ("enc.", "dec.") for x in ("fps", "CPU ms", "MB")]
    table = _table("Frames a second, CPU time a frame, peak memory of the process", columns)
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
            table.add_row(_text(codec), *cells)
    return table


def _costs(encodes: Sequence[Encode]) -> Table:
    columns = [f"{step} {x}" for step in ("enc.", "dec.") for x in ("kMAC", "kBitOPs")]
    table = _table("Arithmetic of the networks, thousands a pixel", columns)
    for codec in codecs_of(encodes):
        chosen = [e for e in encodes if e.codec == codec]
        found = cost(chosen, lambda e: e.encode_cost), cost(chosen, lambda e: e.decode_cost)
        cells = [f"{v / 1000:.1f}" for c in found if c for v in (c.macs, c.bit_ops)]
        if cells:
            table.add_row(_text(codec), *cells)
    return table


def _layers(layers: Sequence[LayerStatistics]) -> Table:
    columns = ["layer", "frames", "bytes", "quality", "PSNR", "skip"]
    columns += ["average", "past", "future", "direct"]
    title = "Frames by temporal layer: bytes, skipped cells, prediction modes in %; PSNR of YUV"
    table = _table(title, columns)
    for row in layers:
        shares = [row.byte_share, row.skip_share, *row.modes]
        size, skip, *modes = ("" if isnan(v) else f"{100 * v:.1f}" for v in shares)
        psnr = "" if isnan(row.psnr) else f"{row.psnr:.2f}"
        start = row.layer, str(row.frames), size, f"{row.quality:.1f}", psnr
        table.add_row(_text(row.codec), *start, skip, *modes)
    return table
