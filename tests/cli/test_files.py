"""Files that commands are given: what they are, and what is never overwritten."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roicodec.cli.files import check_target, clear_left_overs, describe
from roicodec.errors import InputError
from tests.cli.running import in_process_of_its_own, left_over, y4m

Make = Callable[..., bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.y4m").write_bytes(y4m())
    return tmp_path


def error_of(folder: Path, *arguments: object, status: int = 1) -> str:
    process = in_process_of_its_own(
        *arguments, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    _, err = process.communicate()
    assert process.returncode == status, err
    assert err.count(b"\n") == (1 if status else 0), err
    return err.decode().removeprefix("roicodec: error: ").rstrip()


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "an empty file"), (b"\x89RQV\r\n\x1a\n\0\6", "a roicodec stream"),
        (b"\0\0\0\x20ftypisom", "an MP4 or MOV video"),
        (b"\x1aE\xdf\xa3\1", "a Matroska or WebM video"),
        (b"\x89PNG\r\n", "a PNG image"), (b"no video", ""), (b"RQ", ""),
    ],
)  # fmt: skip
def test_what_a_file_is(head: bytes, name: str) -> None:
    assert describe(head) == name


def test_a_stream_is_not_encoded_again(folder: Path, stream: Make) -> None:
    (folder / "a.rq").write_bytes(stream(frames=1))
    assert error_of(folder, "encode", "a.rq", "b.rq") == (
        "a.rq: is a roicodec stream already; 'roicodec decode' makes a video of it"
    )
    with (folder / "a.rq").open("rb") as piped:
        process = in_process_of_its_own(
            "encode", "-", "b.rq", cwd=folder, stdin=piped, stderr=subprocess.PIPE
        )
        _, err = process.communicate()
    assert (process.returncode, b"is a roicodec stream already" in err) == (1, True)
    assert left_over(folder) == {"in.y4m", "a.rq"}


@pytest.mark.parametrize("command", [["decode", "in.y4m", "b.mp4"], ["info", "in.y4m"]])
def test_a_video_is_not_decoded(folder: Path, command: list[str]) -> None:
    assert error_of(folder, *command) == (
        "in.y4m: not an .rq stream but a Y4M video; 'roicodec encode' makes a stream of a video"
    )


@pytest.mark.parametrize("name", ["b.mp4", "B.MKV", "b.y4m", "b.webm"])
def test_a_stream_does_not_get_the_name_of_a_video(folder: Path, name: str) -> None:
    said = error_of(folder, "encode", "in.y4m", name)
    assert said.startswith(f"{name}: encode writes a roicodec stream")
    assert f"call it {name[:-4].removesuffix('.')}.rq" in said
    assert left_over(folder) == {"in.y4m"}
    error_of(folder, "encode", "in.y4m", name, "-f", status=0)
    assert (folder / name).exists()


@pytest.mark.parametrize("prefix", ["", "file:"])
def test_no_input_is_overwritten(folder: Path, prefix: str) -> None:
    (folder / "roi.txt").write_text("1 1 -1")
    os.link(folder / "roi.txt", folder / "same.txt")
    (folder / "link.rq").symlink_to("in.y4m")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    for target in ("in.y4m", "link.rq"):
        assert "is the input" in error_of(folder, "encode", "in.y4m", target, "-f")
    for target in ("roi.txt", "same.txt"):
        said = error_of(
            folder, "encode", "in.y4m", target, "-f", "--roi", "0,0,9,9", "--roi",
            f"{prefix}roi.txt",
        )  # fmt: skip
        assert said.startswith(f"{target} is an input (roi.txt)")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_standard_output_and_devices_are_nobody_s_input(tmp_path: Path) -> None:
    check_target("-", False, ["-"])
    check_target("/dev/null", False, ["/dev/zero"])
    with pytest.raises(InputError, match="-f to overwrite"):
        check_target(__file__, False, ["x"])


def test_what_a_killed_run_has_left_is_told_and_removed(folder: Path) -> None:
    process = in_process_of_its_own(
        "encode", "in.y4m", "a.rq", env={"FAKE_SECONDS": "9"}, cwd=folder
    )
    while left_over(folder) == {"in.y4m"}:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (hidden,) = left_over(folder) - {"in.y4m"}
    told: list[str] = []
    clear_left_overs(str(folder / "a.rq"), False, told.append)
    assert len(told) == 1
    assert hidden in told[0]
    assert "-f" in told[0]
    encode = in_process_of_its_own(
        "encode", "in.y4m", "a.rq", cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    _, err = encode.communicate()
    assert encode.returncode == 0
    assert err.decode().startswith("roicodec: warning: a.rq: a run that was killed has left ")
    assert left_over(folder) == {"in.y4m", "a.rq", hidden}
    assert error_of(folder, "encode", "in.y4m", "a.rq", "-f", status=0) == ""
    assert left_over(folder) == {"in.y4m", "a.rq"}


def test_a_file_that_appears_meanwhile_is_kept(folder: Path) -> None:
    encode = in_process_of_its_own(
        "encode", "in.y4m", "a.rq", env={"FAKE_SECONDS": "0.2"}, cwd=folder,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    while left_over(folder) == {"in.y4m"}:
        time.sleep(0.05)
    (folder / "a.rq").write_text("precious")
    _, err = encode.communicate()
    assert encode.returncode == 1
    assert b"appeared meanwhile" in err
    assert (folder / "a.rq").read_text() == "precious"
    assert left_over(folder) == {"in.y4m", "a.rq", "a-1.rq"}
    error_of(folder, "info", "a-1.rq", status=0)


def test_names_of_255_bytes(folder: Path) -> None:
    for stream, back in (("n" * 252 + ".rq", "m" * 251 + ".y4m"), ("é" * 126 + ".rq", "b.y4m")):
        assert error_of(folder, "encode", "in.y4m", stream, status=0) == ""
        assert error_of(folder, "decode", stream, back, status=0) == ""
        assert (folder / back).stat().st_size == (folder / "in.y4m").stat().st_size
