"""Measures of saliency against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from roicodec.train.saliency_metrics import auc_judd, cc, iou, kld, nss, scores, sim, top_share


def test_cc() -> None:
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 3.0], [2.0, 4.0]])
    # Deviations (-3, -1, 1, 3)/2 and (-3, 1, -1, 3)/2: (9 - 1 - 1 + 9) / 20.
    assert cc(a, b) == pytest.approx(0.8)
    assert cc(a, -3 * b + 7) == pytest.approx(-0.8)
    assert cc(a, np.ones((2, 2))) == 0


def test_nss() -> None:
    saliency = np.array([[1.0, 2.0], [3.0, 4.0]])
    # Mean 2.5, deviation sqrt(1.25).
    assert nss(saliency, np.array([[0, 0], [0, 1]], bool)) == pytest.approx(1.5 / math.sqrt(1.25))
    assert nss(saliency, np.array([[0, 1], [0, 1]], bool)) == pytest.approx(0.5 / math.sqrt(1.25))
    assert nss(saliency, np.ones((2, 2), bool)) == pytest.approx(0)
    assert nss(np.ones((2, 2)), np.array([[0, 0], [0, 1]], bool)) == 0


def test_auc_judd() -> None:
    saliency = np.array([[0.9, 0.8], [0.3, 0.1]])
    # Thresholds 0.9: half of the fixations, none of the rest; 0.3: all, and half of the rest.
    # (0, 0), (0, 1/2), (1/2, 1), (1, 1): 3/8 + 1/2.
    assert auc_judd(saliency, np.array([[1, 0], [1, 0]], bool)) == pytest.approx(0.875)
    assert auc_judd(saliency, np.array([[1, 1], [0, 0]], bool)) == 1
    # 0.1 alone: a straight line to where everything is above the threshold.
    assert auc_judd(saliency, np.array([[0, 0], [0, 1]], bool)) == pytest.approx(0.5)
    assert auc_judd(np.ones((2, 2)), np.array([[1, 0], [0, 0]], bool)) == pytest.approx(0.5)


def test_auc_judd_with_equal_values() -> None:
    # Two fixations at 2 and 1, the rest at 2, 1, 1, 0.
    saliency = np.array([[2.0, 1.0, 2.0], [1.0, 1.0, 0.0]])
    fixations = np.array([[1, 1, 0], [0, 0, 0]], bool)
    # (0, 0), (1/4, 1/2), (3/4, 1), (1, 1): 1/16 + 3/8 + 1/4.
    assert auc_judd(saliency, fixations) == pytest.approx(0.6875)


def test_sim() -> None:
    saliency = np.array([[4.0, 2.0], [1.0, 1.0]])
    assert sim(saliency, np.ones((2, 2))) == pytest.approx(0.25 + 0.25 + 0.125 + 0.125)
    assert sim(saliency, 9 * saliency) == pytest.approx(1)
    assert sim(np.eye(2), 1 - np.eye(2)) == 0
    assert sim(np.zeros((2, 2)), np.array([[1, 0], [0, 0]])) == pytest.approx(0.25)


def test_kld() -> None:
    saliency = np.array([[4.0, 2.0], [1.0, 1.0]])
    # (ln 1/2 + ln 1 + ln 2 + ln 2) / 4.
    assert kld(saliency, np.ones((2, 2))) == pytest.approx(math.log(2) / 4)
    assert kld(saliency, saliency / 3) == pytest.approx(0, abs=1e-12)
    # All of the density where there is no saliency: ln(1 / epsilon).
    density = np.array([[0.0, 0.0], [0.0, 1.0]])
    assert kld(np.array([[1.0, 0.0], [0.0, 0.0]]), density) == pytest.approx(52 * math.log(2))


def test_iou() -> None:
    a, b = np.array([[1, 1], [0, 0]], bool), np.array([[0, 1], [0, 1]], bool)
    assert iou(a, b) == pytest.approx(1 / 3)
    assert iou(a, a) == 1
    assert iou(a, ~a) == 0
    assert iou(a & ~a, b & ~b) == 1


def test_top_share() -> None:
    saliency = np.array([[0.1, 0.4], [0.3, 0.4]])
    assert np.array_equal(top_share(saliency, 0.5), [[False, True], [False, True]])
    assert np.array_equal(top_share(saliency, 0.25), [[False, True], [False, False]])
    assert not top_share(saliency, 0.0).any()
    assert top_share(saliency, 1.0).all()


def test_nothing_to_look_at_is_an_error() -> None:
    for measure in (nss, auc_judd):
        with pytest.raises(ValueError, match="no fixation"):
            measure(np.ones((2, 2)), np.zeros((2, 2), bool))
    with pytest.raises(ValueError, match="every sample is fixated"):
        auc_judd(np.ones((2, 2)), np.ones((2, 2), bool))


def test_all_at_once() -> None:
    saliency = np.array([[1.0, 2.0], [3.0, 4.0]])
    fixations = np.array([[0, 0], [0, 1]], bool)
    found = scores(saliency, fixations, fixations.astype(float))
    assert list(found) == ["CC", "NSS", "AUC-Judd", "SIM", "KLD"]
    assert found["AUC-Judd"] == 1
    assert found["SIM"] == pytest.approx(0.4)
    assert found["KLD"] == pytest.approx(math.log(2.5))
