"""Programs of the tests run as on a CPU with fewer instructions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def run_on(
    isa: str | None, capability: str | None, module: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Result of a module of the tests in a process with limited libraries.

    The kernels that torch must report as its own, if a limit is given, are the last argument.

    Args:
        isa: limit of oneDNN, ``ONEDNN_MAX_CPU_ISA``; None for none.
        capability: limit of torch's kernels, ``ATEN_CPU_CAPABILITY``; None for none.
        module: name of a module with a main program.
        arguments: of the program.
    """
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    for key, value in (("ONEDNN_MAX_CPU_ISA", isa), ("ATEN_CPU_CAPABILITY", capability)):
        environment.pop(key, None)
        if value:
            environment[key] = value
    wanted = [capability.upper()] if capability else []
    return subprocess.run(
        [sys.executable, "-m", module, *arguments, *wanted],
        env=environment,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
