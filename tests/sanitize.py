"""Run tests and the fuzzer on a build of the native library with AddressSanitizer and UBSan.

    python -m tests.sanitize [--executions N] [--first N] [pytest arguments, else tests/kernels]

N mutants, from a number on, go through the listings and the decoder, which call native code.

Needs a C++ compiler with both (g++ or clang++ under Linux). The library is built in a temporary
folder; the interpreter is run with the sanitizer's runtime preloaded. Any report fails the run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from roicodec.kernels import native
from setup import checksum

ROOT = Path(__file__).resolve().parents[1]
_SHARES = {"info": 0.6, "decoder": 0.4}
"""Parts of the executions by target of the fuzzer."""
_FLAGS = (
    *("-std=c++17", "-O1", "-g", "-ffp-contract=off", "-fPIC", "-pthread", "-shared"),
    "-fno-omit-frame-pointer",
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
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=16",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def main() -> int:
    """Build, run pytest, then the fuzzer; exit status 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    chosen, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = build(Path(folder))
        commands = [["pytest", "-q", *(arguments or ["tests/kernels"])]]
        for target, share in _SHARES.items():
            count = round(share * chosen.executions)
            limits = ["--count", f"{count}", "--first", f"{chosen.first}", "--seconds", "1e6"]
            if count:
                commands.append(["tests.fuzz", "--target", target, *limits])
        done = [
            subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=False)
            for command in commands
        ]
    return int(any(process.returncode for process in done))


if __name__ == "__main__":
    sys.exit(main())
