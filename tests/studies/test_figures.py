"""Pictures of the README: bits by block, and curves from the page of results."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.given import roi_source
from roicodec.media import VideoInfo, Writer
from studies.figures import IMAGES, bits_by_cell, draw_curve, draw_first, own_points
from tests import tiny_model

PAGE = """
| clip | codec | -q | bit/pixel | ROI-weighted PSNR-Y |
| --- | --- | ---: | ---: | ---: |
| a | roicodec_ld | 22 | 0.0893 | 27.09 |
| a | roicodec_ld+roi | 34 | 0.2 | 31.5 |
| b | roicodec_ld | 22 | 1 | 2 |
"""
POINTS = """clip,codec,q,frames,width,height,bytes,psnr_y,wpsnr_y@0.8
{}"""
OTHERS = ("x264_medium_ld", "x265_medium_ld", "svtav1_p4_ld", "x265_medium_ld_tuned")


def test_bits_are_those_of_the_frame() -> None:
    width, height = 80, 48
    options = EncoderOptions(quality=30, effort=1, structure="low-delay")
    roi = roi_source("none", width, height)
    encoder = FrameEncoder(width, height, options, roi, tiny_model.model())
    for picture in tiny_model.pictures(width, height, 2):
        (coded,) = encoder.encode(picture)
        bits = bits_by_cell(encoder, coded)
        assert bits.shape == (8, 12)
        size = 8 * len(coded.chunk.latents)
        assert 0 <= bits.sum() < size  # the hyper-latents are the rest
        assert bits.sum() > 0.4 * size - 400


def test_curves(tmp_path: Path) -> None:
    page, points, out = (tmp_path / name for name in ("results.md", "points.csv", "curve.svg"))
    page.write_text(PAGE)
    assert own_points(page, "a") == {
        "roicodec_ld": [(0.0893, 27.09)], "roicodec_ld+roi": [(0.2, 31.5)]
    }  # fmt: skip
    codecs = [f"{name}{roi}" for name in OTHERS for roi in ("", "+roi6")]
    points.write_text(POINTS.format("".join(f"a,{c},30,8,96,64,900,30,31\n" for c in codecs)))
    draw_curve(page, points, "a", out)
    assert "x265 tuned for PSNR, ROI" in out.read_text()


def test_the_first_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studies.figures.load_model", tiny_model.model)
    clip, out = tmp_path / "clip.mkv", tmp_path / "first.jpg"
    with Writer(clip, VideoInfo(96, 64, Fraction(1, 25), Fraction(25))) as writer:
        for picture in tiny_model.pictures(96, 64, 3):
            writer.write(picture)
    draw_first(clip, out, frames=2)
    image = cv2.imread(str(out))
    assert image is not None
    assert image.shape[1] == 1300
    assert np.ptp(image) > 200


def test_pictures_are_small() -> None:
    for name in ("first.jpg", "curve.svg"):
        assert (IMAGES / name).stat().st_size < 150_000
