"""Measured and stored points: files, tables, what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roicodec.errors import InputError
from roicodec.evaluate.ffmpeg_program import has_vmaf
from roicodec.evaluate.points import COLUMNS, read_points, write_csv
from roicodec.evaluate.results import usable_points, write_results
from roicodec.evaluate.run import Encode, jsonable
from roicodec.evaluate.tables import compare_all, mean_comparison, measures_of


def test_points_survive_csv_and_json(measured: tuple[Any, list[Encode], Path]) -> None:
    clips, encodes, out = measured
    write_results(out, clips, encodes, "x264_medium_ld", {"Date": "today"}, [])
    assert list(map(repr, read_points(out / "results.json"))) == list(map(repr, encodes))
    rows = read_points(out / "results.csv")
    for row, encode in zip(rows, encodes, strict=True):
        assert (row.clip, row.codec, row.setting) == (encode.clip, encode.codec, encode.setting)
        assert (row.bytes, row.command) == (encode.bytes, encode.command)
        assert row.quality.wpsnr_yuv == pytest.approx(encode.quality.wpsnr_yuv, abs=1e-5)
        assert row.encoding is not None
        assert encode.encoding is not None
        assert row.encoding.cpu_s == pytest.approx(encode.encoding.cpu_s, abs=1e-4)
    assert compare_all(rows, "x264_medium_ld")[0].result is None  # lossless: one point
    plain = compare_all(rows, "x264_medium_ld")[-1].result
    exact = compare_all(encodes, "x264_medium_ld")[-1].result
    assert plain is not None
    assert exact is not None
    assert plain.percent == pytest.approx(exact.percent, abs=0.1)


def test_points_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(
        "clip,codec,q,frames,width,height,fps,bytes,psnr_y,wpsnr_y@0.8,enc_cpu_s\n"
        "moving,hm,22,5,90,58,25.0,1000,40.5,,1.5\n"
    )
    (point,) = read_points(path)
    assert (point.codec, point.bytes, point.quality.psnr_y) == ("hm", 1000, 40.5)
    assert np.isnan(point.quality.wpsnr_y)
    assert point.encoding is not None
    assert point.encoding.cpu_s == 1.5
    stored = json.loads(json.dumps(jsonable(point.as_dict()), allow_nan=False))
    assert repr(Encode.from_dict(stored)) == repr(point)
    listed = tmp_path / "points.json"
    listed.write_text(json.dumps([{"clip": "m", "codec": "c", "q": 1, "frames": 2, "width": 3,
                                   "height": 4, "bytes": 5, "psnr_y": 6.5}]))  # fmt: skip
    assert read_points(listed)[0].bpp == pytest.approx(8 * 5 / 24)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "clip,codec\n", "lacks the columns q, frames"),
        ("a.csv", ",".join(COLUMNS) + "\n" + "m,c,x" + ",1" * 40, "line 2: q is 'x'"),
        ("a.csv", ",".join(COLUMNS) + "\n" + "m,c,1,0" + ",1" * 40, "above 0"),
        ("a.json", "{", "neither a list"),
        ("a.json", '[{"clip": "m"}]', "point 0: lacks codec"),
    ],
)
def test_points_that_cannot_be_used(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_points(path)


def test_stored_points_beside_measured_ones(measured: tuple[Any, list[Encode], Path]) -> None:
    clips, encodes, out = measured
    path = out / "points.csv"
    write_csv(path, encodes)
    lines = path.read_text().splitlines()
    row = lines[2].split(",")
    row[1] = "hm"
    shorter = row.copy()
    shorter[1], shorter[3] = "vtm", "4"
    path.write_text("\n".join([*lines, ",".join(row), ",".join(shorter)]) + "\n")
    used, messages = usable_points(read_points(path), clips, encodes)
    assert [p.codec for p in used] == ["hm"]
    assert len(messages) == 1
    assert "vtm" in messages[0]
    assert "4 frames" in messages[0]


def test_tables_know_what_they_do_not_know(measured: tuple[Any, list[Encode], Path]) -> None:
    _, encodes, _ = measured
    found = compare_all(encodes, "x264_medium_ld")
    given = mean_comparison(found, "x264_medium_ld+roi6", "psnr_roi_y")
    assert given.clips == 1
    assert given.percent < -10
    own = mean_comparison(found, "roicodec_ld+roi", "psnr_y")
    assert (own.clips, own.problems) == (0, 1)
    assert "1 points" in next(c.problem for c in found if c.codec == "roicodec_ld+roi")
    assert len(measures_of(encodes)) == 10 + has_vmaf()
    with pytest.raises(InputError, match="there are roicodec_ld"):
        compare_all(encodes, "vtm")
