"""PSNR, MS-SSIM and BD-BR against values known by hand and second implementations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import av
import av.filter
import bjontegaard
import cv2
import numpy as np
import pytest
import pytorch_msssim
import torch
from numpy.typing import NDArray
from scipy.signal import convolve2d

from roicodec.errors import InputError
from roicodec.evaluate import bd, metrics
from roicodec.media.convert import picture_frame
from roicodec.picture import Picture
from roicodec.psnr import MAX_PSNR, chroma_mask, psnr, psnr_regions

Floats = NDArray[np.float64]


def flat(y: int, u: int = 128, v: int = 128, size: tuple[int, int] = (192, 192)) -> Picture:
    h, w = size
    half = ((h + 1) // 2, (w + 1) // 2)
    return Picture(
        np.full((h, w), y, np.uint8), np.full(half, u, np.uint8), np.full(half, v, np.uint8)
    )


def textured(seed: int, h: int, w: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (h, w)).astype(np.float64)
    smooth: Floats = convolve2d(noise, np.ones((7, 7)) / 49, "same", "symm")
    low, high = smooth.min(), smooth.max()
    stretched: Floats = (smooth - low) / (high - low) * 255
    return stretched.astype(np.uint8)


def noisy(plane: NDArray[np.uint8], sigma: float, seed: int = 9) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, sigma, plane.shape)
    return np.clip(plane + noise, 0, 255).round().astype(np.uint8)


# --- PSNR ----------------------------------------------------------------------------------


def test_psnr_by_hand() -> None:
    y, u, v, yuv = psnr(flat(100, 50, 60), flat(105, 51, 70))
    assert y == pytest.approx(20 * math.log10(255 / 5), abs=1e-9)
    assert u == pytest.approx(20 * math.log10(255), abs=1e-9)
    assert v == pytest.approx(20 * math.log10(255 / 10), abs=1e-9)
    assert yuv == pytest.approx((6 * y + u + v) / 8, abs=1e-12)


def ffmpeg_psnr(a: Picture, b: Picture) -> list[float]:
    """PSNR of the planes by FFmpeg's filter of that name."""
    graph = av.filter.Graph()
    sources = [
        graph.add_buffer(
            width=a.width,
            height=a.height,
            format=av.VideoFormat("yuv420p"),
            time_base=Fraction(1, 25),
        )
        for _ in range(2)
    ]
    compare, sink = graph.add("psnr"), graph.add("buffersink")
    for pad, source in enumerate(sources):
        source.link_to(compare, 0, pad)
    compare.link_to(sink)
    graph.configure()
    for source, picture in zip(sources, (b, a), strict=True):
        source.push(picture_frame(picture))
    said = graph.pull().metadata
    return [float(said[f"lavfi.psnr.psnr.{plane}"]) for plane in "yuv"]


def test_psnr_agrees_with_ffmpeg_and_opencv() -> None:
    for seed, sigma in enumerate((1, 6, 40)):
        planes = [textured(10 * seed + i, *s) for i, s in enumerate([(98, 130), *[(49, 65)] * 2])]
        y, u, v = planes
        a = Picture(y, u, v)
        b = Picture(noisy(y, sigma), noisy(u, sigma * 2), noisy(v, sigma * 3))
        *ours, _ = psnr(a, b)
        assert ours == pytest.approx(ffmpeg_psnr(a, b), abs=0.01)
        opencv = [cv2.PSNR(p, q) for p, q in zip(a.planes, b.planes, strict=True)]
        assert ours == pytest.approx(opencv, abs=1e-9)


def test_psnr_neither_wraps_nor_overflows() -> None:
    assert psnr(flat(0), flat(255))[0] == pytest.approx(0, abs=1e-12)
    assert psnr(flat(255), flat(0))[0] == pytest.approx(0, abs=1e-12)


def test_identical_pictures_have_the_agreed_maximum() -> None:
    assert psnr(flat(7), flat(7)) == (MAX_PSNR,) * 4


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="192x192 and 192x190"):
        psnr(flat(1), flat(1, size=(190, 192)))
    with pytest.raises(InputError, match="mask"):
        psnr_regions(flat(1), flat(1), np.zeros((12, 12), np.bool_))


def test_psnr_by_region() -> None:
    a, b = flat(100), flat(100)
    mask = np.zeros((192, 192), np.bool_)
    mask[:96] = True
    b.y[:96] += 2  # squared error 4 in the ROI
    b.y[96:] += 4  # and 16 outside
    b.u[:] += 1
    found = psnr_regions(a, b, mask)

    def db(mse: float) -> float:
        return 10 * math.log10(255**2 / mse)

    assert found.roi_y == pytest.approx(db(4))
    assert found.roi_yuv == pytest.approx(db((6 * 4 + 1 + 0) / 8))
    assert found.background_y == pytest.approx(db(16))
    assert found.weighted_y == pytest.approx(db(0.8 * 4 + 0.2 * 16))
    assert found.weighted_yuv == pytest.approx(db(0.8 * 25 / 8 + 0.2 * 97 / 8))


def test_empty_region_is_unknown_and_weighs_nothing() -> None:
    a, b = flat(100), flat(103)
    for value in (False, True):
        found = psnr_regions(a, b, np.full((192, 192), value))
        known, empty = (
            (found.roi_y, found.background_y) if value else (found.background_y, found.roi_y)
        )
        assert math.isnan(empty)
        assert known == pytest.approx(found.weighted_y) == pytest.approx(psnr(a, b)[0])


def test_chroma_mask_takes_every_touched_sample() -> None:
    mask = np.zeros((5, 4), np.bool_)
    mask[1, 1] = mask[4, 3] = True
    assert chroma_mask(mask).tolist() == [[True, False], [False, False], [False, True]]


def test_mean_is_over_frames_that_know_the_measure() -> None:
    a = flat(100)
    some = np.zeros((192, 192), np.bool_)
    some[:32] = True
    frames = [
        metrics.quality(a, flat(101), some),
        metrics.quality(a, flat(103), np.zeros_like(some)),
    ]
    mean = metrics.mean_quality(frames)
    assert mean.psnr_roi_y == pytest.approx(frames[0].psnr_roi_y)
    assert mean.psnr_y == pytest.approx((frames[0].psnr_y + frames[1].psnr_y) / 2)
    with pytest.raises(InputError, match="no frames"):
        metrics.mean_quality([])


# --- MS-SSIM -------------------------------------------------------------------------------


def reference_ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The paper's formula with scipy's two-dimensional convolution."""
    t = np.arange(-5, 6)
    window = np.exp(-(t[:, None] ** 2 + t[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

    def blur(x: Floats) -> Floats:
        return np.asarray(convolve2d(x, window, "valid"))

    def halve(x: Floats) -> Floats:
        box = convolve2d(x, np.full((2, 2), 0.25), "valid")
        return np.asarray(box[::2, ::2])

    x, y, product = a.astype(np.float64), b.astype(np.float64), 1.0
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    for scale, weight in enumerate(weights):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x**2) - mx**2, blur(y**2) - my**2, blur(x * y) - mx * my
        structure = (2 * cov + c2) / (vx + vy + c2)
        luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        value = structure * luminance if scale == len(weights) - 1 else structure
        product *= float(value.mean()) ** weight
        x, y = halve(x), halve(y)
    return product


@pytest.mark.parametrize(("h", "w"), [(192, 192), (176, 241), (240, 426)])
def test_ms_ssim_equals_the_formula(h: int, w: int) -> None:
    a = textured(1, h, w)
    for b in (noisy(a, 4), noisy(a, 25), 255 - noisy(255 - a, 60)):
        assert metrics.ms_ssim(a, b) == pytest.approx(reference_ms_ssim(a, b), abs=1e-9)


def test_ms_ssim_of_unlike_pictures_is_zero() -> None:
    a = textured(1, 192, 192)
    assert metrics.ms_ssim(a, 255 - a) == 0  # its structure is negatively correlated


def test_ms_ssim_agrees_with_pytorch_msssim() -> None:
    for height, width in ((192, 256), (240, 432)):
        a = textured(3, height, width)
        for sigma in (3, 12, 40):
            b = noisy(a, sigma)
            x, y = (torch.tensor(p, dtype=torch.float64)[None, None] for p in (a, b))
            other = float(pytorch_msssim.ms_ssim(x, y, data_range=255))
            assert metrics.ms_ssim(a, b) == pytest.approx(other, abs=1e-4)


def test_ms_ssim_of_small_planes() -> None:
    a = textured(4, 144, 176)
    assert metrics.ms_ssim(a, a) == pytest.approx(1)
    assert metrics.ms_ssim(a, noisy(a, 20)) < metrics.ms_ssim(a, noisy(a, 5)) < 1
    with pytest.raises(InputError, match="11x11"):
        metrics.ms_ssim(a[:10], a[:10])


def test_ms_ssim_by_region() -> None:
    a = textured(5, 192, 256)
    mask = np.zeros(a.shape, np.bool_)
    mask[:, :128] = True
    b = a.copy()
    b[:, 150:] = noisy(a, 30)[:, 150:]
    whole, inside, outside = metrics.ms_ssim_regions(a, b, mask)
    assert outside < whole < inside
    assert inside > 0.99
    both = metrics.ms_ssim_regions(a, b, np.ones_like(mask))
    assert both[1] == pytest.approx(both[0])
    assert math.isnan(both[2])


# --- BD-BR ---------------------------------------------------------------------------------

# The worked example that most implementations carry, after VCEG-M33.
RATE_A, PSNR_A = [686.76, 309.58, 157.11, 85.95], [40.28, 37.18, 34.24, 31.42]
RATE_B, PSNR_B = [893.34, 407.8, 204.93, 112.75], [40.39, 37.21, 34.17, 31.24]


def cubic_bd_rate(ra: list[float], qa: list[float], rb: list[float], qb: list[float]) -> float:
    """VCEG-M33 to the letter: one cubic through four points."""
    low, high = max(min(qa), min(qb)), min(max(qa), max(qb))
    area = []
    for r, q in ((ra, qa), (rb, qb)):
        integral = np.polyint(np.polyfit(q, np.log10(r), 3))
        area.append(np.polyval(integral, high) - np.polyval(integral, low))
    return float(100 * (10 ** ((area[1] - area[0]) / (high - low)) - 1))


def pchip_area(q: list[float], r: list[float], low: float, high: float) -> float:
    """Integral of Fritsch and Carlson's interpolant, by Simpson's rule on each cubic piece."""
    order = np.argsort(q)
    x, y = np.array(q)[order], np.log(np.array(r))[order]
    h, s = np.diff(x), np.diff(y) / np.diff(x)
    d = np.zeros(len(x))
    for i in range(1, len(x) - 1):
        if s[i - 1] * s[i] > 0:
            w1, w2 = 2 * h[i] + h[i - 1], h[i] + 2 * h[i - 1]
            d[i] = (w1 + w2) / (w1 / s[i - 1] + w2 / s[i])

    def end(h0: float, h1: float, s0: float, s1: float) -> float:
        g = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
        if g * s0 <= 0:
            return 0.0
        return 3 * s0 if s0 * s1 <= 0 and abs(g) > abs(3 * s0) else g

    d[0], d[-1] = end(h[0], h[1], s[0], s[1]), end(h[-1], h[-2], s[-1], s[-2])

    def value(t: float) -> float:
        i = int(np.clip(np.searchsorted(x, t) - 1, 0, len(h) - 1))
        c, b = (3 * s[i] - 2 * d[i] - d[i + 1]) / h[i], (d[i] - 2 * s[i] + d[i + 1]) / h[i] ** 2
        z = t - x[i]
        return float(y[i] + z * (d[i] + z * (c + z * b)))

    knots = [low, *x[(x > low) & (x < high)], high]
    pieces = itertools.pairwise(knots)
    return math.fsum(
        (b - a) / 6 * (value(a) + 4 * value((a + b) / 2) + value(b)) for a, b in pieces
    )


def test_bd_rate_of_the_published_example() -> None:
    found = bd.bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B)
    assert found == pytest.approx(31.38, abs=0.05)
    assert found == pytest.approx(cubic_bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B), abs=0.1)


def test_bd_rate_equals_a_second_pchip() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        qa, qb = (np.cumsum(rng.uniform(0.5, 4, 6)) + 30 for _ in range(2))
        ra, rb = (np.cumprod(rng.uniform(1.2, 2.5, 6)) * 100 for _ in range(2))
        low, high = max(qa[0], qb[0]), min(qa[-1], qb[-1])
        areas = [pchip_area(list(q), list(r), low, high) for q, r in ((qa, ra), (qb, rb))]
        expected = 100 * math.expm1((areas[1] - areas[0]) / (high - low))
        assert bd.bd_rate(*map(list, (ra, qa, rb, qb))) == pytest.approx(expected, abs=1e-6)


def test_bd_rate_agrees_with_the_bjontegaard_package() -> None:
    rng = np.random.default_rng(1)
    curves: list[tuple[Sequence[float], ...]] = [(RATE_A, PSNR_A, RATE_B, PSNR_B)]
    for _ in range(20):
        ra, qa, rb, qb = (np.cumsum(rng.uniform(0.3, 1, 5)) for _ in range(4))
        drawn = np.exp(ra), 30 + 3 * qa, 1.2 * np.exp(rb), 30 + 3 * qb
        curves.append(tuple(values.tolist() for values in drawn))
    for curve in curves:
        other = bjontegaard.bd_rate(*curve, method="pchip", min_overlap=0)
        assert bd.bd_rate(*curve) == pytest.approx(other, abs=0.1)


def test_bd_rate_of_scaled_rates_is_exact() -> None:
    for factor in (0.5, 1.0, 1.1):
        scaled = [factor * r for r in RATE_A]
        assert bd.bd_rate(RATE_A, PSNR_A, scaled, PSNR_A) == pytest.approx(100 * (factor - 1))


def test_bd_rate_does_not_mind_order() -> None:
    order = [2, 0, 3, 1]
    shuffled = [RATE_B[i] for i in order], [PSNR_B[i] for i in order]
    assert bd.bd_rate(RATE_A, PSNR_A, *shuffled) == bd.bd_rate(RATE_A, PSNR_A, RATE_B, PSNR_B)


def test_overlap_is_stated_and_warned_of() -> None:
    found = bd.compare(RATE_A, PSNR_A, RATE_B, PSNR_B)
    assert (found.low, found.high) == (31.42, 40.28)
    assert found.coverage > 0.9
    assert found.warning == ""
    short = bd.compare(RATE_A, PSNR_A, RATE_B, [q + 6 for q in PSNR_B])
    assert (short.low, short.high) == pytest.approx((37.24, 40.28))
    assert "37.24..40.28" in short.warning


@pytest.mark.parametrize(
    ("rate", "psnr", "message"),
    [
        (RATE_B[:3], PSNR_B[:3], "3 points, 4 are needed"),
        (RATE_B, PSNR_B[:3], "4 rates but 3 qualities"),
        (RATE_B, [40.0, 37.0, 37.5, 31.0], "does not rise with rate"),
        ([800, 400, 400, 100], PSNR_B, "does not rise with rate"),
        (RATE_B, [60.0, 57.0, 54.0, 51.0], "do not overlap"),
        ([900, 400, 200, 0], PSNR_B, "<= 0"),
        (RATE_B, [40.0, float("nan"), 34.0, 31.0], "no number"),
    ],
)
def test_curves_without_a_bd_rate(rate: list[float], psnr: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bd.bd_rate(RATE_A, PSNR_A, rate, psnr)
