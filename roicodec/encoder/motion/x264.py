"""Motion vectors found by libx264: encode, decode, read the vectors that the decoder exports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.sidedata.motionvectors import MotionVectors
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from numpy.typing import NDArray

from roicodec.bitstream.constants import BLOCK, PAD, VECTOR_LIMIT
from roicodec.errors import InputError
from roicodec.picture import Picture, Plane

__all__ = [
    "Motion",
    "X264Searcher",
    "filled",
    "pad_plane",
    "x264_vectors",
]

_MACROBLOCK = 16

_OPTIONS = {
    "bframes": "0",
    "ref": "1",
    "scenecut": "0",
    "weightp": "0",
    "keyint": "infinite",
    "partitions": "p8x8",
    "me": "umh",
    "merange": "24",
    "subme": "7",
    "trellis": "0",
    "psy": "0",
    "aq-mode": "0",
    "mbtree": "0",
    "ipratio": "1.0",
}


class Motion(NamedTuple):
    """The motion of one frame against the frame before.

    Attributes:
        vectors: int16 ``[Hp / 8, Wp / 8, 2]``, (dx, dy) in quarter luma samples.
        missing: bool ``[Hp / 8, Wp / 8]``, blocks that x264 coded without motion (intra); their
            vectors are those of the nearest block that has one.
    """

    vectors: NDArray[np.int16]
    missing: NDArray[np.bool_]


def near_qp(quality: float) -> float:
    """The H.264 QP, 12..44, whose quality is near that of an index 0..63."""
    return min(max(45 - 0.5 * quality, 12), 44)


def pad_plane(plane: Plane, multiple: int) -> Plane:
    """Plane ``[H, W]`` extended right and down to a multiple by repeating its last samples."""
    height, width = plane.shape
    return np.pad(plane, ((0, -height % multiple), (0, -width % multiple)), mode="edge")


class X264Searcher:
    """Streams frames through libx264 at a constant QP and gives each frame's vectors at once.

    Args:
        width, height: of the pictures, in luma samples; they are extended inside to a multiple
            of 32.
        qp: H.264 quantization parameter, 1..51; it sets the reference's quality and the price
            of a vector.

    Raises:
        InputError: if the linked FFmpeg has no libx264.
    """

    def __init__(self, width: int, height: int, *, qp: int) -> None:
        self._size = (height, width)
        self._coded = (height + -height % _MACROBLOCK, width + -width % _MACROBLOCK)
        self._blocks = ((height + -height % PAD) // BLOCK, (width + -width % PAD) // BLOCK)
        self._count = 0
        self.luma: Plane = np.zeros(self._size, np.uint8)
        """x264's reconstruction of the last frame, ``[H, W]``."""
        parameters = _OPTIONS | {"qp": str(qp)}
        try:
            self._encoder = VideoCodecContext.create("libx264", "w")
        except av.error.FFmpegError as error:
            raise InputError(
                "motion search needs FFmpeg with libx264: install the PyAV wheel from PyPI"
            ) from error
        self._encoder.width, self._encoder.height = self._coded[1], self._coded[0]
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.time_base = Fraction(1, 25)
        self._encoder.thread_count = 1
        self._encoder.options = {
            "preset": "medium",
            "tune": "zerolatency",
            "x264-params": ":".join(f"{k}={v}" for k, v in parameters.items()),
            "forced-idr": "1",
        }
        self._decoder = VideoCodecContext.create("h264", "r")
        self._decoder.thread_count = 1
        self._decoder.options = {"flags2": "+export_mvs", "flags": "+low_delay"}

    def push(self, picture: Picture, *, key: bool = False) -> Motion | None:
        """Motion of the next frame against the frame before; None for a key frame.

        Args:
            picture: the frame, of the size given at construction.
            key: start anew here: nothing before this frame is referred to. Implied for the first.

        Raises:
            InputError: if the size differs.
        """
        decoded = self._decode(picture, key=key)
        luma = np.frombuffer(bytes(decoded.planes[0]), np.uint8)
        height, width = self._size
        self.luma = luma.reshape(-1, decoded.planes[0].line_size)[:height, :width]
        if decoded.pict_type == PictureType.I:
            return None
        return self._motion(decoded)

    def _decode(self, picture: Picture, *, key: bool) -> av.VideoFrame:
        if (picture.height, picture.width) != self._size:
            raise InputError(
                f"motion search: frame {self._count} is {picture.width}x{picture.height}, "
                f"the first was {self._size[1]}x{self._size[0]}; all frames must be of one size"
            )
        key = key or self._count == 0
        multiples = (_MACROBLOCK, _MACROBLOCK // 2, _MACROBLOCK // 2)
        planes = [
            pad_plane(p, multiple) for p, multiple in zip(picture.planes, multiples, strict=True)
        ]
        frame = av.VideoFrame.from_ndarray(
            np.concatenate([plane.ravel() for plane in planes]).reshape(-1, self._coded[1]),
            format="yuv420p",
        )
        frame.pts = self._count
        frame.time_base = Fraction(1, 25)
        frame.pict_type = PictureType.I if key else PictureType.P
        self._count += 1
        packets = self._encoder.encode(frame)
        decoded = [f for packet in packets for f in self._decoder.decode(packet)]
        if len(decoded) != 1:
            raise InputError(f"motion search: libx264 gave {len(decoded)} frames for one")
        return decoded[0]

    def _motion(self, frame: av.VideoFrame) -> Motion:
        rows, columns = self._coded[0] // BLOCK, self._coded[1] // BLOCK
        vectors = np.zeros((rows, columns, 2), np.int16)
        missing = np.ones((rows, columns), np.bool_)
        data = frame.side_data.get("MOTION_VECTORS")
        if isinstance(data, MotionVectors):
            found = data.to_ndarray()
            width, height = found["w"].astype(int), found["h"].astype(int)
            left = (found["dst_x"] - width // 2) // BLOCK
            top = (found["dst_y"] - height // 2) // BLOCK
            vector = np.stack([found["motion_x"], found["motion_y"]], 1)
            vector = np.clip(vector, -VECTOR_LIMIT, VECTOR_LIMIT).astype(np.int16)
            for y in range(2):
                for x in range(2):
                    covered = (width > x * BLOCK) & (height > y * BLOCK)
                    at = top[covered] + y, left[covered] + x
                    vectors[at] = vector[covered]
                    missing[at] = False
        extension = ((0, self._blocks[0] - rows), (0, self._blocks[1] - columns))
        return Motion(
            np.pad(filled(vectors, missing), (*extension, (0, 0)), mode="edge"),
            np.pad(missing, extension, mode="edge"),
        )


def filled(vectors: NDArray[np.int16], missing: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Vectors in which missing blocks have that of the nearest block with one."""
    if not missing.any() or missing.all():
        return vectors
    _, label = cv2.distanceTransformWithLabels(
        missing.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros((int(label.max()) + 1, 2), np.int16)
    by_label[label[~missing]] = vectors[~missing]
    filled: NDArray[np.int16] = by_label[label]
    return filled


def x264_vectors(pictures: Iterable[Picture], *, qp: int) -> Iterator[Motion | None]:
    """The motion of each picture against the one before; None for the first.

    Streams: each result comes as soon as its picture went in. Arguments as for
    :class:`X264Searcher`.
    """
    searcher: X264Searcher | None = None
    for picture in pictures:
        if searcher is None:
            searcher = X264Searcher(picture.width, picture.height, qp=qp)
        yield searcher.push(picture)
