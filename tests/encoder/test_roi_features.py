"""Region features where they are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.encoder.roi.features import FEATURES, region_features, region_sums
from roicodec.kernels import native
from roicodec.picture import Picture
from tests.kernels.operations import agree


def flat(width: int, height: int, y: int = 100, u: int = 120, v: int = 140) -> Picture:
    chroma = ((height + 1) // 2, (width + 1) // 2)
    return Picture(
        np.full((height, width), y, np.uint8),
        np.full(chroma, u, np.uint8),
        np.full(chroma, v, np.uint8),
    )


def numbers(**values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in FEATURES])


def test_ten_numbers_a_region() -> None:
    assert len(FEATURES) == 10
    assert region_features(flat(64, 32), None, np.ones((2, 4), bool)).shape == (2, 10)


def test_flat_still_frames_are_all_zero() -> None:
    mask = np.array([[True, False, False, False], [False] * 4])
    vectors = np.full((8, 8, 2), 12, np.int16)
    assert not region_features(flat(64, 32), vectors, mask).any()


def test_luma_steps_by_hand() -> None:
    """ROI: left half at 10, right at 30: sigma 10; the step's two columns have slope 10."""
    picture = flat(64, 32, y=50)
    picture.y[:16, :8], picture.y[:16, 8:16] = 10, 30
    picture.y[16:, :] = picture.y[:16, 16:32] = 30
    picture.y[:16, 32:] = 30
    mask = np.zeros((2, 4), bool)
    mask[0, 0] = True
    roi, rest = region_features(picture, None, mask)
    # Row 15 sees row 16 below: slope (30 - 10) / 2 down in its first 8 columns.
    slopes = np.zeros((16, 16))
    slopes[:, 7:9] = 10
    slopes[15, :7] = 10
    slopes[15, 7] = np.hypot(10, 10)
    assert roi == pytest.approx(numbers(sigma_y=10, gradient_y=slopes.mean()), abs=1e-5)
    # Outside all samples are 30; those of row 16 see row 15 above.
    assert rest == pytest.approx(numbers(gradient_y=8 * 10 / (64 * 32 - 256)), abs=1e-5)


def test_a_ramp_has_its_slope_but_half_at_the_frame_border() -> None:
    picture = flat(64, 32)
    picture.y[:] = 3 * np.arange(64)
    roi, rest = region_features(picture, None, np.ones((2, 4), bool))
    assert roi[FEATURES.index("gradient_y")] == pytest.approx((62 * 3 + 2 * 1.5) / 64)
    assert roi[FEATURES.index("sigma_y")] == pytest.approx(3 * np.sqrt((64**2 - 1) / 12))
    assert not rest.any()


def test_chroma_counts_at_its_own_resolution() -> None:
    picture = flat(64, 32)
    picture.u[:8, 8:12], picture.u[:8, 12:16] = 100, 140
    picture.v[:, 16:] = np.arange(16)[:, None] * 2
    mask = np.zeros((2, 4), bool)
    mask[0, 1] = True
    roi, _ = region_features(picture, None, mask)
    assert roi[FEATURES.index("sigma_u")] == pytest.approx(20)
    mask[:] = [[False, False, True, True]] * 2
    roi, _ = region_features(picture, None, mask)
    assert roi[FEATURES.index("sigma_v")] == pytest.approx(2 * np.sqrt((16**2 - 1) / 12))


def test_a_region_is_taken_as_a_whole() -> None:
    """Two flat cells of different level: their common sigma is not 0."""
    picture = flat(64, 32, y=0)
    picture.y[:16, 48:] = 20
    mask = np.zeros((2, 4), bool)
    mask[0, 0] = mask[0, 3] = True
    roi, rest = region_features(picture, None, mask)
    assert roi[0] == pytest.approx(10)
    assert rest[0] == 0


def test_motion_in_luma_samples() -> None:
    picture = flat(64, 32)
    vectors = np.zeros((4, 8, 2), np.int16)
    vectors[:2, 0, 0], vectors[:2, 1, 0] = -4, 4
    vectors[..., 1] = 8 * np.arange(4)[:, None]
    mask = np.zeros((2, 4), bool)
    mask[0, 0] = True
    roi, rest = region_features(picture, vectors, mask)
    assert roi[6] == pytest.approx(1.0)
    assert roi[7] == pytest.approx(1.0)
    # dy rises by 2 samples a block: half of it at the upper border.
    assert roi[9] == pytest.approx(1.5)
    assert rest[7] > 1
    # dx, row 0: slopes (1 - -1) / 2 and (0 - -1) / 2; row 1 also sees the 0 below.
    slopes = [1, 0.5, np.hypot(1, 0.5), np.hypot(0.5, 0.5)]
    assert roi[8] == pytest.approx(np.mean(slopes), abs=1e-5)


def test_padding_does_not_count() -> None:
    """Vectors of a frame of 40x24, padded to 64x64, with rubbish in the padding."""
    vectors = np.full((8, 8, 2), 999, np.int16)
    vectors[:3, :5] = 4
    features = region_features(flat(40, 24), vectors, np.ones((2, 3), bool))
    assert not features.any()


def test_odd_sizes() -> None:
    random = np.random.default_rng(0)
    picture = flat(37, 21)
    for plane in picture.planes:
        plane[:] = random.integers(0, 256, plane.shape)
    mask = np.array([[True, False, True], [False, True, False]])
    inside = np.kron(mask, np.ones((16, 16), bool))[:21, :37]
    roi, rest = region_features(picture, None, mask)
    assert roi[0] == pytest.approx(picture.y[inside].std())
    assert rest[0] == pytest.approx(picture.y[~inside].std())
    inside = np.kron(mask, np.ones((8, 8), bool))[:11, :19]
    assert roi[2] == pytest.approx(picture.v[inside].std())
    assert rest[2] == pytest.approx(picture.v[~inside].std())


def test_empty_regions_and_intra_frames() -> None:
    random = np.random.default_rng(0)
    picture = flat(64, 32)
    picture.y[:] = random.integers(0, 256, picture.y.shape)
    none, all_ = np.zeros((2, 4), bool), np.ones((2, 4), bool)
    empty_roi, whole = region_features(picture, None, none)
    assert not empty_roi.any()
    assert whole[0] > 0
    assert not whole[6:].any()
    assert np.array_equal(region_features(picture, None, all_), [whole, empty_roi])


def test_the_same_numbers_wherever_memory_lies() -> None:
    """Gradients are integers before they are summed."""
    random = np.random.default_rng(0)
    y, u, v = (random.integers(0, 256, s, np.uint8) for s in ((95, 141), (48, 71), (48, 71)))
    mask = random.random((6, 9)) < 0.4

    def moved(plane: NDArray[np.uint8], offset: int) -> NDArray[np.uint8]:
        room = np.zeros(plane.size + 64, np.uint8)
        there = room[offset : offset + plane.size].reshape(plane.shape)
        there[:] = plane
        return there

    found = {
        region_features(Picture(moved(y, n), moved(u, n), moved(v, n)), None, mask).tobytes()
        for n in range(24)
    }
    assert len(found) == 1
    wide = np.pad(y, 1, "edge").astype(np.float32)
    across, down = wide[1:-1, 2:] - wide[1:-1, :-2], wide[2:, 1:-1] - wide[:-2, 1:-1]
    fine = np.rint(np.sqrt(across**2 + down**2) * 8192).astype(np.int64)
    inside = mask.repeat(16, 0).repeat(16, 1)[:95, :141]
    got = np.frombuffer(found.pop()).reshape(2, 10)[:, FEATURES.index("gradient_y")]
    for part, value in zip((inside, ~inside), got, strict=True):
        assert value * np.count_nonzero(part) * 16384 == pytest.approx(fine[part].sum(), abs=1e-3)


@pytest.mark.parametrize("level", native.LEVELS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 1), (33, 70), (16, 64)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_native_sums(level: str, height: int, width: int, kind: type) -> None:
    if level not in native.levels():
        pytest.skip(f"{level}: {native.reason()}")
    rng = np.random.default_rng((height, width))
    low, high = (0, 256) if kind is np.uint8 else (-2047, 2048)
    extremes = rng.choice([low, high - 1], (height, width))
    for plane in (rng.integers(low, high, (height, width)), extremes):
        for cell in (2, 8, 16):
            mask = rng.random((-(-height // cell), -(-width // cell))) < 0.4
            with native.forced(level):
                agree(region_sums, plane.astype(kind), mask, cell)


def test_a_mask_that_is_too_small_is_refused() -> None:
    if not native.levels():
        pytest.skip(native.reason())
    with pytest.raises(ValueError, match=r"\(9, 9\)"):
        region_sums.native(np.zeros((9, 9), np.uint8), np.ones((1, 2), np.bool_), 8)
