"""Fixtures of the training's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import tiny_model
from tests.train.small_training import FRAMES, SIDE, write_clip


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two clips."""
    folder = tmp_path_factory.mktemp("data")
    for n, speed in enumerate([(2.0, 0.5), (-1.25, 1.0)]):
        clip = tiny_model.pictures(SIDE, SIDE, FRAMES, seed=n, speed=speed)
        write_clip(folder / f"clip.{n}.mp4", clip)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")
