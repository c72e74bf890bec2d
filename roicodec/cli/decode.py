"""``roicodec decode``."""

from __future__ import annotations

import json
import sys

import click

from roicodec.cli.options import common, open_stream, refuse_to_overwrite
from roicodec.errors import StreamError

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
@common
def decode(
    source: str,
    target: str,
    codec: str | None,
    crf: float | None,
    audio_codec: str,
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
    refuse_to_overwrite(source, target, force)
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.cli.progress import ProgressListener
    from roicodec.transcode import decode_stream

    try:
        with ProgressListener("decode", quiet=quiet) as listener, open_stream(source) as stream:
            report = decode_stream(
                stream,
                target,
                codec=codec,
                crf=crf,
                audio_codec=audio_codec,
                backend=backend,
                threads=threads,
                listener=listener,
            )
    except StreamError as error:
        raise StreamError(f"{source}: {error}") from error
    fps = report.frames / report.seconds
    console = sys.stderr if target == "-" else sys.stdout
    if as_json:
        result = {
            "input": source,
            "output": target,
            "threads": threads,
            "frames": report.frames,
            "frames_lost": report.lost,
            "truncated": report.truncated,
            "damages": report.damages,
            "seconds": report.seconds,
            "cpu_seconds": report.cpu_seconds,
            "fps": fps,
            "warnings": listener.warnings,
        }
        print(json.dumps(result), file=console)
    elif not quiet:
        print(f"{target}: {report.frames} frames, {fps:.1f} fps", file=console)
    if report.lost or report.truncated or report.damages:
        raise StreamError(f"{source}: {_losses(report.frames, report.lost, report.truncated)}")


def _losses(frames: int, lost: int, truncated: bool) -> str:
    if truncated:
        known = f"{lost} frames and " if lost else ""
        return f"{known}whatever came after its end are lost: it is cut; {frames} are decoded"
    if lost:
        return f"damaged: {lost} of {frames + lost} frames are lost, the others decoded"
    return f"damaged, but all its {frames} frames are decoded"
