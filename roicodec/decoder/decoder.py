"""From frame chunks to pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from roicodec.bitstream.constants import ARITHMETIC_ID, INTRA
from roicodec.bitstream.entropy import SymbolDecoder
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.decoder.frame import FrameCodec, FrameSetting
from roicodec.decoder.latents import LatentReader, get_hyper
from roicodec.decoder.model import Model
from roicodec.decoder.references import Reference
from roicodec.errors import ModelError, StreamError
from roicodec.picture import Picture

__all__ = ["DecodedFrame", "FrameDecoder"]


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A frame as it was decoded.

    Attributes:
        picture: to be shown.
        setting: everything that its chunk says before its latents.
    """

    picture: Picture
    setting: FrameSetting


class FrameDecoder:
    """Decoder of one stream's frame chunks, in coding order; any intra frame may come next.

    Frames replace what it keeps of the ones before, and never change it.

    Args:
        header: of the stream.
        model: the networks; must be those that the header names.

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
        self._codec = FrameCodec(header.width, header.height, model, offsets)
        self._reference: Reference | None = None
        self._mask: Mask | None = None
        self._skip: Mask | None = None
        self._shape = grid_shape(header.width, header.height)

    def decode(self, chunk: FrameChunk | None) -> list[DecodedFrame]:
        """Frames that are ready to be shown, in presentation order.

        Args:
            chunk: the next frame; None at the end of the stream, to get what is left.

        Raises:
            StreamError: if a section is damaged, the frame before is missing, or the picture's
                CRC32 is not the chunk's. The next frame must then be an intra frame.
        """
        if chunk is None:
            return []
        try:
            return [self._decode(chunk)]
        except StreamError:
            self._reference = None
            raise

    def _decode(self, chunk: FrameChunk) -> DecodedFrame:
        codec, intra = self._codec, chunk.kind == INTRA
        reference = None if intra else self._reference
        self._mask = decode_mask(chunk.mask, self._shape, None if intra else self._mask)
        vectors = skip = unmatched = None
        if not intra:
            motion = MotionReader(chunk.motion, self._shape, self._skip)
            skip, unmatched = motion.skip, motion.unmatched
            before = reference.vectors if reference else None
            vectors = motion.vectors(codec.motion_shape, before)
        self._skip = skip
        setting = FrameSetting(
            chunk.kind, chunk.quality, chunk.b_roi, chunk.b_bg, self._mask, vectors, skip, unmatched
        )
        frame = codec.prepare(setting, reference)
        run, model = SymbolDecoder(chunk.latents), frame.model
        hyper = np.zeros(codec.hyper_shape, np.int32)
        if frame.layout.parts:
            hyper = get_hyper(run, codec.hyper_shape, model.hyper_tables)
        coded = codec.code_latents(frame, hyper, LatentReader(run, model.latent_tables))
        made = codec.reconstruct(frame, coded)
        picture = codec.shown(frame, made.planes, chunk.filters, chunk.pts, chunk.duration)
        if picture.crc32() != chunk.crc32:
            raise StreamError("the decoded picture is not the encoder's (CRC32 differs)")
        self._reference = made
        return DecodedFrame(picture, setting)
