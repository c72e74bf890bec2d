"""Encoding of one file for ``roicodec encode``, and what is printed of it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roicodec.cli.console import report, say
from roicodec.cli.files import check_parts, clear_left_overs
from roicodec.cli.progress import ProgressListener, rate_text
from roicodec.cli.source_options import SourceChoice
from roicodec.encoder.options import EncoderOptions
from roicodec.factory import CodecFactory
from roicodec.output import OutputFile
from roicodec.segments.store import SegmentStore, parts_folder
from roicodec.transcode import encode_video

__all__ = ["EncodeSettings", "encode_file", "print_result", "rate_of"]


@dataclass(frozen=True)
class EncodeSettings:
    """What a command asks of every video.

    Attributes:
        options: of the encoder.
        roi, roi_share, roi_level: as :func:`roicodec.transcode.encode_video` takes them.
        choice: what is encoded of a video.
        reading: further arguments of it, by name.
        force: whether existing files are overwritten.
        resume: whether finished segments of an interrupted run are used.
        quiet: whether progress is not shown.
        described: what JSON says of the settings.
    """

    options: EncoderOptions
    roi: tuple[str, ...]
    roi_share: float | None
    roi_level: float | None
    choice: SourceChoice
    reading: Mapping[str, Any]
    force: bool
    resume: bool
    quiet: bool
    described: Mapping[str, Any]


def encode_file(
    source: str, target: str, settings: EncodeSettings, factory: CodecFactory, verb: str = "encode"
) -> dict[str, Any]:
    """One video to a stream.

    Args:
        source, target: paths, or ``-``; checked.
        settings: of the command.
        factory: makes the encoder.
        verb: what progress says.

    Returns:
        the result as JSON has it.

    Raises:
        InputError: if the video cannot be read, or the stream not be written.
        ModelError: if the networks are not there.
    """
    force, resume, choice = settings.force, settings.resume, settings.choice
    with ProgressListener(verb, quiet=settings.quiet) as listener:
        clear_left_overs(target, force or resume, listener.warn)
        with contextlib.ExitStack() as opened:
            store = None
            if target != "-":
                if not resume and not force:
                    check_parts(target)
                store = SegmentStore(parts_folder(target), resume=resume, discard=force)
                opened.enter_context(store)
            out = opened.enter_context(OutputFile(target, replace=force))
            done = encode_video(
                source,
                out.stream,
                settings.options,
                settings.roi,
                roi_share=settings.roi_share,
                roi_level=settings.roi_level,
                frames=choice.part,
                filters=choice.filters,
                tracks=choice.tracks,
                store=store,
                listener=listener,
                factory=factory,
                **settings.reading,
            )
    return {
        "input": source,
        "output": target,
        **settings.described,
        "jobs": done.jobs,
        "frames": done.frames,
        "bytes": done.bytes,
        "video_bytes": done.video_bytes,
        "duration": done.duration,
        "bit_rate": 8 * done.bytes / done.duration if done.duration else None,
        "seconds": done.seconds,
        "cpu_seconds": done.cpu_seconds,
        "fps": done.frames / done.seconds,
        "warnings": listener.warnings,
    }


def rate_of(result: Mapping[str, Any]) -> str:
    """The bit rate of a result, in words; empty when unknown."""
    rate = result["bit_rate"]
    return f"{rate / 1000:.1f} kbit/s" if rate else ""


def print_result(result: Mapping[str, Any], *, as_json: bool, quiet: bool) -> None:
    """A result on standard output, or on standard error where the stream goes there."""
    target = result["output"]
    console = sys.stderr if target == "-" else sys.stdout
    if as_json:
        say(json.dumps(result), console)
    elif not quiet:
        parts = [f"{result['frames']} frames", f"{result['bytes']} bytes", rate_of(result)]
        speed = rate_text(result["frames"], result["seconds"])
        report(f"{target}: {', '.join(filter(None, [*parts, speed]))}", console)
