"""Entropy coding of quality maps: an offset for every 16x16 cell that is computed.

Cells are coded coarse to fine (:mod:`roicodec.bitstream.lattice`), all of a stage at once: what an
offset is more than expected, in the context of how well neighbours are expected. What is expected
is the mean of the four coded neighbours; or, where that would have served these better, what the
map before has there, moved by the neighbours' mean change. A cell that is not computed has what is
expected. Byte-exact layout: ``docs/format.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream import map_tables
from roicodec.bitstream.constants import MAP_LIMIT
from roicodec.bitstream.entropy import Ints, SymbolDecoder, SymbolEncoder, Tables
from roicodec.bitstream.lattice import Stage, stages
from roicodec.bitstream.masks import Mask
from roicodec.errors import StreamError

__all__ = ["CONTEXTS", "QualityMap", "decode_map", "encode_map", "expectations"]

QualityMap = NDArray[np.int8]
"""Offsets of the cells in steps of ``MAP_STEP`` quality indices, -10..10, int8
``[ceil(H/16), ceil(W/16)]``."""

_LEVELS = np.array((1, 3, 6, 12))
"""Sums of the four neighbours' errors where the next context begins."""
_GROUPS = np.array((0, 1, 1, 1, 1, 2, 2))
"""Group of each stage: the first, the coarse ones, the two finest."""
CONTEXTS = 3 * 2 * (len(_LEVELS) + 1)
"""Number of tables: by group, by what the map before says or the neighbours do, and by level."""


def encode_map(offsets: QualityMap | None, computed: Mask, before: QualityMap | None) -> bytes:
    """Code a map; no bytes at all when it is as before in all computed cells.

    Args:
        offsets: the map; None for a flat one.
        computed: cells that are computed, bool of the same shape.
        before: the past reference's; None if it is flat, or for a frame that has none.

    Raises:
        ValueError: if an offset is out of its range.
    """
    wanted, known = _filled(offsets, computed.shape), _filled(before, computed.shape)
    if np.abs(wanted).max(initial=0) > MAP_LIMIT:
        raise ValueError(f"an offset of the quality map is beyond {MAP_LIMIT} steps")
    if np.array_equal(wanted[computed], known[computed]):
        return b""
    encoder = SymbolEncoder()
    values, flat = np.zeros(computed.size, np.int64), computed.ravel()
    for stage, expected, tables in expectations(values, computed.shape, before):
        own = wanted.ravel()[stage.cells]
        coded = flat[stage.cells]
        encoder.put(_tables(), (own - expected)[coded], tables[coded])
        values[stage.cells] = np.where(coded, own, expected)
    return encoder.finish()


def decode_map(data: bytes, computed: Mask, before: QualityMap | None) -> QualityMap | None:
    """Map that :func:`encode_map` wrote for the same ``computed`` and ``before``; None if it is
    flat.

    Raises:
        StreamError: if the data cannot be decoded, or an offset is out of its range.
    """
    if not data:
        return before
    decoder = SymbolDecoder(data)
    values, flat = np.zeros(computed.size, np.int64), computed.ravel()
    for stage, expected, tables in expectations(values, computed.shape, before):
        coded = flat[stage.cells]
        own = expected.copy()
        own[coded] += decoder.get(_tables(), tables[coded])
        if np.abs(own).max(initial=0) > MAP_LIMIT:
            raise StreamError(f"an offset of the quality map is beyond {MAP_LIMIT} steps")
        values[stage.cells] = own
    if not values.any():
        return None
    return values.reshape(computed.shape).astype(np.int8)


def expectations(
    values: NDArray[np.int64], shape: tuple[int, ...], before: QualityMap | None
) -> Iterator[tuple[Stage, NDArray[np.int64], Ints]]:
    """Cells, expected offsets and table numbers, stage by stage.

    Args:
        values: flattened map, which must have all stages before when the next one is asked for.
        shape: of the map.
        before: the past reference's map; None for none.
    """
    rows, columns = shape
    known = None if before is None else before.ravel().astype(np.int64)
    for number, stage in enumerate(stages(rows, columns)):
        near = values[stage.neighbours] * stage.inside
        count = stage.inside.sum(0)
        expected = _mean(near.sum(0), count)
        error = (np.abs(near - expected) * stage.inside).sum(0)
        follows = np.zeros(len(expected), np.bool_)
        if known is not None:
            change = near - known[stage.neighbours] * stage.inside
            moved = _mean(change.sum(0), count)
            its = (np.abs(change - moved) * stage.inside).sum(0)
            follows = its <= error
            continued = np.clip(known[stage.cells] + moved, -MAP_LIMIT, MAP_LIMIT)
            expected = np.where(follows, continued, expected)
            error = np.where(follows, its, error)
        level = (error[:, None] >= _LEVELS).sum(1)
        tables = (2 * _GROUPS[number] + follows) * (len(_LEVELS) + 1) + level
        yield stage, expected, tables.astype(np.int32)


def _mean(total: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Means, halves rounded up; 0 of nothing."""
    twice = 2 * np.maximum(count, 1)
    return np.asarray((2 * total + np.maximum(count, 1)) // twice)


def _filled(offsets: QualityMap | None, shape: tuple[int, ...]) -> NDArray[np.int64]:
    if offsets is None:
        return np.zeros(shape, np.int64)
    if offsets.shape != shape:
        raise ValueError(f"a quality map of shape {offsets.shape} for {shape} cells")
    return offsets.astype(np.int64)


@cache
def _tables() -> Tables:
    """One table a context."""
    return Tables(np.array(map_tables.ROWS, np.int64), offset=-map_tables.LARGEST, escape=True)
