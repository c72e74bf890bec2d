"""From frame chunks to pictures."""

from __future__ import annotations

import numpy as np
import torch

from roicodec.bitstream.constants import ARITHMETIC_ID, INTRA
from roicodec.bitstream.entropy import SymbolDecoder
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.decoder.frame import FrameCore, FrameSetting
from roicodec.decoder.latents import LatentReader, get_hyper
from roicodec.decoder.model import Model
from roicodec.errors import ModelError, StreamError
from roicodec.picture import Picture

__all__ = ["Decoder"]


class Decoder:
    """Decodes the frames of one stream in order; any intra frame may follow any other frame.

    Args:
        header: of the stream.
        model: must be the one that the header names.

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
        self._core = FrameCore(header.width, header.height, model, offsets)
        self._mask: Mask | None = None
        self._skip: Mask | None = None
        self._shape = grid_shape(header.width, header.height)

    @torch.inference_mode()
    def decode(self, chunk: FrameChunk) -> Picture:
        """The picture of a frame.

        Raises:
            StreamError: if a section is damaged, the frame before is missing, or the picture's
                CRC32 is not the chunk's. The next frame must then be an intra frame.
        """
        try:
            return self._decode(chunk)
        except StreamError:
            self._core.reference = None
            raise

    def _decode(self, chunk: FrameChunk) -> Picture:
        core, intra = self._core, chunk.kind == INTRA
        self._mask = decode_mask(chunk.mask, self._shape, None if intra else self._mask)
        vectors = skip = unmatched = None
        if not intra:
            motion = MotionReader(chunk.motion, self._shape, self._skip)
            skip, unmatched = motion.skip, motion.unmatched
            vectors = motion.vectors(core.motion_shape, core.previous_vectors)
        self._skip = skip
        setting = FrameSetting(
            chunk.kind, chunk.quality, chunk.b_roi, chunk.b_bg, self._mask, vectors, skip, unmatched
        )
        frame = core.prepare(setting)
        run, model = SymbolDecoder(chunk.latents), frame.model
        hyper = np.zeros(core.hyper_shape, np.int32)
        if frame.layout.parts:
            hyper = get_hyper(run, core.hyper_shape, model.hyper)
        latents = core.latents(frame, hyper, LatentReader(run, model.latents))
        planes = core.reconstruct(frame, latents)
        picture = core.picture(planes, chunk.filters, chunk.pts, chunk.duration)
        if picture.crc32() != chunk.crc32:
            raise StreamError("the decoded picture is not the encoder's (CRC32 differs)")
        return picture
