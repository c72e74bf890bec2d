"""``roicodec info``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from roicodec.cli import console
from roicodec.cli.files import check_target, clear_left_overs, open_stream
from roicodec.cli.options import FILE, given, limits
from roicodec.errors import InputError, StreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from roicodec.bitstream.header import Header
    from roicodec.bitstream.masks import Mask
    from roicodec.decoder.weights import Arrays
    from roicodec.encoder.roi.export import MaskWriter
    from roicodec.stream_info import Totals

__all__ = ["info"]


@click.command(
    epilog="""\b
Examples:
  roicodec info talk.rq
  roicodec info --frames talk.rq
  roicodec info --csv talk.rq > talk.csv
  roicodec info --roi-map talk_roi.mkv talk.rq
  roicodec info --html talk.html talk.rq
"""
)
@click.argument("source", metavar="IN.rq", type=FILE)
@click.option("--frames", is_flag=True, help="List every frame.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line of CSV for each frame.")
@click.option(
    "--roi-map",
    "target",
    metavar="OUT",
    type=FILE,
    help="Write the mask of every frame to OUT: a Kvazaar ROI file (.txt, .bin) or a gray video"
    " (.mkv, .avi, .nut, .mp4, .mov), as 'roicodec encode --roi' reads them.",
)
@click.option(
    "--html",
    "page",
    metavar="OUT",
    type=FILE,
    help="Write a page to OUT instead of printing: bits, quality, bit-widths, ROI and arithmetic"
    " over time, pictures with their masks, tracks. A browser needs no other file to show it.",
)
@click.option(
    "--pictures",
    type=click.IntRange(0, 200),
    default=12,
    show_default=True,
    help="With --html: most pictures to show, spread over the stream; 0 decodes none.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT if it exists.")
@limits
def info(
    source: str,
    frames: bool,
    as_json: bool,
    as_csv: bool,
    target: str | None,
    page: str | None,
    pictures: int,
    force: bool,
    max_pixels: int | None,
    max_frames: int | None,
) -> None:
    """Tell what the stream IN.rq holds, byte by byte. IN.rq may be - for standard input.

    For each frame: type, time, bytes by part, quality index, bit-widths of ROI and non-ROI,
    the shares of the picture that are ROI, skipped and new (without a match in the frame before),
    and BitOPs (for which alone the networks must be installed; ? if they are not the stream's).
    The exit status is 1 if anything is damaged or missing.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if page is not None and (as_json or as_csv or frames or target is not None):
        raise click.UsageError("--html excludes --json, --csv, --frames and --roi-map")
    for name in (target, page):
        if name is not None:
            check_target(name, force, [source])
            clear_left_overs(name, force, console.warn)
    if page is not None:
        _write_page(source, page, pictures, force, max_pixels, max_frames)
        return
    from roicodec.bitstream.reader import StreamReader
    from roicodec.stream_info import StreamInfo
    from roicodec.stream_listing import csv_lines, json_lines, text_lines

    warnings = 0

    def warn(message: str) -> None:
        nonlocal warnings
        warnings += 1
        console.warn(f"{source}: {message}")

    try:
        with ExitStack() as opened:
            reader = StreamReader(
                opened.enter_context(open_stream(source)),
                **given(max_pixels=max_pixels, max_frames=max_frames),
            )
            masks = _open_masks(target, reader.header, opened) if target else None
            networks = _installed() if frames or as_csv else None
            listing = StreamInfo(reader, warn, masks.take if masks else None, networks)
            if as_csv:
                lines = csv_lines(listing)
            elif as_json:
                lines = json_lines(listing, frames=frames)
            else:
                lines = text_lines(listing, frames=frames)
            for line in lines:
                console.say(line)
            if masks and masks.unknown:
                warn(f"{masks.unknown} frames whose mask is lost have no ROI in {target}")
    except StreamError as error:
        raise StreamError(f"{source}: {error}") from error
    _check(source, listing.totals, warnings)


def _check(source: str, totals: Totals, damages: int) -> None:
    """Check that a stream is as it was written.

    Raises:
        StreamError: if it is not.
    """
    if totals.lost or totals.truncated or damages:
        cut = ", cut" if totals.truncated else ""
        lost = f", {totals.lost} frames missing" if totals.lost else ""
        raise StreamError(f"{source}: not as it was written{lost}{cut}")


def _write_page(
    source: str,
    page: str,
    pictures: int,
    force: bool,
    max_pixels: int | None,
    max_frames: int | None,
) -> None:
    if source == "-":
        raise InputError("--html reads the stream twice; give a file instead of standard input")
    with open_stream(source):  # what is no stream is told as with a listing
        pass
    from roicodec.cli.progress import ProgressListener
    from roicodec.stream_report import write_report

    try:
        with ProgressListener("pictures", quiet=False) as listener:
            info = write_report(
                source,
                page,
                pictures=pictures,
                replace=force,
                backend=None,
                listener=listener,
                **given(max_pixels=max_pixels, max_frames=max_frames),
            )
    except StreamError as error:
        raise StreamError(f"{source}: {error}") from error
    console.report(f"{page}: {info.totals.frames} frames")
    _check(source, info.totals, len(info.damages))


def _installed() -> Mapping[str, Arrays] | None:
    from roicodec.decoder.weights import load_arrays
    from roicodec.errors import ModelError

    try:
        return load_arrays()
    except ModelError:
        return None


class _Masks:
    """Writer of one mask for every frame: frame i of the map belongs to frame i of the video.

    Attributes:
        unknown: frames that got an empty one, since a loss hides theirs.
    """

    _MOST_UNKNOWN = 10_000
    """Empty masks that are written beyond one for each whole frame: a few bytes of a stream can
    claim that millions of frames are missing."""

    def __init__(self, writer: MaskWriter, none: Mask) -> None:
        self._writer, self._none = writer, none
        self._count = self.unknown = 0

    def take(self, number: int, mask: Mask | None) -> None:
        """Next frame's mask to write, after empty ones for the frames missing before it.

        Raises:
            StreamError: if more frames are missing than a map can be filled up for.
        """
        whole = self._count - self.unknown
        if number - whole > self._MOST_UNKNOWN + whole:
            raise StreamError(
                f"{number - whole} of {number} frames are missing, too many for a map with empty"
                " masks in their place; no map is written"
            )
        while self._count < number:
            self._write(None)
        self._write(mask)

    def _write(self, mask: Mask | None) -> None:
        self._writer.write(self._none if mask is None else mask)
        self._count += 1
        self.unknown += mask is None


def _open_masks(target: str, header: Header, opened: ExitStack) -> _Masks:
    import numpy as np

    from roicodec.bitstream.masks import grid_shape
    from roicodec.encoder.roi.export import open_mask_writer

    size = header.width, header.height
    writer = opened.enter_context(open_mask_writer(target, *size, header.frame_rate))
    return _Masks(writer, np.zeros(grid_shape(*size), np.bool_))
