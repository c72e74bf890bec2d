from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.fft import dctn

from roicodec.bitstream.motion_bits import motion_bits
from roicodec.encoder.motion.match import Matcher
from roicodec.encoder.motion.search import refine, search
from roicodec.encoder.motion.x264 import X264Searcher
from roicodec.kernels.compensation import compensate
from roicodec.kernels.packing import unpack
from roicodec.picture import Picture


def texture(height: int, width: int, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 4 + 3, width // 4 + 3)).astype(np.float32)
    fine = np.kron(coarse, np.ones((4, 4), np.float32))
    for axis in (0, 1):
        fine = np.mean([np.roll(fine, shift, axis) for shift in range(-2, 3)], 0)
    return fine[:height, :width].astype(np.uint8)


def warped(reference: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    chroma = np.zeros((reference.shape[0] // 2, reference.shape[1] // 2), np.uint8)
    rows = compensate((reference, chroma, chroma), vectors.astype(np.int16))
    return unpack(rows, reference.shape[1], reference.shape[0])[0]


def sad(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).sum())


def test_matcher_predicts_what_the_codec_does() -> None:
    reference, current = texture(64, 128, 1), texture(64, 128, 2)
    rng = np.random.default_rng(3)
    vectors = rng.integers(-400, 401, (32, 2), np.int32)
    units = np.arange(32)
    matcher = Matcher(current, reference, 10.0)
    # Each unit amid its like, for a matcher knows nothing of neighbours that overlap.
    whole = [warped(reference, np.tile(vector, (8, 16, 1))) for vector in vectors]
    truth = np.stack(
        [
            plane.reshape(4, 16, 8, 16).swapaxes(1, 2).reshape(-1, 16, 16)[unit]
            for unit, plane in enumerate(whole)
        ]
    )
    predicted = matcher.predicted(units, vectors)
    difference = np.abs(predicted.astype(int) - truth)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02


def test_prices_are_those_of_the_residual_s_dct() -> None:
    reference, current = texture(64, 128, 1), texture(64, 128, 2)
    current[:16, :16] = reference[:16, :16]
    units, still = np.arange(32), np.zeros((32, 2), np.int32)
    bits = Matcher(current, reference, 7.0).bits(units, still)
    residual = (
        (reference.astype(float) - current).reshape(4, 2, 8, 8, 2, 8).transpose(0, 3, 1, 4, 2, 5)
    )
    coefficients = dctn(residual, axes=(-2, -1), norm="ortho").reshape(32, 4, 64) / 7.0
    expected = (0.5 * np.log2(1 + 17.3 * coefficients**2)).sum(-1)
    assert bits[0].tolist() == [0] * 4
    # The logarithm is 0 to 0.086 too small, for every coefficient.
    assert ((bits <= expected + 1e-3) & (bits >= expected - 32 * 0.087)).all()


def test_refinement_finds_motion_that_the_start_misses_by_a_little() -> None:
    reference = texture(128, 192)
    truth = np.tile(np.array((6, -3), np.int16), (16, 24, 1))
    truth[4:10, 6:14] = (-9, 2)
    current = warped(reference, truth)
    start = truth + np.random.default_rng(1).integers(-1, 2, truth.shape).astype(np.int16)
    found = refine(Matcher(current, reference, 10.0), start, None)
    assert (found == truth).all(-1).mean() > 0.97


def test_weight_trades_bits_for_prediction() -> None:
    rng = np.random.default_rng(2)
    reference = texture(128, 192)
    noisy = reference.astype(int) + rng.normal(0, 8, reference.shape)
    current = np.clip(noisy, 0, 255).astype(np.uint8)
    start = rng.integers(-3, 4, (16, 24, 2)).astype(np.int16)
    matcher = Matcher(current, reference, 10.0)
    fields = [refine(matcher, start, None, weight=weight) for weight in (0.0, 1.0, 20.0)]
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
    proposer = X264Searcher(width, height, qp=30)
    proposer.push(pictures[0])
    previous = None
    for before, now in itertools.pairwise(pictures):
        proposed = proposer.push(now)
        assert proposed is not None
        vectors = search(now, proposed, before.y, previous, step=20.0)
        assert vectors.shape == (-(-height // 32) * 4, -(-width // 32) * 4, 2)
        assert vectors.dtype == np.int16
        if min(width, height) > 16:
            inner = vectors[: height // 8 - 1, : width // 8 - 1]
            assert (inner == (8, 4)).all(-1).mean() > 0.9
        previous = vectors
    # From a key frame on again, and without a sweep.
    assert proposer.push(pictures[0], key=True) is None
    proposed = proposer.push(pictures[1])
    assert proposed is not None
    again = search(pictures[1], proposed, pictures[0].y, None, step=10.0)
    assert again.shape == vectors.shape
    kept = search(pictures[1], proposed, pictures[0].y, None, step=10.0, sweeps=0)
    assert (kept == proposed.vectors).all()


def test_a_still_picture_costs_next_to_nothing() -> None:
    y = texture(128, 192)
    gray = np.full((64, 96), 128, np.uint8)
    rng = np.random.default_rng(9)
    proposer = X264Searcher(192, 128, qp=30)
    proposer.push(Picture(y, gray, gray))
    for _ in range(3):
        noise = rng.normal(0, 2, y.shape)
        now = Picture(np.clip(y + noise, 0, 255).astype(np.uint8), gray, gray)
        proposed = proposer.push(now)
        assert proposed is not None
        vectors = search(now, proposed, y, None, step=20.0)
        assert motion_bits(vectors, None) < 64
