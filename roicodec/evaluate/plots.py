"""Rate-distortion plots as PNG and SVG files, by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roicodec.evaluate.run import Encode
from roicodec.evaluate.tables import Comparison, Measure, codecs_of, mean_comparison, measures_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "PLOTTED",
    "colours",
    "is_dashed",
    "plot_clips",
    "plot_curves",
    "plot_grid",
    "plot_means",
]

# Okabe and Ito's palette, which survives colour blindness, and three darker ones.
_OWN = "#d55e00"
_PALETTE = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#8c6d31", "#7f3fbf")
_FORMATS = ("png", "svg")
_GRID_COLUMNS = 3
_FEWEST_CLIPS = 2

PLOTTED = ("psnr_y", "msssim_y", "vmaf", "wpsnr_y")
"""Keys of the measures that have plots as files."""


def colours(codecs: Sequence[str]) -> dict[str, str]:
    """A colour for every codec; those that differ only by what follows a ``+`` share one."""
    plain = list(dict.fromkeys(c.partition("+")[0] for c in codecs))
    others = [c for c in plain if not c.startswith("roicodec")]
    chosen = {c: _PALETTE[i % len(_PALETTE)] for i, c in enumerate(others)}
    return {c: chosen.get(c.partition("+")[0], _OWN) for c in codecs}


def is_dashed(codec: str) -> bool:
    """Whether the codec's line is dashed: it has a ROI."""
    return "+" in codec


def _figure(width: float, height: float) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    # Without a salt of our own, and with the date, no SVG would equal the next.
    matplotlib.rcParams["svg.hashsalt"] = "roicodec"
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["text.parse_math"] = False  # a clip's name may have a $ in it
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, path: Path, formats: Sequence[str] = _FORMATS) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{suffix}") for suffix in formats]
    for file in files:
        date = {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, dpi=120, metadata=date)
    return files


def plot_curves(encodes: Sequence[Encode], folder: Path) -> list[Path]:
    """``CLIP_MEASURE.png`` and ``.svg`` for each clip and main measure; their paths."""
    files: list[Path] = []
    colour = colours(codecs_of(encodes))
    for clip in dict.fromkeys(e.clip for e in encodes):
        chosen = [e for e in encodes if e.clip == clip]
        for measure in (m for m in measures_of(chosen) if m.key in PLOTTED):
            figure = _curves(chosen, measure, colour)
            files += _save(figure, folder / f"{clip}_{measure.key}")
    return files


def plot_grid(encodes: Sequence[Encode], measure: Measure, path: Path) -> list[Path]:
    """The curves of all clips that have the measure in one SVG, three clips a row; its path."""
    known = [e for e in encodes if not isnan(measure.of(e.quality))]
    clips = list(dict.fromkeys(e.clip for e in known))
    if not clips:
        return []
    colour = colours(codecs_of(encodes))
    rows = -(-len(clips) // _GRID_COLUMNS)
    figure = _figure(4 * _GRID_COLUMNS, 3.2 * rows + 0.6)
    for number, clip in enumerate(clips, 1):
        axes = figure.add_subplot(rows, _GRID_COLUMNS, number)
        _draw(axes, [e for e in known if e.clip == clip], measure, colour)
        axes.set_title(clip, fontsize=10)
    lines: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        lines |= dict(zip(labels, handles, strict=True))
    shown = [c for c in codecs_of(encodes) if c in lines]
    figure.legend([lines[c] for c in shown], shown, loc="outside lower center", ncols=4, fontsize=8)
    return _save(figure, path, ("svg",))


def _curves(encodes: Sequence[Encode], measure: Measure, colour: dict[str, str]) -> Figure:
    figure = _figure(7, 4.6)
    axes = figure.add_subplot()
    _draw(axes, encodes, measure, colour)
    axes.legend(fontsize=7)
    return figure


def _draw(axes: Axes, encodes: Sequence[Encode], measure: Measure, colour: dict[str, str]) -> None:
    from matplotlib.ticker import LogLocator

    for codec in codecs_of(encodes):
        points = [
            (e.bpp, measure.of(e.quality))
            for e in encodes
            if e.codec == codec and not isnan(measure.of(e.quality))
        ]
        if not points:
            continue
        own = codec.startswith("roicodec")
        axes.plot(
            *zip(*sorted(points), strict=True),
            marker="o" if own else ".",
            linewidth=2.2 if own else 1.2,
            linestyle="--" if is_dashed(codec) else "-",
            color=colour[codec],
            label=codec,
            zorder=3 if own else 2,
        )
    first = encodes[0]
    axes.set_title(f"{first.clip}, {first.width}x{first.height}, {first.frames} frames")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(f"{measure.title} [{measure.unit}]" if measure.unit else measure.title)
    axes.grid(visible=True, which="both", alpha=0.25)


def plot_means(comparisons: Sequence[Comparison], measure: Measure, path: Path) -> list[Path]:
    """Bars of the mean BD-BR of every codec; the paths, none if there is nothing to show."""
    codecs = list(dict.fromkeys(c.codec for c in comparisons if c.measure == measure.key))
    means = [(c, mean_comparison(comparisons, c, measure.key)) for c in codecs]
    bars = [(c, m.percent) for c, m in reversed(means) if m.clips]
    if not bars:
        return []
    colour = colours(codecs)
    figure = _figure(7, 1 + 0.32 * len(bars))
    axes = figure.add_subplot()
    drawn = axes.barh(
        [c for c, _ in bars], [p for _, p in bars], color=[colour[c] for c, _ in bars]
    )
    axes.bar_label(drawn, fmt="%+.1f %%", padding=3, fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.15)
    axes.set_xlabel(f"mean BD-BR on {measure.title} [%]; less is better")
    return _save(figure, path)


def plot_clips(
    comparisons: Sequence[Comparison], measure: Measure, reference: str, path: Path
) -> list[Path]:
    """Bars of the BD-BR of every codec, clip by clip, the best clip of the first codec first; the
    paths, none with fewer than two clips.

    Args:
        comparisons: against the reference.
        measure: to show.
        reference: name of what the bars are against.
        path: of the files, without suffix.
    """
    found = {
        (c.clip, c.codec): c.result.percent
        for c in comparisons
        if c.measure == measure.key and c.result is not None
    }
    codecs = list(dict.fromkeys(codec for _, codec in found))
    clips = list(dict.fromkeys(clip for clip, _ in found))
    if len(clips) < _FEWEST_CLIPS:
        return []
    clips.sort(key=lambda clip: found.get((clip, codecs[0]), 0.0))
    colour = colours(codecs)
    figure = _figure(7, 1 + (0.25 + 0.16 * len(codecs)) * len(clips))
    axes = figure.add_subplot()
    width = 0.8 / len(codecs)
    for number, codec in enumerate(codecs):
        known = [(place, clip) for place, clip in enumerate(clips) if (clip, codec) in found]
        drawn = axes.barh(
            [place + (number - (len(codecs) - 1) / 2) * width for place, _ in known],
            [found[clip, codec] for _, clip in known],
            width,
            color=colour[codec],
            hatch="//" if is_dashed(codec) else None,
            edgecolor="white",
            label=codec,
        )
        axes.bar_label(drawn, fmt="%+.1f", padding=2, fontsize=6)
    axes.set_yticks(range(len(clips)), clips)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.12)
    axes.set_xlabel(f"BD-BR on {measure.title} against {reference} [%]; less is better")
    figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return _save(figure, path)
