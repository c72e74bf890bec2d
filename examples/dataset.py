"""Training data from streams: ``python -m examples.dataset A.rq B.rq ...``.

A ``.rq`` file can be sought by frame number, so random clips of it cost the frames from the intra
frame before; the mask comes with every picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import roicodec


class ClipDataset(Dataset[dict[str, torch.Tensor]]):
    """Clips of consecutive pictures from ``.rq`` files of one picture size.

    An item has ``rgb``, uint8 ``[length, 3, H, W]``, and ``mask``, bool ``[length, rows, columns]``
    on the grid of 16x16 samples.

    Args:
        paths: of the streams.
        length: pictures of a clip.
        stride: pictures from the start of a clip to that of the next.
    """

    def __init__(self, paths: Sequence[str], length: int, stride: int) -> None:
        self._length = length
        self._clips: list[tuple[str, int]] = []
        for path in paths:
            with roicodec.open(path) as video:
                starts = range(0, len(video) - length + 1, stride)
            self._clips += [(path, start) for start in starts]

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        path, start = self._clips[index]
        # Opened here, not in __init__: with workers, each process has a decoder of its own.
        with roicodec.open(path) as video:
            pictures = video[start : start + self._length]
        rgb = np.stack([picture.to_rgb() for picture in pictures])
        masks = np.stack([picture.mask for picture in pictures])
        return {"rgb": torch.from_numpy(rgb).movedim(-1, 1), "mask": torch.from_numpy(masks)}


def main(paths: Sequence[str], workers: int = 0) -> None:
    dataset = ClipDataset(paths, length=4, stride=4)
    for batch in DataLoader(dataset, batch_size=2, shuffle=True, num_workers=workers):
        shapes = {name: list(values.shape) for name, values in batch.items()}
        print(f"{shapes}, ROI {batch['mask'].float().mean():.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
