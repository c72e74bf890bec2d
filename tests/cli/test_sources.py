"""Where ``encode`` reads from: damaged files, pipes and addresses that fall silent, playlists."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 48, 32
PICTURE = WIDTH * HEIGHT * 3 // 2


def y4m(frames: int) -> bytes:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, PICTURE).astype(np.uint8).tobytes()
    header = b"YUV4MPEG2 W%d H%d F25:1 C420jpeg\n" % (WIDTH, HEIGHT)
    return header + frames * (b"FRAME\n" + pixels)


def start(folder: Path, *arguments: object, stdin: int | None = None) -> subprocess.Popen[str]:
    """``roicodec ARGUMENTS`` with the stand-in codec, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fake_codec", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=folder, stdin=stdin, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Exit status and lines of standard error."""
    try:
        _, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Traceback" not in err
    return process.returncode, err.splitlines()


def run(folder: Path, *arguments: object) -> tuple[int, list[str]]:
    return finish(start(folder, *arguments))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_cut_source_is_a_warning_and_with_strict_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.y4m").write_bytes(y4m(5)[:-9])
    line = "the file ends inside of a picture: it is cut off at frame 4, 0.12 s"
    status, err = run(tmp_path, "encode", "a.y4m", "a.rq", "--roi", "none")
    assert status == 0
    assert err == [f"roicodec: warning: {line}"]
    status, err = run(tmp_path, "encode", "a.y4m", "b.rq", "--roi", "none", "--strict")
    assert status == 1
    assert len(err) == 1
    assert err[0].startswith("roicodec: error: a.y4m: damaged at frame 4, 0.12 s: the file ends")
    assert names(tmp_path) == {"a.y4m", "a.rq"}


def test_audio_codec_is_for_containers(tmp_path: Path) -> None:
    (tmp_path / "a.y4m").write_bytes(y4m(2))
    assert run(tmp_path, "encode", "a.y4m", "a.rq", "--roi", "none") == (0, [])
    assert run(tmp_path, "decode", "a.rq", "a.mkv", "--audio-codec", "aac") == (0, [])
    status, err = run(tmp_path, "decode", "a.rq", "b.y4m", "--audio-codec", "aac")
    assert status == 1
    assert err[0].endswith("codecs and crf do not apply (--audio-codec)")


# --- what is not opened ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/a.mp4", "udp://@:9999", "nosuch://a/b"])
def test_addresses_are_opened_only_if_allowed(tmp_path: Path, name: str) -> None:
    status, err = run(tmp_path, "encode", name, "a.rq", "--roi", "none")
    assert status == 1
    assert len(err) == 1
    assert "is an address" in err[0]
    assert err[0].endswith("only files and pipes may be opened (--allow-network)")
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
    ],
)
def test_playlists_lead_nowhere(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret.y4m").write_bytes(y4m(3))
    (tmp_path / "a.m3u8").write_text(content.format("secret.y4m"))
    for name in ("a.m3u8", "a.mp4"):
        (tmp_path / name).write_text(content.format(tmp_path / "secret.y4m"))
        status, err = run(tmp_path, "encode", name, "a.rq", "--roi", "none")
        assert status == 1
        assert err[0].endswith("leads to other files or addresses (--allow-network)")
        status, err = run(tmp_path, "encode", "secret.y4m", "a.rq", "--roi", name)
        assert status == 1
        assert "cannot be read as a ROI mask" in err[0]
    assert not (tmp_path / "a.rq").exists()


def test_names_with_colons_are_files(tmp_path: Path) -> None:
    import cv2

    (tmp_path / "http:").mkdir()
    (tmp_path / "concat:b.y4m").write_bytes(y4m(2))
    (tmp_path / "http:" / "a.y4m").write_bytes(y4m(2))
    cv2.imwrite(str(tmp_path / "a.png"), np.full((HEIGHT, WIDTH), 255, np.uint8))
    (tmp_path / "a.png").rename(tmp_path / "a:b.png")
    for name in ("concat:b.y4m", "http://a.y4m"):
        assert run(tmp_path, "encode", name, "a.rq", "-f", "--roi", "a:b.png") == (0, [])


# --- silence ---------------------------------------------------------------------------------


SIGNALS = pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-C", "kill"]
)


def stop(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, list[str], float]:
    """Status and lines after a signal, and the seconds that it took."""
    time.sleep(0.5)
    assert process.poll() is None
    begin = time.monotonic()
    process.send_signal(number)
    status, err = finish(process)
    return status, err, time.monotonic() - begin


def waits(process: subprocess.Popen[str], folder: Path, before: set[str]) -> None:
    """Return once the process writes, that is, has begun to read."""
    for _ in range(600):
        if names(folder) != before or process.poll() is not None:
            return
        time.sleep(0.05)
    raise AssertionError("it has not begun to write")


@SIGNALS
def test_a_silent_pipe_can_be_left(tmp_path: Path, number: signal.Signals, status: int) -> None:
    source, sink = os.pipe()
    process = start(tmp_path, "encode", "-", "a.rq", "--roi", "none", stdin=source)
    os.close(source)
    os.write(sink, y4m(3)[:-5])
    waits(process, tmp_path, set())
    found, err, took = stop(process, number)
    os.close(sink)
    assert (found, err) == (status, ["roicodec: error: interrupted; no output was written"])
    assert took < 5
    assert names(tmp_path) == set()


@pytest.mark.parametrize("opened", [False, True])
@SIGNALS
def test_a_silent_fifo_can_be_left(
    tmp_path: Path, number: signal.Signals, status: int, opened: bool
) -> None:
    os.mkfifo(tmp_path / "a.y4m")
    process = start(tmp_path, "encode", "a.y4m", "a.rq", "--roi", "none")
    if opened:
        with (tmp_path / "a.y4m").open("wb") as sink:
            sink.write(y4m(2))
            sink.flush()
            waits(process, tmp_path, {"a.y4m"})
            found, err, took = stop(process, number)
    else:
        waits(process, tmp_path, {"a.y4m"})
        found, err, took = stop(process, number)
    assert (found, err) == (status, ["roicodec: error: interrupted; no output was written"])
    assert took < 5
    assert names(tmp_path) == {"a.y4m"}


@pytest.fixture
def stalled() -> Iterator[str]:
    """The address of a server that sends half of a video and then nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + y4m(20))
                held.append(client)

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/a.y4m"
    server.close()
    for client in held:
        client.close()


@SIGNALS
def test_a_silent_server_can_be_left(
    tmp_path: Path, stalled: str, number: signal.Signals, status: int
) -> None:
    process = start(tmp_path, "encode", stalled, "a.rq", "--roi", "none", "--allow-network")
    waits(process, tmp_path, set())
    found, err, took = stop(process, number)
    assert (found, err) == (status, ["roicodec: error: interrupted; no output was written"])
    assert took < 5
    assert names(tmp_path) == set()


def test_an_address_that_is_allowed_is_read(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                with client:
                    client.recv(4096)
                    body = y4m(4)
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                    client.sendall(head.encode() + body)

    threading.Thread(target=serve, daemon=True).start()
    address = f"http://127.0.0.1:{server.getsockname()[1]}/a.y4m"
    found = run(tmp_path, "encode", address, "a.rq", "--roi", "none", "--allow-network")
    server.close()
    assert found == (0, [])
    assert (tmp_path / "a.rq").stat().st_size > 1000
