from __future__ import annotations

from benchmarks.bitwidths import Choice, Cost, distance, in_words


def test_the_bench_says_where_fewer_bits_are_no_faster() -> None:
    costs = {
        Choice(2, 2, 0): Cost(4.0, 0, 0, 99.0),
        Choice(4, 4, 0): Cost(10.0, 0, 0, 50.0),
        Choice(8, 8, 0): Cost(40.0, 0, 0, 100.0),
        Choice(16, 16, 0): Cost(160.0, 0, 500.0, 400.0),
        Choice(16, 8, 25): Cost(70.0, 0, 250.0, 160.0),
        Choice(16, 0, 25): Cost(40.0, 0, 200.0, 125.0),
    }
    two, four, regions, skipped, whole, sparse, float32 = in_words(costs, 250.0, "onednn")
    assert two.startswith("2 bits: 0.10 of the BitOPs of 8, 0.99 of the time; no faster here: the")
    assert four == "4 bits: 0.25 of the BitOPs of 8, 0.50 of the time; faster."
    assert "2.50 times as long as 16 in a ROI of 25 % and the rest at 8" in regions
    assert "3.20 times as long as 16 in a ROI of 25 % and the rest skipped" in skipped
    assert "2.50 times as long as 8 bits" in float32
    assert "whole decoder 16 bits everywhere take 2.00 times" in whole
    assert "(bar 1.5); the networks are 80% and 64% of it" in whole
    assert "2.50 times as long as 16 in a ROI of 25 % and the rest skipped (bar 3)" in sparse


def test_distance_to_the_limit() -> None:
    line = distance(10.0, 60.0, 500.0)
    assert "10.0 GMACs 20.0 ms" in line
    assert line.endswith("500 GMAC/s: 3.0 times.")
