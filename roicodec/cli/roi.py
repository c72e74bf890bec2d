"""``roicodec roi``."""

from __future__ import annotations

import json

import click

from roicodec.cli.console import report, say
from roicodec.cli.files import check_target, clear_left_overs, refuse_stream
from roicodec.cli.options import FILE, FRAME_RANGE, output_options, roi_options, threads_option

__all__ = ["roi_command"]


@click.command(
    "roi",
    epilog="""\b
Examples:
  roicodec roi talk.mp4 --out seen.mp4
  roicodec roi --roi auto --roi-share 0.3 --frames 0:100 match.mkv --out seen.mp4
  roicodec roi --roi masks.mkv match.mkv --out seen.mkv
""",
)
@click.argument("source", metavar="IN", type=FILE)
@click.option("--out", "target", required=True, metavar="OUT", type=FILE, help="Video to write.")
@roi_options
@click.option("--frames", type=FRAME_RANGE, help="Frames a up to, not including, b.")
@threads_option
@output_options
def roi_command(
    source: str,
    target: str,
    roi: tuple[str, ...],
    roi_share: float | None,
    roi_level: float | None,
    candidates: tuple[int, ...],
    frames: slice | None,
    threads: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what becomes ROI in the video IN, without encoding it.

    OUT (.mp4, .mov or .mkv) shows every frame with all that is not ROI dimmed, and next to it, with
    --roi auto, the map that the ROI comes from. The line above has the share of the picture
    that is ROI, the bit-widths of ROI and rest (chosen by the pictures' own motion),
    and the cells that have changed.
    """
    refuse_stream(source)
    check_target(target, force, [source, *roi])
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.cli.progress import ProgressListener
    from roicodec.roi_view import show_roi

    with ProgressListener("roi", quiet=quiet) as listener:
        clear_left_overs(target, force, listener.warn)
        shown = show_roi(
            source,
            target,
            roi,
            replace=force,
            share=roi_share,
            level=roi_level,
            candidates=candidates,
            frames=frames,
            threads=threads,
            listener=listener,
        )
    if as_json:
        result = {
            "input": source,
            "output": target,
            "frames": shown.frames,
            "roi_share": shown.share,
            "cells": shown.cells,
            "changed_cells": shown.changed,
            "warnings": listener.warnings,
        }
        say(json.dumps(result))
    elif not quiet:
        report(
            f"{target}: {shown.frames} frames, {shown.share:.1%} ROI, {shown.changed:.1f} of"
            f" {shown.cells} cells change a frame"
        )
