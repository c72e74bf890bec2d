"""Description of an encode, from which every process that takes part makes the same."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from roicodec.bitstream.header import Header
from roicodec.description import header_of
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.given import Roi, roi_list, roi_source
from roicodec.encoder.roi.sources import RoiSource
from roicodec.encoder.roi.zoned import zoned_roi
from roicodec.factory import CodecFactory
from roicodec.media import Reader, VideoInfo
from roicodec.segments.encoder import EncoderMaker, SegmentEncoder
from roicodec.segments.plan import SegmentRules, segment_rules

__all__ = ["Work"]


@dataclass(frozen=True)
class Work:
    """How a video is read and encoded.

    Attributes:
        source: path of the video, or what else a reader takes.
        reading: further arguments of :class:`~roicodec.media.Reader`, by name.
        options: of the encoder; what the video knows of itself is filled in.
        roi, roi_share, roi_level: as :func:`roicodec.encoder.roi.given.roi_source` takes them.
        backend: of the networks, as :func:`roicodec.kernels.choose.choose_backend` takes it.
    """

    source: str
    reading: Mapping[str, Any]
    options: EncoderOptions
    roi: Roi | Sequence[Roi] | None
    roi_share: float | None = None
    roi_level: float | None = None
    backend: str | None = None

    def open(self) -> Reader:
        """A reader of the source.

        Raises:
            InputError: if it cannot be read.
        """
        return Reader(self.source, **self.reading)

    def filled(self, reader: Reader) -> Work:
        """The work with the options that its video calls for."""
        info = reader.info
        options = replace(
            self.options,
            time_base=info.time_base,
            frame_rate=info.frame_rate or self.options.frame_rate,
            frames=reader.frame_count or None,
        )
        return replace(self, options=options)

    def roi_source(self, info: VideoInfo) -> RoiSource:
        """The source of the ROI, to be closed.

        Raises:
            InputError: if it cannot be used.
        """
        size = info.width, info.height
        found = roi_source(self.roi, *size, share=self.roi_share, level=self.roi_level)
        return zoned_roi(found, self.options.zones, *size, self.options.time_base)

    def encoder(self, factory: CodecFactory, info: VideoInfo, roi: RoiSource) -> SegmentEncoder:
        """Encoder of segments; the work is filled in.

        Raises:
            ModelError: if there are no networks.
        """

        def make(options: EncoderOptions, source: RoiSource) -> Any:
            return factory.encoder(info.width, info.height, options, source, self.backend)

        maker: EncoderMaker = make
        return SegmentEncoder(maker, self.options, roi)

    def header(self, info: VideoInfo, fields: Mapping[str, Any]) -> tuple[Header, list[str]]:
        """Header of the stream, and a line for each field of it that had to be replaced."""
        return header_of(info, self.options.gop, fields)

    @property
    def again(self) -> bool:
        """Whether the source can be read more than once."""
        try:
            return self.source != "-" and stat.S_ISREG(os.stat(self.source).st_mode)
        except OSError:
            return False

    def rules(self) -> SegmentRules | None:
        """The rules by which it is divided, the work filled in; None for one segment alone: budgets
        of bits need a first pass, and a length that is worth one."""
        rules = segment_rules(self.options)
        long = (self.options.frames or 0) >= 2 * rules.least
        if self.options.bit_rate is not None and not (self.again and long):
            return None
        if self.options.profile is not None:  # of the whole video
            return None
        if self.options.max_rate is not None:  # the buffer is as full as the frames before left it
            return None
        return rules

    def settings(self) -> dict[str, str]:
        """All that the bytes of a segment depend on, besides program and model, as text by name."""
        found = {"source": os.path.realpath(self.source)}
        if self.again:
            status = os.stat(self.source)
            found["source"] += f" ({status.st_size} bytes, changed {status.st_mtime_ns})"
        for spec in roi_list(self.roi):
            if isinstance(spec, str | os.PathLike) and os.path.isfile(spec):
                found[f"ROI file {spec}"] = f"changed {os.stat(spec).st_mtime_ns}"
        found["ROI"] = repr((self.roi, self.roi_share, self.roi_level))
        found["options"] = repr(self.options)
        cut = {name: value for name, value in self.reading.items() if name != "threads"}
        found["reading"] = repr(sorted(cut.items()))
        return found
