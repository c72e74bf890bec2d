"""Fit of the probability tables of skip maps to those that the encoder chooses.

``python -m roicodec.train.skip_tables FOLDER`` rewrites ``roicodec/bitstream/skip_tables.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from roicodec.bitstream import mask_coding
from roicodec.bitstream.lattice import STAGES
from roicodec.bitstream.mask_coding import INTER_CONTEXTS, INTRA_CONTEXTS
from roicodec.bitstream.masks import Mask
from roicodec.decoder.model import Model, load_model
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.train.data import Clip, load_folder, picture_of
from roicodec.train.mask_tables import count_mask, write_tables

__all__ = ["main"]

_FRAMES = 12
_QUALITIES = (11, 20, 28, 35, 42, 49, 57)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fit the entropy tables of skip maps.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--clips", type=int, default=40)
    target = Path(mask_coding.__file__).with_name("skip_tables.py")
    parser.add_argument("--out", type=Path, default=target)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = load_model()
    intra = np.zeros((STAGES, INTRA_CONTEXTS, 2))
    inter = np.zeros((STAGES, INTER_CONTEXTS, 2))
    videos = [c for c in load_folder(options.folder, options.cache, motion=True) if _usable(c)]
    chosen = videos[:: max(1, len(videos) // options.clips)]
    for number, clip in enumerate(chosen):
        previous: Mask | None = None
        for skip in _maps(clip, _QUALITIES[number % len(_QUALITIES)], model):
            count_mask(skip, None, intra)
            if previous is not None and not np.array_equal(skip, previous):
                count_mask(skip, previous, inter)
            previous = skip
    write_tables(options.out, "skip", intra, inter)


def _usable(clip: Clip) -> bool:
    return len(clip.frames) >= _FRAMES


def _maps(clip: Clip, quality: int, model: Model) -> Iterator[Mask]:
    size = clip.width, clip.height
    options = EncoderOptions(quality=quality, candidates=(8,), gop=_FRAMES, structure="low-delay")
    encoder = FrameEncoder(*size, options, NoRoi(*size), model)
    for t, frame in enumerate(clip.frames[:_FRAMES]):
        for coded in encoder.encode(picture_of(frame, t)):
            if coded.setting.skip is not None:
                yield coded.setting.skip


if __name__ == "__main__":
    main()
