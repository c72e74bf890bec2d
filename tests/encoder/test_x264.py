from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from roicodec.encoder.motion.x264 import X264Searcher, pad_plane, x264_vectors
from roicodec.errors import InputError
from roicodec.picture import Picture


def texture(height: int, width: int) -> np.ndarray:
    """Smooth noise, so that motion has one answer."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (height // 4 + 3, width // 4 + 3)).astype(np.float32)
    fine = np.kron(coarse, np.ones((4, 4), np.float32))
    for axis in (0, 1):
        fine = np.mean([np.roll(fine, shift, axis) for shift in range(-2, 3)], 0)
    return fine.astype(np.uint8)


def moving(height: int, width: int, dx: int, dy: int, count: int) -> Iterator[Picture]:
    margin = 64
    big = texture(height + 2 * margin, width + 2 * margin)
    for t in range(count):
        x, y = margin - t * dx, margin - t * dy
        luma = np.ascontiguousarray(big[y : y + height, x : x + width])
        gray = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
        yield Picture(luma, gray, gray)


def test_vectors_point_to_where_the_samples_come_from() -> None:
    results = list(x264_vectors(moving(96, 128, dx=3, dy=-2, count=4), qp=24))
    assert results[0] is None
    for motion in results[1:]:
        assert motion is not None
        assert motion.vectors.shape == (12, 16, 2)
        assert motion.vectors.dtype == np.int16
        inner = motion.vectors[2:10, 2:14]
        right = (inner == (-12, 8)).all(-1)
        assert right.mean() > 0.9


def test_every_frame_comes_out_at_once_and_skipped_blocks_have_vectors() -> None:
    pictures = moving(64, 64, dx=0, dy=0, count=1)
    still = next(pictures)
    fed = []

    def feed() -> Iterator[Picture]:
        for t in itertools.count():
            fed.append(t)
            yield still

    for expected, motion in enumerate(itertools.islice(x264_vectors(feed(), qp=30), 5), start=1):
        assert len(fed) == expected
        if expected > 1:
            assert motion is not None
            assert not motion.missing.any()


def test_new_content_is_missing_and_filled_from_neighbours() -> None:
    first, second = moving(128, 128, dx=4, dy=0, count=2)
    y = second.y.copy()
    y[48:80, 48:80] = np.linspace(0, 255, 32).astype(np.uint8)[:, None]
    searcher = X264Searcher(128, 128, qp=34)
    assert searcher.push(first) is None
    motion = searcher.push(Picture(y, second.u, second.v))
    assert motion is not None
    assert motion.missing[6:10, 6:10].any()
    assert not motion.missing[:4].any()
    assert set(map(tuple, motion.vectors[motion.missing])) <= set(
        map(tuple, motion.vectors[~motion.missing])
    )


def test_key_starts_anew() -> None:
    pictures = list(moving(64, 96, dx=1, dy=1, count=4))
    searcher = X264Searcher(96, 64, qp=28)
    got = [searcher.push(p, key=t == 2) is None for t, p in enumerate(pictures)]
    assert got == [True, False, True, False]


def test_odd_and_tiny_sizes_cover_the_padded_grid() -> None:
    for width, height in ((16, 16), (17, 33), (130, 65)):
        motion = list(x264_vectors(moving(height, width, 1, 0, 2), qp=30))[1]
        assert motion is not None
        padded = pad_plane(np.zeros((height, width), np.uint8), 32).shape
        assert motion.vectors.shape == (padded[0] // 8, padded[1] // 8, 2)
        assert motion.missing.shape == motion.vectors.shape[:2]


def test_size_change_is_refused() -> None:
    searcher = X264Searcher(64, 64, qp=30)
    searcher.push(next(moving(64, 64, 0, 0, 1)))
    with pytest.raises(InputError, match="frame 1 is 80x64, the first was 64x64"):
        searcher.push(next(moving(64, 80, 0, 0, 1)))
