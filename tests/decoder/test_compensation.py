"""Motion compensation against a plain implementation of the format's text, sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from roicodec.decoder.compensation import compensate, compensate_features

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
    tensors = [torch.tensor(p, dtype=torch.float32)[None] for p in planes]
    return [p[0].numpy() for p in compensate(*tensors, torch.tensor(vectors)[None])]


def _check(planes: list[Ints], vectors: Ints) -> None:
    got = _compensated(planes, vectors)
    expected = [_plain(planes[0], vectors, 8, _LUMA)]
    expected += [_plain(p, vectors, 4, _CHROMA) for p in planes[1:]]
    for name, g, e in zip("yuv", got, expected, strict=True):
        assert (g == e).all(), name


@pytest.mark.parametrize("reach", [9, 200, 2047])
def test_random_vectors_and_what_lies_beyond_the_edges(reach: int) -> None:
    rng = np.random.default_rng(reach)
    vectors = rng.integers(-reach, reach + 1, (_HEIGHT // 8, _WIDTH // 8, 2))
    assert (vectors < 0).any()
    _check(_random_planes(rng), vectors)


@pytest.mark.parametrize("start", [0, -16, 11])
def test_every_fraction_in_both_directions(start: int) -> None:
    # 64 pairs of eighths of a chroma sample, which hold the 16 pairs of quarters of luma.
    rng = np.random.default_rng(1)
    pairs = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2) + start
    blocks = _HEIGHT // 8 * (_WIDTH // 8)
    for first in range(0, 64, blocks):
        some = np.resize(pairs[first:], (_HEIGHT // 8, _WIDTH // 8, 2))
        _check(_random_planes(rng), some)


def test_black_and_white_overshoot_and_are_clipped() -> None:
    rng = np.random.default_rng(5)
    planes = [255 * (p > 127) for p in _random_planes(rng)]
    _check(planes, rng.integers(-30, 30, (_HEIGHT // 8, _WIDTH // 8, 2)))


def test_no_motion_changes_nothing_and_flat_planes_stay_flat() -> None:
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
    planes = [torch.tensor(np.stack(p)).float() for p in zip(*frames, strict=True)]
    together = compensate(*planes, torch.tensor(vectors))
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
        real = compensate(*planes, vectors, exact=False)
        whole = compensate(*planes, vectors)
        for r, w in zip(real, whole, strict=True):
            assert ((r + 0.5).floor().clamp(0, 255) == w).all()
    real[0].sum().backward()
    # Every predicted sample hands out a weight of 1.
    assert planes[0].grad is not None
    assert planes[0].grad.sum().item() == pytest.approx(_HEIGHT * _WIDTH)


@pytest.mark.parametrize("reach", [40, 2047])
def test_features_come_from_the_nearest_position(reach: int) -> None:
    rng = np.random.default_rng(reach)
    rows, columns, channels = 3, 5, 4
    features = rng.integers(-32768, 32768, (2, rows, columns, channels)).astype(np.int16)
    vectors = rng.integers(-reach, reach + 1, (2, rows, columns, 2))
    vectors[0, 0, 0] = 16, -16  # Half of a position: rounded up.
    got = compensate_features(torch.tensor(features), torch.tensor(vectors))
    assert got.dtype == torch.int16
    for b in range(2):
        for y in range(rows):
            for x in range(columns):
                dx, dy = ((int(d) + 16) // 32 for d in vectors[b, y, x])
                row, column = min(max(y + dy, 0), rows - 1), min(max(x + dx, 0), columns - 1)
                assert (got[b, y, x].numpy() == features[b, row, column]).all()
