"""Pictures of a stream in numpy and torch: ``python -m examples.read_frames A.rq``."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch

import roicodec


def batches(path: str, size: int) -> Iterator[torch.Tensor]:
    """Pictures of a stream, ``size`` at a time, as float32 ``[n, 3, H, W]`` of 0..1."""
    batch: list[torch.Tensor] = []
    with roicodec.open(path) as video:
        for picture in video:
            rgb = torch.from_numpy(picture.to_rgb())  # uint8 [H, W, 3], shares memory with numpy
            batch.append(rgb.permute(2, 0, 1).float() / 255)
            if len(batch) == size:
                yield torch.stack(batch)
                batch = []
    if batch:
        yield torch.stack(batch)


def main(path: str) -> None:
    with roicodec.open(path) as video:
        print(f"{len(video)} pictures of {video.width}x{video.height}")
        for picture in video:
            rgb = picture.to_rgb()
            where = f"ROI {picture.mask.mean():.0%} at {picture.b_roi} bits"
            print(f"{picture.time:.3f} s: mean {rgb.mean():.1f}, {where}")
    for batch in batches(path, 4):
        print(f"batch {list(batch.shape)}, mean {batch.mean():.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
