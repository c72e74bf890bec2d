"""Options that commands share, and values that need more than a number."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import click

from roicodec.errors import InputError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from roicodec.encoder.zones import Zone

__all__ = [
    "BIT_RATE",
    "FILE",
    "FRAME_RANGE",
    "TIME",
    "ZONE",
    "backend_option",
    "common",
    "decode_jobs_option",
    "given",
    "given_threads",
    "jobs_option",
    "limits",
    "output_options",
    "part_options",
    "roi_options",
    "threads_option",
]

_MOST_THREADS = 4
Command = TypeVar("Command", bound=Callable[..., Any])


class _Candidates(click.ParamType[tuple[int, ...]]):
    name = "b,b,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            bits = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r}: give whole numbers with commas between, as in 4,8,16")
        if any(b != 0 and not 2 <= b <= 16 for b in bits) or len(set(bits)) != len(bits):
            self.fail(f"{value!r}: each bit-width is 2 to 16, or 0 (skip), and is named once")
        if not any(bits):
            self.fail(f"{value!r}: name at least one bit-width other than 0")
        return bits


class _FrameRange(click.ParamType[slice]):
    name = "a:b"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> slice:
        if isinstance(value, slice):
            return value
        try:
            start, stop = (int(part) if part else None for part in value.split(":"))
        except ValueError:
            self.fail(f"{value!r}: give first:end, as in 0:100, 50: or :100")
        if (start or 0) < 0 or (stop is not None and stop <= (start or 0)):
            self.fail(f"{value!r}: the first frame is 0 or later, and the end lies after it")
        return slice(start, stop)


class _Time(click.ParamType[Fraction]):
    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Fraction:
        if isinstance(value, Fraction):
            return value
        from roicodec.media.part import seconds_of

        try:
            return seconds_of(value)
        except InputError as error:
            self.fail(str(error))


class _BitRate(click.ParamType[float]):
    name = "bits/s"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        number, unit = (value[:-1], value[-1:]) if value[-1:] in _UNITS else (value, "")
        try:
            rate = float(number) * _UNITS[unit]
        except ValueError:
            rate = 0.0
        if not 1000 <= rate <= 1e9:
            self.fail(f"{value!r}: give bits a second from 1k to 1000M, as in 800k or 1.5M")
        return rate


class _Zone(click.ParamType["Zone"]):
    name = "start,end,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Zone:
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        from roicodec.encoder.zones import Zone
        from roicodec.media.part import seconds_of

        start, _, rest = value.partition(",")
        end, _, rest = rest.partition(",")
        try:
            return Zone.of(rest, [seconds_of(start), seconds_of(end)])
        except InputError as error:
            self.fail(str(error))


class _File(click.ParamType[str]):
    """A name of a file: text, which a shell completes by the files that are there."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


_UNITS = {"": 1, "k": 1000, "M": 1_000_000}
BIT_RATE = _BitRate()
_CANDIDATES = _Candidates()
ZONE = _Zone()
FILE = _File()
FRAME_RANGE = _FrameRange()
TIME = _Time()
"""Seconds as a fraction, at least 0, from text such as 90, 1:30 or 1:02:03.5."""
_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


def _default_threads() -> int:
    """All cores that this process may use, but at most four: more gain little."""
    return min(len(os.sched_getaffinity(0)), _MOST_THREADS)


def threads_option(command: Command) -> Command:
    """``--threads``."""
    return click.option(
        "--threads",
        type=click.IntRange(1, 256),
        default=_default_threads,
        envvar="ROICODEC_THREADS",
        show_envvar=True,
        show_default="cores, at most 4",
        help="Threads to compute with. The result does not depend on it.",
    )(command)


def given_threads() -> int | None:
    """Threads that the user of the command that runs has asked for; None where it was nobody."""
    context = click.get_current_context()
    asked = context.get_parameter_source("threads") is not click.core.ParameterSource.DEFAULT
    return context.params["threads"] if asked else None


def decode_jobs_option(command: Command) -> Command:
    """``--jobs`` of decoding."""
    return click.option(
        "--jobs",
        type=click.IntRange(1, 256),
        metavar="N",
        default=1,
        show_default=True,
        help="Processes that decode, each one GOP after another with cores / N threads. The result"
        " does not depend on it.",
    )(command)


def jobs_option(command: Command) -> Command:
    """``--jobs``, None where it is not given."""
    return click.option(
        "--jobs",
        type=click.IntRange(1, 256),
        metavar="N",
        help="Processes that share the work, each with cores / N threads. The result does not"
        " depend on it.  [default: by cores, memory and the length of the video]",
    )(command)


def backend_option(command: Command) -> Command:
    """``--backend``."""
    return click.option(
        "--backend",
        type=click.Choice(["auto", "native", "onednn", "reference"]),
        default="auto",
        envvar="ROICODEC_BACKEND",
        show_envvar=True,
        show_default=True,
        help="Arithmetic of the networks: the fastest that is exact here, or a certain one. The"
        " result does not depend on it.",
    )(command)


def limits(command: Command) -> Command:
    """``--max-pixels`` and ``--max-frames``, None where they are not given."""
    for option in (
        click.option(
            "--max-frames",
            type=click.IntRange(min=1),
            metavar="N",
            help="End after the first N frames: for streams from strangers.",
        ),
        click.option(
            "--max-pixels",
            type=click.IntRange(min=1),
            metavar="N",
            help="Refuse a stream whose pictures have more than N pixels.",
        ),
    ):
        command = option(command)
    return command


def given(**limits: int | None) -> dict[str, int]:
    """Those of some limits that were given."""
    return {name: value for name, value in limits.items() if value is not None}


def part_options(command: Command) -> Command:
    """``--start``, ``--duration``, ``--to`` and ``--frames``."""
    return _with(
        command,
        click.option(
            "-ss",
            "--start",
            type=TIME,
            help="Begin with the first picture shown at this time or later: 90, 1:30 or 1:02:03.5.",
        ),
        click.option("-t", "--duration", type=TIME, help="End after so much time."),
        click.option(
            "--to", "end", type=TIME, help="End at this time of IN, instead of --duration."
        ),
        click.option(
            "--frames",
            type=FRAME_RANGE,
            help="Take frames a up to, not including, b.  [default: all]",
        ),
    )


def roi_options(command: Command) -> Command:
    """``--roi``, ``--roi-share``, ``--roi-level`` and ``--candidates``."""
    options = (
        click.option(
            "--roi",
            multiple=True,
            default=("auto",),
            show_default=True,
            metavar="SPEC",
            help="Where the region of interest is: auto, faces, people, moving, none, a mask image"
            " or video, a Kvazaar ROI file (.txt, .bin), or a rectangle"
            " x,y,w,h[,offset][,start,end] in luma samples and seconds. Give it several times for"
            " their union.",
        ),
        click.option(
            "--roi-share",
            type=_SHARE,
            help="With --roi auto, faces, people or moving: share of the picture that becomes ROI,"
            " about.  [default: what the content calls for, 0.02 to 0.5 with auto]",
        ),
        click.option(
            "--roi-level",
            type=_SHARE,
            help="With --roi auto, instead of a share: the saliency, 0 to 1, from which a place is"
            " ROI.",
        ),
        click.option(
            "--candidates",
            type=_CANDIDATES,
            default="4,8,16",
            show_default=True,
            help="Bit-widths that frames may choose from.",
        ),
    )
    return _with(command, *options)


def output_options(command: Command) -> Command:
    """``--force``, ``--json`` and ``--quiet``."""
    return _with(
        command,
        click.option("-f", "--force", is_flag=True, help="Overwrite OUT if it exists."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option("--quiet", is_flag=True, help="Print errors only."),
    )


def common(command: Command) -> Command:
    """``--backend``, ``--threads``, and what :func:`output_options` adds."""
    return _with(command, backend_option, threads_option, output_options)


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    """The command with options, which ``--help`` lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command
