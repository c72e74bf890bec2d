"""Plain pictures: y4m, or raw planes."""

from __future__ import annotations

from typing import BinaryIO

from roicodec.media.extras import Extras
from roicodec.media.info import ASSUMED_RATE, VideoInfo
from roicodec.media.tracks import TrackPacket
from roicodec.picture import Picture

__all__ = ["PlainSink"]

_Y4M_FIELDS = {"": "p", "tt": "t", "bb": "b"}
_Y4M_LOCATION = {0: "420jpeg", 1: "420mpeg2", 2: "420jpeg", 3: "420paldv"}


class PlainSink:
    """y4m or raw planes: no time stamps, no other tracks."""

    def __init__(
        self, file: BinaryIO, info: VideoInfo, extras: Extras, y4m: bool, warnings: list[str]
    ) -> None:
        self._file, self._y4m, self._warnings = file, y4m, warnings
        self._time_base = info.time_base
        self._period = 1 / (info.frame_rate or ASSUMED_RATE)
        self._first = self._count = 0
        self._even = True
        kind = "y4m" if y4m else "yuv"
        if extras.tracks:
            names = ", ".join(map(str, extras.tracks))
            warnings.append(f"{kind} holds pictures only; left out: {names}")
        if info.display_matrix is not None:
            warnings.append(
                f"{kind} cannot say how to turn the picture; the display matrix"
                f" ({info.rotation} degrees) is left out"
            )
        if info.mastering_display or info.content_light:
            warnings.append(f"{kind} cannot state the light of HDR10; it is left out")
        if y4m:
            if info.frame_rate is None:
                warnings.append(f"frame rate unknown; y4m says {float(ASSUMED_RATE):g}")
            file.write(_y4m_header(info))

    def write(self, picture: Picture) -> None:
        if not self._count:
            self._first = picture.pts
        due = self._count * self._period
        late = (picture.pts - self._first) * self._time_base - due
        if self._even and abs(late) > self._period / 2:
            self._even = False
            self._warnings.append(
                "variable frame rate: y4m and yuv cannot keep the time stamps; use .mkv or .mp4"
            )
        self._count += 1
        if self._y4m:
            self._file.write(b"FRAME\n")
        for plane in picture.planes:
            self._file.write(plane.tobytes())

    def write_packet(self, packet: TrackPacket) -> None:
        pass

    def finish(self) -> None:
        pass

    def abort(self) -> None:
        pass


def _y4m_header(info: VideoInfo) -> bytes:
    rate = info.frame_rate or ASSUMED_RATE
    aspect = info.sample_aspect_ratio
    fields = [
        f"YUV4MPEG2 W{info.width} H{info.height} F{rate.numerator}:{rate.denominator}"
        f" I{_Y4M_FIELDS[info.field_order]}",
        f"A{aspect.numerator}:{aspect.denominator if aspect else 0}",
        "C" + _Y4M_LOCATION.get(info.chroma_location, "420jpeg"),
    ]
    if info.color_range:
        fields.append(f"XCOLORRANGE={('LIMITED', 'FULL')[info.color_range - 1]}")
    return (" ".join(fields) + "\n").encode("ascii")
