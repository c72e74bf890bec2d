"""``roicodec thumbnail``."""

from __future__ import annotations

import json
from fractions import Fraction

import click

from roicodec.cli.console import report, say, warn
from roicodec.cli.files import check_target, clear_left_overs, open_stream
from roicodec.cli.options import FILE, TIME, common, given, limits
from roicodec.errors import InputError, StreamError

__all__ = ["thumbnail"]


@click.command(
    epilog="""\b
Examples:
  roicodec thumbnail talk.rq talk.png
  roicodec thumbnail --at 1:30 --width 320 talk.rq talk.jpg
"""
)
@click.argument("source", metavar="IN.rq", type=FILE)
@click.argument("target", metavar="OUT", type=FILE)
@click.option(
    "--at",
    type=TIME,
    help="The picture that is shown at this time: seconds, or h:m:s.  [default: the intra frame"
    " nearest to a tenth of the duration, which is decoded alone]",
)
@click.option(
    "--width",
    type=click.IntRange(16, 4096),
    help="Width of the image in samples; the height follows.  [default: as coded]",
)
@limits
@common
def thumbnail(
    source: str,
    target: str,
    at: Fraction | None,
    width: int | None,
    max_pixels: int | None,
    max_frames: int | None,
    backend: str,
    threads: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write one picture of the stream IN.rq to the image OUT (.png, .jpg or .webp).

    It is turned as a player turns it, and its samples are square.
    """
    if source == "-":
        raise InputError("a picture is sought in a file; standard input cannot be sought")
    check_target(target, force, [source])
    if not quiet:
        clear_left_overs(target, force, warn)
    with open_stream(source):  # what is no stream is told at once
        pass
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.thumbnails import thumbnail as make_thumbnail

    try:
        image = make_thumbnail(
            source,
            target,
            at=at,
            width=width,
            replace=force,
            backend=backend,
            **given(max_pixels=max_pixels, max_frames=max_frames),
        )
    except StreamError as error:
        raise StreamError(f"{source}: {error}") from error
    rows, columns = image.shape[:2]
    if as_json:
        say(json.dumps({"input": source, "output": target, "width": columns, "height": rows}))
    elif not quiet:
        report(f"{target}: {columns}x{rows}")
