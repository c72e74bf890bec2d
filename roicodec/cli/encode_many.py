"""``roicodec encode`` with ``--out-dir``: many videos, and a table of what became of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from roicodec.batch import Job, Outcome, make_folder, plan, run
from roicodec.cli.console import report, say
from roicodec.cli.console import warn as warn_line
from roicodec.cli.encode_file import EncodeSettings, encode_file, rate_of
from roicodec.cli.files import check_target, refuse_stream
from roicodec.cli.progress import rate_text
from roicodec.errors import RoicodecError
from roicodec.factory import CodecFactory
from roicodec.segments.store import finished_parts, parts_folder

__all__ = ["encode_many"]

Result = dict[str, Any]


def encode_many(
    sources: Sequence[str],
    folder: str,
    settings: EncodeSettings,
    factory: CodecFactory,
    *,
    as_json: bool,
) -> None:
    """Videos to streams in a folder, one after another.

    Args:
        sources: files and folders.
        folder: for the streams.
        settings: of the command.
        factory: makes the encoders.
        as_json: whether the outcomes are printed as JSON rather than as a table.

    Raises:
        RoicodecError: if there is no video; at the end, if some failed.
    """
    if "-" in sources:
        raise click.UsageError("--out-dir takes files and folders, not standard input")
    jobs = plan(sources, folder)
    make_folder(folder)
    numbers = {job: number for number, job in enumerate(jobs, 1)}

    def encode(job: Job) -> Result:
        # A stream that is not whole is replaced; segments of an interrupted run are used.
        left = not settings.force and bool(finished_parts(parts_folder(job.target)))
        one = replace(settings, force=True, resume=left)
        refuse_stream(job.source)
        check_target(job.target, True, [job.source])
        name = Path(job.source).name
        verb = f"encode {numbers[job]}/{len(jobs)} {name}"
        return encode_file(job.source, job.target, one, factory, verb)

    outcomes: list[Outcome[Result]] = []
    for outcome in run(jobs, encode, again=settings.force):
        outcomes.append(outcome)
        if outcome.state == "failed":
            warn_line(f"{outcome.job.source}: {_reason(outcome)}")
    if as_json:
        say(json.dumps({"videos": [_as_json(outcome) for outcome in outcomes]}))
    elif not settings.quiet:
        for line in _table(outcomes):
            report(line)
    failed = sum(outcome.state == "failed" for outcome in outcomes)
    if failed:
        raise RoicodecError(f"{failed} of {len(outcomes)} videos could not be encoded")


def _reason(outcome: Outcome[Result]) -> str:
    return outcome.error.removeprefix(f"{outcome.job.source}: ")


def _as_json(outcome: Outcome[Result]) -> dict[str, Any]:
    job = outcome.job
    found = {"input": job.source, "output": job.target, "state": outcome.state}
    if outcome.error:
        found["error"] = outcome.error
    return {**found, **(outcome.result or {})}


def _table(outcomes: Sequence[Outcome[Result]]) -> list[str]:
    """Lines of a table with one row for each video."""
    rows = [["video", "frames", "bytes", "bit rate", "speed", ""]]
    for outcome in outcomes:
        name, result = Path(outcome.job.source).name, outcome.result
        if result is None:
            rows.append([name, "", "", "", "", outcome.state])
            continue
        speed = rate_text(result["frames"], result["seconds"])
        counts = [str(result["frames"]), str(result["bytes"])]
        rows.append([name, *counts, rate_of(result), speed, outcome.state])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [f"{row[0]:<{widths[0]}}", *(f"{row[k]:>{widths[k]}}" for k in range(1, 5))]
        lines.append("  ".join([*cells, row[5]]).rstrip())
    return lines
