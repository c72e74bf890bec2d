"""Memory that the process keeps."""

from __future__ import annotations

import subprocess
import sys

import pytest

from roicodec.kernels import memory

_ROUNDS = """
import resource, sys
import numpy as np
from roicodec.kernels.memory import keep_freed

if sys.argv[1] == "keep":
    keep_freed()
for number in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.full(20 << 20, number, np.uint8) for _ in range(4)]
    del arrays
    after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(after - before)
"""


def _faults_of_last_round(how: str) -> int:
    command = [sys.executable, "-c", _ROUNDS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_arrays_are_made_in_memory_that_was_freed() -> None:
    if not memory.keep_freed():
        pytest.skip("not the GNU C library")
    # 80 MiB are 20480 pages, or 160 of 512 KiB where the kernel gives larger ones.
    assert 8 * _faults_of_last_round("keep") < _faults_of_last_round("leave")


def test_without_such_a_setting_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not memory.keep_freed()
