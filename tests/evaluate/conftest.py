"""Fixtures of the comparisons' tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from roicodec.evaluate.run import Encode, run_plan
from tests.evaluate.small_run import Log, own, plan_of, write_clip, write_masks, x264


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "moving.y4m", 1)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path)


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Encode], Path]:
    """Clips and encodes of a small comparison, and its folder."""
    folder = tmp_path_factory.mktemp("measured")
    clip, masks, out = write_clip(folder / "moving.y4m", 1), write_masks(folder), folder / "out"
    chosen = [own("ld", "masks", (7,)), *x264(roi=True)]
    plan = plan_of(clip, out, chosen, roi=str(masks), masks=str(masks))
    clips, encodes = run_plan(plan, Log())
    return clips, encodes, out
