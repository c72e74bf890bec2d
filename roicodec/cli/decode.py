"""``roicodec decode``."""

from __future__ import annotations

import json
import sys
from fractions import Fraction

import click

from roicodec.cli.console import report, say
from roicodec.cli.files import check_target, clear_left_overs, open_stream
from roicodec.cli.options import (
    FILE,
    common,
    decode_jobs_option,
    given,
    given_threads,
    limits,
    part_options,
)
from roicodec.errors import StreamError
from roicodec.factory import CodecFactory
from roicodec.media.info import IMAGES

__all__ = ["decode", "losses"]


@click.command(
    epilog="""\b
Examples:
  roicodec decode talk.rq talk.mp4
  roicodec decode --codec ffv1 talk.rq exact.mkv
  roicodec decode --start 1:30 --duration 10 talk.rq part.mp4
  roicodec decode --overlay talk.rq seen.mp4
  roicodec decode talk.rq frame_%04d.png
  roicodec decode --format matroska talk.rq - | ffplay -
"""
)
@click.argument("source", metavar="IN.rq", type=FILE)
@click.argument("target", metavar="OUT", type=FILE)
@part_options
@click.option(
    "--codec",
    metavar="NAME",
    help="FFmpeg's name of the video encoder: libx264, libx265, libsvtav1, ffv1 (no loss), ..."
    "  [default: libx264; libvpx-vp9 for .webm; rawvideo for -]",
)
@click.option(
    "--crf",
    type=click.FloatRange(0, 63),
    help="Quality of that encoder; lower is better.  [default: 12, no visible loss]",
)
@click.option(
    "--audio-codec",
    type=click.Choice(["copy", "aac", "flac", "opus"]),
    default="copy",
    show_default=True,
    help="Audio as it is, or coded anew: for outputs that cannot hold it as it is.",
)
@click.option(
    "--format",
    metavar="NAME",
    help="Format of OUT where its name does not tell: matroska or nut (with audio), yuv4mpeg, mp4,"
    " ...  [default for -: yuv4mpeg]",
)
@click.option(
    "--overlay", is_flag=True, help="Draw ROI, bit-widths and quality of each frame over it."
)
@decode_jobs_option
@limits
@common
@click.pass_obj
def decode(
    factory: CodecFactory,
    source: str,
    target: str,
    start: Fraction | None,
    duration: Fraction | None,
    end: Fraction | None,
    frames: slice | None,
    codec: str | None,
    crf: float | None,
    audio_codec: str,
    format: str | None,
    overlay: bool,
    jobs: int,
    max_pixels: int | None,
    max_frames: int | None,
    backend: str,
    threads: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Decode the stream IN.rq to the video OUT.

    IN.rq may be - for standard input. OUT ends in .mp4, .mov, .mkv, .webm, .ts or .avi (with audio;
    subtitles in the first four), in .y4m or .yuv (plain pictures), is numbered images such as
    out_%04d.png, or is - for standard output.

    With --start, decoding begins at the intra frame before, which the stream's index tells; audio
    and subtitles are cut to match.

    Of a damaged stream, all that can be decoded is written; the exit status is then 1.
    """
    _check(target, force, source)
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.cli.progress import ProgressListener, rate_text
    from roicodec.media.part import Part
    from roicodec.transcode import decode_stream

    part = Part.of(frames, start, duration, end)
    try:
        with ProgressListener("decode", quiet=quiet) as listener, open_stream(source) as stream:
            clear_left_overs(target, force, listener.warn)
            done = decode_stream(
                stream,
                target,
                replace=force,
                codec=codec,
                crf=crf,
                audio_codec=audio_codec,
                format=format,
                part=part,
                overlay=overlay,
                backend=backend,
                threads=threads,
                jobs=jobs,
                worker_threads=given_threads(),
                listener=listener,
                factory=factory,
                **given(max_pixels=max_pixels, max_frames=max_frames),
            )
    except StreamError as error:
        raise StreamError(f"{source}: {error}") from error
    fps = done.frames / done.seconds
    console = sys.stderr if target == "-" else sys.stdout
    if as_json:
        result = {
            "input": source,
            "output": target,
            "threads": threads,
            "frames": done.frames,
            "frames_lost": done.lost,
            "truncated": done.truncated,
            "damages": done.damages,
            "seconds": done.seconds,
            "cpu_seconds": done.cpu_seconds,
            "fps": fps,
            "warnings": listener.warnings,
        }
        say(json.dumps(result), console)
    elif not quiet:
        report(f"{target}: {done.frames} frames, {rate_text(done.frames, done.seconds)}", console)
    if done.lost or done.truncated or done.damages:
        raise StreamError(f"{source}: {losses(done.frames, done.lost, done.truncated)}")


def _check(target: str, force: bool, source: str) -> None:
    """Check of the name of the output, or of the first one."""
    first = target
    if target.lower().endswith(tuple(f".{ending}" for ending in IMAGES)):
        from roicodec.media.images import image_name

        first = image_name(target, 1)
    check_target(first, force, [source])


def losses(frames: int, lost: int, truncated: bool) -> str:
    """What is lost of a damaged stream, in words.

    Args:
        frames: that were decoded.
        lost: frames that were not.
        truncated: whether the stream ends too early.
    """
    if truncated:
        known = f"{lost} frames and " if lost else ""
        return f"{known}whatever came after its end are lost: it is cut; {frames} are decoded"
    if lost:
        return f"damaged: {lost} of {frames + lost} frames are lost, the others decoded"
    return f"damaged, but all its {frames} frames are decoded"
