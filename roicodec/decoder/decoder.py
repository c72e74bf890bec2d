"""Decoder of frame chunks to pictures.

A frame is decoded in three tasks, so that frames overlap where threads are free (columns are time,
frames of a low-delay stream)::

    frame n      syntax  coded            picture
    frame n + 1          syntax           coded            picture
    frame n + 2                           syntax           coded    ...

``syntax`` (mask, motion, hyper-latents, positions) needs the syntax of the references, ``coded``
(latents, networks, reconstruction) their reconstruction, ``picture`` (post-filter, CRC) nobody
else's. Bidirectional frames of one level depend on each other in nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from roicodec.bitstream.constants import ARITHMETIC_ID, INTRA
from roicodec.bitstream.entropy import Ints, SymbolDecoder
from roicodec.bitstream.frame_chunk import FrameChunk, has_map
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.masks import grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.presentation_order import PresentationOrder
from roicodec.bitstream.quality_map import decode_map
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.decoder.frame import FrameCodec, FrameSetting
from roicodec.decoder.latent_reader import LatentReader
from roicodec.decoder.latents import get_hyper
from roicodec.decoder.model import Model
from roicodec.decoder.references import Reference, read_motion
from roicodec.decoder.regions import Layout
from roicodec.errors import ModelError, ReferenceLost, StreamError
from roicodec.kernels.tasks import Task
from roicodec.kernels.threads import threads
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


@dataclass(frozen=True, eq=False)
class _Begun:
    """What is ready of a frame before its references are.

    Attributes:
        layout: its regions.
        run: the latents' run, past the hyper-latents.
        hyper: hyper-latents; zeros where nothing is computed.
    """

    layout: Layout
    run: SymbolDecoder
    hyper: Ints


class _Frame:
    """A frame on its way from its chunk to its picture.

    Attributes:
        shown: its number in the order of presentation.
        due: frames shown before this number have come, or cannot come any more.
        refused: error for which it is not begun: a reference that is missing, a number that has had
            its turn; None if it is begun.
        references: the frames that it refers to.
        failed: whether it could not be decoded; known once it has been taken.
    """

    def __init__(self, codec: FrameCodec, chunk: FrameChunk, shown: int, *, mapped: bool) -> None:
        self.shown = shown
        self.due = shown if chunk.kind == INTRA else shown - chunk.place.past
        self.refused: StreamError | None = None
        self.references: tuple[_Frame, ...] = ()
        self.syntax: Task[FrameSetting]
        self.coded: Task[Reference]
        self.picture: Task[DecodedFrame]
        self.failed = False
        self._codec, self._chunk, self._mapped = codec, chunk, mapped
        self._begun: _Begun | None = None

    def start(self, number: int, references: tuple[_Frame, ...]) -> None:
        """Begin of the three tasks.

        Args:
            number: of the frame in the order of coding.
            references: the frames that it refers to.
        """
        self.references = references
        # What others wait for comes first; then the oldest.
        self.syntax = Task(self._syntax, [r.syntax for r in references], (1, number))
        before: list[Task[Any]] = [self.syntax, *(r.coded for r in references)]
        self.coded = Task(self._coded, before, (0, number))
        self.picture = Task(self._picture, [self.coded], (1, number))

    def finish(self) -> DecodedFrame:
        """The decoded frame, waited for.

        Raises:
            ReferenceLost: if a reference was not decoded, whatever this frame's own tasks found.
            StreamError: if a section is damaged, the picture's CRC32 is not the chunk's, or its
                number in the order of presentation has had its turn.
        """
        try:
            if self.refused is not None:
                raise self.refused
            wrong = next((r for r in self.references if r.failed), None)
            if wrong is not None:
                self.cancel()
                raise ReferenceLost(f"frame {wrong.shown}, which it refers to, is lost")
            return self.picture.result()
        except BaseException:
            self.failed = True
            raise
        finally:
            self.references = ()
            if self.refused is None:
                del self.picture  # those who refer to the frame do not need it

    def cancel(self) -> None:
        """End of the tasks that have not begun."""
        if self.refused is None:
            for task in self.picture, self.coded, self.syntax:
                task.cancel()

    def _syntax(self) -> FrameSetting:
        codec, chunk = self._codec, self._chunk
        references = [r.syntax.value for r in self.references]
        before = references[0] if references else None
        shape = grid_shape(codec.width, codec.height)
        mask = decode_mask(chunk.mask, shape, before.mask if before else None)
        motion = skip = unmatched = None
        if before is not None:
            reader = MotionReader(chunk.motion, shape, before.skip)
            skip, unmatched = reader.skip, reader.unmatched
            motion = read_motion(reader, chunk.place, references, codec.motion_shape)
        setting = FrameSetting(
            chunk.kind, chunk.quality, chunk.b_roi, chunk.b_bg, mask, motion, skip, unmatched
        )
        if self._mapped:
            known = before.offsets if before else None
            setting = replace(setting, offsets=decode_map(chunk.offsets, setting.computed, known))
        layout, model = codec.layout(setting), codec.networks(chunk.kind)
        run, hyper = SymbolDecoder(chunk.latents), np.zeros(codec.hyper_shape, np.int32)
        if layout.parts:
            model.network.plan(layout)
            hyper = get_hyper(run, codec.hyper_shape, model.hyper_tables)
        self._begun = _Begun(layout, run, hyper)
        return setting

    def _coded(self) -> Reference:
        codec, setting = self._codec, self.syntax.value
        begun, self._begun = self._begun, None
        assert begun is not None
        references = tuple(r.coded.value for r in self.references)
        frame = codec.prepare(setting, references, layout=begun.layout)
        latents = LatentReader(begun.run, frame.model.latent_tables)
        return codec.reconstruct(frame, codec.read_latents(frame, begun.hyper, latents))

    def _picture(self) -> DecodedFrame:
        chunk, setting = self._chunk, self.syntax.value
        picture = self._codec.shown(
            setting, self.coded.value.planes, chunk.filters, chunk.pts, chunk.duration
        )
        if picture.crc32() != chunk.crc32:
            raise StreamError("the decoded picture is not the encoder's (CRC32 differs)")
        return DecodedFrame(picture, setting, self.shown)


class FrameDecoder:
    """Decoder of one stream's frame chunks, in coding order; any intra frame may come next.

    Frames may be submitted ahead of the one that is taken: they are decoded meanwhile, as far as
    there are threads.

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
        self._header = header
        self._codec = FrameCodec(header.width, header.height, model, offsets)
        self._buffer: ReferenceBuffer[_Frame] = ReferenceBuffer(header.references)
        self._order: PresentationOrder[DecodedFrame] = PresentationOrder()
        self._begun: PresentationOrder[_Frame] = PresentationOrder()
        self._number = -1
        self._frames: deque[_Frame] = deque()

    @property
    def ahead(self) -> int:
        """Number of frames that may be submitted before the first is taken.

        Enough for two frames of a level on each thread; fewer of large pictures, each of which
        needs about 20 bytes a luma sample.
        """
        if threads() == 1:
            return 1
        most = _AHEAD_SAMPLES // (self._codec.padded_width * self._codec.padded_height)
        return min(2 * threads() + 2, max(most, 2))

    def submit(self, chunk: FrameChunk, number: int | None = None) -> None:
        """Begin of a frame.

        Args:
            chunk: the next frame.
            number: of the chunk in the order of coding; None if it follows the one before.
        """
        self._number = self._number + 1 if number is None else number
        mapped = has_map(self._header, chunk.kind)
        frame = _Frame(self._codec, chunk, self._number + chunk.place.shift, mapped=mapped)
        self._frames.append(frame)
        try:
            self._begun.check(frame.shown)
        except StreamError as error:
            frame.refused, frame.due = error, 0
            return
        self._begun.reach(frame.due)
        try:
            references = self._buffer.references(chunk.kind, chunk.place, frame.shown)
        except ReferenceLost as error:
            frame.refused = error
            return
        self._begun.add(frame.shown, frame)
        frame.start(self._number, references)
        if chunk.place.kept:
            self._buffer.keep(frame.shown, frame)

    def take(self) -> list[DecodedFrame]:
        """Frames that are ready to be shown once the oldest submitted one is, in presentation
        order.

        A frame is shown when all before it are, or cannot come any more.

        Raises:
            ReferenceLost: if a frame that it refers to could not be decoded.
            StreamError: if a section is damaged, the picture's CRC32 is not the chunk's, or its
                number in the order of presentation has had its turn. Frames that were ready come
                with the next call.
        """
        frame = self._frames.popleft()
        self._order.reach(frame.due)
        return self._order.add(frame.shown, frame.finish())

    def rest(self) -> list[DecodedFrame]:
        """Frames that still wait for others, which do not come; those not taken are dropped."""
        for frame in self._frames:
            frame.failed = True
            frame.cancel()
        self._frames.clear()
        self._begun.rest()
        return self._order.rest()

    def decode(self, chunk: FrameChunk | None, number: int | None = None) -> list[DecodedFrame]:
        """Frames that are ready to be shown, when none was submitted before: :meth:`submit` and
        :meth:`take` of one frame, or :meth:`rest` for None.

        Raises:
            ReferenceLost, StreamError: as :meth:`take`.
        """
        if chunk is None:
            return self.rest()
        self.submit(chunk, number)
        return self.take()


_AHEAD_SAMPLES = 1 << 25
"""Luma samples of the frames that are submitted ahead."""
