"""Automatic ROI: finds what stands out or moves, without flicker."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.encoder.roi.auto import AutoRoi
from roicodec.encoder.roi.saliency import SaliencyMap, SpectralMotion, spectral_residual
from roicodec.encoder.roi.share import worth
from roicodec.encoder.roi.sources import parse_roi
from roicodec.errors import InputError
from roicodec.picture import Picture

WIDTH, HEIGHT = 320, 192


def texture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    gray: NDArray[np.float64] = np.clip(128 + smooth / smooth.std() * 30, 0, 255)
    return gray.astype(np.uint8)


def gray(y: NDArray[np.uint8]) -> Picture:
    chroma = np.full(((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2), 128, np.uint8)
    return Picture(np.ascontiguousarray(y), chroma, chroma)


class Given:
    """A saliency model that says what it is told."""

    def __init__(self, maps: list[SaliencyMap], bits: SaliencyMap | None = None) -> None:
        self.maps, self.bits = maps, bits
        self.had_previous: list[bool] = []

    def map(self, picture: Picture, previous: Picture | None) -> SaliencyMap:
        self.had_previous.append(previous is not None)
        return self.maps[len(self.had_previous) - 1]


def ramp() -> SaliencyMap:
    return np.broadcast_to(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, WIDTH)).copy()


def test_the_odd_one_out_is_salient() -> None:
    y = texture(1) // 2
    y[70:90, 200:220] = 250
    row, column = np.unravel_index(spectral_residual(y).argmax(), y.shape)
    assert 60 <= row < 100
    assert 190 <= column < 230


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (4096, 16), (16, 2304), (1920, 1080)])
def test_any_size_of_frame(size: tuple[int, int]) -> None:
    width, height = size
    frames = [gray(texture(seed, width, height)) for seed in (1, 1, 2)]
    roi = AutoRoi(SpectralMotion(), width, height)
    for index, frame in enumerate(frames):
        mask = roi.mask(index, 0.0, frame, frames[index - 1] if index else None)
        assert mask.shape == (-(-height // 16), -(-width // 16))
    saliency = SpectralMotion().map(frames[2], frames[1])
    assert saliency.dtype == np.float32
    assert 0 <= saliency.min() <= saliency.max() <= 1


def test_a_black_frame_has_no_roi() -> None:
    black = gray(np.zeros((HEIGHT, WIDTH), np.uint8))
    roi = AutoRoi(Given([np.zeros((9, 16), np.float32)] * 2), WIDTH, HEIGHT)
    assert not roi.mask(0, 0.0, black, None).any()
    spectral = AutoRoi(SpectralMotion(), WIDTH, HEIGHT)
    for index in range(2):
        assert np.isfinite(spectral.mask(index, 0.0, black, black)).all()


def test_share_is_met() -> None:
    frame = gray(texture(3))
    for share in (0.1, 0.25, 0.5):
        mask = AutoRoi(Given([ramp()]), WIDTH, HEIGHT, share=share).mask(0, 0.0, frame, None)
        assert abs(mask.mean() - share) <= 0.06
        assert mask[:, -1].all()
        assert not mask[:, 0].any()


def test_the_share_follows_the_content() -> None:
    frame = gray(texture(3))
    for width in (32, 96, 128):
        saliency = np.full((HEIGHT, WIDTH), 0.01, np.float32)
        saliency[32:160, 64 : 64 + width] = 0.99
        mask = AutoRoi(Given([saliency]), WIDTH, HEIGHT).mask(0, 0.0, frame, None)
        expected = np.zeros((12, 20), bool)
        expected[2:10, 4 : 4 + width // 16] = True
        assert np.mean(mask != expected) < 0.04


def test_where_nothing_stands_out_nothing_is_roi() -> None:
    random = np.random.default_rng(0)
    even = (0.1 + random.normal(0, 0.01, (12, 20)).repeat(16, 0).repeat(16, 1)).astype(np.float32)
    thing = even.copy()
    thing[64:128, 64:128] = 1
    frame = gray(texture(3))
    assert not AutoRoi(Given([even]), WIDTH, HEIGHT).mask(0, 0.0, frame, None).any()
    assert AutoRoi(Given([thing]), WIDTH, HEIGHT).mask(0, 0.0, frame, None).any()
    forced = AutoRoi(Given([even]), WIDTH, HEIGHT, share=0.2).mask(0, 0.0, frame, None)
    assert abs(forced.mean() - 0.2) < 0.06


def test_what_promises_too_little_does_not_begin_but_goes_on() -> None:
    saliency = np.zeros((HEIGHT, WIDTH), np.float32)
    saliency[32:160, 64:192] = 0.9
    frame = gray(texture(3))

    def cells(scale: float) -> NDArray[np.float32]:
        return np.where(saliency > 0.5, np.float32(scale), np.float32(1))

    def saving(scale: float) -> float:
        return worth(saliency[::16, ::16], cells(scale)[::16, ::16], 0.02, 0.5).saving

    assert saving(1) > 0.25 > saving(1.5) > 0.2 > saving(2)
    begins = {
        scale: AutoRoi(Given([saliency], cells(scale)), WIDTH, HEIGHT).mask(0, 0.0, frame, None)
        for scale in (1, 1.5)
    }
    assert begins[1].any()
    assert not begins[1.5].any()
    for scale, goes_on in ((1.5, True), (2, False)):
        model = Given([saliency] * 12, cells(1))
        roi = AutoRoi(model, WIDTH, HEIGHT)
        assert roi.mask(0, 0.0, frame, None).any()
        model.bits = cells(scale)
        last = [roi.mask(i, 0.0, frame, frame) for i in range(1, 30)][-1]
        assert last.any() == goes_on


def test_what_takes_nearly_all_bits_is_not_worth_more() -> None:
    """Finer where everything is spent already, the rest gives too little for it."""
    saliency = np.full((HEIGHT, WIDTH), 0.01, np.float32)
    saliency[32:160, 64:192] = 0.9
    frame = gray(texture(3))
    for scale, expected in ((1, True), (300, False)):
        bits = np.where(saliency > 0.5, np.float32(scale), np.float32(1))
        mask = AutoRoi(Given([saliency], bits), WIDTH, HEIGHT).mask(0, 0.0, frame, None)
        assert mask.any() == expected


def looked_at(maps: list[SaliencyMap]) -> list[int]:
    """Numbers of the frames of a video that are looked at."""
    frame = gray(texture(3))
    model = Given(maps)
    roi = AutoRoi(model, WIDTH, HEIGHT, level=0.5)
    looks, seen = [], 0
    for index in range(len(maps)):
        before = roi.mask(index, 0.0, frame, frame if index else None)
        if len(model.had_previous) > seen:
            looks.append(index)
        seen = len(model.had_previous)
        assert before.shape == (12, 20)
    return looks


def test_what_rests_is_looked_at_every_fourth_frame() -> None:
    assert looked_at([ramp()] * 13) == [0, 1, 2, 6, 10]


def test_what_moves_is_looked_at_more_often() -> None:
    def square(left: int) -> SaliencyMap:
        out = np.zeros((HEIGHT, WIDTH), np.float32)
        out[64:128, left : left + 64] = 1
        return out

    assert looked_at([square(16 * n) for n in range(10)]) == list(range(10))


def test_what_is_hardly_anything_does_not_make_the_share_larger() -> None:
    """A small thing in a frame of small chances gets its cells, and few others."""
    saliency = np.full((HEIGHT, WIDTH), 0.06, np.float32)
    saliency += np.linspace(0, 0.06, WIDTH, dtype=np.float32)
    saliency[64:128, 64:112] = 0.8
    mask = AutoRoi(Given([saliency]), WIDTH, HEIGHT).mask(0, 0.0, gray(texture(3)), None)
    assert mask[4:8, 4:7].all()
    assert np.count_nonzero(mask) <= 20


def test_what_has_gone_does_not_stay() -> None:
    """Hysteresis is for cells that still have a chance."""

    def square(left: int) -> SaliencyMap:
        out = np.full((HEIGHT, WIDTH), 0.002, np.float32)
        out[64:128, left : left + 64] = 0.9
        return out

    frame = gray(texture(3))
    roi = AutoRoi(Given([square(32), *[square(160)] * 8]), WIDTH, HEIGHT)
    masks = [roi.mask(i, 0.0, frame, frame if i else None) for i in range(9)]
    assert masks[0][4:8, 2:6].all()
    assert not masks[-1][:, :9].any()
    assert masks[-1][4:8, 10:14].all()


def test_level_is_met() -> None:
    frame = gray(texture(3))
    mask = AutoRoi(Given([ramp()]), WIDTH, HEIGHT, level=0.7).mask(0, 0.0, frame, None)
    assert np.array_equal(mask.all(0), mask.any(0))
    assert np.flatnonzero(mask[0]).min() == 14


def test_a_map_lands_on_its_cells() -> None:
    """The grid sticks out of a 100x50 frame; the map covers the frame alone."""
    saliency = np.zeros((50, 100), np.float32)
    saliency[16:48, 64:96] = 1
    frame = gray(texture(4, 100, 50))
    mask = AutoRoi(Given([saliency]), 100, 50, level=0.5).mask(0, 0.0, frame, None)
    expected = np.zeros((4, 7), bool)
    expected[1:3, 4:6] = True
    assert np.array_equal(mask, expected)


def test_hysteresis_and_smoothing_stop_flicker() -> None:
    random = np.random.default_rng(0)
    noisy = [np.clip(ramp() + random.normal(0, 0.1, (12, 20)).repeat(16, 0).repeat(16, 1), 0, 1)
             .astype(np.float32) for _ in range(12)]  # fmt: skip
    frame = gray(texture(3))
    roi = AutoRoi(Given(noisy), WIDTH, HEIGHT, share=0.3)
    smooth = [roi.mask(i, 0.0, frame, frame if i else None) for i in range(12)]
    alone = [AutoRoi(Given([m]), WIDTH, HEIGHT, share=0.3).mask(0, 0.0, frame, None) for m in noisy]

    def flicker(masks: list[NDArray[np.bool_]]) -> float:
        return float(np.mean([a != b for a, b in pairwise(masks[4:])]))

    assert flicker(smooth) < flicker(alone) / 3


def test_specks_and_holes_go() -> None:
    saliency = np.zeros((HEIGHT, WIDTH), np.float32)
    saliency[32:128, 32:160] = 1
    saliency[64:80, 64:80] = 0
    saliency[160:176, 240:256] = 1
    frame = gray(texture(3))
    mask = AutoRoi(Given([saliency]), WIDTH, HEIGHT, level=0.5).mask(0, 0.0, frame, None)
    expected = np.zeros((12, 20), bool)
    expected[2:8, 2:10] = True
    assert np.array_equal(mask, expected)


def test_a_cut_starts_anew() -> None:
    left = np.ascontiguousarray(ramp()[:, ::-1])
    first, second = gray(texture(5)), gray(texture(6))
    model = Given([ramp(), ramp(), left])
    roi = AutoRoi(model, WIDTH, HEIGHT, share=0.2)
    roi.mask(0, 0.0, first, None)
    roi.mask(1, 0.0, first, first)
    after = roi.mask(2, 0.0, second, first)
    assert model.had_previous == [False, True, False]
    alone = AutoRoi(Given([left]), WIDTH, HEIGHT, share=0.2).mask(0, 0.0, second, None)
    assert np.array_equal(after, alone)


@pytest.mark.parametrize(("share", "level"), [(0.0, None), (1.0, None), (None, 1.5)])
def test_wrong_thresholds(share: float | None, level: float | None) -> None:
    with pytest.raises(InputError, match="must be above 0 and below 1"):
        parse_roi(["auto"], WIDTH, HEIGHT, share=share, level=level)


def test_auto_unites_with_a_rectangle() -> None:
    frame = gray(texture(3))
    roi = parse_roi(["auto", "0,0,16,16"], WIDTH, HEIGHT, share=0.1, saliency=Given([ramp()]))
    mask = roi.mask(0, 0.0, frame, None)
    assert mask[0, 0]
    assert mask[:, -1].all()
    assert not mask[1:, 0].any()
