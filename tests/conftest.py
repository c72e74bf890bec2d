"""What several test modules share: small streams made on the spot."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import settings

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.writer import StreamWriter
from roicodec.cli import main
from tests.cli.command_line import Outcome, Run
from tests.fake_codec import FakeFactory

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What runs in the background of a script ignores signals, and so would the processes of tests.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

settings.register_profile("roicodec", deadline=None, derandomize=True)
settings.load_profile("roicodec")


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """What the command line does with signals ends with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def make_header(**changes: object) -> Header:
    fields: dict[str, object] = {
        "width": 33,
        "height": 18,
        "model_id": bytes(range(16)),
        "arithmetic_id": 1,
        "candidates": (Candidate(4, -3), Candidate(8), Candidate(16, 2)),
        "gop": 4,
        "time_base": Fraction(1, 1000),
        "frame_rate": Fraction(30000, 1001),
        "encoder": "test 1",
    }
    return Header(**{**fields, **changes})  # type: ignore[arg-type]


def make_frame(number: int, gop: int = 4, **changes: object) -> FrameChunk:
    intra = number % gop == 0
    fields: dict[str, object] = {
        "b_roi": 8,
        "b_bg": 4,
        "kind": INTRA if intra else INTER,
        "quality": 30 + number % 3,
        "pts": round(number * 1001 / 30),
        "duration": 33,
        "filters": (number % 256, 3),
        "mask": b"",
        "motion": b"" if intra else bytes([number % 256]) * 8,
        "latents": bytes((number + k) % 256 for k in range(12)),
        "crc32": 0xDEADBEEF ^ number,
    }
    return FrameChunk(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def stream() -> Callable[..., bytes]:
    """``stream(frames=10, gop=4, others=True, **header)``: bytes of a stream with track and packets
    that hold nothing of sense, or without them."""

    def make(frames: int = 10, gop: int = 4, *, others: bool = True, **changes: object) -> bytes:
        out = io.BytesIO()
        with StreamWriter(out, make_header(gop=gop, **changes)) as writer:
            if others:
                writer.write_track(b"a track")
            for n in range(frames):
                writer.write_frame(make_frame(n, gop))
                if others:
                    writer.write_packet(b"packet %d" % n)
        return out.getvalue()

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """``run(*arguments)``: the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, wrong: Collection[int] = ()) -> Outcome:
        capsys.readouterr()
        factory = FakeFactory(wrong)
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments], factory)
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Outcome(end.value.code, out, err, factory.made)

    return call
