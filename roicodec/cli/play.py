"""``roicodec play``."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click

from roicodec.cli.console import warn
from roicodec.cli.decode import losses
from roicodec.cli.files import open_stream
from roicodec.cli.options import (
    FILE,
    backend_option,
    given,
    limits,
    part_options,
    threads_option,
)
from roicodec.errors import StreamError
from roicodec.factory import CodecFactory

__all__ = ["play"]


@click.command(
    epilog="""\b
Examples:
  roicodec play talk.rq
  roicodec play --start 1:30 --overlay talk.rq
"""
)
@click.argument("source", metavar="IN.rq", type=FILE)
@part_options
@click.option("--overlay", is_flag=True, help="Draw ROI, bit-widths and quality over each frame.")
@click.option(
    "--player",
    type=click.Choice(["ffplay", "mpv"]),
    help="Program that shows the pictures.  [default: the first of these on PATH]",
)
@limits
@backend_option
@threads_option
@click.pass_obj
def play(
    factory: CodecFactory,
    source: str,
    start: Fraction | None,
    duration: Fraction | None,
    end: Fraction | None,
    frames: slice | None,
    overlay: bool,
    player: str | None,
    max_pixels: int | None,
    max_frames: int | None,
    backend: str,
    threads: int,
) -> None:
    """Show the stream IN.rq, with sound, in a window of ffplay or mpv.

    IN.rq may be - for standard input. Pictures come as fast as they are decoded.
    """
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.media.part import Part
    from roicodec.player import find_player, play_stream
    from roicodec.transcode import Listener

    class Warnings(Listener):
        """Warnings on standard error; no progress, as the window shows it."""

        def warn(self, message: str) -> None:
            warn(message)

    find_player(player)
    part = Part.of(frames, start, duration, end)
    try:
        with open_stream(source) as stream:
            done = play_stream(
                stream,
                "roicodec" if source == "-" else Path(source).name,
                player=player,
                part=part,
                overlay=overlay,
                backend=backend,
                listener=Warnings(),
                factory=factory,
                **given(max_pixels=max_pixels, max_frames=max_frames),
            )
    except StreamError as error:
        raise StreamError(f"{source}: {error}") from error
    if done is not None and (done.lost or done.truncated or done.damages):
        raise StreamError(f"{source}: {losses(done.frames, done.lost, done.truncated)}")
