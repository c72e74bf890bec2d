"""Loading the native library: levels, switches, refusals, and a first kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from roicodec.errors import InputError
from roicodec.kernels import native
from setup import checksum
from tests.sanitize import ROOT

_SHOW = "from roicodec.kernels import native as n; print(n.level(), '|', n.reason())"


def shown(**environment: str) -> str:
    """Level and reason in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_it_can_be_switched_off() -> None:
    assert shown(ROICODEC_NATIVE="off") == "off | switched off by ROICODEC_NATIVE"


def test_an_unknown_level_is_an_error() -> None:
    assert "ROICODEC_NATIVE=fast: must be one of plain, avx2" in shown(ROICODEC_NATIVE="fast")


def test_a_missing_library_says_so(tmp_path: Path) -> None:
    missing = shown(ROICODEC_NATIVE_LIBRARY=str(tmp_path / "none.so"), ROICODEC_NATIVE="plain")
    assert missing.startswith("off | not built")


def test_another_file_is_no_library(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.so"
    wrong.write_text("no library")
    found = shown(ROICODEC_NATIVE_LIBRARY=str(wrong), ROICODEC_NATIVE="plain")
    assert found.startswith("off | cannot be loaded")


def test_levels_are_forced(instructions: str) -> None:
    assert native.level() == instructions
    assert shown(ROICODEC_NATIVE=instructions).startswith(f"{instructions} |")


def test_torch_is_not_imported() -> None:
    code = f"import sys; {_SHOW}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_addresses_are_of_what_native_code_reads() -> None:
    array = np.zeros((4, 6), np.int16)
    assert native.address(array, np.int16) == array.ctypes.data
    with pytest.raises(TypeError, match="contiguous int16 array where contiguous int32"):
        native.address(array, np.int32)
    with pytest.raises(TypeError, match="strided"):
        native.address(array[:, ::2], np.int16)
    array.setflags(write=False)
    with pytest.raises(TypeError, match="read-only"):
        native.address(array, np.int16, writable=True)


def test_a_level_that_is_not_here_is_refused() -> None:
    with pytest.raises(InputError, match="no native kernels with neon"), native.forced("neon"):
        pass


@pytest.mark.slow
def test_what_other_processors_compile_is_exact(tmp_path: Path) -> None:
    if not shutil.which("g++"):
        pytest.skip("no compiler")
    sources = sorted(str(p) for p in (ROOT / "native").glob("*.cpp"))
    library = tmp_path / "plain.so"
    flags = ["-std=c++17", "-O1", "-fPIC", "-shared", "-DRQ_PLAIN_ONLY"]
    flags += ["-Werror", f'-DRQ_SOURCES="{checksum()}"']
    subprocess.run(["g++", *flags, *sources, "-o", str(library)], check=True)
    code = (
        "from roicodec.all_operations import all_operations;"
        "from roicodec.kernels.choose import choose_backend;"
        "print(choose_backend('native').reason);"
        "print({o.form for o in all_operations()})"
    )
    environment = {**os.environ, native.LIBRARY_ENVIRONMENT: str(library)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "asked for, exact on this CPU, plain instructions",
        "{'native'}",
    ], done.stderr


@pytest.mark.slow
def test_it_compiles_for_arm(tmp_path: Path) -> None:
    compiler = shutil.which("aarch64-linux-gnu-g++")
    if not compiler:
        pytest.skip("no cross compiler for aarch64")
    for source in sorted((ROOT / "native").glob("*.cpp")):
        flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-c", str(source)]
        made = subprocess.run(
            [compiler, *flags, "-o", str(tmp_path / "made.o")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert not made.returncode, made.stderr
