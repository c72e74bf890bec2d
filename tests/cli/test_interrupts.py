"""Signals at every moment: one line, the right exit status, no half output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.running import in_process, in_process_of_its_own, left_over, y4m

LINE = b"roicodec: error: interrupted; no output was written\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.y4m").write_bytes(y4m())
    return tmp_path


def wait_for_change(folder: Path, before: set[str]) -> None:
    for _ in range(1200):
        if left_over(folder) != before:
            return
        time.sleep(0.05)
    raise AssertionError("it has not begun to write")


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-C", "kill", "hang-up"],
)
@pytest.mark.parametrize("command", ["encode", "decode"])
def test_interrupted(folder: Path, command: str, number: signal.Signals, status: int) -> None:
    assert in_process_of_its_own("encode", "in.y4m", "a.rq", cwd=folder).wait() == 0
    before = left_over(folder)
    arguments = {"encode": ["in.y4m", "new.rq"], "decode": ["-", "new.y4m"]}[command]
    source, sink = os.pipe()  # a decoder whose input does not end
    process = in_process_of_its_own(
        command, *arguments, env={"FAKE_SECONDS": "5"}, stdin=source, stderr=subprocess.PIPE,
        cwd=folder,
    )  # fmt: skip
    os.write(sink, (folder / "a.rq").read_bytes()[:5000])
    wait_for_change(folder, before)
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate()
    os.close(source)
    os.close(sink)
    assert (process.returncode, err) == (status, LINE)
    assert left_over(folder) == before


@pytest.mark.parametrize("where", ["exec", "import"])
def test_interrupted_while_something_is_imported(folder: Path, where: str) -> None:
    process = in_process_of_its_own(
        "encode", "in.y4m", "new.rq", env={"FAKE_INTERRUPT": where}, stderr=subprocess.PIPE,
        cwd=folder,
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, LINE)
    assert left_over(folder) == {"in.y4m"}


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupted_where_no_exception_reaches(folder: Path, signals: int) -> None:
    """Inside a library; a second signal does not even wait."""
    process = in_process_of_its_own(
        "encode", "in.y4m", "new.rq", env={"FAKE_INTERRUPT": "wait"}, stderr=subprocess.PIPE,
        cwd=folder,
    )  # fmt: skip
    wait_for_change(folder, {"in.y4m"})
    time.sleep(0.5)
    for _ in range(signals):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, LINE)
    assert left_over(folder) == {"in.y4m"}


def test_interrupted_while_a_pipe_is_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    process = in_process_of_its_own("encode", "pipe", "new.rq", stderr=subprocess.PIPE, cwd=folder)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, LINE)


STARTING = """
import sys
from roicodec.cli import main
print("starting", flush=True)
main(["encode", "--help"])
"""


@pytest.mark.parametrize("delay", [0, 0.003, 0.01, 0.03, 0.1, 0.2])
def test_interrupted_in_the_first_moments(delay: float) -> None:
    process = in_process(
        [sys.executable, "-c", STARTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if not out:
        assert (process.returncode, err) in ((130, LINE), (130, b""))
    else:  # too late
        assert process.returncode in (0, 130, -signal.SIGINT)
        assert b"Traceback" not in err


def test_signals_that_are_ignored_stay_so(folder: Path) -> None:
    process = in_process_of_its_own(
        "encode", "in.y4m", "new.rq", env={"FAKE_SECONDS": "0.1"}, cwd=folder,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for_change(folder, {"in.y4m"})
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert left_over(folder) == {"in.y4m", "new.rq"}


def test_killed_at_any_moment() -> None:
    """The short form of ``python -m tests.kill_moments``, in a process that may fork."""
    process = in_process(
        [sys.executable, "-m", "tests.kill_moments", "--moments", "12"], stdout=subprocess.PIPE
    )
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    assert out.count(b": 12 runs, 0 half files, 0 wrong ends, ") == 6
