"""Fit of the tables of :mod:`roicodec.bitstream.mode_coding` to coded streams.

``python -m roicodec.train.mode_tables FILE.rq …`` decodes streams of training clips, coded with
bidirectional frames, and rewrites ``roicodec/bitstream/mode_tables.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream import mode_coding
from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.entropy import integer_frequencies
from roicodec.bitstream.mode_coding import CONTEXTS, MODES, Modes, contexts
from roicodec.bitstream.motion_grid import stages
from roicodec.bitstream.reader import StreamReader
from roicodec.decoder.decoder import FrameDecoder
from roicodec.decoder.model import load_model

__all__ = ["count_modes", "main", "write_tables"]

_LEVELS = 3
_PRIOR = 8.0
"""Weight of all levels' chances in those of one, in cells."""

Counts = NDArray[np.float64]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fit the entropy tables of prediction modes.")
    parser.add_argument("streams", type=Path, nargs="+")
    parser.add_argument(
        "--out", type=Path, default=Path(mode_coding.__file__).with_name("mode_tables.py")
    )
    options = parser.parse_args(arguments)
    counts = np.zeros((CONTEXTS, MODES))
    for path in options.streams:
        _count_stream(path, counts)
    write_tables(options.out, counts)


def _count_stream(path: Path, counts: Counts) -> None:
    with path.open("rb") as file:
        reader = StreamReader(file)
        decoder = FrameDecoder(reader.header, load_model())
        chunks = (item for item in reader if isinstance(item, Chunk) and item.frame is not None)
        for chunk in chunks:
            for frame in decoder.decode(chunk.frame, chunk.number):
                motion = frame.setting.motion
                if motion is not None and motion.modes is not None:
                    count_modes(motion.modes, counts)


def count_modes(modes: Modes, counts: Counts) -> None:
    """Update of counts by the modes of a frame.

    Args:
        modes: of all cells, ``[R, C]``.
        counts: ``[CONTEXTS, MODES]``, changed in place.
    """
    flat = modes.ravel()
    for stage in stages(*modes.shape):
        np.add.at(counts, (contexts(stage, flat), flat[stage.units]), 1)


def write_tables(path: Path, counts: Counts) -> None:
    """Module of tables that are fitted to counts ``[CONTEXTS, MODES]``."""
    pooled = counts.reshape(_LEVELS, -1, MODES).sum(0) + 0.5
    prior = np.tile(pooled / pooled.sum(1, keepdims=True), (_LEVELS, 1))
    rows = integer_frequencies(counts + _PRIOR * prior).tolist()
    lines = [
        '"""Frequencies of prediction modes by context, in units of ``2**-16``.',
        "",
        f"Written by ``python -m roicodec.train.{path.stem}``; part of the stream's definition.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        '__all__ = ["FREQUENCIES"]',
        "",
        "# fmt: off",
        "FREQUENCIES = (",
        *(f"    ({', '.join(map(str, row))})," for row in rows),
        ")",
        "# fmt: on",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
