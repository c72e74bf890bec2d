"""Options of ``roicodec encode`` that choose what of a source is encoded, and how it is changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import click

from roicodec.cli.options import part_options

if TYPE_CHECKING:
    from roicodec.media.filters import Filters
    from roicodec.media.part import Part
    from roicodec.media.track_choice import TrackChoice

__all__ = ["SourceChoice", "source_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class SourceChoice:
    """What is encoded of a source.

    Attributes:
        part: which pictures.
        filters: changes of the pictures.
        tracks: which tracks.
    """

    part: Part
    filters: Filters
    tracks: TrackChoice


def source_options(command: Command) -> Command:
    """``--start``, ``--duration``, ``--to``, ``--frames``, ``--scale``, ``--crop``, ``--fps``,
    ``--deinterlace``, ``-an``, ``-sn`` and ``--map``, as one argument ``choice``."""

    @functools.wraps(command)
    def call(
        *arguments: Any,
        start: Fraction | None,
        duration: Fraction | None,
        end: Fraction | None,
        frames: slice | None,
        scale: str | None,
        crop: str | None,
        fps: str | None,
        deinterlace: bool,
        no_audio: bool,
        no_subtitles: bool,
        tracks: tuple[str, ...],
        **others: Any,
    ) -> Any:
        from roicodec.media.filters import Filters
        from roicodec.media.part import Part
        from roicodec.media.track_choice import TrackChoice

        choice = SourceChoice(
            Part.of(frames, start, duration, end),
            Filters.of(scale, crop, fps, deinterlace=deinterlace),
            TrackChoice.of(tracks, audio=not no_audio, subtitles=not no_subtitles),
        )
        return command(*arguments, choice=choice, **others)

    options = (
        part_options,
        click.option(
            "--scale",
            metavar="W:H|720p",
            help="Scale the pictures, as they are stored, to a width and height (-1 for what keeps"
            " the shape) or to so many lines.",
        ),
        click.option(
            "--crop",
            metavar="W:H[:X:Y]",
            help="Cut out pictures of this size, in the middle or from a corner; before scaling.",
        ),
        click.option(
            "--fps",
            metavar="RATE",
            help="Frames a second, as 25 or 30000/1001: pictures are repeated or left out.",
        ),
        click.option(
            "--deinterlace", is_flag=True, help="Make progressive pictures of interlaced ones."
        ),
        click.option("-an", "no_audio", is_flag=True, help="Leave audio tracks out."),
        click.option("-sn", "no_subtitles", is_flag=True, help="Leave subtitle tracks out."),
        click.option(
            "--map",
            "tracks",
            multiple=True,
            metavar="TRACK",
            help="Take only this track, and others named so: v, a, s or t (attachments), one of"
            " them as in a:1, or a number as in 0:2; -a:1 leaves one out.",
        ),
    )
    wrapped: Any = call
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]
