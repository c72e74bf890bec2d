"""Encodes and decodes that are killed at evenly spread moments: nothing half may stay.

``python -m tests.kill_moments [--moments 200] [--released]`` prints a line for each signal and
command, and exits with 1 if there was a half file, a traceback or a wrong exit status. The codec is
the stand-in of the tests, or with ``--released`` the networks.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cli.running import in_process, y4m

__all__ = ["Tally", "kill_at_moments"]

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Tally:
    """Outcomes of the runs of one command that were sent one signal.

    Attributes:
        command: ``encode`` or ``decode``.
        number: the signal.
        runs: number of runs.
        whole: runs that were complete before the signal.
        early: runs that the signal ended before the program handled it, by Python's rules.
        half: runs after which an incomplete file had the output's name.
        hidden: runs that left a hidden file.
        wrong: runs with a traceback, more than one line, or another exit status than the signal's.
    """

    command: str
    number: signal.Signals
    runs: int = 0
    whole: int = 0
    early: int = 0
    half: int = 0
    hidden: int = 0
    wrong: int = 0

    @property
    def failed(self) -> bool:
        """Whether something happened that must not."""
        return bool(self.half or self.wrong or (self.hidden and self.number != signal.SIGKILL))


def kill_at_moments(folder: Path, moments: int, codec: Sequence[str]) -> Iterator[Tally]:
    """Tallies of ``moments`` runs each, the moments spread over the length of an undisturbed run.

    Args:
        folder: an empty folder to work in.
        moments: number of runs.
        codec: command to which ``encode IN OUT`` and ``decode IN OUT`` are appended.
    """
    (folder / "in.y4m").write_bytes(y4m())
    commands = {"encode": ("in.y4m", "a.rq"), "decode": ("a.rq", "b.y4m")}
    for command, (source, target) in commands.items():
        call = [*codec, command, source, target, "--quiet", "--threads", "1"]
        start = time.monotonic()
        assert in_process(call, cwd=folder).wait() == 0
        seconds = time.monotonic() - start
        expected = (folder / target).read_bytes()
        call[call.index(target)] = f"new-{target}"
        for number in SIGNALS:
            tally = Tally(command, number)
            for moment in range(moments):
                process = in_process(call, cwd=folder, stderr=subprocess.PIPE)
                time.sleep(seconds * moment / moments)
                process.send_signal(number)
                _, err = process.communicate()
                _count(tally, process.returncode, err.decode(), folder / f"new-{target}", expected)
            yield tally


def _count(tally: Tally, status: int, err: str, target: Path, expected: bytes) -> None:
    tally.runs += 1
    whole = target.exists()
    tally.whole += whole
    tally.half += whole and target.read_bytes() != expected
    target.unlink(missing_ok=True)
    hidden = list(target.parent.glob(".*.part"))
    tally.hidden += bool(hidden)
    for path in hidden:
        path.unlink()
    number = tally.number
    early = status == -number or (status == 1 and "roicodec" not in err.splitlines()[-1:])
    early = early and not whole
    tally.early += early
    if number != signal.SIGKILL and not early:
        told = "interrupted; " in err if status else not err
        tally.wrong += status not in (0, 128 + number) or err.count("\n") > 1 or not told


def main() -> int:
    """Run as the module's text says; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--released", action="store_true")
    chosen = parser.parse_args()
    codec = [sys.executable, "-m", "roicodec" if chosen.released else "tests.fake_codec"]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for tally in kill_at_moments(Path(folder), chosen.moments, codec):
            failed |= tally.failed
            print(
                f"{tally.command} {tally.number.name}: {tally.runs} runs, {tally.half} half files,"
                f" {tally.wrong} wrong ends, {tally.hidden} hidden files left, {tally.whole} whole,"
                f" {tally.early} before the program began",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
