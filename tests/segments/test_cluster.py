"""Segments on a cluster of two local processes; skipped where dask.distributed is not installed."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roicodec.errors import InputError
from roicodec.factory import NetworkFactory
from roicodec.segments import remote
from roicodec.segments.store import SegmentStore, finished_parts
from tests.fake_codec import FakeFactory
from tests.segments.clips import Heard, encoded, scene, write_clip

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers, which take three milliseconds a frame."""
    environment = {"FAKE_SECONDS": "0.003", "PYTHONPATH": str(Path(__file__).parents[2])}
    with (
        pytest.MonkeyPatch.context() as patch,
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, env=environment
        ) as made,
    ):
        patch.setenv("FAKE_SECONDS", "0.003")
        yield made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, five segments."""
    pictures = [*scene(0, 150, 32, 16), *scene(1, 170, 32, 16)]
    return write_clip(tmp_path_factory.mktemp("clip") / "a.mkv", pictures, sound=True)


class Killing(Heard):
    """Kills one of the workers once some segments are finished."""

    def __init__(self, address: str, after: int) -> None:
        super().__init__()
        self._address, self._after = address, after

    def frame(self, done: int) -> None:
        super().frame(done)
        if self._after and done >= self._after:
            self._after = 0
            with distributed.Client(self._address, set_as_default=False) as client:
                pids = list(client.run(os.getpid).values())
            os.kill(pids[0], signal.SIGKILL)


def test_a_cluster_makes_the_bytes_of_one_process_though_a_worker_dies(
    cluster: Any, source: Path
) -> None:
    expected = encoded(source)
    assert encoded(source, cluster=cluster.scheduler_address) == expected
    heard = Killing(cluster.scheduler_address, 64)
    assert encoded(source, cluster=cluster.scheduler_address, listener=heard) == expected
    assert heard.frames[-1] == 320


def test_errors_of_workers_are_those_of_one_process(cluster: Any, source: Path) -> None:
    with pytest.raises(InputError, match="neither auto"):
        encoded(source, cluster=cluster.scheduler_address, roi="nothing.png")


def test_workers_of_other_programs_get_no_work(
    cluster: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "__version__", "9.9")
    heard = Heard()
    with pytest.raises(InputError, match="has no worker that can be used"):
        encoded(source, cluster=cluster.scheduler_address, listener=heard)
    assert heard.warnings  # one of the two may still be on its way back from the test before
    assert all("gets no work: its version is " in line for line in heard.warnings)
    assert all(line.endswith("here it is 9.9") for line in heard.warnings)


def test_a_scheduler_that_is_lost_leaves_what_is_finished(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a.rq.parts"
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, processes=False
    ) as cluster:

        class Losing(Heard):
            def frame(self, done: int) -> None:
                if done >= 64 and not self.frames:
                    self.frames.append(done)
                    cluster.close()

        with (
            pytest.raises(InputError, match="the scheduler is lost; finished segments stay"),
            SegmentStore(folder) as store,
        ):
            encoded(source, store=store, cluster=cluster.scheduler_address, listener=Losing())
    assert finished_parts(folder)
    with SegmentStore(folder, resume=True) as store:
        assert encoded(source, store=store) == encoded(source)


def test_no_scheduler(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roicodec.segments.cluster._ANSWER", 0.5)
    with pytest.raises(InputError, match="no scheduler answers"):
        encoded(source, cluster="tcp://127.0.0.1:9")


def test_an_identity_names_program_and_networks() -> None:
    found = remote.identity(NetworkFactory)
    assert set(found) == {"version", "source code", "model"}
    assert found == remote.identity(NetworkFactory)
    assert found["model"] != remote.identity(FakeFactory)["model"]


def test_files_that_are_not_there_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = os.urandom(3 << 20)
    path = tmp_path / "there.mkv"
    path.write_bytes(data)
    crc = remote.check(str(path))
    assert remote.has(str(path), len(data), crc)
    assert not remote.has(str(path), len(data), crc ^ 1)
    path.unlink()
    assert not remote.has(str(path), len(data), crc)
    for at in range(0, len(data), 1 << 20):
        remote.receive(str(path), crc, at, data[at : at + (1 << 20)])
    assert remote.has(str(path), len(data), crc)
    (sent,) = tmp_path.iterdir()
    assert zlib.crc32(sent.read_bytes()) == zlib.crc32(data)
    remote.release()
    assert not list(tmp_path.iterdir())
