"""``python -m tests.make_golden``: the golden streams anew, after new weights or a new format.

One for each coding structure, of a clip that has all that a frame can have: a size that is odd, a
ROI that moves, parts that stand still, parts that come into view, a cut. ``carphone.rq`` stays as
it is: proof that format version 6 is read. ``map.rq`` has quality maps.
"""

from __future__ import annotations

import io
from itertools import islice
from pathlib import Path

import numpy as np

from examples.clips import find_clip
from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.reader import StreamReader
from roicodec.encoder.gop import PYRAMIDS
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.tune import TREE
from roicodec.media import Reader
from roicodec.picture import Picture
from roicodec.push_pull import Encoder

__all__ = ["FOLDER", "LOST", "MAP", "STREAMS"]

FOLDER = Path(__file__).parent / "golden"

STREAMS = {name: f"{name if name == 'low-delay' else f'pyramid-{name}'}.rq" for name in PYRAMIDS}
"""File of each coding structure."""

LOST = "lost.rq"
"""File of the pyramid of 8, of which the fifth frame is damaged: nobody refers to it."""

MAP = "map.rq"
"""File of pyramids of 4 whose frames have quality maps."""

_WIDTH, _HEIGHT = 87, 71
_SCENES = {"low-delay": (4, 2), "4": (7, 2), "8": (12, 2), "16": (18, 2)}
"""Frames of both scenes: whole pyramids, and what is left before a cut."""


def clip(first: int, second: int) -> list[Picture]:
    """A face, then a street; half-way through the first scene a window opens into a negative."""
    face = [_cut(p, 44, 30) for p in _pictures("carphone", first)]
    street = [_cut(p, 288, 176) for p in _pictures("bikes", second)]
    inside = [255 - plane[::-1] for plane in _cut(face[0], 0, 0).planes]
    for number, picture in enumerate(face):
        for plane, still in zip(picture.planes, face[0].planes, strict=True):
            plane[: len(plane) // 4] = still[: len(plane) // 4]
        if number >= first // 2:
            for plane, other, side in zip(picture.planes, inside, (36, 18, 18), strict=True):
                plane[-side:, -side:] = other[-side:, -side:]
    return [Picture(*p.planes, pts=n + n % 2, duration=1) for n, p in enumerate(face + street)]


def stream(structure: str, tune: str = "psnr", tree: float = 0.0) -> bytes:
    """The golden stream of a coding structure, with quality maps by tuning and tree."""
    pictures = clip(*_SCENES[structure])
    options = EncoderOptions(
        quality=38, candidates=(0, 4, 8), gop=24, structure=structure, frames=len(pictures),
        tune=tune, tree=tree,
    )  # fmt: skip
    encoder = Encoder(_WIDTH, _HEIGHT, options, roi=_roi)
    return b"".join(b"".join(encoder.encode(p)) for p in [*pictures, None])


def _pictures(name: str, count: int) -> list[Picture]:
    with Reader(str(find_clip(name)), slice(0, count)) as reader:
        return list(islice(reader, count))


def _cut(picture: Picture, left: int, top: int) -> Picture:
    width, height = (_WIDTH + 1) // 2, (_HEIGHT + 1) // 2
    y = picture.y[top : top + _HEIGHT, left : left + _WIDTH].copy()
    u, v = (
        p[top // 2 : top // 2 + height, left // 2 : left // 2 + width].copy()
        for p in (picture.u, picture.v)
    )
    return Picture(y, u, v)


def _roi(picture: Picture) -> Mask:
    mask = np.zeros((_HEIGHT, _WIDTH), bool)
    left = 16 + 2 * picture.pts
    mask[20:60, left : left + 32] = True
    return mask


def _damaged(data: bytes, number: int) -> bytes:
    """A stream of which the latents of a frame are overwritten."""
    frames = [i for i in StreamReader(io.BytesIO(data)) if isinstance(i, Chunk) and i.frame]
    [lost] = [i for i in frames if i.number == number]
    end = lost.offset + lost.size - 8
    return data[: end - 8] + b"overwrit" + data[end:]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for structure, name in STREAMS.items():
        data = stream(structure)
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes")
    (FOLDER / MAP).write_bytes(stream("4", "ssim", TREE))
    (FOLDER / LOST).write_bytes(_damaged((FOLDER / STREAMS["8"]).read_bytes(), 4))


if __name__ == "__main__":
    main()
