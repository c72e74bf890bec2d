"""Streams and pixels of two versions of the package, compared by digest.

A restructuring must not change a byte. ``record`` writes the SHA-256 of every stream and of its
decoded pictures; ``check`` repeats the encodes and decodes and names what differs. Encoders search
in floats, so the streams' digests hold on machines with the recording machine's instruction sets;
those of the pictures hold on every machine for the same streams.

``identity_7992edc.json`` is commit 7992edc's. Its streams with ``--roi auto`` were the same up to
commit 1938d85; then ``auto`` learnt to know the scene and finds other masks.

\b
    git worktree add /tmp/old 7992edc
    python -m studies.identity record OLD.json ../shared/data/valid/*.mkv --package /tmp/old
    python -m studies.identity check OLD.json ../shared/data/valid/*.mkv
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import click

QUALITIES = (22, 46)
ROIS = ("none",)


def digests(
    clip: Path, package: Path, frames: int, rois: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Digests of a clip's streams and pictures, by setting.

    Args:
        clip: path of a video.
        package: folder that holds the ``roicodec`` package to run.
        frames: number of frames to encode from the start.
        rois: as ``--roi`` takes them, each in turn.

    Yields:
        a name such as ``bbb.mkv q22 none``, and ``stream`` and ``pictures`` in hexadecimal.

    Raises:
        subprocess.CalledProcessError: if encoding or decoding fails.
    """
    environment = os.environ | {"PYTHONPATH": str(package.resolve()), "OMP_NUM_THREADS": "1"}
    for quality, roi in product(QUALITIES, rois):
        with tempfile.TemporaryDirectory() as folder:
            stream, pictures = Path(folder, "a.rq"), Path(folder, "a.yuv")
            encode = [
                "encode",
                clip,
                stream,
                "-q",
                quality,
                "--roi",
                roi,
                "--frames",
                f"0:{frames}",
            ]
            for words in (encode, ["decode", stream, pictures]):
                command = [sys.executable, "-m", "roicodec", *map(str, words)]
                subprocess.run(
                    command, check=True, env=environment, cwd=folder, stderr=subprocess.DEVNULL
                )
            yield (
                f"{clip.name} q{quality} {roi}",
                {
                    "stream": hashlib.sha256(stream.read_bytes()).hexdigest(),
                    "pictures": hashlib.sha256(pictures.read_bytes()).hexdigest(),
                },
            )


@click.command(help=__doc__)
@click.argument("action", type=click.Choice(["record", "check"]))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--package", type=click.Path(exists=True, path_type=Path), default=Path())
@click.option("--frames", default=8, help="Number of frames a clip.")
@click.option("--roi", "rois", multiple=True, default=ROIS, help="As roicodec encode takes it.")
def main(
    action: str,
    file: Path,
    clips: tuple[Path, ...],
    package: Path,
    frames: int,
    rois: tuple[str, ...],
) -> None:
    known = json.loads(file.read_text()) if file.exists() else {}
    different = 0
    for clip in clips:
        for name, made in digests(clip.resolve(), package, frames, rois):
            if action == "record":
                known[name] = made
                file.write_text(json.dumps(known, indent=1) + "\n")
            same = known.get(name) == made
            different += not same
            click.echo(f"{'same     ' if same else 'DIFFERENT'}  {name}")
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
