"""Progress: the numbers are there on every terminal, and of the right kind at every speed."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios
from pathlib import Path

import pytest

from roicodec.cli.progress import ProgressListener, progress_line, rate_text, size_text
from roicodec.encoder.options import EncoderOptions
from roicodec.transcode import Listener, encode_video
from tests.cli.running import in_process_of_its_own, y4m
from tests.fake_codec import FakeFactory


@pytest.mark.parametrize(
    ("frames", "seconds", "text"),
    [
        (250, 10, "25.0 fps"), (10, 10, "1.0 fps"), (9, 10, "1.1 s/frame"),
        (1, 300, "300.0 s/frame"),
        (0, 5, "0.0 fps"), (5, 0, "5000000000.0 fps"),
    ],
)  # fmt: skip
def test_slow_speeds_are_seconds_per_frame(frames: int, seconds: float, text: str) -> None:
    assert rate_text(frames, seconds) == text


@pytest.mark.parametrize("done", [1, 499, 5000])
@pytest.mark.parametrize("seconds", [0.3, 70, 40000])
@pytest.mark.parametrize("width", [29, 39, 79, 200])
def test_every_width_has_the_numbers(done: int, seconds: float, width: int) -> None:
    line = progress_line("encode", done, 5000, seconds, width)
    assert len(line) <= width
    assert f"{done}/5000" in line
    assert rate_text(done, seconds) in line
    if width >= 39:
        assert re.search(r"\d:\d\d( left)?$", line)
    if width >= 79:
        assert "encode [" in line
        assert line.endswith(" left")


@pytest.mark.parametrize(("done", "total"), [(7, None), (7, 5), (7, 0)])
def test_an_unknown_total_is_not_shown(done: int, total: int | None) -> None:
    assert progress_line("decode", done, total, 2, 0) == "decode: 7 frames, 3.5 fps"
    assert progress_line("decode", done, total, 2, 20) == "7 frames 3.5 fps"


@pytest.mark.parametrize(
    ("size", "done", "total", "text"),
    [
        (0, 9, 90, ""), (900, 9, None, "900 bytes"), (900, 9, 10, "0.9 of 1.0 kB"),
        (3_000_000, 100, 400, "3.0 of 12.0 MB"), (3_000_000, 7, 400, "3.0 MB"),
        (20_000, 10, 1_000_000, "0.0 of 2.0 GB"), (400, 8, 16, "400 of 800 bytes"),
        (5000, 20, 10, "5.0 kB"),
    ],
)  # fmt: skip
def test_size_so_far_and_expected(size: int, done: int, total: int | None, text: str) -> None:
    assert size_text(size, done, total) == text


@pytest.mark.parametrize("width", [29, 60, 61, 200])
def test_the_size_gives_way_on_a_narrow_terminal(width: int) -> None:
    line = progress_line("encode", 100, 400, 50, width, 3_000_000)
    assert len(line) <= width
    assert "100/400" in line
    assert ("3.0 of 12.0 MB" in line) == (width >= 61)
    assert progress_line("encode", 9, None, 5, 0, 700) == "encode: 9 frames, 1.8 fps, 700 bytes"
    assert progress_line("encode", 100, 400, 50, 0, 3_000_000) == (
        "encode: 100/400 frames, 2.0 fps, 3.0 of 12.0 MB, 2:30 left"
    )


def test_an_encode_tells_its_size(tmp_path: Path) -> None:
    """The listener gets the bytes that are in the file when the last frame is."""
    sizes: list[int] = []

    class Sizes(Listener):
        def size(self, size: int) -> None:
            sizes.append(size)

    (tmp_path / "in.y4m").write_bytes(y4m(5))
    out = io.BytesIO()
    report = encode_video(
        str(tmp_path / "in.y4m"), out, EncoderOptions(), "none",
        listener=Sizes(), factory=FakeFactory(),
    )  # fmt: skip
    assert sizes == sorted(sizes)
    assert len(sizes) == 5
    assert report.video_bytes < sizes[-1] < report.bytes == len(out.getvalue())


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressListener("encode", quiet=False, line_every=0) as listener:
        listener.start(3)
        listener.frame(1)
        listener.warn("odd \x1b[m")
        listener.frame(2)
    first, warning, second = capsys.readouterr().err.splitlines()
    assert first.startswith("encode: 1/3 frames, ")
    assert second.endswith(" left")
    assert warning == r"roicodec: warning: odd \x1b[m"
    assert listener.warnings == ["odd \x1b[m"]


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressListener("encode", quiet=True, line_every=0) as listener:
        listener.start(3)
        listener.frame(1)
        listener.warn("odd")
    assert capsys.readouterr().err == ""
    assert listener.warnings == ["odd"]


def on_terminal(folder: Path, columns: int) -> str:
    """What an encode shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = in_process_of_its_own(
        "encode", "in.y4m", "a.rq", "-f", cwd=folder, stdout=theirs, stderr=theirs,
        env={"FAKE_SECONDS": "0.12", "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


@pytest.mark.parametrize("columns", [30, 40, 80])
def test_a_terminal_s_line_is_renewed_and_goes_away(tmp_path: Path, columns: int) -> None:
    (tmp_path / "in.y4m").write_bytes(y4m())
    *renewed, rest = on_terminal(tmp_path, columns).split("\r\x1b[K")
    lines = [line for line in renewed if line]
    assert len(lines) > 3
    assert all(len(line) < columns for line in lines)
    assert all(re.search(r"\b\d+/12\b.* (fps|s/frame)", line) for line in lines)
    assert ("[" in lines[0]) == (columns == 80)
    assert rest.startswith("a.rq: 12 frames, ")
