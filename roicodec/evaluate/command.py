"""``roicodec eval``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roicodec.encoder.gop import STRUCTURES
from roicodec.errors import InputError
from roicodec.factory import CodecFactory, NetworkFactory
from roicodec.text import printable

if TYPE_CHECKING:
    from roicodec.evaluate.coders import Coder

__all__ = ["eval_command"]

_LEAST_POINTS = 4
"""Points of a curve that BD-BR takes."""
_CONFIGS = ("ld", "default", "intra")
_SUFFIXES = (".mkv", ".mp4", ".mov", ".y4m", ".webm", ".avi", ".m4v")


class _Integers(click.ParamType[tuple[int, ...]]):
    name = "n,n,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(sorted({int(word) for word in str(value).split(",")}))
        except ValueError:
            self.fail(f"'{value}' is not a list of whole numbers such as 12,22,32", param, ctx)
        return found


class _Structures(click.ParamType[tuple[str, ...]]):
    name = "name,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        found = tuple(dict.fromkeys(str(value).split(",")))
        if unknown := [name for name in found if name not in STRUCTURES]:
            self.fail(f"'{unknown[0]}' is not one of {', '.join(STRUCTURES)}", param, ctx)
        return found


@click.command(
    "eval",
    epilog="""\b
Examples:
  roicodec eval talk.mp4 match.mkv --frames 32
  roicodec eval clips/ --against x265,svtav1 --config ld --frames 32 --out runs/ld
  roicodec eval clips/ --roi masks/ --points hm.csv --frames 32 --jobs 4
""",
)
@click.argument(
    "clips", metavar="CLIP...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--against",
    default="x264,x265,svtav1",
    show_default=True,
    metavar="NAME,...",
    help="Codecs to compare with: x264, x265, svtav1; with the extra vmaf aom, kvazaar and vvc, too"
    " (vvc also where vvencapp and vvdecapp are on PATH); or none.",
)
@click.option(
    "--roi",
    default="none",
    show_default=True,
    metavar="SPEC",
    help="ROI that encoders are given, beside the same codecs without: none, auto, a rectangle, a"
    " file as 'roicodec encode' takes it, or a folder with a file of each clip's name.",
)
@click.option(
    "--masks",
    default="",
    metavar="SPEC",
    help="Masks that the measures inside and outside the ROI go by, in the same notation."
    "  [default: those of --roi]",
)
@click.option(
    "--config",
    type=click.Choice(_CONFIGS),
    default="default",
    show_default=True,
    help="default: each codec's own, B frames included; ld: one intra frame, no B frames; intra:"
    " every frame intra.",
)
@click.option(
    "--structure",
    "structures",
    type=_Structures(),
    metavar="NAME,...",
    help=f"Coding structures of roicodec: {', '.join(STRUCTURES)}; several are compared.  [default:"
    " auto; low-delay for --config ld]",
)
@click.option("--qualities", type=_Integers(), help="roicodec's quality indices, 0..63.")
@click.option(
    "--anchor-qualities",
    type=_Integers(),
    help="The anchors' crf (QP for vvc) instead of the usual.",
)
@click.option("--frames", type=click.IntRange(1), help="Use only the first N frames of each clip.")
@click.option(
    "--points",
    multiple=True,
    type=click.Path(path_type=Path),
    help="CSV or JSON file with stored points of other codecs; may be given several times.",
)
@click.option(
    "--reference", metavar="CODEC", help="What BD-BR compares with.  [default: the first]"
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Clips to work on at a time; above 1, times are those of a busy machine.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads of roicodec; anchors always use one.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/eval"),
    show_default=True,
    help="Folder of the results. What is finished there is not repeated; other clips and codecs of"
    " earlier runs stay among the results.",
)
@click.option(
    "--few",
    is_flag=True,
    help="Go on with fewer than four qualities of a codec, which have no BD-BR.",
)
@click.option(
    "--markdown",
    is_flag=True,
    help="Print BD-BR as tables of Markdown, instead of everything for a terminal.",
)
@click.option(
    "--metric",
    multiple=True,
    metavar="KEY",
    help="With --markdown: a measure to show, such as psnr_yuv, msssim_y or wpsnr_y; give it"
    " several times for several. BD-BR by clip is of the first.  [default: all]",
)
@click.option("--quiet", is_flag=True, help="No line for every encode.")
@click.pass_obj
def eval_command(
    factory: CodecFactory | None,
    clips: tuple[Path, ...],
    against: str,
    roi: str,
    masks: str,
    config: str,
    structures: tuple[str, ...] | None,
    qualities: tuple[int, ...] | None,
    anchor_qualities: tuple[int, ...] | None,
    frames: int | None,
    points: tuple[Path, ...],
    reference: str | None,
    jobs: int,
    threads: int,
    out: Path,
    few: bool,
    markdown: bool,
    metric: tuple[str, ...],
    quiet: bool,
) -> None:
    """Compare roicodec with other codecs on CLIPs: real files, decoded and measured.

    A CLIP is a video or a folder of videos. The folder --out gets results.json (every encode:
    options, versions, bytes, times), results.csv, regions.csv (bit-widths and features of every
    frame of roicodec's), plots (PNG, SVG), report.html, and the coded files. The exit status is 1
    if an encode failed; the others are in the results.
    """
    from roicodec.evaluate.markdown import chosen_measures, markdown_lines
    from roicodec.evaluate.points import read_points
    from roicodec.evaluate.results import (
        about_run,
        check_plotting,
        earlier_results,
        usable_points,
        write_results,
    )
    from roicodec.evaluate.run import Plan, run_plan
    from roicodec.evaluate.screen import Screen
    from roicodec.evaluate.statistics import write_statistics

    check_plotting()
    videos = _videos(clips)
    stored = [point for path in points for point in read_points(path)]
    roi = "" if roi == "none" else roi
    coders, messages = _coders(
        against,
        config,
        structures or ("",),
        roi,
        qualities,
        anchor_qualities,
        threads,
        factory or NetworkFactory(),
    )
    names = dict.fromkeys([*(c.name for c in coders), *(p.codec for p in stored)])
    if reference is not None and reference not in names:
        raise InputError(f"--reference {reference!r}: there are {', '.join(names)}")
    if metric and not markdown:
        raise click.UsageError("--metric chooses the columns of --markdown; give both")
    measures = chosen_measures(metric)
    short = [coder for coder in coders if len(coder.qualities) < _LEAST_POINTS]
    if short and not few:
        raise InputError(
            f"{short[0].name}: {len(short[0].qualities)} qualities have no BD-BR, which takes"
            f" {_LEAST_POINTS}: give more, or --few to go on without"
        )
    screen = Screen(len(videos) * sum(len(c.qualities) for c in coders), quiet=quiet)
    for message in messages:
        screen.warn(message)
    _make_folder(out)
    plan = Plan(videos, tuple(coders), frames, roi, masks or roi, out, jobs)
    found, encodes = run_plan(plan, screen)
    before, earlier, left_out = earlier_results(out, found, encodes)
    used, notes = usable_points(stored, found, [*encodes, *earlier])
    for message in (*left_out, *notes):
        screen.warn(message)
    fresh, clips_shown = encodes, [*found, *before]
    encodes = [*encodes, *earlier, *used]
    if not encodes:
        raise InputError("no encode succeeded: there is nothing to compare")
    against_what = reference or next(
        (e.codec for e in encodes if not e.codec.startswith("roicodec")), encodes[0].codec
    )
    about = about_run(shlex.join(["roicodec", *sys.argv[1:]]), encodes)
    comparisons = write_results(out, clips_shown, encodes, against_what, about, screen.messages)
    layers = write_statistics(out, found, fresh)
    if markdown:
        for line in markdown_lines(encodes, comparisons, against_what, measures):
            click.echo(printable(line))
        click.echo()
    else:
        screen.show(encodes, comparisons, against_what, layers)
    click.echo(printable(f"{out / 'report.html'}, results.json, results.csv, regions.csv, plots/"))
    if screen.failures:
        raise InputError(f"{screen.failures} encodes failed, see above; the others are in {out}")


def _videos(clips: Sequence[Path]) -> tuple[Path, ...]:
    from roicodec.evaluate.names import folder_name

    found: list[Path] = []
    for clip in clips:
        if clip.is_dir():
            inside = sorted(p for p in clip.iterdir() if p.suffix.lower() in _SUFFIXES)
            if not inside:
                raise InputError(f"{clip}: no videos in this folder ({', '.join(_SUFFIXES)})")
            found += inside
        elif clip.exists():
            found.append(clip)
        else:
            raise InputError(f"{clip}: no such file")
    for video in found:
        name = folder_name(video.stem)
        if same := [p for p in found if folder_name(p.stem) == name and p != video]:
            raise InputError(f"{video} and {same[0]} are both called {name}: rename one")
    return tuple(dict.fromkeys(found))


def _coders(
    against: str,
    config: str,
    structures: tuple[str, ...],
    roi: str,
    qualities: tuple[int, ...] | None,
    anchor_qualities: tuple[int, ...] | None,
    threads: int,
    factory: CodecFactory,
) -> tuple[list[Coder], list[str]]:
    from roicodec.evaluate.coders import AGAINST, anchor_coders, own_coder

    families = [] if against == "none" else [w.strip() for w in against.split(",")]
    if unknown := [f for f in families if f not in AGAINST]:
        raise InputError(f"--against {unknown[0]!r}: known are {', '.join(AGAINST)}, or none")
    program = factory.command
    given = ["auto" if roi == "auto" else "masks"] if roi else []
    coders = [
        own_coder(config, kind, qualities, threads, program=program, structure=structure)
        for kind in ("none", *given)
        for structure in structures
    ]
    messages: list[str] = []
    for family in dict.fromkeys(families):
        more, notes = anchor_coders(family, config, anchor_qualities, roi=bool(roi))
        coders += more
        messages += notes
    return coders, messages


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror})") from None
