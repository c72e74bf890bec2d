"""``roicodec info``."""

from __future__ import annotations

import click

from roicodec.cli.options import open_stream
from roicodec.errors import StreamError

__all__ = ["info"]


@click.command(
    epilog="""\b
Examples:
  roicodec info talk.rq
  roicodec info --frames talk.rq
  roicodec info --csv talk.rq > talk.csv
"""
)
@click.argument("source", metavar="IN.rq")
@click.option("--frames", is_flag=True, help="List every frame.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line of CSV for each frame.")
def info(source: str, frames: bool, as_json: bool, as_csv: bool) -> None:
    """Tell what the stream IN.rq holds, byte by byte. IN.rq may be - for standard input.

    For each frame: type, time, bytes by part, quality index, bit-widths of ROI and non-ROI,
    and the ROI's share of the picture. Needs no networks. The exit status is 1 if anything is
    damaged or missing.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    from roicodec.container import StreamReader
    from roicodec.info import StreamInfo, csv_lines, json_lines, text_lines

    warnings = 0

    def warn(message: str) -> None:
        nonlocal warnings
        warnings += 1
        click.echo(f"roicodec: warning: {source}: {message}", err=True)

    try:
        with open_stream(source) as stream:
            listing = StreamInfo(StreamReader(stream), warn)
            if as_csv:
                lines = csv_lines(listing)
            elif as_json:
                lines = json_lines(listing, frames=frames)
            else:
                lines = text_lines(listing, frames=frames)
            for line in lines:
                print(line)
    except StreamError as error:
        raise StreamError(f"{source}: {error}") from error
    totals = listing.totals
    if totals.lost or totals.truncated or warnings:
        cut = ", cut" if totals.truncated else ""
        lost = f", {totals.lost} frames missing" if totals.lost else ""
        raise StreamError(f"{source}: not as it was written{lost}{cut}")
