"""Gain of intra-coded cells in inter frames where a part of the picture is new.

    OMP_NUM_THREADS=1 python -m studies.new_content [CLIP OTHER] [--frames 6] [--effort 5]

From the middle of the clip on, its right half, or a window in it, shows the other clip. Encoded
with intra-coded cells and without at four qualities: BD-BR on PSNR (6Y + U + V) / 8 of the first
frame with new content, and of the whole clip; negative values are a gain. The default clips are two
of the development package.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import torch

from examples.clips import find_clip
from roicodec.bitstream.constants import CELL, INTER
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.motion_section import MotionReader
from roicodec.decoder.model import Model, load_model
from roicodec.encoder import intra_cells as unmatched
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.evaluate.bd import compare
from roicodec.media import Reader
from roicodec.picture import Picture
from roicodec.psnr import psnr

_QUALITIES = (28, 36, 44, 52)
_NEVER = 2.0
"""Minimum share of cells that no frame reaches."""
_OVERHEAD = 28
"""Bytes of framing of a frame chunk."""


def places(rows: int, columns: int) -> dict[str, Mask]:
    """Masks of the cells with new content, by name."""
    half, window = np.zeros((2, rows, columns), np.bool_)
    half[:, columns // 2 :] = True
    window[rows // 4 : 3 * rows // 4, columns // 4 : 3 * columns // 4] = True
    return {"right half": half, "window": window}


def pictures(path: str, frames: int) -> list[Picture]:
    """First frames of a clip."""
    with Reader(path, slice(0, frames)) as reader:
        return list(reader)


def changed(clip: Sequence[Picture], other: Sequence[Picture], where: Mask) -> list[Picture]:
    """The clip cropped to whole cells, with the other's content in ``where`` from the middle on."""
    rows, columns = where.shape
    out = []
    for t, (old, new) in enumerate(zip(clip, other, strict=True)):
        planes = []
        for before, after, side in zip(
            old.planes, new.planes, (CELL, CELL // 2, CELL // 2), strict=True
        ):
            at = where.repeat(side, 0).repeat(side, 1) & (t >= len(clip) // 2)
            size = slice(rows * side), slice(columns * side)
            planes.append(np.where(at, after[size], before[size]))
        y, u, v = planes
        out.append(Picture(y, u, v, old.pts, old.duration))
    return out


def points(
    clip: Sequence[Picture], effort: int, model: Model
) -> tuple[list[tuple[float, float]], list[tuple[float, float]], float]:
    """Points of a curve at each quality, and how much is intra-coded.

    Returns:
        bytes and PSNR of the first frame with new content; bytes and mean PSNR of the whole clip;
        mean share of intra-coded cells in that frame.
    """
    width, height = clip[0].width, clip[0].height
    grid = height // CELL, width // CELL
    first: list[tuple[float, float]] = []
    whole: list[tuple[float, float]] = []
    shares: list[float] = []
    for quality in _QUALITIES:
        options = EncoderOptions(
            quality=quality, frames=len(clip), effort=effort, structure="low-delay"
        )
        encoder = FrameEncoder(width, height, options, NoRoi(width, height), model)
        frames, skip = [], None
        for t, picture in enumerate(clip):
            [coded] = encoder.encode(picture)
            chunk, made = coded.chunk, coded.reconstruction
            size = len(chunk.mask) + len(chunk.motion) + len(chunk.latents) + _OVERHEAD
            frames.append((size, psnr(picture, made)[3]))
            motion = MotionReader(chunk.motion, grid, skip) if chunk.kind == INTER else None
            skip = motion.skip if motion else None
            if t == len(clip) // 2:
                marked = motion.unmatched if motion else None
                shares.append(0.0 if marked is None else float(marked.mean()))
        first.append(frames[len(clip) // 2])
        sizes, values = zip(*frames, strict=True)
        whole.append((sum(sizes), float(np.mean(values))))
    return first, whole, float(np.mean(shares))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("clips", nargs="*", metavar="CLIP OTHER")
    parser.add_argument("--frames", type=int, default=6, help="(default %(default)s)")
    parser.add_argument("--effort", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if len(options.clips) not in (0, 2):
        parser.error("name two clips, or none")
    paths = options.clips or [str(find_clip(name)) for name in ("bigbuckbunny", "carphone")]
    clip, other = (pictures(path, options.frames) for path in paths)
    rows = min(clip[0].height, other[0].height) // CELL
    columns = min(clip[0].width, other[0].width) // CELL
    model = load_model()
    print(f"{'new':12} {'marked':>6} {'frame':>7} {'clip':>7}   BD-BR, %")
    for name, where in places(rows, columns).items():
        edited = changed(clip, other, where)
        first, whole, share = points(edited, options.effort, model)
        with patch.object(unmatched, "_LEAST", _NEVER):
            plain_first, plain_whole, _ = points(edited, options.effort, model)
        won = [
            compare(*zip(*plain, strict=True), *zip(*marked, strict=True)).percent
            for plain, marked in ((plain_first, first), (plain_whole, whole))
        ]
        print(f"{name:12} {share:6.0%} {won[0]:+7.1f} {won[1]:+7.1f}", flush=True)


if __name__ == "__main__":
    main()
