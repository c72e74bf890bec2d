"""Decoder of frame chunks to pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roicodec.bitstream.constants import ARITHMETIC_ID, INTRA
from roicodec.bitstream.entropy import SymbolDecoder
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.masks import grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.presentation_order import PresentationOrder
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.decoder.frame import FrameCodec, FrameSetting
from roicodec.decoder.latents import LatentReader, get_hyper
from roicodec.decoder.model import Model
from roicodec.decoder.references import Reference, References, read_motion
from roicodec.errors import ModelError, StreamError
from roicodec.picture import Picture

__all__ = ["DecodedFrame", "FrameDecoder"]


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A frame as it was decoded.

    Attributes:
        picture: to be shown.
        setting: everything that its chunk says before its latents.
        number: in the order of presentation.
    """

    picture: Picture
    setting: FrameSetting
    number: int


class FrameDecoder:
    """Decoder of one stream's frame chunks, in coding order; any intra frame may come next.

    Args:
        header: of the stream.
        model: the networks; must be those that the header names.

    Attributes:
        model: as given.

    Raises:
        ModelError: if the stream was made with another model or arithmetic.
    """

    def __init__(self, header: Header, model: Model) -> None:
        if header.arithmetic_id != ARITHMETIC_ID:
            raise ModelError(
                f"the stream uses arithmetic {header.arithmetic_id}, this version knows"
                f" {ARITHMETIC_ID}; use the version that wrote it ({header.encoder})"
            )
        if header.model_id != model.id:
            raise ModelError(
                f"the stream was made with model {header.model_id.hex()}, here is"
                f" {model.id.hex()}; use the version that wrote it ({header.encoder})"
            )
        offsets = {c.bits: c.offset for c in header.candidates}
        self.model = model
        self._codec = FrameCodec(header.width, header.height, model, offsets)
        self._buffer: ReferenceBuffer[Reference] = ReferenceBuffer(header.references)
        self._order: PresentationOrder[DecodedFrame] = PresentationOrder()
        self._number = -1
        self._shape = grid_shape(header.width, header.height)

    def decode(self, chunk: FrameChunk | None, number: int | None = None) -> list[DecodedFrame]:
        """Frames that are ready to be shown, in presentation order.

        A frame is shown when all before it are, or cannot come any more.

        Args:
            chunk: the next frame; None at the end of the stream, to get what is left.
            number: of the chunk in the order of coding; None if it follows the one before.

        Raises:
            ReferenceLost: if a frame that it refers to could not be decoded.
            StreamError: if a section is damaged, the picture's CRC32 is not the chunk's, or its
                number in the order of presentation has had its turn. Frames that were ready come
                with the next call.
        """
        if chunk is None:
            return self._order.rest()
        self._number = self._number + 1 if number is None else number
        shown = self._number + chunk.place.shift
        self._order.check(shown)
        self._order.reach(shown if chunk.kind == INTRA else shown - chunk.place.past)
        references = self._buffer.references(chunk.kind, chunk.place, shown)
        frame, made = self._decode(chunk, references, shown)
        if chunk.place.kept:
            self._buffer.keep(shown, made)
        return self._order.add(shown, frame)

    def _decode(
        self, chunk: FrameChunk, references: References, shown: int
    ) -> tuple[DecodedFrame, Reference]:
        codec = self._codec
        before = references[0] if references else None
        mask = decode_mask(chunk.mask, self._shape, before.mask if before else None)
        motion = skip = unmatched = None
        if before is not None:
            reader = MotionReader(chunk.motion, self._shape, before.skip)
            skip, unmatched = reader.skip, reader.unmatched
            motion = read_motion(reader, chunk.place, references, codec.motion_shape)
        setting = FrameSetting(
            chunk.kind, chunk.quality, chunk.b_roi, chunk.b_bg, mask, motion, skip, unmatched
        )
        frame = codec.prepare(setting, references)
        run, model = SymbolDecoder(chunk.latents), frame.model
        hyper = np.zeros(codec.hyper_shape, np.int32)
        if frame.layout.parts:
            hyper = get_hyper(run, codec.hyper_shape, model.hyper_tables)
        coded = codec.code_latents(frame, hyper, LatentReader(run, model.latent_tables))
        made = codec.reconstruct(frame, coded)
        picture = codec.shown(frame, made.planes, chunk.filters, chunk.pts, chunk.duration)
        if picture.crc32() != chunk.crc32:
            raise StreamError("the decoded picture is not the encoder's (CRC32 differs)")
        return DecodedFrame(picture, setting, shown), made
