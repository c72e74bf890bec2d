"""The benchmark of threads on a tiny clip."""

from __future__ import annotations

import pytest

from benchmarks.threads import compare


def test_the_ratio_is_of_the_best_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter((0.3, 0.1, 0.2, 0.4))
    assert compare("decode", 2, lambda: ("pictures", next(times))) == "pictures"
    said = capsys.readouterr().out
    assert said.split() == ["decode", "200.0", "ms", "100.0", "ms", "10.0", "fps", "2.00"]


def test_a_result_that_depends_on_threads_is_an_error() -> None:
    results = iter(((1, 0.1), (2, 0.1)))
    with pytest.raises(SystemExit, match="depends on the number of threads"):
        compare("encode", 1, lambda: next(results))
