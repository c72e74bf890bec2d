"""Plots of training runs."""

from __future__ import annotations

import csv
from pathlib import Path

import click

__all__ = ["curves"]

_BANDS = ("0-15", "16-31", "32-47", "48-63")
_SMOOTH = 10


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A PNG or SVG file.")
def curves(runs: tuple[Path, ...], out: Path) -> None:
    """Plot the loss of RUNS (folders with a curve.csv), a panel a run and a line a quality band."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(runs), figsize=(5 * len(runs), 3.6), squeeze=False)
    for axis, run in zip(axes[0], runs, strict=True):
        rows = list(csv.DictReader((run / "curve.csv").open()))
        steps = [int(r["step"]) for r in rows]
        for band, name in enumerate(_BANDS):
            loss = [float(r[f"loss{band}"]) for r in rows]
            axis.plot(steps, _smoothed(loss), label=f"quality {name}", linewidth=1)
        axis.set(title=run.name, xlabel="step", ylabel="rate + distortion / lambda", yscale="log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    click.echo(f"{out}: {len(runs)} runs")


def _smoothed(values: list[float]) -> list[float]:
    """Mean of the last few values."""
    windows = (values[max(0, i - _SMOOTH + 1) : i + 1] for i in range(len(values)))
    return [sum(w) / len(w) for w in windows]
