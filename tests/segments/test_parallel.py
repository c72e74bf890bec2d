"""Segments by several processes: the same bytes, whoever dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from roicodec.encoder.options import EncoderOptions
from roicodec.errors import InputError
from roicodec.picture import Picture
from roicodec.segments.executors import LocalExecutor
from roicodec.segments.planner import planned
from roicodec.segments.store import SegmentStore, finished_parts
from roicodec.segments.task import EncodedSegment
from roicodec.segments.work import Work
from tests.cli.running import in_process_of_its_own
from tests.fake_codec import FakeFactory
from tests.segments.clips import GOP, Heard, encoded, scene, write_clip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes with sound, four segments."""
    pictures = [*scene(0, 100), *scene(1, 130)]
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mkv", pictures, sound=True)


def test_two_processes_make_the_bytes_of_one(source: Path) -> None:
    heard = Heard()
    assert encoded(source, jobs=2, listener=heard) == encoded(source)
    assert heard.frames[-1] == 230
    assert heard.frames == sorted(heard.frames)


@pytest.mark.parametrize(
    "options",
    [EncoderOptions(gop=GOP, bit_rate=1e5), EncoderOptions(gop=GOP, psnr=40)],
    ids=["bit rate", "psnr"],
)
def test_budgets_are_the_same_for_all(tmp_path: Path, options: EncoderOptions) -> None:
    path = write_clip(tmp_path / "a.y4m", [*scene(0, 300, 32, 16), *scene(1, 300, 32, 16)])
    assert encoded(path, options=options, jobs=2) == encoded(path, options=options)


def test_a_part_is_shared_as_the_whole_is(source: Path) -> None:
    part = slice(20, 180)
    assert encoded(source, jobs=2, frames=part) == encoded(source, frames=part)


class Killing(Heard):
    """Kills workers at some numbers of frames."""

    def __init__(self, *at: int) -> None:
        super().__init__()
        self._at = list(at)

    def frame(self, done: int) -> None:
        super().frame(done)
        while self._at and done >= self._at[0]:
            self._at.pop(0)
            os.kill(children()[0], signal.SIGKILL)


def children() -> list[int]:
    """Process numbers of this process's workers; tests of clusters leave other children."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    numbers = [int(number) for number in path.read_text().split()]
    return [n for n in numbers if b"\0worker\0" in Path(f"/proc/{n}/cmdline").read_bytes()]


def test_a_killed_worker_costs_its_segment_alone(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encoded(source)
    monkeypatch.setenv("FAKE_SECONDS", "0.003")
    assert encoded(source, jobs=2, listener=Killing(10, 120)) == expected
    assert not children()


def test_workers_that_always_die_end_the_run(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_INTERRUPT", "die")
    with pytest.raises(InputError, match=r"frames .*: .* died 3 times, .*SIGKILL"):
        encoded(source, jobs=2)
    assert not children()


def test_errors_of_a_worker_are_those_of_one_process(source: Path, tmp_path: Path) -> None:
    masks = np.zeros((100, 32, 48), np.uint8)
    np.save(tmp_path / "masks.npy", masks)
    with pytest.raises(InputError) as alone:
        encoded(source, roi=str(tmp_path / "masks.npy"))
    with pytest.raises(InputError) as shared:
        encoded(source, roi=str(tmp_path / "masks.npy"), jobs=2)
    # Two segments fail, and either may be the first.
    frames = re.compile(r"frame \d+")
    assert frames.sub("", str(shared.value)) == frames.sub("", str(alone.value))


def test_what_cannot_be_shared_is_told(source: Path, tmp_path: Path) -> None:
    def roi(picture: Picture) -> np.ndarray:
        return picture.y > 100

    with pytest.raises(InputError, match="cannot be sent"):
        encoded(source, roi=roi, jobs=2)
    command = ["encode", "-", tmp_path / "a.rq", "--roi", "none"]
    for option, name in (["--jobs", 2], "--jobs"), (["--resume"], "resumed"):
        with source.open("rb") as file:
            process = in_process_of_its_own(*command, *option, stdin=file, stderr=subprocess.PIPE)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"can be read only once" in err
        assert name.encode() in err


def first_result(executor: LocalExecutor) -> EncodedSegment:
    while True:
        if found := executor.results(None):
            return found[0]


def test_a_source_that_changes_is_noticed(source: Path, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.y4m", scene(0, 70))
    work = Work(str(path), {}, EncoderOptions(gop=GOP), "none")
    with work.open() as reader:
        work = work.filled(reader)
    segments = planned(work, work.rules())
    write_clip(path, scene(1, 70))
    executor = LocalExecutor(work, FakeFactory(), 0, jobs=1)
    try:
        executor.submit(segments[0])
        with pytest.raises(InputError, match="must not change while it is encoded"):
            first_result(executor)
    finally:
        executor.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_ends_all_workers_and_leaves_what_is_finished(
    source: Path, tmp_path: Path, number: int
) -> None:
    target, folder = tmp_path / "a.rq", tmp_path / "a.rq.parts"
    command = ["encode", source, target, "--gop", GOP, "--roi", "0,0,16,16"]
    process = in_process_of_its_own(
        *command, "--jobs", 2, env={"FAKE_SECONDS": "0.01"}, stderr=subprocess.PIPE
    )
    while not finished_parts(folder):
        time.sleep(0.01)
        assert process.poll() is None
    workers = [
        int(n) for n in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]
    assert len(workers) == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert b"interrupted; no output was written; " in err.splitlines()[-1]
        assert b"finished segments stay in" in err.splitlines()[-1]
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.05)
        assert time.monotonic() < deadline
    assert not target.exists()
    again = in_process_of_its_own(*command, stderr=subprocess.PIPE)
    _, err = again.communicate(timeout=60)
    assert again.returncode == 1
    assert b"give --resume to go on from them, or -f to start anew" in err
    resumed = in_process_of_its_own(*command, "--resume", "--jobs", 2)
    assert resumed.wait(60) == 0
    assert target.read_bytes() == encoded(source)
    assert not folder.exists()


def test_one_process_goes_on_from_what_two_have_left(source: Path, tmp_path: Path) -> None:
    class Ending(Heard):
        def frame(self, done: int) -> None:
            if done > 170:
                raise KeyboardInterrupt

    folder = tmp_path / "a.rq.parts"
    with pytest.raises(KeyboardInterrupt), SegmentStore(folder) as store:
        encoded(source, store=store, jobs=2, listener=Ending())
    assert finished_parts(folder)
    with SegmentStore(folder, resume=True) as store:
        assert encoded(source, store=store) == encoded(source)
