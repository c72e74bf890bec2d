"""Pictures that show the ROI."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.encoder.roi.overlay import HEADER, draw, overlay_size
from roicodec.picture import Picture


def gray(width: int, height: int, level: int = 200) -> Picture:
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 100, np.uint8)
    return Picture(np.full((height, width), level, np.uint8), chroma, chroma, 7, 3)


@pytest.mark.parametrize("size", [(64, 48), (37, 23)])
def test_sizes_are_even_and_agree(size: tuple[int, int]) -> None:
    width, height = size
    mask = np.zeros((-(-height // 16), -(-width // 16)), bool)
    for chances in (None, np.zeros(mask.shape)):
        shown = draw(gray(width, height), mask, chances, "text")
        assert (shown.width, shown.height) == overlay_size(
            width, height, with_map=chances is not None
        )
        assert shown.width % 2 == shown.height % 2 == 0
        assert shown.u.shape == shown.v.shape == (shown.height // 2, shown.width // 2)
        assert (shown.pts, shown.duration) == (7, 3)


def test_the_rest_is_dimmed_and_the_roi_outlined() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1:, 1:3] = True
    shown = draw(gray(64, 48), mask, None, "").y[HEADER:]
    assert (shown[16:18, 16:48] == 235).all()
    assert (shown[18:46, 18:46] == 200).all()
    assert (shown[:16] == 98).all()


def test_the_map_is_bright_where_it_is_high() -> None:
    chances = np.zeros((3, 4))
    chances[1, 2] = 1
    shown = draw(gray(64, 48), np.zeros((3, 4), bool), chances, "")
    right = shown.y[HEADER:, 64:]
    assert right[20:30, 34:46].min() > right[:16].max() + 50
    assert shown.v[HEADER // 2 :, 32:][10:14, 18:22].min() > 200


def test_the_text_is_there() -> None:
    mask = np.zeros((3, 16), bool)
    blank, text = (draw(gray(256, 48), mask, None, t).y[:HEADER] for t in ("", "ROI 12 %"))
    assert (blank == 16).all()
    assert (text > 200).sum() > 30
