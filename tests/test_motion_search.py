from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from roicodec.model.warp import compensate
from roicodec.motion.coding import motion_bits
from roicodec.motion.match import Matcher
from roicodec.motion.search import MotionSearcher, lagrangian, refine
from roicodec.picture import Picture


def texture(height: int, width: int, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 3, width // 4 + 3)).astype(np.float32)
    fine = np.kron(coarse, np.ones((4, 4), np.float32))
    for axis in (0, 1):
        fine = sum(np.roll(fine, shift, axis) for shift in range(-2, 3)) / 5
    return fine[:height, :width].astype(np.uint8)


def warped(reference: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    plane = torch.from_numpy(reference.astype(np.float32))[None]
    chroma = torch.zeros(1, reference.shape[0] // 2, reference.shape[1] // 2)
    field = torch.from_numpy(vectors.astype(np.int64))[None]
    return compensate(plane, chroma, chroma, field)[0][0].numpy().astype(np.uint8)


def sad(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).sum())


def test_matcher_predicts_what_the_codec_does() -> None:
    reference, current = texture(64, 128, 1), texture(64, 128, 2)
    rng = np.random.default_rng(3)
    vectors = rng.integers(-400, 401, (32, 2))
    units = np.arange(32)
    matcher = Matcher(current, reference)
    field = np.repeat(np.repeat(vectors.reshape(4, 8, 2), 2, 0), 2, 1)
    truth = warped(reference, field).reshape(4, 16, 8, 16).swapaxes(1, 2).reshape(-1, 16, 16)
    predicted = matcher.predicted(units, vectors)
    difference = np.abs(predicted.astype(int) - truth)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02
    own = current.reshape(4, 16, 8, 16).swapaxes(1, 2).reshape(-1, 16, 16)
    blocks = np.abs(predicted.astype(int) - own).reshape(-1, 2, 8, 2, 8).sum((2, 4)).reshape(-1, 4)
    np.testing.assert_array_equal(matcher.sad(units, vectors), blocks)


def test_largest_differences_do_not_overflow() -> None:
    matcher = Matcher(np.zeros((16, 16), np.uint8), np.full((16, 16), 255, np.uint8))
    result = matcher.sad(np.zeros(1, int), np.zeros((1, 2), np.int32))
    assert result.tolist() == [[64 * 255] * 4]


def test_refinement_finds_motion_that_the_start_misses_by_a_little() -> None:
    reference = texture(128, 192)
    truth = np.tile(np.array((6, -3), np.int16), (16, 24, 1))
    truth[4:10, 6:14] = (-9, 2)
    current = warped(reference, truth)
    start = truth + np.random.default_rng(1).integers(-1, 2, truth.shape).astype(np.int16)
    found = refine(Matcher(current, reference), start, None, lam=8.0)
    assert (found == truth).all(-1).mean() > 0.97


def test_lam_trades_bits_for_prediction() -> None:
    rng = np.random.default_rng(2)
    reference = texture(128, 192)
    noisy = reference.astype(int) + rng.normal(0, 8, reference.shape)
    current = np.clip(noisy, 0, 255).astype(np.uint8)
    start = rng.integers(-3, 4, (16, 24, 2)).astype(np.int16)
    matcher = Matcher(current, reference)
    fields = [refine(matcher, start, None, lam=lam) for lam in (0.0, 10.0, 200.0)]
    bits = [motion_bits(field, None) for field in fields]
    errors = [sad(warped(reference, field), current) for field in fields]
    assert bits[0] > 10 * max(bits[1:])
    assert errors[0] < errors[2]
    assert errors[0] < sad(warped(reference, start), current)


@pytest.mark.parametrize(("width", "height"), [(128, 96), (97, 51), (16, 16)])
def test_searcher_follows_a_pan(width: int, height: int) -> None:
    big = texture(height + 64, width + 64)
    gray = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    pictures = [
        Picture(np.ascontiguousarray(big[t : t + height, 2 * t : 2 * t + width]), gray, gray)
        for t in range(4)
    ]
    searcher = MotionSearcher(width, height, qp=30)
    searcher.start(pictures[0])
    previous = None
    for before, now in itertools.pairwise(pictures):
        vectors = searcher.search(now, before.y, previous, lam=lagrangian(30))
        assert vectors.shape == (-(-height // 32) * 4, -(-width // 32) * 4, 2)
        assert vectors.dtype == np.int16
        if min(width, height) > 16:
            inner = vectors[: height // 8 - 1, : width // 8 - 1]
            assert (inner == (8, 4)).all(-1).mean() > 0.9
        previous = vectors
    searcher.start(pictures[0])
    assert searcher.search(pictures[1], pictures[0].y, None, lam=10.0).shape == vectors.shape


def test_a_still_picture_costs_next_to_nothing() -> None:
    y = texture(128, 192)
    gray = np.full((64, 96), 128, np.uint8)
    rng = np.random.default_rng(9)
    searcher = MotionSearcher(192, 128, qp=30)
    searcher.start(Picture(y, gray, gray))
    for _ in range(3):
        noise = rng.normal(0, 2, y.shape)
        now = Picture(np.clip(y + noise, 0, 255).astype(np.uint8), gray, gray)
        vectors = searcher.search(now, y, None, lam=lagrangian(30))
        assert motion_bits(vectors, None) < 64


def test_search_needs_a_start() -> None:
    y, gray = texture(64, 64), np.full((32, 32), 128, np.uint8)
    with pytest.raises(ValueError, match="start"):
        MotionSearcher(64, 64, qp=30).search(Picture(y, gray, gray), y, None, lam=10.0)
