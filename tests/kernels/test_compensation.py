"""Motion compensation against a plain implementation of the format's text, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from roicodec.kernels.compensation import compensate, compensate_features
from roicodec.kernels.packing import unpack
from roicodec.networks import compensation as differentiable
from tests.kernels.operations import agree

_HEIGHT, _WIDTH = 24, 40

# Weights of the samples at floor(position) - 3 .. + 4 (luma), - 1 .. + 2 (chroma).
_LUMA = {
    0: [0, 0, 0, 64, 0, 0, 0, 0],
    1: [-1, 4, -10, 58, 17, -5, 1, 0],
    2: [-1, 4, -11, 40, 40, -11, 4, -1],
    3: [0, 1, -5, 17, 58, -10, 4, -1],
}
_CHROMA = {
    0: [0, 64, 0, 0],
    1: [-2, 58, 10, -2],
    2: [-4, 54, 16, -2],
    3: [-6, 46, 28, -4],
    4: [-4, 36, 36, -4],
    5: [-4, 28, 46, -6],
    6: [-2, 16, 54, -4],
    7: [-2, 10, 58, -2],
}

Ints = NDArray[np.int64]


def _displaced(
    plane: Ints, y: int, x: int, vector: NDArray[np.int64], filters: dict[int, list[int]]
) -> int:
    """A sample by one vector, which counts in samples divided by the number of filters."""
    height, width = plane.shape
    unit, first = len(filters), len(filters[0]) // 2 - 1
    dx, dy = (int(d) for d in vector)
    total = 0
    for j, wy in enumerate(filters[dy % unit]):
        row = min(max(y + dy // unit + j - first, 0), height - 1)
        for i, wx in enumerate(filters[dx % unit]):
            if wy * wx:
                column = min(max(x + dx // unit + i - first, 0), width - 1)
                total += wy * wx * int(plane[row, column])
    return min(max(total, 0), 255 * 4096)


def _plain(plane: Ints, vectors: Ints, side: int, filters: dict[int, list[int]]) -> Ints:
    """One plane."""
    out = np.empty_like(plane)
    window = {8: [5, 3, 2, 1, 1, 2, 3, 5], 4: [4, 2, 2, 4]}[side]
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            row, column = y // side, x // side
            other_row = row + (1 if y % side >= side // 2 else -1)
            other_column = column + (1 if x % side >= side // 2 else -1)
            if not 0 <= other_row < vectors.shape[0]:
                other_row = row
            if not 0 <= other_column < vectors.shape[1]:
                other_column = column
            g1, g2 = window[y % side], window[x % side]
            own, beside, across = (
                _displaced(plane, y, x, v, filters)
                for v in (
                    vectors[row, column],
                    vectors[other_row, column],
                    vectors[row, other_column],
                )
            )
            total = (16 - g1 - g2) * own + g1 * beside + g2 * across
            out[y, x] = (total + 2**15) // 2**16
    return out


def _random_planes(rng: np.random.Generator) -> list[Ints]:
    """Luma ``[H, W]`` and chroma of noise."""
    shapes = [(_HEIGHT, _WIDTH)] + 2 * [(_HEIGHT // 2, _WIDTH // 2)]
    return [rng.integers(0, 256, s) for s in shapes]


def _compensated(planes: list[Ints], vectors: Ints) -> list[Ints]:
    y, u, v = (p.astype(np.uint8) for p in planes)
    height, width = y.shape
    made = unpack(agree(compensate, (y, u, v), vectors.astype(np.int16)), width, height)
    ty, tu, tv = (torch.tensor(p, dtype=torch.float32)[None] for p in planes)
    trained = differentiable.compensate(ty, tu, tv, torch.tensor(vectors)[None])
    for got, other in zip(made, trained, strict=True):
        assert (got == other[0].numpy()).all()
    return [p.astype(np.int64) for p in made]


def _check(planes: list[Ints], vectors: Ints) -> None:
    got = _compensated(planes, vectors)
    expected = [_plain(planes[0], vectors, 8, _LUMA)]
    expected += [_plain(p, vectors, 4, _CHROMA) for p in planes[1:]]
    for name, g, e in zip("yuv", got, expected, strict=True):
        assert (g == e).all(), name


@pytest.mark.parametrize("reach", [9, 200, 2047])
def test_random_vectors_and_what_lies_beyond_the_edges(instructions: str, reach: int) -> None:
    rng = np.random.default_rng(reach)
    vectors = rng.integers(-reach, reach + 1, (_HEIGHT // 8, _WIDTH // 8, 2))
    assert (vectors < 0).any()
    _check(_random_planes(rng), vectors)


@pytest.mark.parametrize("start", [0, -16, 11])
def test_every_fraction_in_both_directions(instructions: str, start: int) -> None:
    # 64 pairs of eighths of a chroma sample, which hold the 16 pairs of quarters of luma.
    rng = np.random.default_rng(1)
    pairs = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2) + start
    blocks = _HEIGHT // 8 * (_WIDTH // 8)
    for first in range(0, 64, blocks):
        some = np.resize(pairs[first:], (_HEIGHT // 8, _WIDTH // 8, 2))
        _check(_random_planes(rng), some)


def test_black_and_white_overshoot_and_are_clipped(instructions: str) -> None:
    rng = np.random.default_rng(5)
    planes = [255 * (p > 127) for p in _random_planes(rng)]
    _check(planes, rng.integers(-30, 30, (_HEIGHT // 8, _WIDTH // 8, 2)))


def test_no_motion_changes_nothing_and_flat_planes_stay_flat(instructions: str) -> None:
    rng = np.random.default_rng(6)
    planes = _random_planes(rng)
    none = np.zeros((_HEIGHT // 8, _WIDTH // 8, 2), np.int64)
    for got, plane in zip(_compensated(planes, none), planes, strict=True):
        assert (got == plane).all()
    flat = [np.full_like(p, 77) for p in planes]
    for got in _compensated(flat, rng.integers(-99, 99, none.shape)):
        assert (got == 77).all()


def test_frames_of_a_batch_do_not_see_each_other() -> None:
    rng = np.random.default_rng(7)
    frames = [_random_planes(rng) for _ in range(3)]
    vectors = rng.integers(-300, 300, (3, _HEIGHT // 8, _WIDTH // 8, 2))
    y, u, v = (torch.tensor(np.stack(p)).float() for p in zip(*frames, strict=True))
    together = differentiable.compensate(y, u, v, torch.tensor(vectors))
    for i, frame in enumerate(frames):
        for whole, alone in zip(together, _compensated(frame, vectors[i]), strict=True):
            assert (whole[i].numpy() == alone).all()


def test_training_sees_the_same_before_rounding() -> None:
    rng = np.random.default_rng(8)
    noise = [torch.tensor(p)[None].float() for p in _random_planes(rng)]
    # Too little contrast for an interpolation to leave 0..255: a clipped one hands out nothing.
    faint = [100 + (p / 5).floor() for p in noise]
    vectors = torch.tensor(rng.integers(-50, 50, (1, _HEIGHT // 8, _WIDTH // 8, 2)))
    for planes in (noise, faint):
        planes[0].requires_grad_()
        y, u, v = planes
        real = differentiable.compensate(y, u, v, vectors, exact=False)
        whole = differentiable.compensate(y, u, v, vectors)
        for r, w in zip(real, whole, strict=True):
            assert ((r + 0.5).floor().clamp(0, 255) == w).all()
    real[0].sum().backward()
    # Every predicted sample hands out a weight of 1.
    assert planes[0].grad is not None
    assert planes[0].grad.sum().item() == pytest.approx(_HEIGHT * _WIDTH)


@pytest.mark.parametrize("reach", [40, 2047])
def test_features_come_from_the_nearest_position(instructions: str, reach: int) -> None:
    rng = np.random.default_rng(reach)
    rows, columns, channels = 3, 5, 4
    features = rng.integers(-32768, 32768, (2, rows, columns, channels)).astype(np.int16)
    vectors = rng.integers(-reach, reach + 1, (2, rows, columns, 2))
    vectors[0, 0, 0] = 16, -16  # Half of a position: rounded up.
    trained = differentiable.compensate_features(torch.tensor(features), torch.tensor(vectors))
    assert trained.dtype == torch.int16
    for b in range(2):
        flat = features[b].reshape(-1, channels)
        got = agree(compensate_features, flat, vectors[b].astype(np.int16))
        assert (trained[b].numpy() == got.reshape(features[b].shape)).all()
        for y in range(rows):
            for x in range(columns):
                dx, dy = ((int(d) + 16) // 32 for d in vectors[b, y, x])
                row, column = min(max(y + dy, 0), rows - 1), min(max(x + dx, 0), columns - 1)
                assert (got[y * columns + x] == features[b, row, column]).all()


def test_wide_planes_and_runs_of_equal_vectors(instructions: str) -> None:
    rng = np.random.default_rng(9)
    for lines, per_line in ((1, 1), (1, 9), (9, 1), (6, 21)):
        luma = rng.integers(0, 256, (8 * lines, 8 * per_line)).astype(np.uint8)
        u, v = luma[::2, ::2].copy(), luma[1::2, 1::2]
        coarse = rng.integers(-70, 70, ((lines + 2) // 3, (per_line + 2) // 3, 2))
        vectors = coarse.repeat(3, 0).repeat(3, 1)[:lines, :per_line].astype(np.int16)
        for field in (vectors, np.zeros_like(vectors), vectors // 8 * 8, vectors * 400):
            agree(compensate, (luma, u, v), field)
            wanted = rng.random(lines * per_line) < 0.6
            some = agree(compensate, (luma, u, v), field, wanted)
            whole = compensate.native((luma, u, v), field)
            np.testing.assert_array_equal(some, whole * wanted[:, None])


def test_shapes_are_checked(instructions: str) -> None:
    plane, half = np.zeros((16, 24), np.uint8), np.zeros((8, 12), np.uint8)
    for planes, shape in (
        ((plane, half, half), (2, 4, 2)),
        ((plane, half, plane), (2, 3, 2)),
        ((plane[:12], half[:6], half[:6]), (1, 3, 2)),
    ):
        with pytest.raises(ValueError, match="and vectors"):
            compensate.native(planes, np.zeros(shape, np.int16))
    with pytest.raises(ValueError, match="blocks wanted"):
        compensate.native((plane, half, half), np.zeros((2, 3, 2), np.int16), np.zeros(5, np.bool_))
    with pytest.raises(ValueError, match="and vectors"):
        compensate_features.native(np.zeros((5, 4), np.int16), np.zeros((2, 3, 2), np.int16))
