"""Tables that follow the content, and the contexts of hyper-latents."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roicodec.bitstream.constants import HYPER_CONTEXTS
from roicodec.bitstream.entropy import SymbolDecoder, SymbolEncoder, Tables, integer_frequencies
from roicodec.decoder.adaptation import RATIOS, Adaptation, ChannelSums
from roicodec.decoder.coding_step import Distribution
from roicodec.decoder.latents import get_hyper, hyper_tables, put_hyper
from roicodec.kernels.latents import LatentModel, latent_values
from roicodec.train.tables import Counter, fitted

# Certain of 0; of -1, 0, 1 alike; of 0 mostly.
TABLES = Tables(
    [[0, 0, 65536, 0, 0, 0], [0, 20000, 25536, 20000, 0, 0], [0, 4096, 57344, 4096, 0, 0]],
    offset=-2,
    escape=True,
)
SAME = np.tile(np.arange(3), (RATIOS, 1))


def sums(channels: list[int], symbols: list[int], index: list[int]) -> ChannelSums:
    out = ChannelSums(3)
    place = 3 * np.array(channels, np.int64) + np.array(index, np.int64)
    none, flat = np.zeros(len(place), np.int32), np.zeros(len(place), np.int64)
    model = LatentModel(flat, none, none, place)
    latents, expected = np.zeros((1, 3), np.int16), Adaptation(TABLES, SAME).expected
    values, mean = np.array(symbols, np.int32), np.zeros(len(place), np.int16)
    out.add(*latent_values(values, mean, model, expected, latents))
    return out


def test_what_tables_expect() -> None:
    assert Adaptation(TABLES, SAME).expected.tolist() == [0, 156, 32]


def test_ratios_worked_out_by_hand() -> None:
    assert ChannelSums(3).ratios().tolist() == [4, 4, 4]
    # Coded 10 of 6.09 expected: (10 + 4) / (6.09 + 4) is 22.2 sixteenths, 4 / 5.25 is 12.2.
    got = sums([0] * 10 + [1] * 10, [1, -1] * 5 + [0] * 10, [1] * 10 + [2] * 10)
    assert got.ratios().tolist() == [5, 3, 4]
    # Magnitudes above 2 count as 2; what is certain is expected.
    assert sums([0, 1], [9, 0], [2, 0]).ratios().tolist() == [6, 4, 4]
    assert sums([2] * 8, [-2] * 8, [2] * 8).ratios().tolist() == [4, 4, 8]


def test_a_frame_leaves_seven_eighths() -> None:
    one, other = (sums([0] * 90, [1] * 90, [2] * 90) for _ in range(2))
    kept = one.copy()
    for _ in range(40):
        one.fade()
    assert one.ratios().tolist() == [4, 4, 4]
    assert kept.ratios().tolist() == other.ratios().tolist() == [8, 4, 4]
    kept.fade()
    assert (kept.coded[0], kept.expected[0]) == (90 * 256 * 7 // 8, 90 * 32 * 7 // 8)


def test_stand_ins() -> None:
    stand_ins = SAME.copy()
    stand_ins[7, 1] = 2
    adaptation = Adaptation(TABLES, stand_ins)
    found = adaptation(np.array([7, 6], np.int32))
    assert found.tolist() == [[0, 2, 2], [0, 1, 2]]
    for place, number in (((3, 0), 1), ((3, 1), 0), ((3, 1), 3), ((3, 1), -1)):
        wrong = SAME.copy()
        wrong[place] = number
        with pytest.raises(ValueError, match=r"table 0 cannot|none of the tables"):
            Adaptation(TABLES, wrong)
    with pytest.raises(ValueError, match="shape"):
        Adaptation(TABLES, SAME[1:])


def test_counting_finds_the_table_that_fits() -> None:
    """Where a ratio's symbols are those of another table, that one stands in."""
    rng = np.random.default_rng(2)
    scale = np.linspace(0.2, 12, 48)[:, None]
    rows = np.exp(-np.abs(np.arange(-64, 65)) / scale)
    weights = np.concatenate((rows / rows.sum(1, keepdims=True), np.full((48, 1), 1e-6)), 1)
    hyper = np.ones((32 * HYPER_CONTEXTS, 50))
    prior = fitted(weights, hyper, np.tile(np.arange(48), (RATIOS, 1)))
    counter = Counter()
    coded = []
    for ratio, away in ((2, -6), (4, 0), (6, 6)):
        for named in (12, 25, 40):
            chance = prior["tables.latents"][named + away] / 65536
            symbols = rng.choice(130, 20000, p=chance).astype(np.int32) - 64
            index = np.full(20000, named, np.int32)
            place, none = 3 * 48 + index.astype(np.int64), np.zeros(0, np.int32)
            latents = LatentModel(np.zeros(0, np.int64), index, none, place)
            ratios = np.full(5, ratio, np.int32)
            model = Distribution(latents, np.zeros(0, np.int16), ratios)
            coded.append((model, symbols))
    counter.add(np.zeros((1, 1, 32), np.int32), coded)
    found = counter.tables(prior)["tables.stand_ins"]
    for ratio, away in ((2, -6), (4, 0), (6, 6)):
        assert np.abs(found[ratio, [12, 25, 40]] - [12 + away, 25 + away, 40 + away]).max() <= 1
    # Of what nothing was counted every table keeps its place.
    assert (found[0] == np.arange(48)).all()


HYPER = Tables(
    integer_frequencies(np.random.default_rng(3).random((3 * HYPER_CONTEXTS, 8))),
    offset=-3,
    escape=True,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_hyper_latents_survive(rows: int, columns: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(-6, 7, (rows, columns, 3)).astype(np.int32)
    encoder = SymbolEncoder()
    put_hyper(encoder, values, HYPER)
    decoded = get_hyper(SymbolDecoder(encoder.finish()), values.shape, HYPER)
    np.testing.assert_array_equal(decoded, values)


def test_contexts_worked_out_by_hand() -> None:
    values = np.array([[2, 9, -1], [9, 9, 9], [0, 9, 3]], np.int32)[..., None]
    (corners, plain), (centre, diagonal), (sides, cross) = hyper_tables(values)
    assert corners.tolist() == [0, 2, 6, 8]
    assert plain.ravel().tolist() == [0, 0, 0, 0]
    # The mean of 2, -1, 0 and 3 is 8 eighths: the second level.
    assert (centre.tolist(), diagonal.tolist()) == ([4], [[6]])
    assert sides.tolist() == [1, 3, 5, 7]
    # 2, -1 and the centre: 27 eighths; and so on.
    assert cross.ravel().tolist() == [7, 7, 7, 7]
    values[1, 1] = -9
    assert list(hyper_tables(values))[2][1].ravel().tolist() == [1, 1, 1, 1]
    values[1, 1] = 0
    # (2 - 1) / 3, (2 + 0) / 3, (-1 + 3) / 3, (0 + 3) / 3.
    assert list(hyper_tables(values))[2][1].ravel().tolist() == [5, 6, 6, 6]
