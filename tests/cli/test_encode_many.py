"""``roicodec encode --out-dir``: many videos, what is skipped, what fails."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import roicodec
from roicodec.batch import plan
from tests.cli.command_line import Run
from tests.cli.running import left_over, pictures, y4m


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder with two videos and other files."""
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "one.y4m").write_bytes(y4m(3))
    (folder / "two.y4m").write_bytes(y4m(5))
    for name in (".hidden.y4m", "notes.txt", "raw.yuv"):
        (folder / name).write_bytes(b"nothing")
    return folder


def test_a_folder(run: Run, films: Path, tmp_path: Path) -> None:
    (tmp_path / "three.y4m").write_bytes(y4m(2))
    done = run("encode", "films", "three.y4m", "--out-dir", "made/streams", "--roi", "none")
    assert done.status == 0, done.err
    folder = tmp_path / "made/streams"
    assert left_over(folder) == {"one.rq", "two.rq", "three.rq"}
    head, *rows = [line.split() for line in done.out.splitlines()]
    assert head == ["video", "frames", "bytes", "bit", "rate", "speed"]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("one.y4m", "3", "done"), ("two.y4m", "5", "done"), ("three.y4m", "2", "done"),
    ]  # fmt: skip
    assert [int(row[2]) for row in rows] == [
        (folder / f"{name}.rq").stat().st_size for name in ("one", "two", "three")
    ]
    assert run("decode", folder / "two.rq", "back.y4m").status == 0
    assert pictures((tmp_path / "back.y4m").read_bytes()) == pictures(y4m(5))


def states(run: Run, *options: str) -> dict[str, str]:
    done = run("encode", "films", "--out-dir", "out", "--roi", "none", "--json", *options)
    return {Path(v["input"]).stem: v["state"] for v in json.loads(done.out)["videos"]}


def test_what_is_done_is_skipped(run: Run, films: Path, tmp_path: Path) -> None:
    assert states(run) == {"one": "done", "two": "done"}
    assert states(run) == {"one": "skipped", "two": "skipped"}
    assert states(run, "-f") == {"one": "done", "two": "done"}
    stream = tmp_path / "out/two.rq"
    stream.write_bytes(stream.read_bytes()[:-9])  # cut
    assert states(run) == {"one": "skipped", "two": "done"}
    later = (tmp_path / "out/one.rq").stat().st_mtime_ns + 10**9
    os.utime(films / "one.y4m", ns=(later, later))
    assert states(run) == {"one": "done", "two": "skipped"}


def test_a_failure_does_not_stop_the_rest(run: Run, films: Path, tmp_path: Path) -> None:
    (films / "broken.mp4").write_bytes(b"no video")
    (films / "stream.mkv").write_bytes(b"\x89RQV" + bytes(20))
    missing = tmp_path / "missing.mp4"
    done = run("encode", missing, "films", "--out-dir", "out", "--roi", "none", "--json")
    assert done.status == 1
    assert done.error == "3 of 5 videos could not be encoded"
    videos = {Path(v["input"]).name: v for v in json.loads(done.out)["videos"]}
    assert [n for n, v in videos.items() if v["state"] == "done"] == ["one.y4m", "two.y4m"]
    assert "no such file" in videos["missing.mp4"]["error"]
    assert "not a video" in videos["broken.mp4"]["error"]
    assert "is a roicodec stream already" in videos["stream.mkv"]["error"]
    assert done.err.count("roicodec: warning: ") == 3
    assert left_over(tmp_path / "out") == {"one.rq", "two.rq"}


def test_names(tmp_path: Path) -> None:
    """Videos that differ in their endings alone keep them."""
    for name in ("a.mp4", "a.mkv", "b.avi"):
        (tmp_path / name).touch()
    jobs = plan([tmp_path, tmp_path / "b.avi"], "out")
    assert [job.target for job in jobs] == ["out/a.mkv.rq", "out/a.mp4.rq", "out/b.rq"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.mkv").touch()
    with pytest.raises(roicodec.InputError, match=r"a\.mkv\.rq: several videos have this name"):
        plan([tmp_path, other], "out")
    with pytest.raises(roicodec.InputError, match="no video in"):
        plan([], "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("films/one.y4m",), "give IN and OUT.rq, or --out-dir"),
        (("films/one.y4m", "a.rq", "b.rq"), "give IN and OUT.rq, or --out-dir"),
        (("-", "--out-dir", "out"), "not standard input"),
        (("out", "--out-dir", "x"), "no video in out"),
        (("films", "--out-dir", "films/one.y4m"), "the folder cannot be made"),
    ],
)
def test_arguments_that_cannot_be(
    run: Run, films: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "out").mkdir()
    done = run("encode", *arguments)
    assert done.status in (1, 2)
    assert message in done.error


def test_the_library_encodes_many(films: Path, tmp_path: Path) -> None:
    outcomes = roicodec.encode_all(
        [films / "one.y4m", films / "none.y4m"], tmp_path / "out",
        roicodec.EncoderOptions(effort=1), roi=None, frames=slice(0, 1),
    )  # fmt: skip
    assert [o.state for o in outcomes] == ["done", "failed"]
    assert outcomes[0].result is not None
    assert outcomes[0].result.frames == 1
    assert "no such file" in outcomes[1].error
