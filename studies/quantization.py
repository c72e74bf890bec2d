"""BD-BR of the networks at each bit-width against float32.

    OMP_NUM_THREADS=1 python -m studies.quantization [CLIP…] [--frames 16] [--bits 16,8,4,2]
        [--float FOLDER]

Every clip is encoded at four qualities without ROI, by the networks in float32 (weights of 16 bits,
depthwise ones of 8; only latents are rounded; benchmarks/float_backend.py) and at each bit-width.
FOLDER holds the weights of the float networks if they differ from the released ones, such as those
from before quantization-aware training. BD-BR on PSNR (6Y + U + V) / 8 and the bytes of the frame
chunks. The default clips are those of the development package.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from statistics import mean

import torch

from benchmarks.float_backend import FloatBackend
from examples.clips import CLIPS, find_clip
from roicodec.bitstream.header import Header
from roicodec.decoder.model import Model, load_model
from roicodec.decoder.weights import load_arrays
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.evaluate.bd import compare
from roicodec.media import Reader
from roicodec.picture import Picture
from roicodec.psnr import psnr

QUALITIES = (22, 34, 46, 58)

Curve = tuple[list[float], list[float]]


def point(pictures: list[Picture], quality: int, bits: int, model: Model) -> tuple[float, float]:
    """Bytes of a clip and its mean PSNR (6Y + U + V) / 8 in dB."""
    size = pictures[0].width, pictures[0].height
    options = EncoderOptions(quality=quality, candidates=(bits,), structure="low-delay")
    encoder = FrameEncoder(*size, options, NoRoi(*size), model)
    header = Header(*size, gop=options.gop, **encoder.header_fields)
    coded = [c for p in pictures for c in encoder.encode(p)]
    total = sum(len(c.chunk.pack(header, n)) for n, c in enumerate(coded))
    pairs = zip(pictures, coded, strict=True)
    return total, mean(psnr(p, c.reconstruction)[3] for p, c in pairs)


def curve(pictures: list[Picture], bits: int, model: Model) -> Curve:
    """Bytes and PSNR at every quality."""
    points = [point(pictures, q, bits, model) for q in QUALITIES]
    return [rate for rate, _ in points], [quality for _, quality in points]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--bits", default="16,8,4,2")
    parser.add_argument("--float", type=Path, dest="before", help="weights of the float networks")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    widths = [int(b) for b in asked.bits.split(",")]
    exact, plain = load_model(), Model(load_arrays(asked.before), FloatBackend())
    found: dict[int, list[float]] = {bits: [] for bits in widths}
    print(f"{'BD-BR against float32, %':28}", *(f"{b:3d} bits" for b in widths))
    for clip in asked.clips or [find_clip(name) for name in CLIPS]:
        with Reader(str(clip), slice(0, asked.frames)) as reader:
            pictures = list(reader)
        anchor = curve(pictures, 16, plain)
        for bits in widths:
            found[bits].append(compare(*anchor, *curve(pictures, bits, exact)).percent)
        print(f"{clip.stem[:28]:28}", *(f"{found[b][-1]:8.2f}" for b in widths), flush=True)
    print(f"{'mean':28}", *(f"{mean(found[b]):8.2f}" for b in widths))


if __name__ == "__main__":
    main()
