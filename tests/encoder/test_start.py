"""What the encoder needs at its start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from roicodec.kernels import native
from tests.cli.running import y4m

_CODE = """
import atexit, os, sys
from roicodec.cli import main
atexit.register(lambda: "torch" in sys.modules and os._exit(3))
main()
"""


@pytest.mark.parametrize("effort", [1, 5])
def test_a_file_is_encoded_without_torch(tmp_path: Path, effort: int) -> None:
    if native.level() == "off":
        pytest.skip("no native kernels")
    source, stream = tmp_path / "in.y4m", tmp_path / "out.rq"
    source.write_bytes(y4m(4))
    options = ["--effort", str(effort), "--threads", "1"]
    command = [sys.executable, "-c", _CODE, "encode", str(source), str(stream), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert stream.stat().st_size > 0
