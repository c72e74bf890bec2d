"""Comparison with other codecs, written to docs/results.md: ``make results``.

    python -m studies.results [--clips FOLDER] [--out runs/eval] [--short] [--report-only]

Runs ``roicodec eval`` in low delay, with intra frames only, and in low delay with ``--roi auto``;
encodes that are finished in --out are not repeated. FOLDER holds the clips and, in ``masks``, the
ROI of some; the last part has the others. The default clips are those of the development package.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from examples.clips import CLIPS, find_clip
from roicodec.evaluate.plots import plot_grid
from roicodec.evaluate.points import read_points
from roicodec.evaluate.regions import find_masks
from roicodec.evaluate.run import Encode
from roicodec.evaluate.tables import (
    MEASURES,
    Comparison,
    codecs_of,
    compare_all,
    cost,
    mean_comparison,
    measures_of,
    options_of,
    speed,
)
from studies.content import content, table

DOCS = Path(__file__).parents[1] / "docs"
VALID = Path("../shared/data/valid")
LONG = ("bbb_640x360", "crowd_1280x720", "surveil_highway_640x360")
"""Clips that ``--short`` omits: they take two thirds of the time."""
QUALITIES = "22,34,46,58"
BY_CLIP = ("psnr_y", "wpsnr_y")


@dataclass(frozen=True)
class Part:
    """One comparison of the page.

    Attributes:
        name: name of its folder and prefix of its pictures.
        title: title of its section.
        config: configuration of ``roicodec eval``.
        frames: number of frames of each clip.
        reference: anchor of BD-BR.
        against: other codecs, separated by commas.
    """

    name: str
    title: str
    config: str
    frames: int
    reference: str
    against: str = "x264,x265,svtav1"


AUTO = Part("auto", "Where roicodec finds the ROI", "ld", 32, "x265_medium_ld", "x265")
PARTS = (
    Part("ld", "Low delay", "ld", 32, "x265_medium_ld"),
    Part("intra", "Intra frames only", "intra", 8, "x265_medium_intra"),
    AUTO,
)


def evaluate(part: Part, clips: Path, out: Path, *, short: bool, jobs: int) -> None:
    """One run of the comparison."""
    words: list[object] = ["--config", part.config, "--out", out, "--reference", part.reference]
    if clips.is_dir():
        masks, stored = clips / "masks", clips.parent / "anchors" / "results.csv"
        found = [p for p in sorted(clips.iterdir()) if p.is_file()]
        if part == AUTO:
            found = [p for p in found if not find_masks(str(masks), p)]
        chosen = [p for p in found if p.stem not in LONG]
        chosen += [p for p in found if p.stem in LONG and not short]
        words += ["--frames", part.frames]
        words += ["--roi", "auto"] if part == AUTO else ["--masks", masks]
        if part.name == "ld":
            words += ["--roi", masks]
            words += ["--points", stored] if stored.exists() else []
    else:
        chosen = [find_clip(name) for name in CLIPS]
        words += ["--frames", min(part.frames, 8), "--roi", "auto"]
    command = [sys.executable, "-m", "roicodec", "eval", *chosen, *words]
    command += ["--qualities", QUALITIES, "--against", part.against, "--jobs", jobs]
    subprocess.run(list(map(str, command)), check=True)


def number(value: float | None, form: str) -> str:
    """Formatted number; empty if there is none."""
    return "" if value is None or isnan(value) else format(value, form)


def bd_cell(comparisons: Sequence[Comparison], codec: str, measure: str) -> str:
    """Mean BD-BR in percent, starred if a curve is short or missing."""
    mean = mean_comparison(comparisons, codec, measure)
    if not mean.clips:
        return "none\\*" if mean.problems else ""
    return f"{mean.percent:+.1f}" + ("\\*" if mean.short or mean.problems else "")


def rates(encodes: Sequence[Encode], comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Tables of BD-BR: means, then clip by clip."""
    codecs = list(dict.fromkeys(c.codec for c in comparisons))
    measures = measures_of(encodes)

    def row(codec: str) -> list[str]:
        counts = (mean_comparison(comparisons, codec, m.key).clips for m in measures)
        clips = "/".join(dict.fromkeys(str(n) for n in counts if n))
        return [codec, *(bd_cell(comparisons, codec, m.key) for m in measures), clips]

    yield from table(["mean", *(m.title for m in measures), "clips"], map(row, codecs))
    for measure in (m for m in MEASURES if m.key in BY_CLIP):
        chosen = [c for c in comparisons if c.measure == measure.key]
        clips = list(dict.fromkeys(c.clip for c in chosen))
        if clips:
            yield from table(
                [measure.title, *clips],
                (
                    [codec, *(bd_cell([c for c in chosen if c.clip == k], codec, measure.key)
                              for k in clips)]
                    for codec in codecs
                ),
            )  # fmt: skip


def notes(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Footnotes: the reason of every star."""
    for c in comparisons:
        why = c.problem or (c.result.warning if c.result else "")
        if why and c.measure in BY_CLIP:
            yield f"- \\* {c.clip}, {c.codec}, {c.measure}: {why}"
    yield ""


def costs(encodes: Sequence[Encode]) -> Iterator[str]:
    """Table of speed, memory and arithmetic by codec."""
    head = ["codec"]
    for step in ("encode", "decode"):
        head += [f"{step} fps", "CPU ms", "MB", "kMAC/pixel", "kBitOPs/pixel"]
    rows = []
    for codec in codecs_of(encodes):
        chosen = [e for e in encodes if e.codec == codec]
        row = [codec]
        for used, spent in (
            (speed(chosen, lambda e: e.encoding), cost(chosen, lambda e: e.encode_cost)),
            (speed(chosen, lambda e: e.decoding), cost(chosen, lambda e: e.decode_cost)),
        ):
            row.append(number(used.fps if used else None, ".1f"))
            row.append(number(used.cpu_ms if used else None, ".1f"))
            row.append(number(used.peak_mb if used else None, ".0f"))
            row.append(number(spent.macs / 1000 if spent else None, ".1f"))
            row.append(number(spent.bit_ops / 1000 if spent else None, ".0f"))
        rows.append(row)
    return table(head, rows)


def points(encodes: Sequence[Encode]) -> Iterator[str]:
    """Table of every file of roicodec."""
    head = ["clip", "codec", "-q", "bytes", "bit/pixel", "PSNR-Y", "U", "V", "(6Y+U+V)/8",
            "MS-SSIM", "ROI-weighted PSNR-Y", "in the ROI", "outside"]  # fmt: skip
    rows = []
    for e in (e for e in encodes if e.codec.startswith("roicodec")):
        q = e.quality
        decibels = (q.psnr_y, q.psnr_u, q.psnr_v, q.psnr_yuv)
        regions = (q.wpsnr_y, q.psnr_roi_y, q.psnr_bg_y)
        rows.append(
            [e.clip, e.codec, str(e.setting), str(e.bytes), f"{e.bpp:.4f}"]
            + [number(v, ".2f") for v in decibels]
            + [number(q.msssim_y, ".4f")]
            + [number(v, ".2f") for v in regions]
        )
    return table(head, rows)


def section(part: Part, out: Path, images: Path) -> Iterator[str]:
    """Section of the page on one comparison."""
    results: dict[str, Any] = json.loads((out / "results.json").read_text())
    encodes = read_points(out / "results.json")
    comparisons = compare_all(encodes, part.reference)
    about = results["about"]
    clips = ", ".join(f"{c['name']} ({c['frames']} frames)" for c in results["clips"])
    yield from (f"## {part.title}", "")
    for title in ("Date", "Versions", "Machine"):
        yield f"- {title}: {about[title]}"
    yield from (f"- Clips: {clips}", f"- Command: `{about['Command']}`", "")
    if part == AUTO:
        yield from ("The ROI is that of `--roi auto`, for every encoder, and is scored on.", "")
        yield from content(out, encodes, images, "x265_medium_ld+roi6")
        return
    yield from (f"BD-BR in % against {part.reference}; less is better.", "")
    yield from rates(encodes, comparisons)
    yield from notes(comparisons)
    for measure in (m for m in MEASURES if m.key in BY_CLIP):
        for path in plot_grid(encodes, measure, images / f"{part.name}_{measure.key}"):
            yield from (f"![{part.title}, {measure.title}]({images.name}/{path.name})", "")
    if part.name == "ld":
        yield from content(out, encodes, images, "x265_medium_ld+roi6")
    yield from ("### Cost and files", "")
    yield from ("Speed and memory of one process on one thread; arithmetic of the networks.", "")
    yield from costs(encodes)
    yield from ("Every file of roicodec:", "")
    yield from points(encodes)
    yield from ("Options (Q: quality index, crf or QP):", "")
    for codec in codecs_of(encodes):
        options = options_of(encodes, codec)
        settings = " ".join(map(str, options.settings))
        told = f"`{options.command}`" if options.command else "stored points"
        yield f"- {codec}, Q {settings}: {told}"
    yield ""


HEAD = """\
# Results

Written by `make results`, which measures; [evaluation.md](evaluation.md) says what and how. Means
are over the clips that a codec has a curve for, of which the last column tells the number (first of
all measures, then of those with a ROI): compare codecs with the same number. A star marks curves
that overlap little, or not at all in some clip. Times depend on what else the machine did.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=Path, default=VALID, help="folder (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/eval"), help="(default %(default)s)")
    parser.add_argument("--short", action="store_true", help=f"leave out {', '.join(LONG)}")
    parser.add_argument("--jobs", type=int, default=1, help="clips at once (default %(default)s)")
    parser.add_argument("--report-only", action="store_true", help="from what --out holds")
    choice = parser.parse_args()
    if not choice.report_only:
        for part in PARTS:
            evaluate(
                part,
                choice.clips,
                choice.out / part.name,
                short=choice.short,
                jobs=choice.jobs,
            )
    images = DOCS / "results"
    shutil.rmtree(images, ignore_errors=True)
    lines = [HEAD]
    for part in PARTS:
        lines += section(part, choice.out / part.name, images)
    (DOCS / "results.md").write_text("\n".join(lines).rstrip() + "\n")
    print(DOCS / "results.md")


if __name__ == "__main__":
    main()
