"""``python -m tests.fuzz.corpus``: a mutant for each thing that can be said of a stream.

Keeps, of some thousand mutants, the smallest that make the reader or the listing say something that
no other does. Inputs that once failed may lie beside them; all are replayed by the tests.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from random import Random

import click

from roicodec.bitstream.reader import StreamReader
from roicodec.errors import RoicodecError
from roicodec.stream_info import StreamInfo
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import MAX_PIXELS

__all__ = ["FOLDER", "said"]

FOLDER = Path(__file__).with_name("corpus")


def said(data: bytes) -> set[str]:
    """All that is said of a stream, without numbers and quoted text."""
    told: list[str] = []
    try:
        reader = StreamReader(io.BytesIO(data), max_pixels=MAX_PIXELS)
        for _ in StreamInfo(reader, told.append).frames():
            pass
    except RoicodecError as error:
        told.append(str(error))
    return {re.sub(r"'.*?'|\[.*?\]|-?[\d/]+", "#", line) for line in told}


@click.command()
@click.option("--count", default=4000, show_default=True, help="Mutants to choose from.")
def main(count: int) -> None:
    """Write the corpus anew, beside the files whose names do not begin with 'said-'."""
    sound = seeds()
    best: dict[str, bytes] = {}
    for number in range(count):
        data = mutated(Random(f"corpus {number}"), sound).data
        for line in said(data):
            if len(data) < len(best.get(line, bytes(4000))):
                best[line] = data
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("said-*.rq"):
        old.unlink()
    files = sorted(set(best.values()), key=lambda data: (len(data), data))
    for place, data in enumerate(files):
        (FOLDER / f"said-{place:03}.rq").write_bytes(data)
    print(f"{len(best)} things said by {len(files)} files of {sum(map(len, files))} bytes")


if __name__ == "__main__":
    main()
