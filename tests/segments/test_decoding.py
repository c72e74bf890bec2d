"""Decoding by several processes: what one gives, damage and all."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest

from roicodec.transcode import DecodeReport, decode_stream
from tests.fake_codec import FakeFactory
from tests.segments.clips import Heard, encoded, scene, write_clip
from tests.segments.test_parallel import children


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A stream of seven GOPs."""
    return encoded(write_clip(tmp_path_factory.mktemp("clip") / "a.y4m", scene(0, 110)))


def decoded(
    data: bytes, target: Path, jobs: int, heard: Heard | None = None
) -> tuple[DecodeReport, list[str]]:
    heard = heard or Heard()
    report = decode_stream(
        io.BytesIO(data), str(target), jobs=jobs, listener=heard, factory=FakeFactory()
    )
    report.seconds = report.cpu_seconds = 0
    return report, heard.warnings


def test_pictures_are_those_of_one_process(data: bytes, tmp_path: Path) -> None:
    one = decoded(data, tmp_path / "1.y4m", 1)
    assert decoded(data, tmp_path / "2.y4m", 2) == one
    assert one[0].frames == 110
    assert (tmp_path / "2.y4m").read_bytes() == (tmp_path / "1.y4m").read_bytes()
    assert not children()


@pytest.mark.parametrize("place", [0.1, 0.2, 0.5, 0.97])
def test_a_damaged_stream_loses_the_same(data: bytes, tmp_path: Path, place: float) -> None:
    wrong = bytearray(data)
    at = int(place * len(data))
    wrong[at : at + 40] = bytes(40)
    one = decoded(bytes(wrong), tmp_path / "1.y4m", 1)
    assert decoded(bytes(wrong), tmp_path / "2.y4m", 2) == one
    assert one[0].damages
    assert (tmp_path / "2.y4m").read_bytes() == (tmp_path / "1.y4m").read_bytes()


def test_a_killed_worker_costs_time_alone(data: bytes, tmp_path: Path) -> None:
    class Killing(Heard):
        def frame(self, done: int) -> None:
            super().frame(done)
            if done in (5, 40):
                os.kill(children()[0], signal.SIGKILL)

    one = decoded(data, tmp_path / "1.y4m", 1)
    assert decoded(data, tmp_path / "2.y4m", 2, Killing()) == one
    assert (tmp_path / "2.y4m").read_bytes() == (tmp_path / "1.y4m").read_bytes()
