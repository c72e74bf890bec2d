"""Makers of frame encoders and decoders: the networks, or a stand-in for tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from roicodec.bitstream.frame_chunk import FrameChunk
    from roicodec.bitstream.header import Header
    from roicodec.bitstream.masks import Mask
    from roicodec.decoder.model import Model
    from roicodec.encoder.options import EncoderOptions
    from roicodec.encoder.roi.sources import RoiSource
    from roicodec.picture import Picture

__all__ = [
    "CodecFactory",
    "Coded",
    "Decoded",
    "NetworkFactory",
    "PictureDecoder",
    "PictureEncoder",
    "Setting",
]


class Coded(Protocol):
    """A frame as it was coded."""

    @property
    def chunk(self) -> FrameChunk:
        """Chunk for the stream."""


class Setting(Protocol):
    """What a stream says of a frame, see :class:`roicodec.decoder.frame.FrameSetting`."""

    @property
    def quality(self) -> int:
        """Quality index."""

    @property
    def b_roi(self) -> int:
        """Bit-width of the ROI."""

    @property
    def b_bg(self) -> int:
        """Bit-width of the rest."""

    @property
    def mask(self) -> Mask:
        """ROI, bool ``[ceil(H/16), ceil(W/16)]``."""


class Decoded(Protocol):
    """A frame as it was decoded."""

    @property
    def picture(self) -> Picture:
        """Output picture."""

    @property
    def number(self) -> int:
        """Number in the order of presentation."""

    @property
    def setting(self) -> Setting:
        """What the stream says of the frame."""


class PictureEncoder(Protocol):
    """Encoder of one video, see :class:`roicodec.encoder.encoder.FrameEncoder`."""

    @property
    def header_fields(self) -> Mapping[str, Any]:
        """Fields of the stream's header that the encoder decides."""

    def encode(self, picture: Picture | None) -> Sequence[Coded]:
        """The frames that are complete after one more picture, all of them after None."""

    def missed(self) -> str:
        """One line on a target of rate or quality that was not reached; empty otherwise."""


D_co = TypeVar("D_co", bound=Decoded, covariant=True)


class PictureDecoder(Protocol[D_co]):
    """Decoder of one stream, see :class:`roicodec.decoder.decoder.FrameDecoder`."""

    @property
    def ahead(self) -> int:
        """Number of frames that may be submitted before the first is taken, at least 1."""

    def submit(self, chunk: FrameChunk, number: int | None = None) -> None:
        """Begin of a frame.

        Args:
            chunk: the next one.
            number: of its frame in the order of coding; None if it follows the one before.
        """

    def take(self) -> Sequence[D_co]:
        """The pictures that can be shown once the oldest submitted frame is decoded.

        Raises:
            ReferenceLost: if a frame that it refers to could not be decoded.
            StreamError: if the frame cannot be decoded.
        """

    def rest(self) -> Sequence[D_co]:
        """The pictures that wait for frames which do not come; what was submitted is dropped."""


class CodecFactory(Protocol):
    """Maker of encoders and decoders.

    ``backend`` is the networks' arithmetic, as :func:`roicodec.kernels.choose.choose_backend` takes
    it. Both methods raise ModelError if there are no networks.
    """

    @property
    def command(self) -> tuple[str, ...]:
        """Words that start the command line with this codec in a process of its own."""

    def encoder(
        self,
        width: int,
        height: int,
        options: EncoderOptions,
        roi: RoiSource,
        backend: str | None,
    ) -> PictureEncoder:
        """An encoder of pictures of ``width`` x ``height`` luma samples."""

    def decoder(self, header: Header, backend: str | None) -> PictureDecoder[Decoded]:
        """A decoder of the stream with this header."""


class NetworkFactory:
    """The installed networks; they and torch are imported when they are needed."""

    command = (sys.executable, "-m", "roicodec")

    def __init__(self) -> None:
        self._models: dict[str | None, Model] = {}

    def encoder(
        self,
        width: int,
        height: int,
        options: EncoderOptions,
        roi: RoiSource,
        backend: str | None,
    ) -> PictureEncoder:
        from roicodec.encoder.encoder import FrameEncoder

        return FrameEncoder(width, height, options, roi, self._model(backend))

    def decoder(self, header: Header, backend: str | None) -> PictureDecoder[Decoded]:
        from roicodec.decoder.decoder import FrameDecoder

        return FrameDecoder(header, self._model(backend))

    def _model(self, backend: str | None) -> Model:
        """The model, loaded once."""
        if backend not in self._models:
            from roicodec.decoder.model import load_model

            self._models[backend] = load_model(backend=backend)
        return self._models[backend]
