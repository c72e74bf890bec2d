"""The post-filter against the format's text, and its fit against filters that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.decoder.post_filter import RANGES, PostFilter, merged, useful
from roicodec.kernels.post_filter import ACTIVITIES, DIRECTIONS, WEIGHTS, classes
from roicodec.picture import Picture
from roicodec.train.postfilter import PostFilterFit, activity_levels, difference_bounds
from tests.independent_decoder import post_filter
from tests.tiny_model import texture

LEVELS, BOUNDS = activity_levels(), difference_bounds()
SHAPE = (2, RANGES, ACTIVITIES, DIRECTIONS, WEIGHTS)


def plane(seed: int, height: int = 64, width: int = 96) -> NDArray[np.uint8]:
    """Clouds with edges above, waves below; noise at the right."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((height, width))
    waves = 128 + 90 * np.sin((y * np.sin(seed / 2) + x * np.cos(seed / 2)) * 0.8)
    picture = np.where(y < height // 2, texture(rng, height, width), waves)
    noise = rng.normal(0, np.linspace(0, 20, width), (height, width))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [0, 10, 11, 40, 63])
def test_filters_as_the_format_says(quality: int) -> None:
    rng = np.random.default_rng(quality)
    weights = rng.integers(-60, 61, SHAPE)
    switches = int(rng.integers(1, 255))
    filters, source = PostFilter(weights, LEVELS, BOUNDS), plane(quality)
    for part in (0, 1):
        got = filters.filtered(source, part, quality)
        by_the_book = post_filter(
            *(source.astype(np.int64), weights[part, quality * 6 // 64], LEVELS[quality]),
            *(BOUNDS[quality], switches),
        )
        for on, expected in ((switches, by_the_book), (255, got.after), (0, source)):
            pair = (on, 0) if part == 0 else (0, on)
            for made in (merged([got] * 3, pair), filters.shown([source] * 3, quality, pair)):
                for plane_part, plane_made in zip((0, 1, 1), made, strict=True):
                    assert (plane_made == (expected if plane_part == part else source)).all()
        assert (got.after != source).mean() > 0.5


def oblique() -> NDArray[np.uint8]:
    row, column = np.indices((16, 16))
    return np.where((row + column) % 4 < 2, 40, 200).astype(np.uint8)


def test_every_class_occurs_here() -> None:
    planes = [plane(seed) for seed in range(6)] + [oblique()]
    found = [classes(p, LEVELS[quality]) for p in planes for quality in (0, 30, 63)]
    for which, count in enumerate((ACTIVITIES, DIRECTIONS, 4)):
        assert set(np.concatenate([f[which].ravel() for f in found])) == set(range(count))


def test_classes_of_plain_pictures() -> None:
    levels = LEVELS[32]
    flat = np.full((16, 16), 90, np.uint8)
    assert all((found == 0).all() for found in classes(flat, levels)[:2])
    stripes = np.where(np.arange(16) % 4 < 2, 40, 200).astype(np.uint8) * np.ones((16, 1), np.uint8)
    _, upright, turn = classes(stripes, levels)
    # Nothing changes along the stripes: the highest contrast, and straight.
    assert (upright == 7).all()
    _, lying, turned = classes(np.ascontiguousarray(stripes.T), levels)
    assert (lying == 7).all()
    assert (turn % 2 != turned.T % 2).all()
    assert (classes(oblique(), levels)[1][1:-1, 1:-1] == 8).all()


def test_switches_are_on_where_the_filter_helps() -> None:
    source = plane(4)
    filters = PostFilter(np.full(SHAPE, 12), LEVELS, BOUNDS)
    got = filters.filtered(source, 0, 20)
    quiet = got.activity.repeat(4, 0).repeat(4, 1) < 12
    target = np.where(quiet, got.after, source)[:61, :90]
    on = useful([got], [target])
    helped = {
        a // 2
        for a in range(12)
        if (got.after != source)[got.activity.repeat(4, 0).repeat(4, 1) == a].any()
    }
    assert {k for k in range(8) if on >> k & 1} == helped
    assert len(helped) > 2
    assert useful([got], [source]) == 0


def test_fit_finds_the_filters_that_made_the_target() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(-30, 31, SHAPE)
    filters, fit = PostFilter(truth, LEVELS, BOUNDS), PostFilterFit()
    pictures = []
    for seed in range(6):
        planes = plane(seed, 192, 256), plane(seed + 10, 96, 128), plane(seed + 20, 96, 128)
        y, u, v = (
            filters.filtered(p, part, 60).after for p, part in zip(planes, (0, 1, 1), strict=True)
        )
        pictures.append((Picture(*planes), Picture(y, u, v)))
        fit.add(*pictures[-1], 60)
    made = PostFilter(fit.weights(), LEVELS, BOUNDS)
    for source, target in pictures:
        for p, t, part in zip(source.planes, target.planes, (0, 1, 1), strict=True):
            error = (made.filtered(p, part, 60).after.astype(int) - t) ** 2
            assert error.mean() < 0.05 * ((p.astype(int) - t) ** 2).mean()


def test_malformed_filters_are_refused() -> None:
    weights = np.zeros(SHAPE, np.int16)
    with pytest.raises(ValueError, match="weights of shape"):
        PostFilter(weights[:, :3], LEVELS, BOUNDS)
    with pytest.raises(ValueError, match="levels of shape"):
        PostFilter(weights, LEVELS[:, :14], BOUNDS)
    with pytest.raises(ValueError, match="or negative"):
        PostFilter(weights, LEVELS, -BOUNDS)
    weights[0, 0, 0, 0] = 6000
    with pytest.raises(ValueError, match="too large"):
        PostFilter(weights, LEVELS, BOUNDS)
