"""Completion in shells: commands, options, choices, names of files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def complete(run: Run, monkeypatch: pytest.MonkeyPatch) -> object:
    """``complete("encode", "--eff")``: what bash is offered for the last word."""

    def call(*words: str) -> list[str]:
        monkeypatch.setenv("_ROICODEC_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["roicodec", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        return run().out.splitlines()

    return call


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("en",), ["plain,encode"]),
        (("info", "--js"), ["plain,--json"]),
        (("decode", "--backend", "one"), ["plain,onednn"]),
        *(
            ((name, "ta"), ["file,ta"])
            for name in ("encode", "decode", "info", "roi", "play", "thumbnail")
        ),
        (("eval", "ta"), ["file,ta"]),
        (("encode", "a.mp4", "b"), ["file,b"]),
        (("roi", "--out", "b"), ["file,b"]),
    ],
)
def test_what_is_offered(complete: object, words: tuple[str, ...], offered: list[str]) -> None:
    assert callable(complete)
    assert complete(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_s_script(run: Run, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_ROICODEC_COMPLETE", f"{shell}_source")
    done = run()
    assert "_ROICODEC_COMPLETE" in done.out
    assert not done.err


def test_in_bash_itself(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    tool = tmp_path / "roicodec"
    tool.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m roicodec "$@"\n')
    tool.chmod(0o755)
    script = """
        PATH="$PWD:$PATH"; eval "$(_ROICODEC_COMPLETE=bash_source roicodec)"
        COMP_WORDS=(roicodec thum); COMP_CWORD=1; _roicodec_completion roicodec
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["thumbnail"]
