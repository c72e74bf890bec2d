"""What moves in a scene: against the camera, and in front of a background."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.encoder.roi.saliency import Moving
from roicodec.encoder.roi.scene import (
    Scene,
    affine_motion,
    inter_bits,
    intra_bits,
    is_cut,
    motion_contrast,
    optical_flow,
    thumbnail,
)
from roicodec.picture import Picture

WIDTH, HEIGHT = 320, 192
Plane = NDArray[np.uint8]


def texture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Plane:
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.asarray(np.clip(128 + smooth / smooth.std() * 30, 0, 255), np.uint8)


def gray(y: Plane) -> Picture:
    chroma = np.full(((y.shape[0] + 1) // 2, (y.shape[1] + 1) // 2), 128, np.uint8)
    return Picture(np.ascontiguousarray(y), chroma, chroma)


def planes(y: Plane) -> Plane:
    return np.stack([y, np.full_like(y, 128), np.full_like(y, 128)], -1)


def watch(scene: Scene, frames: list[Plane]) -> list[NDArray[np.float32]]:
    return [scene.follow(planes(now), before) for before, now in pairwise(frames)]


def test_motion_against_a_panning_camera() -> None:
    background, thing = texture(1, WIDTH + 8), texture(2)
    frames = []
    for step in range(2):
        y = background[:, 4 * step : 4 * step + WIDTH].copy()
        y[60:110, 100 + 5 * step : 150 + 5 * step] = thing[:50, :50]
        frames.append(y)
    contrast = motion_contrast(frames[1], frames[0])
    inside = contrast[70:100, 115:145].mean()
    outside = np.delete(contrast, np.s_[40:130], axis=0).mean()
    assert inside > 5
    assert outside < 1


def test_motion_is_the_same_in_threads() -> None:
    planes = [texture(seed) for seed in range(8)]
    alone = [motion_contrast(now, before) for before, now in pairwise(planes)] * 8
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(motion_contrast, planes[1:] * 8, planes[:-1] * 8))
    assert np.array_equal(alone, together)


def test_motion_of_flat_frames_is_that_of_their_edges_repeated() -> None:
    flat = [texture(seed, 256, 12) for seed in (1, 2)]
    high = [np.pad(plane, ((0, 30), (0, 0)), "edge") for plane in flat]
    assert motion_contrast(*flat).shape == (12, 256)
    assert np.isfinite(motion_contrast(*flat)).all()
    assert optical_flow(*flat)[:12] == pytest.approx(
        optical_flow(*[plane[:32] for plane in high])[:12]
    )


def test_the_camera_is_what_most_of_the_flow_follows() -> None:
    y, x = np.mgrid[0:96, 0:160].astype(np.float64)
    flow = np.stack([2 + 3 * x / 160, -1 + 4 * y / 96], -1)
    flow[30:60, 40:80] += 9
    expected = [[2, -1], [3, 0], [0, 4]]
    assert affine_motion(flow.astype(np.float32)) == pytest.approx(np.array(expected), abs=0.1)


def seen(step: int, *, pan: int = 0) -> Plane:
    """A square of 8 samples that moves over a texture, which may move, too."""
    y = texture(1, WIDTH + 200)[:, pan * step : pan * step + WIDTH].copy()
    y[80:88, 40 + 6 * step : 48 + 6 * step] = 250
    return y


def test_a_fixed_camera_sees_small_things_move() -> None:
    scene = Scene()
    found = watch(scene, [seen(t) for t in range(40)])[-1][3]
    assert scene.fixed
    at = 40 + 6 * 39
    assert found[81:87, at + 1 : at + 7].min() > 0.5
    elsewhere = found.copy()
    elsewhere[70:98, at - 40 : at + 20] = 0
    assert elsewhere.max() < 0.2


def test_a_pan_has_no_background() -> None:
    scene = Scene()
    for channels in watch(scene, [seen(t, pan=4) for t in range(8)]):
        assert not channels[3].any()
    assert not scene.fixed


def test_a_camera_that_begins_to_pan_forgets_its_background() -> None:
    scene = Scene()
    watch(scene, [seen(t) for t in range(6)])
    assert scene.fixed
    watch(scene, [seen(t, pan=4) for t in range(6, 9)])
    assert not scene.fixed


def test_what_comes_to_rest_and_what_always_moves_fades_into_the_background() -> None:
    random = np.random.default_rng(3)
    frames = []
    for step in range(160):
        y = texture(1)
        y[20:60, 20:60] = random.integers(90, 170, (20, 20)).repeat(2, 0).repeat(2, 1)  # leaves
        if step >= 20:
            y[100:130, 200:230] = 240  # a thing that stays
        frames.append(y)
    scene = Scene()
    found = [channels[3] for channels in watch(scene, frames)]
    assert found[21][105:125, 205:225].mean() > 0.8
    assert found[-1][105:125, 205:225].mean() < 0.2
    assert found[5][25:55, 25:55].mean() > 2 * found[-1][25:55, 25:55].mean()


def test_a_new_scene_starts_anew() -> None:
    frames = [seen(t) for t in range(6)]
    used, fresh = Scene(), Scene()
    watch(used, [texture(7) for _ in range(9)])
    used.start()
    for one, other in zip(watch(used, frames), watch(fresh, frames), strict=True):
        assert np.array_equal(one, other)


def test_cuts() -> None:
    one, other = (thumbnail(gray(texture(seed))) for seed in (1, 2))
    flat = thumbnail(gray(np.full((HEIGHT, WIDTH), 9, np.uint8)))
    assert is_cut(one, other)
    assert not is_cut(one, one)
    assert not is_cut(one, flat)
    assert not is_cut(flat, one)


def test_moving_is_what_moves_before_either_camera() -> None:
    for pan in (0, 4):
        model = Moving()
        frames = [gray(seen(t, pan=pan)) for t in range(12)]
        for t, frame in enumerate(frames):
            found = model.map(frame, frames[t - 1] if t else None)
        scale = found.shape[1] / WIDTH
        at = slice(*(round(scale * x) for x in (40 + 66, 48 + 66)))
        rows = slice(*(round(scale * y) for y in (80, 88)))
        assert found[rows, at].mean() > 5 * np.median(found) + 0.2


def test_bits_are_where_prediction_fails() -> None:
    random = np.random.default_rng(5)
    before, now = texture(1, WIDTH + 4), texture(1, WIDTH + 4)[:, 4:]
    before = before[:, :WIDTH]
    now = now.copy()
    now[64:128, 128:192] = random.integers(0, 256, (64, 64))
    bits = inter_bits(now, before, optical_flow(now, before))
    assert bits.shape == (HEIGHT // 4, WIDTH // 4)
    assert bits.min() > 0
    assert bits[18:30, 34:46].mean() > 4 * np.median(bits)
    flat = np.full((HEIGHT, WIDTH), 100, np.uint8)
    flat[:, 160:] = texture(2)[:, 160:]
    alone = intra_bits(flat)
    assert alone[:, 45:].min() > 4 * alone[:, :35].max()
