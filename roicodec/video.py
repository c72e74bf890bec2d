"""Decoded video of a stream: in order, by number, by time."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.chunks import Chunk, Damage
from roicodec.bitstream.constants import FRAME_TYPES, INTRA, MAX_AREA, MAX_FRAMES
from roicodec.bitstream.reader import StreamReader
from roicodec.errors import InputError, ReferenceLost, RoicodecError, StreamError
from roicodec.picture import Picture, Plane
from roicodec.read_ahead import ReadAhead

if TYPE_CHECKING:
    from roicodec.bitstream.header import Header
    from roicodec.bitstream.index import IndexEntry
    from roicodec.decoder.decoder import DecodedFrame, FrameDecoder

__all__ = ["DecodedPicture", "FrameType", "Video"]

_ROUNDING = Fraction(1, 1 << 50)
"""Relative error of a time as a float."""
FrameType = Literal["intra", "inter", "bidirectional"]


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPicture:
    """A decoded picture and what its stream says of it.

    Attributes:
        y: luma, uint8 ``[H, W]``.
        u, v: chroma, uint8 ``[(H + 1) // 2, (W + 1) // 2]``.
        number: of the frame in the stream, from 0.
        pts, duration: in units of ``time_base``; duration 0 when unknown.
        time_base: seconds per unit.
        kind: frame type, ``"intra"``, ``"inter"`` or ``"bidirectional"``.
        quality: quality index, 0..63.
        b_roi, b_bg: bit-widths of the ROI and of the rest.
        mask: ROI, bool ``[ceil(H/16), ceil(W/16)]``.
        color_matrix: code point of ITU-T H.273; 2 when unknown.
        color_range: 0 unknown, 1 limited, 2 full.
    """

    y: Plane
    u: Plane
    v: Plane
    number: int
    pts: int
    duration: int
    time_base: Fraction
    kind: FrameType
    quality: int
    b_roi: int
    b_bg: int
    mask: NDArray[np.bool_]
    color_matrix: int
    color_range: int

    @classmethod
    def of(cls, decoded: DecodedFrame, header: Header) -> Self:
        """The picture of a decoded frame of a stream with this header."""
        picture, setting = decoded.picture, decoded.setting
        return cls(
            *picture.planes,
            decoded.number,
            picture.pts,
            picture.duration,
            header.time_base,
            FRAME_TYPES[setting.kind],
            setting.quality,
            setting.b_roi,
            setting.b_bg,
            setting.mask,
            header.color_matrix,
            header.color_range,
        )

    @property
    def time(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    @property
    def picture(self) -> Picture:
        """The planes alone, as an encoder takes them."""
        return Picture(self.y, self.u, self.v, self.pts, self.duration)

    def to_rgb(self) -> NDArray[np.uint8]:
        """Red, green and blue, uint8 ``[H, W, 3]``, by the stream's colour description
        (:func:`roicodec.media.rgb.rgb_from_picture`)."""
        from roicodec.media.rgb import rgb_from_picture

        return rgb_from_picture(self.picture, self.color_matrix, self.color_range)


class Video:
    """The pictures of a ``.rq`` stream, as a context manager, an iterable and a sequence.

    ``for picture in video`` decodes from the first frame (after :meth:`seek`, from there);
    ``video[n]`` and ``video[a:b]`` find their GOP by the stream's index. Networks are loaded with
    the first picture.

    Args:
        source: path of a stream, or a binary file object, which is not closed.
        errors: ``"raise"`` ends at the first damage; ``"skip"`` gives every picture that can be
            decoded, and keeps what was wrong in ``damages``.
        backend: of the networks, as :func:`roicodec.kernels.choose.choose_backend` takes it.
        max_pixels, max_frames: limits for streams from strangers: largest picture in luma samples,
            which refuses the stream, and number of frames, beyond which any is a damage.

    Attributes:
        header: size, timing, colour and candidates of the stream.
        damages: messages of what was wrong so far.

    Raises:
        InputError: if the file cannot be opened.
        StreamError: if it is no stream, its header is damaged, or its pictures are too large.
    """

    def __init__(
        self,
        source: str | PathLike[str] | BinaryIO,
        *,
        errors: Literal["raise", "skip"] = "raise",
        backend: str | None = None,
        max_pixels: int = MAX_AREA,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        self._path: str | None = None
        self._owned: BinaryIO | None = None
        file: BinaryIO
        if isinstance(source, str | PathLike):
            self._path = fspath(source)
            try:
                file = self._owned = open(self._path, "rb")  # noqa: SIM115 - closed in close()
            except OSError as error:
                raise InputError(
                    f"{self._path}: cannot be opened ({error.strerror})", parameter="source"
                ).at(self._path) from error
        else:
            file = source
        self._skip, self._backend = errors == "skip", backend
        self._decoder: FrameDecoder | None = None
        self.damages: list[str] = []
        try:
            self._reader = StreamReader(file, max_pixels=max_pixels, max_frames=max_frames)
        except RoicodecError as error:
            self.close()
            raise error.at(self._path)  # noqa: B904 - the same error
        self.header: Header = self._reader.header
        self._items = self._read_ahead()
        self._entries: list[IndexEntry] | None = None
        self._next = 0
        """Number of the frame that iterating gives next."""
        self._ready: deque[DecodedPicture] = deque()

    # --- description ------------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Luma samples in a row."""
        return self.header.width

    @property
    def height(self) -> int:
        """Rows of luma samples."""
        return self.header.height

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of ``pts``."""
        return self.header.time_base

    @property
    def frame_rate(self) -> Fraction | None:
        """Nominal frames per second; None when unknown."""
        return self.header.frame_rate or None

    def __len__(self) -> int:
        """Number of frames, by the index at the stream's end.

        Raises:
            StreamError: if the index is missing, as in a stream that was cut or comes from a pipe.
        """
        count = self._reader.frame_count()
        if count is None:
            raise StreamError("the stream's index cannot be read; its length is unknown").at(
                self._path
            )
        return count

    def intra_frames(self) -> list[tuple[int, float]]:
        """Number and time of every intra frame, seconds from the first frame on: where a decoder
        can begin.

        Raises:
            StreamError: if the stream cannot be sought or has no index.
        """
        entries = self._index()
        return [(e.number, float((e.pts - entries[0].pts) * self.time_base)) for e in entries]

    # --- reading ----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[DecodedPicture]:
        while (picture := self.read()) is not None:
            yield picture

    def read(self) -> DecodedPicture | None:
        """The next picture; None at the end of the stream.

        Raises:
            StreamError: at a damage, where errors are raised; with ``frame`` and ``offset``.
            ModelError: if the stream's networks are not there.
        """
        while not self._ready and (item := next(self._items, None)) is not None:
            chunk = item.chunk
            if isinstance(chunk, Damage):
                self._damaged(StreamError(chunk.message).at(offset=chunk.offset))
            elif chunk is not None and item.error is not None:
                self._not_decoded(chunk, item.error)
            self._ready.extend(DecodedPicture.of(frame, self.header) for frame in item.frames)
        if self._ready:
            picture = self._ready.popleft()
            self._next = picture.number + 1
            return picture
        if self._reader.truncated:
            self._damaged(StreamError("the stream ends before its trailer"))
        return None

    def seek(self, seconds: float | Fraction) -> None:
        """Jump to the last frame that is shown at or before a time.

        Args:
            seconds: as in :attr:`DecodedPicture.time`; a time before the first frame is the first
                frame.

        Raises:
            StreamError: if the stream cannot be sought or has no index.
        """
        entries = self._index()
        # A float may lie just below the tick that it stands for.
        pts = (Fraction(seconds) + abs(Fraction(seconds)) * _ROUNDING) / self.time_base
        entry = entries[max(bisect.bisect_right([e.pts for e in entries], pts) - 1, 0)]
        self._go(entry)
        last, number = entry.pts, entry.number
        for item in self._reader:
            if isinstance(item, Chunk) and item.frame is not None:
                frame = item.frame
                if frame.kind == INTRA and item.number > entry.number:
                    break
                if last < frame.pts <= pts:
                    last, number = frame.pts, item.number + frame.place.shift
        self._go(entry)
        self._decode_up_to(number)

    @overload
    def __getitem__(self, number: int) -> DecodedPicture: ...

    @overload
    def __getitem__(self, number: slice) -> list[DecodedPicture]: ...

    def __getitem__(self, number: int | slice) -> DecodedPicture | list[DecodedPicture]:
        """One picture, or those of a slice, by frame number; negative ones count from the end.

        Raises:
            IndexError: if there is no such frame.
            StreamError: if it cannot be decoded, or the stream has no index.
        """
        count = len(self)
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(count))]
        wanted = number + count if number < 0 else number
        if not 0 <= wanted < count:
            raise IndexError(f"frame {number} of a stream of {count}")
        entries = self._index()
        entry = entries[bisect.bisect_right([e.number for e in entries], wanted) - 1]
        if self._decoder is None or not entry.number <= self._next <= wanted:
            self._go(entry)
        self._decode_up_to(wanted)
        picture = self.read()
        if picture is None or picture.number != wanted:
            raise StreamError(f"frame {wanted} cannot be decoded").at(self._path, frame=wanted)
        return picture

    def close(self) -> None:
        """End of reading; the file is closed if it was opened here."""
        if self._decoder is not None:
            self._items.close()
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside -----------------------------------------------------------------------------

    def _index(self) -> list[IndexEntry]:
        if self._entries is None:
            try:
                self._entries = self._reader.index()
            except StreamError as error:
                raise error.at(self._path)  # noqa: B904 - the same error
        if not self._entries:
            raise StreamError("the stream has no frames").at(self._path)
        return self._entries

    def _go(self, entry: IndexEntry) -> None:
        self._items.close()
        self._reader.seek(entry)
        self._items = self._read_ahead()
        self._next = entry.number
        self._ready.clear()

    def _decode_up_to(self, number: int) -> None:
        """Decoding of what comes before a frame, so that the frame is read next, or the first one
        after it if it is lost."""
        while self._next < number and (picture := self.read()) is not None:
            if picture.number >= number:  # the one before it is lost
                self._ready.appendleft(picture)
                self._next = picture.number

    def _read_ahead(self) -> ReadAhead[DecodedFrame]:
        return ReadAhead(iter(self._reader), self._reader.has_come, self._frame_decoder)

    def _frame_decoder(self) -> FrameDecoder:
        if self._decoder is None:
            from roicodec.decoder.decoder import FrameDecoder
            from roicodec.decoder.model import load_model

            self._decoder = FrameDecoder(self.header, load_model(backend=self._backend))
        return self._decoder

    def _not_decoded(self, chunk: Chunk, error: StreamError) -> None:
        if not isinstance(error, ReferenceLost):  # that loss itself has been told
            self._damaged(error.at(frame=chunk.number, offset=chunk.offset))

    def _damaged(self, error: StreamError) -> None:
        if not self._skip:
            raise error.at(self._path)
        self.damages.append(str(error))
