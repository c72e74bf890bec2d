"""Commands as processes of their own, with the time and memory that they really took."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from roicodec.errors import InputError

__all__ = ["Usage", "run", "stop_all"]

_LAUNCHER = Path(__file__).with_name("launch.py")
_SOURCES = Path(__file__).parents[2]
_leashes: set[int] = set()
"""Pipes that hold launchers: while one is open, its launcher lets the command run."""
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Usage:
    """Time and memory of a process, start-up included.

    Attributes:
        wall_s, cpu_s: seconds by the clock, and of all its threads together.
        peak_bytes: largest resident memory.
        loop_s, loop_cpu_s: the same of its coding loop alone, where it says so; else None.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    loop_s: float | None = None
    loop_cpu_s: float | None = None


def run(command: Sequence[str]) -> Usage:
    """Resources that a command used, run to its end; Python commands see this very package.

    If the last line of its standard output is a JSON object with ``seconds`` and
    ``cpu_seconds``, these are of its coding loop.

    Raises:
        InputError: with the last line of its standard error, if it cannot be started or fails.
    """
    with tempfile.TemporaryDirectory(prefix="roicodec-") as folder:
        report = Path(folder, "usage.json")
        launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(report), *command]
        paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
        status, out, err = _run(launch, {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
        used = json.loads(report.read_text()) if report.exists() else {"exit": status}
    if used["exit"] != 0:
        said = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        why = said[-1].strip() if said else f"exit status {used['exit']}, no message"
        raise InputError(f"{shlex.join(command)}: {why}")
    return Usage(used["wall_s"], used["cpu_s"], used["peak_bytes"], *_loop_seconds(out))


def stop_all() -> None:
    """End every process that :func:`run` has started in any thread, which then fails."""
    with _lock:
        for leash in _leashes:
            os.close(leash)
        _leashes.clear()


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Exit status, standard output and standard error of the launcher, which ends with us."""
    end, leash = os.pipe()
    with _lock:
        _leashes.add(leash)
    try:
        with subprocess.Popen(
            command,
            stdin=end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as process:
            try:
                out, err = process.communicate()
            finally:
                _release(leash)
        return process.returncode, out, err
    finally:
        os.close(end)
        _release(leash)


def _release(leash: int) -> None:
    with _lock:
        if leash in _leashes:
            os.close(leash)
            _leashes.remove(leash)


def _loop_seconds(output: bytes) -> tuple[float, float] | tuple[None, None]:
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        said = json.loads(lines[-1])
        return float(said["seconds"]), float(said["cpu_seconds"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None, None
