"""Propagation tree: how much of the frames that follow leans on each cell of an intra frame.

Going back in coding order, every block hands on to what predicts it the part of its own importance
that the prediction carries: all of it where the prediction is good, little where a residual is
coded, which puts the reference's error right (macroblock tree; Garrett-Glaser, 2009; temporal
propagation of distortion; Yang et al., IEEE Trans. Circuits and Systems for Video Technology 23(6),
2013)::

    intra ◀── past reference ── frame ── future reference ──▶ ...
    importance += share · carried · importance of the frame
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import LUMA_CHANNELS, MAX_QUALITY, QUANTIZER_STEPS
from roicodec.decoder.planes import Packed, padded
from roicodec.encoder.gop import Planned
from roicodec.encoder.motion.chain import MotionChain
from roicodec.kernels.compensation import compensate
from roicodec.kernels.packing import pack
from roicodec.picture import Picture, Plane

__all__ = ["importance"]

_CARRIED = 0.1
"""Mean squared error of a prediction, in squared quantizer steps, that carries half of the
importance."""
_EACH = 0.35
"""Share of a bidirectional frame's importance that goes to each of its references: errors of two
predictions average out."""
_MOST = 0.8
"""Limit of what the last frame is taken to get, again and again, from those behind it."""
_BLOCK_SAMPLES = 8 * 4
"""Quarter luma samples of a block."""

Blocks = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Original:
    """A picture as a reference and as what is predicted: padded planes, and packed luma."""

    planes: tuple[Plane, Plane, Plane]
    luma: NDArray[np.float32]


def _original(picture: Picture) -> _Original:
    planes = padded(picture)
    return _Original(planes, _luma(pack(planes)))


def _luma(packed: Packed) -> NDArray[np.float32]:
    return packed[:, :LUMA_CHANNELS].astype(np.float32)


def importance(
    chain: MotionChain, pictures: Sequence[Picture], first: int, planned: Sequence[Planned],
    quality: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Squared error that one more of a cell's causes in all frames, its own included: at least 1,
    float64 ``[Hp/16, Wp/16]``.

    Args:
        chain: motion of the frames, each against the one before.
        pictures: the intra frame and those of the mini-GOP behind it.
        first: number of the intra frame.
        planned: the frames of the mini-GOP in coding order.
        quality: index of its frames before offsets.
    """
    originals = [_original(picture) for picture in pictures]
    rows, columns = (side // 8 for side in originals[0].planes[0].shape)
    totals = [np.ones((rows, columns)) for _ in originals]
    for frame in reversed(planned):
        numbers = [frame.number - frame.place.past]
        if frame.place.future:
            numbers.append(frame.number + frame.place.future)
        fields = [chain.between(first + frame.number, first + number) for number in numbers]
        made, known = [], []
        for number, field in zip(numbers, fields, strict=True):
            if field is not None:
                made.append(_luma(compensate(originals[number].planes, field)))
                known.append((number, field))
        if not made:
            continue
        if len(made) == 2:
            made.append((made[0] + made[1]) * np.float32(0.5))
        target = originals[frame.number].luma
        error = np.min([np.square(one - target).mean(1) for one in made], 0).reshape(rows, columns)
        half = _CARRIED * QUANTIZER_STEPS[min(max(quality + frame.offset, 0), MAX_QUALITY)] ** 2
        carried = half / (error + half)
        own = totals[frame.number]
        if frame is planned[0]:
            own /= 1 - np.minimum(carried, _MOST)
        share = 1.0 if len(numbers) == 1 else _EACH
        for number, field in known:
            _scatter(totals[number], share * carried * own, field)
    cells: Blocks = totals[0].reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
    return cells


def _scatter(onto: Blocks, amount: Blocks, field: NDArray[np.int16]) -> None:
    """Add the amount of every block to the up to four blocks that it is predicted from."""
    rows, columns = onto.shape
    y, x = np.indices(onto.shape)
    left, right = np.divmod(x * _BLOCK_SAMPLES + field[..., 0], _BLOCK_SAMPLES)
    top, bottom = np.divmod(y * _BLOCK_SAMPLES + field[..., 1], _BLOCK_SAMPLES)
    for row, part in ((top, _BLOCK_SAMPLES - bottom), (top + 1, bottom)):
        for column, piece in ((left, _BLOCK_SAMPLES - right), (left + 1, right)):
            at = row.clip(0, rows - 1), column.clip(0, columns - 1)
            np.add.at(onto, at, amount * part * piece / _BLOCK_SAMPLES**2)
