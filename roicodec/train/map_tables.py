"""Fit of the frequency tables of quality maps to those that the encoder chooses.

``python -m roicodec.train.map_tables FOLDER`` rewrites ``roicodec/bitstream/map_tables.py``: maps
by activity of all frames, and of intra frames by importance, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.bitstream import quality_map
from roicodec.bitstream.constants import MAP_LIMIT
from roicodec.bitstream.entropy import integer_frequencies
from roicodec.bitstream.map_tables import LARGEST
from roicodec.bitstream.quality_map import CONTEXTS, QualityMap, expectations
from roicodec.decoder.model import Model, load_model
from roicodec.encoder.encoder import CodedFrame, FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.encoder.tune import TUNES
from roicodec.train.data import Clip, load_folder, picture_of

__all__ = ["count_map", "main"]

_FRAMES = 9
_QUALITIES = (18, 26, 34, 42, 50)
_EFFORT = 1
_PRIOR = 30.0
"""Weight of what is known before of a context, in cells."""
_RATIOS = (0.07, 0.22, 0.35, 0.5, 0.6)
"""What is known: how many times rarer each larger magnitude is, by level of the context."""

Counts = NDArray[np.float64]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fit the entropy tables of quality maps.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--clips", type=int, default=40)
    target = Path(quality_map.__file__).with_name("map_tables.py")
    parser.add_argument("--out", type=Path, default=target)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model, counts = load_model(), np.zeros((CONTEXTS, 2 * LARGEST + 2))
    videos = [c for c in load_folder(options.folder, options.cache, motion=False) if _usable(c)]
    for number, clip in enumerate(videos[:: max(1, len(videos) // options.clips)]):
        for tune in TUNES:
            for frame in _frames(clip, _QUALITIES[number % len(_QUALITIES)], tune, model):
                before = frame.references[0].offsets if frame.references else None
                count_map(frame.setting.offsets, frame.setting.computed, before, counts)
    _write(options.out, counts)


def count_map(
    offsets: QualityMap | None, computed: NDArray[np.bool_], before: QualityMap | None,
    counts: Counts,
) -> None:  # fmt: skip
    """What a map adds to the counts of symbols by context; nothing where no bytes code it.

    Args:
        offsets: the map as it is decoded; None for a flat one.
        computed: cells that are computed, bool of its shape.
        before: the past reference's map; None if it is flat.
        counts: ``[CONTEXTS, 2 * LARGEST + 2]``, changed.
    """
    wanted = np.zeros(computed.shape, np.int64) if offsets is None else offsets.astype(np.int64)
    known = 0 if before is None else before
    if np.array_equal(wanted[computed], np.broadcast_to(known, computed.shape)[computed]):
        return
    values, flat = np.zeros(computed.size, np.int64), computed.ravel()
    for stage, expected, tables in expectations(values, computed.shape, before):
        own, coded = wanted.ravel()[stage.cells], flat[stage.cells]
        symbol = np.abs(own - expected)
        column = np.where(symbol > LARGEST, 2 * LARGEST + 1, own - expected + LARGEST)
        np.add.at(counts, (tables[coded], column[coded]), 1)
        values[stage.cells] = own


def _usable(clip: Clip) -> bool:
    return len(clip.frames) >= _FRAMES


def _frames(clip: Clip, quality: int, tune: str, model: Model) -> Iterator[CodedFrame]:
    size = clip.width, clip.height
    options = EncoderOptions(
        quality=quality, candidates=(8,), gop=_FRAMES, structure="8", tune=tune, effort=_EFFORT
    )
    encoder = FrameEncoder(*size, options, NoRoi(*size), model)
    pictures = [picture_of(frame, t) for t, frame in enumerate(clip.frames[:_FRAMES])]
    for picture in (*pictures, None):
        yield from encoder.encode(picture)


def _write(path: Path, counts: Counts) -> None:
    """Module of tables that are fitted to counts; both signs are as frequent."""
    magnitude = np.abs(np.arange(-LARGEST, LARGEST + 2))
    rows = []
    for context, own in enumerate(counts):
        ratio = _RATIOS[context % len(_RATIOS)]
        prior = ratio**magnitude
        prior[-1] = sum(2 * ratio**n for n in range(LARGEST + 1, 2 * MAP_LIMIT + 1))
        both = own.copy()
        both[:-1] = (own[:-1] + own[:-1][::-1]) / 2
        rows.append(integer_frequencies(both + _PRIOR * prior / prior.sum()))
    lines = "".join(f"    ({', '.join(map(str, row.tolist()))}),\n" for row in rows)
    path.write_text(
        f'''"""Frequencies of what a quality map's offset is more than expected, by context.

Written by ``python -m roicodec.train.map_tables``; part of the stream's definition.
"""

from __future__ import annotations

__all__ = ["LARGEST", "ROWS"]

LARGEST = {LARGEST}
"""Largest magnitude that has a column; the last column is for all others."""

# fmt: off
ROWS = (
{lines})
# fmt: on
''',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
