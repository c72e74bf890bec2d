"""Encodes that are killed at random moments and resumed: none may differ from an undisturbed one.

``python -m tests.resume_moments [--runs 100] [--jobs 1] [--released]`` kills each encode up to
three times, resumes it, prints what was found, and exits with 1 if a stream differs or a folder of
segments stays. The codec is the stand-in of the tests, or with ``--released`` the networks.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import roicodec.segments.sequential
import roicodec.transcode  # noqa: F401
from roicodec.cli.commands import all_commands
from roicodec.factory import NetworkFactory
from tests.fake_codec import FakeFactory
from tests.kill_moments import fork, wait_for
from tests.segments.clips import GOP, scene, write_clip

__all__ = ["run"]

_KILLS = 3
_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def run() -> int:
    """Run as the module's text says; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--released", action="store_true")
    chosen = parser.parse_args()
    factory = NetworkFactory() if chosen.released else FakeFactory()
    frames, size = (140, (16, 16)) if chosen.released else (400, (48, 32))
    all_commands()
    rng = random.Random(0)
    different = left = kills = resumed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip(folder / "in.y4m", scene(0, frames, *size))
        command = ["encode", "in.y4m", "--gop", str(GOP), "--roi", "none", "--quiet"]
        command += ["--effort", "1", "--threads", "1", "--jobs", str(chosen.jobs)]
        begun = time.monotonic()
        assert wait_for(fork(folder, [*command, "whole.rq"], factory)) == 0
        seconds = time.monotonic() - begun
        whole, target = (folder / "whole.rq").read_bytes(), folder / "a.rq"
        for _ in range(chosen.runs):
            for _ in range(rng.randint(1, _KILLS)):
                process = fork(folder, [*command, "--resume", "a.rq"], factory)
                time.sleep(rng.uniform(0, seconds))
                os.kill(process, rng.choice(_SIGNALS))
                wait_for(process)
                if target.exists():
                    break
                kills += 1
            resumed += bool(list(folder.glob("a.rq.parts/*-*-*.rq")))
            if not target.exists():
                wait_for(fork(folder, [*command, "--resume", "a.rq"], factory))
                left += (folder / "a.rq.parts").exists()
            different += not target.exists() or target.read_bytes() != whole
            # One killed between the stream's appearance and its own end leaves them.
            shutil.rmtree(folder / "a.rq.parts", ignore_errors=True)
            target.unlink(missing_ok=True)
    print(
        f"{chosen.runs} runs, {kills} times killed, {resumed} with finished segments to go on from:"
        f" {different} streams differ, {left} folders stay"
    )
    return int(bool(different or left))


if __name__ == "__main__":
    sys.exit(run())
