from __future__ import annotations

from benchmarks.bitwidths import Choice, Cost, in_words


def test_the_bench_says_where_fewer_bits_are_no_faster() -> None:
    costs = {
        Choice(2, 2, 0): Cost(4.0, 0, 0, 99.0),
        Choice(4, 4, 0): Cost(10.0, 0, 0, 50.0),
        Choice(8, 8, 0): Cost(40.0, 0, 0, 100.0),
        Choice(16, 16, 0): Cost(160.0, 0, 0, 400.0),
        Choice(16, 8, 25): Cost(70.0, 0, 0, 160.0),
        Choice(16, 0, 25): Cost(40.0, 0, 0, 125.0),
    }
    two, four, regions, skipped, float32 = in_words(costs, 250.0, "onednn")
    assert two.startswith("2 bits: 0.10 of the BitOPs of 8, 0.99 of the time; no faster here: the")
    assert four == "4 bits: 0.25 of the BitOPs of 8, 0.50 of the time; faster."
    assert "2.50 times as long as 16 in a ROI of 25 % and the rest at 8" in regions
    assert "3.20 times as long as 16 in a ROI of 25 % and the rest skipped" in skipped
    assert "2.50 times as long as 8 bits" in float32
