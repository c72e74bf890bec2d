"""What is printed, wherever it goes: closed streams, poor encodings, hostile names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import in_process, in_process_of_its_own, left_over, y4m

Make = Callable[..., bytes]
EVIL = "x\x1b[2J\x9b31m\nroicodec: error: all is well\r\u202e"


def shell(line: str, folder: Path, **env: str) -> tuple[int, bytes, bytes]:
    """Status, output and error of a line of shell in which ``roicodec`` is this package's."""
    line = line.replace("roicodec", f'"{sys.executable}" -m roicodec')
    process = in_process(
        ["sh", "-c", line], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def folder(tmp_path: Path, stream: Make) -> Path:
    (tmp_path / "a.rq").write_bytes(stream(frames=3, others=False))
    return tmp_path


@pytest.mark.parametrize(
    ("line", "status", "err"),
    [
        ("roicodec info a.rq >&-", 1, b"roicodec: error: standard output: Bad file descriptor\n"),
        ("roicodec info a.rq >/dev/full", 1, b"roicodec: error: standard output: No space left on"
         b" device\n"),
        ("roicodec info a.rq <&- 2>&-", 0, b""),
        ("roicodec info none.rq 2>&-", 1, b""),
        ("roicodec info none.rq 2>/dev/full", 1, b""),
        ("roicodec info none.rq <&- >&- 2>&-", 1, b""),
        ("roicodec info - <&-", 1, b"roicodec: error: -: cut after 0 bytes, inside its first"
         b" fields\n"),
        ("roicodec info a.rq | true", 0, b""),
    ],
)  # fmt: skip
def test_closed_and_full_streams(folder: Path, line: str, status: int, err: bytes) -> None:
    found = shell(line, folder)
    assert (found[0], found[2]) == (status, err)


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_files_do_not_take_the_place_of_closed_streams(folder: Path, closed: str) -> None:
    """What is printed must not go into the output."""
    (folder / "in.y4m").write_bytes(y4m())
    line = f'"{sys.executable}" -m tests.fake_codec encode in.y4m b.rq {closed}'
    assert in_process(["sh", "-c", line], cwd=folder).wait() == 0
    status, out, _ = shell("roicodec info b.rq", folder)
    assert status == 0
    assert b"frames      12 (" in out


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "POSIX"},
    ],
    ids=["ascii", "utf-8", "C", "POSIX"],
)
def test_names_of_every_kind_in_every_encoding(folder: Path, env: dict[str, str]) -> None:
    for name in (EVIL.encode(), b"caf\xe9", "動画 é".encode()):
        process = in_process(
            [sys.executable, "-m", "roicodec", "info", os.fsdecode(name)],
            cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = process.communicate()
        assert (process.returncode, out) == (1, b"")
        assert err.count(b"\n") == 1
        assert err.endswith(b": cannot be read (No such file or directory)\n")
        assert not any(c < 32 or c == 127 for c in err[:-1])


def test_texts_of_a_stream_are_escaped(folder: Path, stream: Make) -> None:
    (folder / "evil.rq").write_bytes(stream(frames=1, others=False, encoder=EVIL))
    for command in ("info", "info --frames", "info --csv", "info --json"):
        status, out, err = shell(f"roicodec {command} evil.rq", folder)
        assert (status, err) == (0, b"")
        assert b"\x1b" not in out
        assert "\u202e".encode() not in out
        assert b"\nroicodec: error" not in out
        assert out.isascii()


@pytest.mark.parametrize("shown", [False, True])
def test_an_unforeseen_error_is_one_line(folder: Path, shown: bool) -> None:
    (folder / "in.y4m").write_bytes(y4m())
    before = left_over(folder)
    process = in_process_of_its_own(
        "encode", "in.y4m", "b.rq", cwd=folder, stderr=subprocess.PIPE,
        env={"FAKE_BUG": "1", "ROICODEC_TRACEBACK": "1" if shown else ""},
    )  # fmt: skip
    _, err = process.communicate()
    assert process.returncode == 1
    first, *more = err.decode().splitlines()
    assert first.startswith(
        r"roicodec: error: unforeseen ZeroDivisionError: of some\nkind (fake_codec.py, line "
    )
    assert bool(more) == shown
    assert ("Traceback" in err.decode()) == shown
    assert left_over(folder) == before


@pytest.mark.parametrize("megabytes", [40, 60, 80, 120, 160, 240, 400])
@pytest.mark.parametrize("command", ["roicodec info a.rq", "PYTHON -m tests.fake_codec decode "
                                     "a.rq b.mkv"])  # fmt: skip
def test_little_memory_is_one_line(folder: Path, command: str, megabytes: int) -> None:
    command = command.replace("PYTHON", f'"{sys.executable}"')
    before = left_over(folder)
    status, _, err = shell(f"ulimit -v {megabytes * 1024}; {command}", folder)
    if b"Fatal Python error" in err or b"init_" in err:
        pytest.skip("too little for Python itself")
    assert status in (0, 1), err
    assert err.count(b"\n") <= 1
    assert b"Traceback" not in err
    assert left_over(folder) == before
