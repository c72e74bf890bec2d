"""Decode a stream with every backend that this process can have, with one and with two threads.

``python -m tests.decode_everywhere FOLDER [CAPABILITY]`` prints a line for each: name, threads, and
the CRC-32 of every picture; or the name and why it is refused. FOLDER holds ``stream.rq`` and the
weights; CAPABILITY is what torch must run with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from roicodec.bitstream.chunks import FRAME, Chunk
from roicodec.bitstream.reader import StreamReader
from roicodec.decoder.decoder import FrameDecoder
from roicodec.decoder.model import load_model
from roicodec.errors import ModelError

THREADS = (1, 2)


def lines(folder: Path) -> Iterator[str]:
    for name in ("reference", "onednn", "native"):
        try:
            model = load_model(folder, name)
        except ModelError as error:
            yield f"{name} refused: {error}"
            continue
        for threads in THREADS:
            torch.set_num_threads(threads)
            with (folder / "stream.rq").open("rb") as file:
                reader = StreamReader(file)
                decoder = FrameDecoder(reader.header, model)
                chunks = [c for c in reader if isinstance(c, Chunk) and c.type == FRAME]
                crcs = [
                    d.picture.crc32() for c in chunks if c.frame for d in decoder.decode(c.frame)
                ]
            yield " ".join([name, str(threads), *map(str, crcs)])


if __name__ == "__main__":
    capability = torch.backends.cpu.get_cpu_capability()
    if sys.argv[2:] and capability != sys.argv[2]:
        sys.exit(f"runs with {capability}, not {sys.argv[2]}")
    print(*lines(Path(sys.argv[1])), sep="\n")
