"""How much becomes ROI follows what is expected to be saved."""

from __future__ import annotations

import math

import numpy as np
import pytest

from roicodec.encoder.roi.share import expected_log_rates, worth

ONE_DB = 0.28
GAIN = 4.5


def test_a_sure_object() -> None:
    """20 of 100 cells, known for certain: rate and error as they would be measured."""
    chances = np.zeros((10, 10))
    chances[2:6, 3:8] = 1
    curve = expected_log_rates(chances)
    assert curve.shape == (101,)
    assert curve[0] == 0
    kept = 10 ** (-GAIN / 10)
    rate = 1 + 0.2 * (math.exp(ONE_DB * GAIN) - 1)
    expected = math.log(rate) + ONE_DB * 10 * math.log10(0.8 * kept + 0.2)
    assert curve[20] == pytest.approx(expected)
    choice = worth(chances, None, 0.02, 0.5)
    assert choice.share == 0.2
    assert choice.saving == pytest.approx(1 - math.exp(expected))


def test_everything_as_likely_saves_nothing() -> None:
    for chance in (0.0, 0.3, 1.0):
        choice = worth(np.full((9, 16), chance), None, 0.02, 0.5)
        assert choice.saving < 0.005
    assert expected_log_rates(np.full(50, 0.5))[50] == pytest.approx(0, abs=1e-9)


def test_the_share_stays_in_its_bounds() -> None:
    chances = np.zeros((20, 20))
    chances[0, 0] = 1
    assert worth(chances, None, 0.02, 0.5).share == 0.02
    chances[:4] = 1
    assert worth(chances, None, 0.02, 0.1).share == 0.1


def test_the_less_certain_the_less_is_saved() -> None:
    sure, vague = np.full((2, 10, 10), 0.05)
    sure[:4, :4], vague[:4, :4] = 0.9, 0.3
    assert worth(sure, None, 0.02, 0.5).saving > worth(vague, None, 0.02, 0.5).saving + 0.05


def test_bits_count_for_the_saving_but_not_for_the_share() -> None:
    chances = np.full((10, 10), 0.02)
    chances[2:6, 3:8] = 0.95
    bits = np.where(chances > 0.5, 9.0, 1.0)
    flat, dear, cheap = (worth(chances, b, 0.02, 0.5) for b in (None, bits, 1 / bits))
    assert flat.share == dear.share == cheap.share
    assert dear.saving < 0 < flat.saving < cheap.saving
    part = 20 * 9 / (20 * 9 + 80)
    expected = math.log(1 + part * (math.exp(ONE_DB * GAIN) - 1)) - math.log(
        1 + 0.2 * (math.exp(ONE_DB * GAIN) - 1)
    )
    assert math.log(1 - dear.saving) - math.log(1 - flat.saving) == pytest.approx(expected)
