"""A run's files: ``results.json``, ``results.csv``, plots and the page."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from roicodec.errors import InputError
from roicodec.evaluate.page import write_page
from roicodec.evaluate.plots import PLOTTED, plot_clips, plot_curves, plot_means
from roicodec.evaluate.points import write_csv
from roicodec.evaluate.run import Clip, Encode, jsonable
from roicodec.evaluate.tables import Comparison, compare_all, measures_of
from roicodec.media import VideoInfo

__all__ = ["about_run", "check_plotting", "earlier_results", "usable_points", "write_results"]

_FORMAT = "roicodec-eval/1"


def check_plotting() -> None:
    """Check, before anything is encoded, that the packages of the extra ``eval`` are installed.

    Raises:
        InputError: that says what to install.
    """
    try:
        import matplotlib  # noqa: F401
        import scipy  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"eval needs {error.name}: install the extra, pip install 'roicodec[eval]'"
        ) from None


def usable_points(
    points: Sequence[Encode], clips: Sequence[Clip], encodes: Sequence[Encode]
) -> tuple[list[Encode], list[str]]:
    """The stored points that can be compared with this run's encodes, and why others cannot.

    Left out: points of other clips, silently; of another number of frames or another size; and
    of codecs that this run has measured itself.
    """
    by_name = {clip.name: clip for clip in clips}
    measured = {(e.clip, e.codec) for e in encodes}
    used: list[Encode] = []
    messages: dict[str, None] = {}
    for point in points:
        clip = by_name.get(point.clip)
        if clip is None:
            continue
        size = clip.info.width, clip.info.height
        if (point.width, point.height) != size:
            found = f"{point.width}x{point.height}"
            messages[f"{point.clip}: stored points of {point.codec} are left out: {found}"] = None
        elif point.frames != clip.frames:
            messages[
                f"{point.clip}: stored points of {point.codec} are left out: they are of"
                f" {point.frames} frames, this run's of {clip.frames} (see --frames)"
            ] = None
        elif (point.clip, point.codec) not in measured:
            used.append(point)
    return used, list(messages)


def earlier_results(
    out: Path, clips: Sequence[Clip], encodes: Sequence[Encode]
) -> tuple[list[Clip], list[Encode], list[str]]:
    """Clips and encodes that earlier runs have left in a folder and this run has not made anew, and
    why others are left out: of a clip of other samples or another number of frames, or by another
    version or other options of a codec than this run's.
    """
    try:
        stored = json.loads(out.joinpath("results.json").read_text())
        found = [Encode.from_dict(e) for e in stored["encodes"]]
        described = {c["name"]: c for c in stored["clips"]}
    except (OSError, ValueError, KeyError, TypeError):
        return [], [], []
    now = {clip.name: clip for clip in clips}
    made = {(e.clip, e.codec, e.setting) for e in encodes}
    coded = {e.codec: (e.version, _plain_command(e)) for e in encodes}
    used: list[Encode] = []
    messages: dict[str, None] = {}
    for encode in found:
        clip, other = now.get(encode.clip), described.get(encode.clip, {})
        if (encode.clip, encode.codec, encode.setting) in made:
            continue
        if clip is not None and (clip.digest, clip.frames) != (
            other.get("digest"), other.get("frames")
        ):  # fmt: skip
            why = f"they are of {other.get('frames')} frames, or of other pictures"
            messages[f"{encode.clip}: earlier results are left out: {why}"] = None
        elif encode.version and coded.get(encode.codec, _own(encode)) != _own(encode):
            messages[f"{encode.codec}: earlier results are left out: other options or version"] = (
                None
            )
        else:
            used.append(encode)
    names = {e.clip for e in used} - now.keys()
    before = [_stored_clip(c) for name, c in described.items() if name in names]
    return before, used, list(messages)


def _own(encode: Encode) -> tuple[str, str]:
    return encode.version, _plain_command(encode)


def _plain_command(encode: Encode) -> str:
    """Command without the quality and the number of frames."""
    numbers = {str(encode.setting), str(encode.frames)}
    return " ".join(word for word in re.split(r"[ :=,]", encode.command) if word not in numbers)


def _stored_clip(stored: dict[str, Any]) -> Clip:
    name = stored["name"]
    info = VideoInfo(stored["width"], stored["height"], Fraction(1, 25))
    shown = str(Path("streams", name, "original.png"))
    return Clip(name, Path(name), info, stored["frames"], stored["digest"], shown, "", "")


def about_run(
    command: str, encodes: Sequence[Encode], now: datetime | None = None
) -> dict[str, str]:
    """Date, machine and versions of the run, by title."""
    when = now or datetime.now(UTC)
    versions = dict.fromkeys(e.version for e in encodes if e.version)
    return {
        "Date": when.strftime("%Y-%m-%d %H:%M UTC"),
        "Command": command,
        "Versions": "; ".join(versions),
        "Machine": f"{_processor()}, Python {platform.python_version()}, {platform.platform()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or sys.platform


def write_results(
    out: Path,
    clips: Sequence[Clip],
    encodes: Sequence[Encode],
    reference: str,
    about: dict[str, str],
    messages: Sequence[str],
) -> list[Comparison]:
    """All files of a run, written into its folder.

    Args:
        out: the folder.
        clips, encodes: of the run; encodes with the stored points among them.
        reference: the codec that BD-BR compares with.
        about: of the run, from :func:`about_run`.
        messages: warnings and failures of the run.

    Returns:
        The BD-BR comparisons.
    """
    comparisons = compare_all(encodes, reference)
    results: dict[str, Any] = {
        "format": _FORMAT,
        "about": about,
        "reference": reference,
        "clips": [
            {
                "name": c.name,
                "width": c.info.width,
                "height": c.info.height,
                "frames": c.frames,
                "digest": c.digest,
            }
            for c in clips
        ],
        "encodes": [e.as_dict() for e in encodes],
        "bd_br": [asdict(c) for c in comparisons],
        "messages": list(messages),
    }
    out.joinpath("results.json").write_text(json.dumps(jsonable(results), indent=1) + "\n")
    write_csv(out / "results.csv", encodes)
    plot_curves(encodes, out / "plots")
    for measure in (m for m in measures_of(encodes) if m.key in PLOTTED):
        plot_means(comparisons, measure, out / "plots" / f"mean_{measure.key}")
        plot_clips(comparisons, measure, reference, out / "plots" / f"clips_{measure.key}")
    write_page(out / "report.html", clips, encodes, comparisons, reference, about)
    return comparisons
