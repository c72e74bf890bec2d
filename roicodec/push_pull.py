"""Encoder and decoder of streams, push and pull: pictures and bytes as they come.

Both are public, and are reached as ``roicodec.NAME``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from roicodec.bitstream.constants import MAX_AREA, MAX_FRAMES
from roicodec.errors import InputError, StreamError
from roicodec.video import DecodedPicture

if TYPE_CHECKING:
    from roicodec.bitstream.header import Header
    from roicodec.decoder.decoder import FrameDecoder
    from roicodec.encoder.options import EncoderOptions
    from roicodec.encoder.roi.given import Roi
    from roicodec.picture import Picture

__all__ = ["Decoder", "Encoder"]


class Encoder:
    """Pictures to the bytes of a stream, push and pull.

    ``b"".join`` of all that :meth:`encode` returns, up to the call with None, is a whole ``.rq``
    file::

        encoder = roicodec.Encoder(640, 360, roi=lambda picture: picture.y > 200)
        with open("a.rq", "wb") as file:
            for picture in [*pictures, None]:
                file.writelines(encoder.encode(picture))

    Args:
        width, height: size of the pictures in luma samples, 16..4096 each, at most 4096 * 2304
            together.
        options: of the encoder; ``time_base`` is what the pictures' pts count in.
        roi: region of interest, see :data:`~roicodec.encoder.roi.given.Roi`; several are united.
        color_matrix, color_primaries, color_transfer: code points of ITU-T H.273 that the pictures
            have; 2 when unknown.
        color_range: 0 unknown, 1 limited, 2 full.
        backend: of the networks; None for the fastest that is exact here.

    Raises:
        InputError: if the size, the ROI or an option cannot be used.
        ModelError: if the networks are not there.
    """

    def __init__(
        self,
        width: int,
        height: int,
        options: EncoderOptions | None = None,
        *,
        roi: Roi | Sequence[Roi] | None = "auto",
        color_matrix: int = 2,
        color_primaries: int = 2,
        color_transfer: int = 2,
        color_range: int = 0,
        backend: str | None = None,
    ) -> None:
        from roicodec import __version__
        from roicodec.bitstream.header import Header
        from roicodec.bitstream.writer import StreamWriter
        from roicodec.decoder.model import load_model
        from roicodec.encoder.encoder import FrameEncoder
        from roicodec.encoder.options import EncoderOptions
        from roicodec.encoder.roi.given import roi_source
        from roicodec.encoder.roi.zoned import zoned_roi
        from roicodec.segments.encoder import segmented

        options = options or EncoderOptions()
        found = roi_source(roi, width, height)
        self._roi = zoned_roi(found, options.zones, width, height, options.time_base)
        model = load_model(backend=backend)
        self._encoder = segmented(
            lambda options, roi: FrameEncoder(width, height, options, roi, model),
            options,
            self._roi,
        )
        self._pieces = _Pieces()
        self.header: Header = Header(
            width=width,
            height=height,
            gop=options.gop,
            time_base=options.time_base,
            frame_rate=options.frame_rate,
            color_matrix=color_matrix,
            color_primaries=color_primaries,
            color_transfer=color_transfer,
            color_range=color_range,
            encoder=f"roicodec {__version__}",
            **self._encoder.header_fields,
        )
        self._writer = StreamWriter(self._pieces, self.header)
        self._finished = False

    def encode(self, picture: Picture | None) -> list[bytes]:
        """Bytes that are ready, in order.

        Args:
            picture: the next one, in presentation order; None at the end.

        Raises:
            InputError: if its size is another, a ROI source has no mask for it, or the stream has
                been finished.
        """
        if self._finished:
            raise InputError("the stream is finished; a new one needs a new Encoder")
        for chunk in self._encoder.encode(picture):
            self._writer.write_frame(chunk)
        if picture is None:
            self._finished = True
            self._writer.close()
            self._roi.close()
        return self._pieces.taken()


class Decoder:
    """The bytes of a stream to pictures, push and pull.

    Args:
        backend: of the networks; None for the fastest that is exact here.
        max_pixels, max_frames: limits for streams from strangers: largest picture in luma samples,
            and number of frames; beyond them the stream is refused.

    Attributes:
        header: of the stream; None until its bytes have come.
    """

    def __init__(
        self,
        *,
        backend: str | None = None,
        max_pixels: int = MAX_AREA,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        from roicodec.bitstream.feed import ChunkFeed

        self._max_pixels, self._max_frames = max_pixels, max_frames
        self._feed = ChunkFeed()
        self._backend = backend
        self._decoder: FrameDecoder | None = None

    @property
    def header(self) -> Header | None:
        """Header of the stream; None until its bytes have come."""
        return self._feed.header

    def decode(self, data: bytes | None) -> list[DecodedPicture]:
        """Pictures that are ready, in presentation order.

        Args:
            data: the next bytes of the stream, any number; None at the end.

        Raises:
            StreamError: if they are damaged, a frame cannot be decoded, or a limit is met; with
                ``offset`` and ``frame``.
            ModelError: if the stream's networks are not there.
        """
        from roicodec.bitstream.chunks import FRAME
        from roicodec.bitstream.frame_chunk import FrameChunk
        from roicodec.bitstream.reader import check_frame

        found: list[DecodedPicture] = []
        for chunk in self._feed.feed(data) if data is not None else ():
            header = self._feed.header
            if chunk.type != FRAME or header is None:
                continue
            number, frame, _ = FrameChunk.unpack(chunk.payload, header)
            try:
                check_frame(number, self._max_frames)
                decoded = self._frame_decoder(header).decode(frame, number)
            except StreamError as error:
                raise error.at(frame=number, offset=chunk.offset)  # noqa: B904 - the same error
            found += [DecodedPicture.of(d, header) for d in decoded]
        if data is None and self._decoder is not None and self._feed.header is not None:
            found += [DecodedPicture.of(d, self._feed.header) for d in self._decoder.decode(None)]
        return found

    def _frame_decoder(self, header: Header) -> FrameDecoder:
        if self._decoder is None:
            from roicodec.bitstream.reader import check_size
            from roicodec.decoder.decoder import FrameDecoder
            from roicodec.decoder.model import load_model

            check_size(header, self._max_pixels)
            self._decoder = FrameDecoder(header, load_model(backend=self._backend))
        return self._decoder


class _Pieces(io.BytesIO):
    """A file object whose content can be taken."""

    def taken(self) -> list[bytes]:
        """Bytes written since the last call, in one piece; an empty list without any."""
        data = self.getvalue()
        self.seek(0)
        self.truncate()
        return [data] if data else []
