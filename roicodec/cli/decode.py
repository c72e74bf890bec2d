"""``roicodec decode``."""

from __future__ import annotations

import json
import sys

import click

from roicodec.cli.console import report, say
from roicodec.cli.files import check_target, clear_left_overs, open_stream
from roicodec.cli.options import common, given, limits
from roicodec.errors import StreamError
from roicodec.factory import CodecFactory

__all__ = ["decode"]


@click.command(
    epilog="""\b
Examples:
  roicodec decode talk.rq talk.mp4
  roicodec decode --codec ffv1 talk.rq exact.mkv
  roicodec decode talk.rq - | ffplay -
"""
)
@click.argument("source", metavar="IN.rq")
@click.argument("target", metavar="OUT")
@click.option(
    "--codec",
    metavar="NAME",
    help="FFmpeg's name of the video encoder for .mp4, .mov and .mkv: libx264, libx265, ffv1 (no"
    " loss), ...  [default: libx264]",
)
@click.option(
    "--crf",
    type=click.FloatRange(0, 63),
    help="Quality of that encoder; lower is better.  [default: 12, no visible loss]",
)
@click.option(
    "--audio-codec",
    type=click.Choice(["copy", "aac", "flac"]),
    default="copy",
    show_default=True,
    help="Audio as it is, or coded anew: for outputs that cannot hold it as it is.",
)
@limits
@common
@click.pass_obj
def decode(
    factory: CodecFactory,
    source: str,
    target: str,
    codec: str | None,
    crf: float | None,
    audio_codec: str,
    max_pixels: int | None,
    max_frames: int | None,
    backend: str,
    threads: int,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Decode the stream IN.rq to the video OUT.

    IN.rq may be - for standard input. OUT ends in .mp4, .mov or .mkv (with audio and subtitles),
    .y4m or .yuv (plain pictures), or is - for y4m on standard output.

    Of a damaged stream, all that can be decoded is written; the exit status is then 1.
    """
    check_target(target, force, [source])
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.cli.progress import ProgressListener, rate_text
    from roicodec.transcode import decode_stream

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
                backend=backend,
                threads=threads,
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
        raise StreamError(f"{source}: {_losses(done.frames, done.lost, done.truncated)}")


def _losses(frames: int, lost: int, truncated: bool) -> str:
    if truncated:
        known = f"{lost} frames and " if lost else ""
        return f"{known}whatever came after its end are lost: it is cut; {frames} are decoded"
    if lost:
        return f"damaged: {lost} of {frames + lost} frames are lost, the others decoded"
    return f"damaged, but all its {frames} frames are decoded"
