"""CPU time against an older commit, in turns: whole processes, and frames without start-up.

    python -m benchmarks.against COMMIT CLIP… [--task encode|decode] [--pairs 5] [--frames 24]

The commit is checked out into a temporary folder, its native kernels are built there, and the
command line of both versions runs by turns on every clip. Other load on the machine affects both
alike, so ratios can be trusted where times cannot. Times are user and system CPU seconds of the
process; those of frames are without start-up, which a run on the first frame alone measures.
Decoding takes the older commit's stream for both. Pictures are compared, too: those that either
version decodes of the streams that it wrote, or of the one stream.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

__all__ = ["Ratios", "Version", "built", "checkout", "main", "measure"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Version:
    """A folder that holds the package, and how its command line is run.

    Attributes:
        name: what it is called in the output.
        folder: parent of the ``roicodec`` package.
        threads: threads to compute with.
    """

    name: str
    folder: Path
    threads: int = 1

    def run(self, *arguments: object) -> float:
        """CPU seconds, user and system, of a command.

        Raises:
            click.ClickException: if the command fails.
        """
        words = [str(a) for a in arguments]
        command = [sys.executable, "-m", "roicodec", *words, "--threads", str(self.threads)]
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": str(self.threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [*command, "--quiet", "--force"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=tempfile.gettempdir(),
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                errors.seek(0)
                told = errors.read().decode(errors="replace").strip().splitlines()
                reason = told[-1] if told else f"exit status {process.returncode}"
                raise click.ClickException(f"{self.name}: roicodec {' '.join(words)}: {reason}")
        return usage.ru_utime + usage.ru_stime

    def knows(self, option: str) -> bool:
        """Whether ``roicodec encode`` of this version has an option."""
        with_folder = os.environ | {"PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-m", "roicodec", "encode", "--help"]
        told = subprocess.run(
            command, env=with_folder, capture_output=True, text=True, cwd=tempfile.gettempdir()
        )
        return option in told.stdout


@dataclass(frozen=True)
class Ratios:
    """New CPU time by old, pair by pair.

    Attributes:
        old, new: CPU seconds of each pair, in the order in which they ran.
    """

    old: tuple[float, ...]
    new: tuple[float, ...]

    @property
    def values(self) -> list[float]:
        """The ratio of each pair, smallest first; below 1 the new version is faster."""
        return sorted(n / o for o, n in zip(self.old, self.new, strict=True))

    def __str__(self) -> str:
        values = self.values
        return (
            f"{median(self.old):8.2f} s {median(self.new):8.2f} s   "
            f"{median(values):.3f} ({values[0]:.3f} to {values[-1]:.3f})"
        )


@dataclass(frozen=True)
class Measured:
    """Result of a clip.

    Attributes:
        whole: CPU time of whole processes.
        frames: the same without start-up; None if the clip has one frame.
        sizes: bytes of the old and the new stream; the same stream in decoding.
        same: whether the decoded pictures are the same.
    """

    whole: Ratios
    frames: Ratios | None
    sizes: tuple[int, int]
    same: bool


def measure(
    old: Version,
    new: Version,
    clip: Path,
    *,
    task: str,
    pairs: int,
    frames: int,
    structure: str,
    options: Sequence[object],
) -> Measured:
    """Measurement of both versions on a clip, in turns.

    Args:
        task: ``encode`` or ``decode``.
        pairs: number of runs of each version.
        frames: number of frames from the start of the clip.
        structure: coding structure; versions that know one only code low delay.
        options: further options of ``roicodec encode``.

    Raises:
        click.ClickException: if a command fails.
    """
    versions = old, new
    ordering = [v for v in versions if v.knows("--structure")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def encode(version: Version, count: int, out: Path) -> float:
            own = ("--structure", structure) if version in ordering else ()
            return version.run("encode", clip, out, "--frames", f"0:{count}", *options, *own)

        def file(version: Version, count: int) -> Path:
            return folder / f"{versions.index(version)}-{count}.rq"

        def pictures(version: Version, stream: Path) -> tuple[float, str]:
            out = folder / "pictures.yuv"
            seconds = version.run("decode", stream, out)
            with out.open("rb") as samples:
                return seconds, hashlib.file_digest(samples, "sha256").hexdigest()

        def once(version: Version, count: int) -> float:
            if task == "encode":
                return encode(version, count, file(version, count))
            seconds, digests[version, count] = pictures(version, file(old, count))
            return seconds

        digests: dict[tuple[Version, int], str] = {}
        if task == "decode":
            for count in {1, frames}:
                encode(old, count, file(old, count))
        times: dict[tuple[Version, int], list[float]] = {
            (v, n): [] for v in versions for n in (1, frames)
        }
        for turn in range(pairs):
            for version in versions if turn % 2 == 0 else reversed(versions):
                for count in sorted({1, frames}):
                    times[version, count].append(once(version, count))
        if task == "encode":
            for version in versions:
                digests[version, frames] = pictures(version, file(version, frames))[1]
        start, whole = (
            Ratios(tuple(times[old, count]), tuple(times[new, count])) for count in (1, frames)
        )
        written = [file(v if task == "encode" else old, frames) for v in versions]
        return Measured(
            whole,
            _difference(whole, start) if frames > 1 else None,
            (written[0].stat().st_size, written[1].stat().st_size),
            digests[old, frames] == digests[new, frames],
        )


def _difference(whole: Ratios, start: Ratios) -> Ratios:
    """Times of the frames but the first; start-up is the least of its runs."""
    smallest = 1e-9
    old, new = (
        tuple(max(t - min(first), smallest) for t in times)
        for times, first in ((whole.old, start.old), (whole.new, start.new))
    )
    return Ratios(old, new)


def checkout(commit: str, folder: Path) -> str:
    """Checkout of a commit of this repository in a folder; the commit in seven digits.

    Args:
        commit: anything that names a commit to git.
        folder: that does not exist yet.

    Raises:
        click.ClickException: if git does not know the commit.
    """
    try:
        short = _git(ROOT, "rev-parse", "--short=7", "--verify", f"{commit}^{{commit}}")
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"git knows no commit {commit} here; fetch it first") from error
    try:
        _git(ROOT, "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder))
        _git(folder, "checkout", "--quiet", "--detach", short)
    except subprocess.CalledProcessError as error:
        told = error.stderr.strip().splitlines()
        raise click.ClickException(f"git: {told[-1] if told else error}") from error
    return short


def built(commit: str, folder: Path) -> str:
    """Checkout of a commit as :func:`checkout` makes it, with its native kernels.

    Returns:
        the commit in seven digits, and what is to be known of the build.
    """
    short = checkout(commit, folder)
    if not (folder / "native").is_dir():
        return short
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=folder, capture_output=True, check=False)
    found = any((folder / "roicodec" / "kernels").glob("_native*"))
    return short if found else f"{short}, native kernels not built"


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@click.command(help=__doc__)
@click.argument("commit")
@click.argument(
    "clips", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--task", type=click.Choice(["encode", "decode"]), default="encode", help="Measured.")
@click.option("--pairs", type=click.IntRange(1), default=5, help="Runs of each version.")
@click.option("--frames", type=click.IntRange(1), default=24, help="Frames of each clip.")
@click.option("--effort", type=click.IntRange(1, 9), default=5, help="Effort of the encoder.")
@click.option("--quality", type=click.IntRange(0, 63), default=40, help="Quality index.")
@click.option("--structure", default="low-delay", help="Of the versions that have several.")
@click.option("--roi", default="auto", help="As roicodec encode takes it.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Threads of each process.")
def main(
    commit: str,
    clips: tuple[Path, ...],
    task: str,
    pairs: int,
    frames: int,
    effort: int,
    quality: int,
    structure: str,
    roi: str,
    threads: int,
) -> None:
    options = "--effort", effort, "--quality", quality, "--roi", roi
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "old"
        told = built(commit, folder)
        old, new = Version("old", folder, threads), Version("new", ROOT, threads)
        click.echo(
            f"{task}, this working tree against {told}: {pairs} pairs, {frames} frames, effort"
            f" {effort}, quality {quality}, {structure}, ROI {roi}, {threads} thread(s)"
        )
        click.echo(f"{'CPU time':32}{'old':>10}{'new':>11}   new/old, median (range)")
        found: list[Measured] = []
        for clip in clips:
            result = measure(
                old, new, clip.resolve(), task=task, pairs=pairs, frames=frames,
                structure=structure, options=options,
            )  # fmt: skip
            found.append(result)
            sizes = "{} bytes".format(" and ".join(map(str, dict.fromkeys(result.sizes))))
            same = "same pictures" if result.same else "pictures DIFFER"
            click.echo(f"{clip.name}: {same}, {sizes}")
            click.echo(f"{'  processes':32}{result.whole}")
            if result.frames:
                click.echo(f"{'  frames':32}{result.frames}")
        for title, ratios in (
            ("processes", [m.whole for m in found]),
            ("frames", [m.frames for m in found if m.frames]),
        ):
            values = sorted(v for r in ratios for v in r.values)
            if values and len(clips) > 1:
                click.echo(
                    f"{f'all clips, {title}':32}{'':24}"
                    f"{median(values):.3f} ({values[0]:.3f} to {values[-1]:.3f})"
                )


if __name__ == "__main__":
    main()
