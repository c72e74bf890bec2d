"""Rate control against a simulated encoder whose frames vary in what they need."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.encoder.rate_control import BitrateControl, ConstantQuality, PsnrControl, RateControl

SAMPLES = 352 * 288
GOP, FRAMES, BOOST = 60, 150, 8


def measured(psnr: float) -> Callable[[], float]:
    """What a controller calls to learn a frame's PSNR."""
    return lambda: psnr


def simulate(
    control: RateControl, seed: int, frames: int = FRAMES, lengths: Sequence[int] = (1,)
) -> tuple[float, float]:
    """Mean bits and PSNR of a clip whose activity drifts, with a scene that is twice as dear.

    Args:
        control: to be driven.
        seed: of the clip.
        frames: its length.
        lengths: of mini-GOPs, in turns; frames of long ones get 4 indices more for their last frame
            and 2 less for the others, which need a third of its bits.
    """
    rng = np.random.default_rng(seed)
    octave, slope = rng.uniform(7, 13), rng.uniform(0.22, 0.36)
    activity = rng.uniform(-1, 1) + np.cumsum(rng.normal(0, 0.05, frames))
    activity[frames // 2 :] += 1
    bits: list[float] = []
    values: list[float] = []
    turns = itertools.cycle(lengths)
    while (n := len(bits)) < frames:
        kind = INTRA if n % GOP == 0 else INTER
        length = 1 if kind == INTRA else min(next(turns), GOP - n % GOP, frames - n)
        base = control.quality(kind)
        assert 0 <= base <= 63
        assert control.quality(kind) == base  # asking changes nothing
        for k in range(length):
            last = k == length - 1
            offset = BOOST if kind == INTRA else 0 if length == 1 else 4 if last else -2
            quality = min(max(base + offset, 0), 63)
            size = 0.45 if kind == INTRA else 0.04 if length == 1 else 0.1 if last else 0.03
            bits.append(SAMPLES * size * 2 ** (activity[n + k] + (quality - 32) / octave))
            values.append(34 - 1.2 * activity[n + k] + slope * (quality - 32))
        mean = float(np.mean(values[n:]))
        control.coded(kind, base, round(sum(bits[n:])), measured(mean), length)
    return float(np.mean(bits)), float(np.mean(values))


STRUCTURES = ((1,), (4,), (8,), (1, 1, 1, 1, 8, 4))
"""Lengths of mini-GOPs."""


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("lengths", STRUCTURES)
def test_bit_rate_is_kept_within_5_percent(
    seed: int, known: bool, lengths: tuple[int, ...]
) -> None:
    goal = 0.15 * SAMPLES
    frames = FRAMES if known else None
    control = BitrateControl(goal, SAMPLES, gop=GOP, frames=frames)
    bits, _ = simulate(control, seed, lengths=lengths)
    assert bits == pytest.approx(goal, rel=0.05)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("lengths", STRUCTURES)
def test_psnr_is_kept_within_a_third_of_a_decibel(seed: int, lengths: tuple[int, ...]) -> None:
    control = PsnrControl(37.0, gop=GOP, frames=FRAMES)
    _, psnr = simulate(control, seed, lengths=lengths)
    assert psnr == pytest.approx(37.0, abs=0.3)


@pytest.mark.parametrize("level", [26.0, 34.0, 44.0])
def test_the_first_frame_is_tried_and_then_as_good_as_asked(level: float) -> None:
    """However easy the clip: without the trial it would have the index of a clip of 34 dB."""
    control = PsnrControl(38.0, gop=GOP, frames=FRAMES)
    tried = []

    def first(quality: int) -> float:
        tried.append(quality)
        return level + 0.3 * (quality - BOOST - 32)

    control.quality(INTER)  # as the encoder asks, for the search of motion
    control.tried(first, BOOST)
    assert tried == [45 + BOOST]
    index = control.quality(INTRA)
    assert index == min(max(round(32 + (38 - level) / 0.3), 0), 63)
    assert control.quality(INTRA) == index  # the trial is no frame


@pytest.mark.parametrize("scene", [0.5, 3])
def test_a_bit_rate_is_kept_over_scenes(scene: float) -> None:
    """Frames after the 40th are so many times as dear, from an intra frame on that was not due."""
    goal = 0.15 * SAMPLES
    control = BitrateControl(goal, SAMPLES, gop=GOP, frames=FRAMES)
    spent, given = 0.0, []
    for n in range(FRAMES):
        kind = INTRA if n in (0, 40, 100) else INTER
        base = control.quality(kind)
        quality = min(base + BOOST * (kind == INTRA), 63)
        size = (0.45 if kind == INTRA else 0.04) * (scene if n >= 40 else 1)
        bits = SAMPLES * size * 2 ** ((quality - 32) / 10)
        control.coded(kind, base, round(bits), measured(36.0))
        spent += bits
        given.append(base)
    assert spent / FRAMES == pytest.approx(goal, rel=0.05)
    later = [q for n, q in enumerate(given) if n > 60 and n not in (40, 100)]
    assert max(later) - min(later) < 12


def test_what_cannot_be_reached_ends_at_the_last_index() -> None:
    control = BitrateControl(50 * SAMPLES, SAMPLES, gop=GOP, frames=40)
    simulate(control, 1, 40)
    assert control.quality(INTER) == 63
    control = BitrateControl(1e-4 * SAMPLES, SAMPLES, gop=GOP, frames=40)
    simulate(control, 1, 40)
    assert control.quality(INTER) == 0


def test_what_was_missed_is_told() -> None:
    bits = BitrateControl(1000, SAMPLES, gop=GOP, frames=None)
    psnr = PsnrControl(38.0, gop=GOP, frames=None)
    for control in (bits, psnr, ConstantQuality(20)):
        assert control.missed() == ""  # nothing yet
    for control in (bits, psnr):
        control.coded(INTRA, 30, 1040, measured(38.29))
        assert control.missed() == ""
        control.coded(INTER, 30, 1100, measured(38.40))
    assert bits.missed().startswith("the bit rate is 1.07 times what was asked for")
    assert psnr.missed().startswith("the mean PSNR is 38.34 dB, 38 were asked for")


def test_constant_quality_falls_within_a_gop() -> None:
    control = ConstantQuality(40, fall=2, length=10)
    for _ in range(2):
        given = []
        for n in range(10):
            kind = INTER if n else INTRA
            given.append(control.quality(kind))
            control.coded(kind, given[-1], 1000, measured(40.0))
        assert given == [40, 42, 42, 41, 40, 40, 40, 39, 38, 38]
    # A clip that goes on for longer than was known.
    assert control.quality(INTER) == 38
    assert [ConstantQuality(i, 2, 10).quality(INTER) for i in (0, 62)] == [2, 63]
