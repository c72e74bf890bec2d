"""Commands as processes of their own, with the time and memory that they really took."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roicodec.errors import InputError

__all__ = ["Usage", "run"]

_LAUNCHER = Path(__file__).with_name("launch.py")
_SOURCES = Path(__file__).parents[2]


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
        done = subprocess.run(
            launch,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        used = json.loads(report.read_text()) if report.exists() else {"exit": done.returncode}
    if used["exit"] != 0:
        said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        why = said[-1].strip() if said else f"exit status {used['exit']}, no message"
        raise InputError(f"{shlex.join(command)}: {why}")
    return Usage(used["wall_s"], used["cpu_s"], used["peak_bytes"], *_loop_seconds(done.stdout))


def _loop_seconds(output: bytes) -> tuple[float, float] | tuple[None, None]:
    lines = output.decode(errors="replace").strip().splitlines()
    try:
        said = json.loads(lines[-1])
        return float(said["seconds"]), float(said["cpu_seconds"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None, None
