"""Encodes and decodes that are killed at evenly spread moments: nothing half may stay.

``python -m tests.kill_moments [--moments 200] [--released]`` prints a line for each signal and
command, and exits with 1 if there was a half file, a traceback or a wrong exit status. The codec is
the stand-in of the tests, or with ``--released`` the networks.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import roicodec.encoder.roi.given
import roicodec.transcode  # noqa: F401
from roicodec.cli import main
from roicodec.cli.commands import all_commands
from roicodec.factory import CodecFactory, NetworkFactory
from tests.cli.running import y4m
from tests.fake_codec import FakeFactory

__all__ = ["Tally", "fork", "kill_at_moments", "wait_for"]

_ERRORS = "errors.txt"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Tally:
    """Outcomes of the runs of one command that were sent one signal.

    Attributes:
        command: ``encode`` or ``decode``.
        number: the signal.
        runs: number of runs.
        whole: runs that were complete before the signal.
        early: runs that the signal ended before the command line handled it; with SIGKILL all that
            it ended.
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


def kill_at_moments(folder: Path, moments: int, factory: CodecFactory) -> Iterator[Tally]:
    """Tallies of ``moments`` runs each, the moments spread over the length of an undisturbed run.

    The runs are forks of this process, which has imported everything: what they spend is the time
    of the command itself. Interruptions of imports are tested elsewhere.

    Args:
        folder: an empty folder to work in.
        moments: number of runs.
        factory: makes encoders and decoders.
    """
    all_commands()
    (folder / "in.y4m").write_bytes(y4m())
    commands = {"encode": ("in.y4m", "a.rq"), "decode": ("a.rq", "b.y4m")}
    for command, (source, target) in commands.items():
        options = ["--quiet", "--threads", "1", *(["--roi", "none"] if command == "encode" else [])]
        start = time.monotonic()
        assert wait_for(fork(folder, [command, source, target, *options], factory)) == 0
        seconds = time.monotonic() - start
        expected = (folder / target).read_bytes()
        final = folder / f"new-{target}"
        for number in SIGNALS:
            tally = Tally(command, number)
            for moment in range(moments):
                process = fork(folder, [command, source, final.name, *options], factory)
                time.sleep(seconds * moment / moments)
                os.kill(process, number)
                status = wait_for(process)
                err = (folder / _ERRORS).read_text()
                _count(tally, status, err, final, expected)
            yield tally


def fork(folder: Path, arguments: list[str], factory: CodecFactory) -> int:
    """The process that runs a command in ``folder``, its standard error in a file there."""
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    process = os.fork()
    if process:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return process
    status = 1
    try:
        os.chdir(folder)
        os.dup2(os.open(_ERRORS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        main(arguments, factory)
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(process: int) -> int:
    """Exit status of a process of :func:`fork`, negative for a signal's."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


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
    early = status == -number
    tally.early += early
    if number != signal.SIGKILL and not early:
        told = "interrupted; " in err if status else not err
        if status not in (0, 128 + number) or err.count("\n") > 1 or not told:
            tally.wrong += 1
            print(f"{tally.command} {number.name}: exit status {status}, {err!r}")


def run() -> int:
    """Run as the module's text says; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--released", action="store_true")
    chosen = parser.parse_args()
    factory = NetworkFactory() if chosen.released else FakeFactory()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for tally in kill_at_moments(Path(folder), chosen.moments, factory):
            failed |= tally.failed
            print(
                f"{tally.command} {tally.number.name}: {tally.runs} runs, {tally.half} half files,"
                f" {tally.wrong} wrong ends, {tally.hidden} hidden files left, {tally.whole} whole,"
                f" {tally.early} before the program began",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(run())
