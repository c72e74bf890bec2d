"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from roicodec.errors import InputError
from roicodec.output import OutputFile, discard_unfinished, finished, left_overs


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def write(target: Path, data: bytes = b"new", *, replace: bool = True) -> None:
    with OutputFile(str(target), replace=replace) as out:
        out.stream.write(data)


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.rq"
    with OutputFile(str(target)) as out:
        out.stream.write(b"whole")
        out.stream.flush()
        (hidden,) = names(tmp_path)
        assert hidden.startswith(".a.rq.")
    assert names(tmp_path) == ["a.rq"]
    assert target.read_bytes() == b"whole"
    assert str(target) in finished()


def test_nothing_stays_of_one_that_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.rq").write_bytes(b"old")
    with suppress(KeyboardInterrupt), OutputFile(str(tmp_path / "a.rq")) as out:
        out.stream.write(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a.rq"]
    assert (tmp_path / "a.rq").read_bytes() == b"old"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.rq"
    out = OutputFile(str(target), replace=False)
    out.stream.write(b"new")
    target.write_bytes(b"of another program")
    (tmp_path / "a-1.rq").write_bytes(b"too")
    with pytest.raises(InputError, match=r"appeared meanwhile .*; the result is .*a-2\.rq"):
        out.__exit__(None, None, None)
    assert names(tmp_path) == ["a-1.rq", "a-2.rq", "a.rq"]
    assert target.read_bytes() == b"of another program"
    assert (tmp_path / "a-2.rq").read_bytes() == b"new"


def test_replacing_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "a.rq"
    target.write_bytes(b"old")
    write(target)
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.rq"]


@pytest.mark.parametrize("name", ["n" * 255, "n" * 252 + ".rq", "動" * 85, "é" * 127, "a", ".x"])
def test_names_of_every_length(tmp_path: Path, name: str) -> None:
    for replace in (False, True):
        write(tmp_path / name, replace=replace)
        assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="File name too long"):
        write(tmp_path / ("n" * 256))
    assert not names(tmp_path)


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").write_bytes(b"old")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


KILLED = """
import os, signal, sys
from roicodec.output import OutputFile
for target in sys.argv[1:]:
    out = OutputFile(target)
    out.stream.write(b"half")
    out.stream.flush()
print("ready", flush=True)
os.read(0, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["a.rq", "n" * 255])
def test_what_a_killed_process_leaves_is_found(tmp_path: Path, name: str) -> None:
    target = str(tmp_path / name)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        assert not left_overs(target), "it is still being written"
        write(Path(target), b"two at a time")
        process.stdin.close()
        process.wait()
    (found,) = left_overs(target)
    assert found == (found[0], 4)
    assert found[0].parent == tmp_path
    assert not left_overs(str(tmp_path / "other"))
    assert not left_overs(str(tmp_path / (name + ".1")))
    assert sorted(names(tmp_path)) == sorted([name, found[0].name])


def test_a_process_that_ends_at_once_takes_its_files_along(tmp_path: Path) -> None:
    outs = [OutputFile(str(tmp_path / name)) for name in ("a", "b")]
    assert len(names(tmp_path)) == 2
    discard_unfinished()
    assert not names(tmp_path)
    for out in outs:
        out.__exit__(KeyboardInterrupt, None, None)
    assert not names(tmp_path)


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from roicodec.output import OutputFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "with OutputFile(sys.argv[1]) as out:\n"
        "    for _ in range(100): out.stream.write(bytes(10000))\n"
    )
    target = str(tmp_path / "big")
    done = subprocess.run([sys.executable, "-c", script, target], capture_output=True, text=True)
    assert f"InputError: {target}: cannot be written (File too large)" in done.stderr
    assert not names(tmp_path)


@pytest.mark.parametrize(
    ("target", "message"), [("no/a.rq", "the folder .* does not exist"), (".", "is a folder")]
)
def test_targets_that_cannot_be(
    tmp_path: Path, target: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        OutputFile(target)


def test_devices_are_written_in_place() -> None:
    write(Path("/dev/null"))
    with pytest.raises(InputError, match="/dev/full: cannot be written"):
        write(Path("/dev/full"))
