"""BD-BR as Markdown: columns, means, clips, stars."""

from __future__ import annotations

from math import nan
from pathlib import Path

from roicodec.evaluate.bd import BdRate
from roicodec.evaluate.markdown import chosen_measures, markdown_lines
from roicodec.evaluate.metrics import Quality
from roicodec.evaluate.plots import plot_clips
from roicodec.evaluate.run import Encode
from roicodec.evaluate.tables import MEASURES, Comparison, compare_all


def encodes() -> list[Encode]:
    """Two codecs on two clips, of which ``b`` takes 10 % more bytes on the first."""
    found = []
    for clip in ("one", "t|wo"):
        for codec, factor in (("a", 1.0), ("b", 1.1 if clip == "one" else 1.3)):
            for n in range(4):
                size = round(10_000 * 2**n * factor)
                known = 30 + 3.0 * n, 40.0, 40.0, 32 + 3.0 * n, 0.9 + 0.02 * n
                quality = Quality(*known, *[nan] * 9)
                found.append(Encode(clip, codec, n, 5, 64, 48, 25.0, size, quality))
    return found


def test_tables() -> None:
    found = encodes()
    chosen = chosen_measures(["psnr_yuv", "psnr_y"])
    lines = list(markdown_lines(found, compare_all(found, "a"), "a", chosen))
    assert lines == [
        "BD-BR in % against a, mean over clips; less is better.", "",
        "| codec | PSNR (6Y+U+V)/8 | PSNR-Y |", "| --- | ---: | ---: |",
        "| b | +20.0 | +20.0 |", "",
        r"| PSNR (6Y+U+V)/8, by clip | one | t\|wo |", "| --- | ---: | ---: |",
        "| b | +10.0 | +30.0 |",
    ]  # fmt: skip


def test_what_no_encode_has_is_left_out() -> None:
    found = encodes()
    head = list(markdown_lines(found, [], "a", chosen_measures([])))[2]
    assert head == "| codec | PSNR-Y | PSNR (6Y+U+V)/8 | MS-SSIM |"


def test_stars() -> None:
    found = encodes()
    result = BdRate(-5, 30, 31, 0.1)
    comparisons = [
        Comparison("one", "b", "psnr_y", result),
        Comparison("t|wo", "b", "psnr_y", None, "too few points"),
    ]
    lines = list(markdown_lines(found, comparisons, "a", chosen_measures(["psnr_y"])))
    assert r"| b | -5.0\* |" in lines
    assert r"| b | -5.0\* | none\* |" in lines
    assert lines[-1].startswith("A star marks")


def test_bars_by_clip_need_two_clips(tmp_path: Path) -> None:
    result = BdRate(-10.0, 30.0, 40.0, 1.0)
    one = [Comparison("one", "roicodec", "psnr_y", result)]
    assert plot_clips(one, MEASURES[0], "a", tmp_path / "clips") == []
    both = [*one, Comparison("two", "roicodec", "psnr_y", BdRate(5.0, 30.0, 40.0, 1.0))]
    files = plot_clips(both, MEASURES[0], "a", tmp_path / "clips")
    assert [f.name for f in files] == ["clips.png", "clips.svg"]
    drawn = (tmp_path / "clips.svg").read_text()
    assert drawn.index(">one<") < drawn.index(">two<")
    for text in ("-10.0", "+5.0", "against a"):
        assert text in drawn
