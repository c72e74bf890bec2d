"""Run tests on a build of the native library with AddressSanitizer and UBSan.

    python -m tests.sanitize [pytest arguments, else tests/kernels]

Needs a C++ compiler with both (g++ or clang++ under Linux). The library is built in a temporary
folder; the interpreter is run with the sanitizer's runtime preloaded. Any report fails the run.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from roicodec.kernels import native
from setup import checksum

ROOT = Path(__file__).resolve().parents[1]
_FLAGS = (
    *("-std=c++17", "-O1", "-g", "-fPIC", "-shared", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


def build(folder: Path) -> dict[str, str]:
    """Build the library in a folder; the environment that a program needs to run with it.

    Raises:
        subprocess.CalledProcessError: if the compiler fails.
    """
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    target = folder / "native.so"
    sources = sorted(str(p) for p in (ROOT / "native").glob("*.cpp"))
    named = f'-DRQ_SOURCES="{checksum()}"'
    subprocess.run([*compiler, *_FLAGS, named, *sources, "-o", str(target)], check=True)
    runtime = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    return {
        **os.environ,
        native.LIBRARY_ENVIRONMENT: str(target),
        "LD_PRELOAD": runtime.stdout.strip(),
        # The interpreter itself leaves allocations behind.
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def main() -> int:
    """Build, then run pytest; its exit status."""
    arguments = sys.argv[1:] or ["tests/kernels"]
    with tempfile.TemporaryDirectory() as folder:
        environment = build(Path(folder))
        command = [sys.executable, "-m", "pytest", "-q", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
