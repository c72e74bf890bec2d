"""Motion search and coding on real clips: prediction, bits and time, fast and refined.

    OMP_NUM_THREADS=1 python -m studies.motion FOLDER [--qp 34] [--frames 12]

The reference is the previous picture as it is. `first` are the vectors of the hierarchical search
with one sweep of half samples, `refined` those that the encoder would send; both are coded with the
format's tables. Times are CPU milliseconds a frame: `search` and `refine` are both searches as a
whole, `code` and `read` the lossless coding. PSNR is that of the luma prediction.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.bitstream.constants import PAD
from roicodec.bitstream.motion_section import MotionReader, encode_motion
from roicodec.encoder.motion.match import pad_plane
from roicodec.encoder.motion.search import search_pair
from roicodec.kernels.compensation import compensate
from roicodec.kernels.packing import unpack
from roicodec.media import Reader
from roicodec.picture import Picture, Plane

T = TypeVar("T")


def _pictures(path: Path, frames: int) -> Iterator[Picture]:
    with Reader(str(path), slice(0, frames)) as reader:
        yield from reader


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Result of a function and its CPU time in milliseconds."""
    start = time.process_time()
    result = work()
    return result, 1e3 * (time.process_time() - start)


def prediction_psnr(current: Plane, reference: Plane, vectors: NDArray[np.int16]) -> float:
    """PSNR of the compensated luma prediction in dB."""
    wide = pad_plane(reference, PAD)
    chroma = np.zeros((wide.shape[0] // 2, wide.shape[1] // 2), np.uint8)
    rows = compensate((wide, chroma, chroma), vectors)
    predicted = unpack(rows, wide.shape[1], wide.shape[0])[0]
    error = predicted[: current.shape[0], : current.shape[1]] - current.astype(np.float32)
    return float(10 * np.log10(255**2 / max(float((error**2).mean()), 1e-9)))


def measure(path: Path, qp: int, frames: int) -> tuple[list[float], list[float]]:
    """Means over inter frames.

    Returns:
        PSNR and bits a pixel of the first vectors, then of the refined; and the four times.
    """
    last: dict[str, NDArray[np.int16] | None] = {"first": None, "refined": None}
    results, times = [], []
    reference: Plane | None = None
    step = 2.0 ** ((qp - 4) / 6)
    for picture in _pictures(path, frames):
        if reference is None:
            reference = picture.y
            continue
        search = partial(search_pair, picture.y, reference, step=step)
        first, searching = timed(partial(search, previous=last["first"], sweeps=0))
        refined, refining = timed(partial(search, previous=last["refined"], sweeps=3))
        row = []
        for name, vectors in (("first", first), ("refined", refined)):
            data, coding = timed(partial(encode_motion, None, None, vectors, last[name]))
            reader = MotionReader(data, (0, 0), None)
            back, reading = timed(partial(reader.vectors, vectors.shape[:2], last[name]))
            if (back != vectors).any():
                raise SystemExit(f"{path.name}: coding is not lossless")
            row += [prediction_psnr(picture.y, reference, vectors)]
            row += [8 * len(data) / (picture.width * picture.height)]
            last[name] = vectors
        results.append(row)
        times.append([searching, refining, coding, reading])
        reference = picture.y
    return np.mean(results, 0).tolist(), np.mean(times, 0).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qp", type=int, nargs="+", default=[30, 34, 38])
    parser.add_argument("--frames", type=int, default=12)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for qp in arguments.qp:
        print(f"\n{'QP ' + str(qp):34} first dB   bpp  refined dB    bpp"
              "   ms:  search refine  code  read")  # fmt: skip
        rows = []
        for path in sorted(arguments.folder.glob("*.mkv")):
            result, times = measure(path, qp, arguments.frames)
            rows.append(result)
            print(
                f"{path.stem:34} {result[0]:7.2f} {result[1]:.4f}     {result[2]:7.2f} "
                f"{result[3]:.4f}       " + "".join(f"{t:6.1f}" for t in times),
                flush=True,
            )
        mean = np.mean(rows, 0)
        print(f"{'mean':34} {mean[0]:7.2f} {mean[1]:.4f}     {mean[2]:7.2f} {mean[3]:.4f}")


if __name__ == "__main__":
    main()
