"""Commands as processes of their own: what they used, and that none outlives the one who asked."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from roicodec.errors import InputError
from roicodec.evaluate.process import run, stop_all
from tests.cli.running import in_process, in_process_of_its_own, y4m

PYTHON = sys.executable
FAMILY = """
import os, subprocess, sys, time
open("pid", "w").write(str(os.getpid()))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("pid2", "w").write(str(child.pid))
{more}
time.sleep(600)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
ASKER = "import sys; from roicodec.evaluate.process import run; run(sys.argv[1:])"


def is_running(process: int) -> bool:
    """Whether a process is there, and is not merely waited for."""
    try:
        text = Path("/proc", str(process), "stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


def pids(folder: Path, count: int) -> list[int]:
    """Numbers of the processes of :data:`FAMILY`, once they are there."""
    for _ in range(1200):
        found = [path.read_text() for path in folder.glob("pid*")]
        if len(found) == count and all(found):
            return [int(number) for number in found]
        time.sleep(0.05)
    raise AssertionError("the command has not started")


def ended(processes: list[int], seconds: float) -> bool:
    """Whether all processes end within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(map(is_running, processes)):
            return True
        time.sleep(0.05)
    return False


def test_what_a_command_used(tmp_path: Path) -> None:
    used = run([PYTHON, "-c", "import sys, time; assert not sys.stdin.read(); time.sleep(0.3)"])
    assert 0.3 <= used.wall_s < 30
    assert used.cpu_s > 0
    assert used.peak_bytes > 1 << 20
    with pytest.raises(InputError, match="ValueError: of some kind"):
        run([PYTHON, "-c", "raise ValueError('of some kind')"])
    with pytest.raises(InputError, match="no-such-program"):
        run([str(tmp_path / "no-such-program")])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("more", ["", DEAF], ids=["obedient", "deaf"])
def test_no_command_outlives_the_one_who_asked(
    tmp_path: Path, number: signal.Signals, more: str
) -> None:
    asker = in_process(
        [PYTHON, "-c", ASKER, PYTHON, "-c", FAMILY.format(more=more)],
        cwd=tmp_path, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    family = pids(tmp_path, 2)
    asker.send_signal(number)
    asker.wait(timeout=30)
    assert ended(family, 10), "a command outlives the one who asked for it"


def test_what_a_command_leaves_behind_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FAMILY.format(more="sys.exit()")
    monkeypatch.chdir(tmp_path)
    run([PYTHON, "-c", family])
    assert ended(pids(tmp_path, 2), 10)


def test_all_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed = []

    def ask() -> None:
        with pytest.raises(InputError):
            run([PYTHON, "-c", FAMILY.format(more="")])
        failed.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    family = pids(tmp_path, 2)
    stop_all()
    thread.join(timeout=30)
    assert failed
    assert not any(map(is_running, family))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_comparison_that_is_interrupted_leaves_no_process(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    (tmp_path / "clip.y4m").write_bytes(y4m())
    process = in_process_of_its_own(
        "eval", "clip.y4m", "--qualities", "3", "--few", "--against", "x264", "--out", "out",
        env={"FAKE_SECONDS": "30"}, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    encodes: list[int] = []
    for _ in range(1200):
        encodes = [p for p in descendants(process.pid) if b"encode" in words(p)]
        if encodes and any((tmp_path / "out" / "streams").glob("*/*/.*.part")):
            break
        time.sleep(0.05)
    assert encodes
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.splitlines()[-1].startswith(b"roicodec: error: interrupted; ")
    assert ended(encodes, 5)
    assert not any((tmp_path / "out" / "streams").glob("*/*/.*.part"))


def words(process: int) -> list[bytes]:
    """Arguments of a process."""
    try:
        return Path("/proc", str(process), "cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return []


def descendants(process: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    found = []
    for path in Path("/proc", str(process), "task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *descendants(child)]
    return found
