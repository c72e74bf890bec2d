"""One encode or decode of an anchor, in a process of its own.

Usage: ``python -m roicodec.evaluate.worker encode NAME QUALITY SOURCE.y4m STREAM [MASKS.npy]``
or ``… decode STREAM TARGET.y4m``: prints the seconds of the coding loop as JSON; or ``… with-map QP
MASKS.npy COMMAND...``: runs a command in which ``{}`` stands for a map of Kvazaar, half of so many
QPs finer in the masks and coarser outside.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

import av
import numpy as np

from roicodec.bitstream.masks import cells_of
from roicodec.errors import RoicodecError
from roicodec.evaluate import anchors
from roicodec.media import Reader, VideoInfo, Writer

__all__ = ["COMMAND", "main"]

COMMAND = [sys.executable, "-m", "roicodec.evaluate.worker"]
"""Words that start this module in a process of its own."""


def _encode(name: str, quality: str, source: str, stream: str, masks: str | None = None) -> None:
    anchor = anchors.by_name(name)
    with Reader(source, threads=1) as reader:
        regions = np.load(masks, mmap_mode="r") if masks else None
        anchors.encode(anchor, int(quality), reader, reader.info, Path(stream), regions)


def _decode(stream: str, target: str) -> None:
    pictures = anchors.decode(Path(stream))
    first = next(pictures)
    info = VideoInfo(first.width, first.height, anchors.ASSUMED_TIME_BASE)
    with Writer(target, info) as writer:
        for picture in chain((first,), pictures):
            writer.write(picture)


def _with_map(delta_qp: str, masks: str, *command: str) -> int:
    half = int(delta_qp) // 2
    with tempfile.TemporaryDirectory(prefix="roicodec-map-") as folder:
        path = Path(folder, "map.txt")
        with path.open("w") as file:
            for mask in np.load(masks, mmap_mode="r"):
                cells = cells_of(np.asarray(mask))
                values = np.where(cells, -half, half).ravel().tolist()
                print(cells.shape[1], cells.shape[0], *values, file=file)
        return subprocess.run([w.replace("{}", str(path)) for w in command], check=False).returncode


def main(arguments: list[str]) -> int:
    """Exit status of the command that the module's docstring describes."""
    av.logging.set_level(av.logging.ERROR)
    command, *rest = arguments
    if command == "with-map":
        return _with_map(*rest)
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        if command == "encode":
            _encode(*rest)
        else:
            _decode(*rest)
    except RoicodecError as error:
        print(error, file=sys.stderr)
        return 1
    used = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(used))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
