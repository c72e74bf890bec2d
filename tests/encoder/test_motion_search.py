from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.fft import dctn

from roicodec.bitstream.motion_bits import motion_bits
from roicodec.encoder.motion.match import BIT, Matcher, interpolate, match_prices
from roicodec.encoder.motion.refine import refine
from roicodec.encoder.motion.search import (
    SearchPlane,
    filled,
    match_of,
    refine_pair,
    search_pair,
)
from roicodec.kernels.compensation import compensate
from roicodec.kernels.packing import unpack


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


def matcher_of(current: np.ndarray, reference: np.ndarray, step: float) -> Matcher:
    return Matcher.of(current, interpolate(reference), step)


def sad(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).sum())


def test_matcher_predicts_what_the_codec_does() -> None:
    reference, current = texture(64, 128, 1), texture(64, 128, 2)
    rng = np.random.default_rng(3)
    vectors = rng.integers(-400, 401, (32, 2), np.int32)
    units = np.arange(32)
    matcher = matcher_of(current, reference, 10.0)
    # Each unit amid its like, for a matcher knows nothing of neighbours that overlap.
    whole = [warped(reference, np.tile(vector, (8, 16, 1))) for vector in vectors]
    truth = np.stack(
        [
            plane.reshape(4, 16, 8, 16).swapaxes(1, 2).reshape(-1, 16, 16)[unit]
            for unit, plane in enumerate(whole)
        ]
    )
    predicted = matcher.predicted(units, vectors)
    assert (predicted == truth).all()


def test_prices_are_those_of_the_residual_s_dct() -> None:
    reference, current = texture(64, 128, 1), texture(64, 128, 2)
    current[:16, :16] = reference[:16, :16]
    units, still = np.arange(32), np.zeros((32, 2), np.int32)
    matcher = matcher_of(current, reference, 7.0)
    bits = match_prices(matcher, units.astype(np.int32), still) / BIT
    residual = (
        (reference.astype(float) - current).reshape(4, 2, 8, 8, 2, 8).transpose(0, 3, 1, 4, 2, 5)
    )
    coefficients = dctn(residual, axes=(-2, -1), norm="ortho").reshape(32, 4, 64) / 7.0
    expected = (0.5 * np.log2(1 + 17.3 * coefficients**2)).sum(-1)
    assert bits[0].tolist() == [0] * 4
    # The logarithm is 0 to 0.086 too small, for every coefficient; the transform is near it.
    assert (bits <= 1.15 * expected + 1e-3).all()
    assert (bits >= 0.85 * expected - 32 * 0.087).all()


def test_refinement_finds_motion_that_the_start_misses_by_a_little() -> None:
    reference = texture(128, 192)
    truth = np.tile(np.array((6, -3), np.int16), (16, 24, 1))
    truth[4:10, 6:14] = (-9, 2)
    current = warped(reference, truth)
    start = truth + np.random.default_rng(1).integers(-1, 2, truth.shape).astype(np.int16)
    found = refine(matcher_of(current, reference, 10.0), start, None)
    assert (found == truth).all(-1).mean() > 0.97


def test_weight_trades_bits_for_prediction() -> None:
    rng = np.random.default_rng(2)
    reference = texture(128, 192)
    noisy = reference.astype(int) + rng.normal(0, 8, reference.shape)
    current = np.clip(noisy, 0, 255).astype(np.uint8)
    start = rng.integers(-3, 4, (16, 24, 2)).astype(np.int16)
    matcher = matcher_of(current, reference, 10.0)
    fields = [refine(matcher, start, None, weight=weight) for weight in (0.0, 1.0, 20.0)]
    bits = [motion_bits(field, None) for field in fields]
    errors = [sad(warped(reference, field), current) for field in fields]
    assert bits[0] > 10 * max(bits[1:])
    assert errors[0] < errors[2]
    assert errors[0] < sad(warped(reference, start), current)


@pytest.mark.parametrize(("width", "height"), [(128, 96), (97, 51), (16, 16)])
def test_search_follows_a_pan(width: int, height: int) -> None:
    big = texture(height + 64, width + 64)
    pictures = [np.ascontiguousarray(big[t : t + height, 2 * t : 2 * t + width]) for t in range(4)]
    previous = None
    for before, now in itertools.pairwise(pictures):
        vectors = search_pair(now, before, step=20.0, previous=previous)
        assert vectors.shape == (-(-height // 32) * 4, -(-width // 32) * 4, 2)
        assert vectors.dtype == np.int16
        if min(width, height) > 16:
            inner = vectors[: height // 8 - 1, : width // 8 - 1]
            assert (inner == (8, 4)).all(-1).mean() > 0.9
        previous = vectors


@pytest.mark.parametrize("shift", [(-101, 37), (120, -96), (3, 128)])
def test_search_finds_what_has_moved_far(shift: tuple[int, int]) -> None:
    big = texture(512, 640)
    dx, dy = shift
    reference = np.ascontiguousarray(big[128:384, 128:512])
    current = np.ascontiguousarray(big[128 + dy : 384 + dy, 128 + dx : 512 + dx])
    vectors = search_pair(current, reference, step=10.0)
    row, column = np.indices(vectors.shape[:2])
    inside = (8 * row + dy >= 0) & (8 * row + dy < 248) & (8 * column + dx >= 0)
    inside &= 8 * column + dx < 376
    right = (vectors == (4 * dx, 4 * dy)).all(-1)
    assert right[inside].mean() > 0.85


def test_a_start_is_used_where_the_pyramid_sees_nothing() -> None:
    rng = np.random.default_rng(4)
    # Noise is gone on coarse levels, so they cannot tell.
    big = rng.integers(0, 256, (192, 512), np.uint8)
    reference = np.ascontiguousarray(big[:, :320])
    current = np.ascontiguousarray(big[:, 150:470])
    start = np.tile(np.array((600, 0), np.int16), (24, 40, 1))
    with_start = search_pair(current, reference, step=10.0, start=start)
    inner = (slice(None), slice(0, 20))
    assert (with_start[inner] == (600, 0)).all(-1).mean() > 0.9
    without = search_pair(current, reference, step=10.0)
    assert (without[inner] == (600, 0)).all(-1).mean() < 0.5


def test_prepared_planes_give_the_same_field() -> None:
    a, b = texture(70, 90, 1), texture(70, 90, 2)
    prepared = search_pair(SearchPlane(a), SearchPlane(b), step=9.0)
    assert (prepared == search_pair(a, b, step=9.0)).all()


def test_planes_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="planes"):
        search_pair(texture(64, 64), texture(64, 96), step=9.0)


def test_both_fields_of_an_average_are_refined_together() -> None:
    past, future = texture(128, 192, 1), texture(128, 192, 2)
    truth = [np.tile(np.array(v, np.int16), (16, 24, 1)) for v in ((5, -2), (-6, 3))]
    parts = [warped(p, v).astype(int) for p, v in zip((past, future), truth, strict=True)]
    current = ((parts[0] + parts[1] + 1) >> 1).astype(np.uint8)
    modes = np.full((16, 24), 2, np.uint8)
    start = (truth[0] + np.int16(1), truth[1] - np.int16(1))
    found = refine_pair(current, (past, future), start, modes, step=4.0, rounds=2)
    for field, wanted in zip(found, truth, strict=True):
        assert (field == wanted).all(-1).mean() > 0.95
    # What a reference does not predict costs nothing whatever its vector, so the field is smooth.
    alone = refine_pair(
        parts[0].astype(np.uint8), (past, future), start, 0 * modes, step=4.0, sweeps=3
    )
    assert (alone[0] == truth[0]).all(-1).mean() > 0.95
    assert motion_bits(alone[1], None) <= motion_bits(start[1], None)


def test_a_still_picture_costs_next_to_nothing() -> None:
    y = texture(128, 192)
    rng = np.random.default_rng(9)
    for _ in range(3):
        noise = rng.normal(0, 2, y.shape)
        now = np.clip(y + noise, 0, 255).astype(np.uint8)
        assert motion_bits(search_pair(now, y, step=20.0), None) < 64


def test_only_what_is_new_has_no_match() -> None:
    big = texture(160, 192)
    reference, moved = SearchPlane(big[:128, :128]), big[6:134, 9:137].copy()
    planes = [moved, moved.copy(), texture(128, 128, 77)]
    planes[1][:64] = texture(64, 128, 78)
    shares = []
    for plane in planes:
        current = SearchPlane(plane)
        field = search_pair(current, reference, step=10.0)
        shares.append(match_of(current, reference, field, step=10.0).unmatched)
    assert shares[0] < 0.15
    assert 0.25 < shares[1] < 0.65
    assert shares[2] > 0.6
    flat = SearchPlane(np.full((128, 128), 90, np.uint8))
    still = np.zeros((16, 16, 2), np.int16)
    assert match_of(flat, flat, still, step=10.0) == (0, 0)


def test_missing_vectors_are_those_of_the_nearest_block() -> None:
    field = np.zeros((4, 6, 2), np.int16)
    field[:, 3:] = (8, -4)
    missing = np.zeros((4, 6), np.bool_)
    missing[1:3, 4:] = True
    broken = field.copy()
    broken[missing] = 99
    assert (filled(broken, missing) == field).all()
    assert (filled(broken, np.ones_like(missing)) == broken).all()
