"""Pictures side by side at equal bytes: the source, x265 by default, roicodec in both tunings.

x265 codes a clip at one crf; roicodec at the quality index whose file is nearest in size, which is
written below each picture. The study writes a JPEG of a part of one frame::

    python -m studies.eyes CLIP --frame 16 --crop 64,40,160,120 --crf 36 --out eyes.jpg
"""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.decoder.model import Model, load_model
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.encoder.tune import TUNES
from roicodec.evaluate import anchors
from roicodec.evaluate.metrics import ms_ssim
from roicodec.media import Reader, VideoInfo
from roicodec.media.convert import picture_frame
from roicodec.picture import Picture

_SCALE = 2
_LINE = 22


@click.command(help=__doc__)
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.option("--frames", default=33, show_default=True)
@click.option("--frame", default=16, show_default=True, help="Number of the frame that is shown.")
@click.option("--crop", default="0,0,176,144", show_default=True, help="x,y,w,h in luma samples.")
@click.option("--crf", default=36, show_default=True, help="Of x265.")
@click.option("--effort", default=5, show_default=True)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def main(clip: str, frames: int, frame: int, crop: str, crf: int, effort: int, out: Path) -> None:
    with Reader(clip, slice(0, frames)) as reader:
        info, pictures = reader.info, list(islice(reader, frames))
    size, shown = _x265(pictures, info, crf)
    rows = [("source", pictures[frame], 0), (f"x265 medium, crf {crf}", shown[frame], size)]
    model = load_model()
    for tune in TUNES:
        found = _nearest(pictures, tune, effort, size, model)
        rows.append((f"roicodec --tune {tune} -q {found[2]}", found[1][frame], found[0]))
    x, y, w, h = map(int, crop.split(","))
    parts = []
    for name, picture, bytes_ in rows:
        ssim = ms_ssim(pictures[frame].y, picture.y)
        said = f"{bytes_} bytes, MS-SSIM {ssim:.4f}" if bytes_ else f"frame {frame}"
        click.echo(f"{name}: {said}")
        parts.append(_labelled(_rgb(picture, info)[y : y + h, x : x + w], name, said))
    two = [np.hstack(parts[:2]), np.hstack(parts[2:])]
    cv2.imwrite(str(out), np.vstack(two)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])


def _x265(pictures: list[Picture], info: VideoInfo, crf: int) -> tuple[int, list[Picture]]:
    anchor = anchors.by_name("x265_medium")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{anchor.suffix}")
        anchors.encode(anchor, crf, pictures, info, path)
        return path.stat().st_size, list(anchors.decode(path))


def _nearest(
    pictures: list[Picture], tune: str, effort: int, size: int, model: Model
) -> tuple[int, list[Picture], int]:
    """Bytes, pictures and quality index of the encode that is nearest to a size."""
    low, high, tried = 0, 63, {}
    while low <= high:
        quality = (low + high) // 2
        tried[quality] = _own(pictures, tune, effort, quality, model)
        if tried[quality][0] < size:
            low = quality + 1
        else:
            high = quality - 1
    best = min(tried, key=lambda q: abs(tried[q][0] - size))
    return *tried[best], best


def _own(
    pictures: list[Picture], tune: str, effort: int, quality: int, model: Model
) -> tuple[int, list[Picture]]:
    width, height = pictures[0].width, pictures[0].height
    options = EncoderOptions(quality=quality, gop=len(pictures), effort=effort, tune=tune)
    encoder = FrameEncoder(width, height, options, NoRoi(width, height), model)
    coded = [frame for p in [*pictures, None] for frame in encoder.encode(p)]
    size = sum(sum(f.chunk.sections.values()) + 28 for f in coded)
    return size, sorted((f.reconstruction for f in coded), key=lambda p: p.pts)


def _rgb(picture: Picture, info: VideoInfo) -> NDArray[np.uint8]:
    frame = picture_frame(picture)
    frame.colorspace, frame.color_range = info.color_matrix, info.color_range
    return np.asarray(frame.to_ndarray(format="rgb24"))


def _labelled(part: NDArray[np.uint8], name: str, said: str) -> NDArray[np.uint8]:
    big = part.repeat(_SCALE, 0).repeat(_SCALE, 1)
    out = np.full((big.shape[0] + 2 * _LINE, big.shape[1], 3), 255, np.uint8)
    out[: big.shape[0]] = big
    for line, text in enumerate((name, said)):
        at = 4, big.shape[0] + _LINE * (line + 1) - 6
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return out


if __name__ == "__main__":
    main()
