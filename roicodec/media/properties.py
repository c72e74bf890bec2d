"""Properties of pictures that travel as texts: field order, mastering display, light levels.

The texts are those of x265's options. They are also how a stream carries them, so that they are
checked to the last character before one becomes an encoder's option.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

from roicodec.media.info import VideoInfo

__all__ = ["FIELD_ORDERS", "light_of", "light_options", "properties_of", "with_properties"]

FIELD_ORDERS = {"tt": 2, "bb": 3}
"""FFmpeg's numbers of the field orders: top or bottom field first."""
_NUMBER = r"\d{1,10}"
_PAIR = rf"\({_NUMBER},{_NUMBER}\)"
_FORMS = {
    "field_order": re.compile("tt|bb"),
    "mastering_display": re.compile(rf"G{_PAIR}B{_PAIR}R{_PAIR}WP{_PAIR}L{_PAIR}"),
    "content_light": re.compile(rf"{_NUMBER},{_NUMBER}"),
}
_CHROMATICITY, _LUMINANCE = 50000, 10000
"""Units in which the texts count: of CIE x and y, and of candela per square metre."""
_LIGHT_OPTIONS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}
_DISPLAY = struct.Struct("=22i")
_LIGHT = struct.Struct("=2I")


def properties_of(info: VideoInfo) -> dict[str, str]:
    """The properties that are known, by the names of the fields of ``info``."""
    return {name: value for name in _FORMS if (value := getattr(info, name))}


def with_properties(
    info: VideoInfo, properties: Mapping[str, str], refuse: Callable[[str], None]
) -> VideoInfo:
    """``info`` with properties that came with a stream.

    Args:
        info: description of the pictures.
        properties: as :func:`properties_of` gives them.
        refuse: takes a line on each that is not what it should be, and is left out.
    """
    sound = {}
    for name, value in properties.items():
        if name in _FORMS and _FORMS[name].fullmatch(value):
            sound[name] = value
        else:
            refuse(f"property {name!r} of the pictures is unknown or malformed; left out")
    return replace(info, **sound)  # type: ignore[arg-type]


def light_options(codec: str, info: VideoInfo) -> tuple[str, str] | None:
    """Name and value of the encoder's option that states the light of HDR10.

    Args:
        codec: FFmpeg's name of the encoder.
        info: description of the pictures.

    Returns:
        None if the encoder has no such option; the value is empty if there is nothing to state.
    """
    if codec not in _LIGHT_OPTIONS:
        return None
    option, display, light = _LIGHT_OPTIONS[codec]
    parts = []
    if info.mastering_display:
        value = info.mastering_display
        parts.append(f"{display}={_decimal(value) if codec == 'libsvtav1' else value}")
    if info.content_light:
        parts.append(f"{light}={info.content_light}")
    return option, ":".join(parts)


def _decimal(display: str) -> str:
    """The text with the numbers themselves instead of their units."""
    primaries, _, luminance = display.partition("L")

    def divided(text: str, unit: int) -> str:
        return re.sub(r"\d+", lambda found: f"{int(found[0]) / unit:g}", text)

    return f"{divided(primaries, _CHROMATICITY)}L{divided(luminance, _LUMINANCE)}"


def light_of(frame: VideoFrame) -> tuple[str, str]:
    """Mastering display and content light level of HDR10; empty when unknown."""
    display = light = ""
    if data := _bytes(frame, "MASTERING_DISPLAY_METADATA", _DISPLAY.size):
        # FFmpeg: red, green, blue, white, each x and y; least and most light, as fractions.
        *fractions, primaries, luminance = _DISPLAY.unpack(data)
        pairs = list(zip(fractions[::2], fractions[1::2], strict=True))
        if primaries and luminance and all(d > 0 and n >= 0 for n, d in pairs):
            xy = [round(n * _CHROMATICITY / d) for n, d in pairs[:8]]
            low, high = (round(n * _LUMINANCE / d) for n, d in pairs[8:])
            red, green, blue, white = (f"({xy[i]},{xy[i + 1]})" for i in range(0, 8, 2))
            display = f"G{green}B{blue}R{red}WP{white}L({high},{low})"
    if data := _bytes(frame, "CONTENT_LIGHT_LEVEL", _LIGHT.size):
        most, average = _LIGHT.unpack(data)
        light = f"{most},{average}"
    return display, light


def _bytes(frame: VideoFrame, kind: str, size: int) -> bytes:
    data = frame.side_data.get(kind)
    if not isinstance(data, SideData):
        return b""
    content = bytes(data)
    return content if len(content) == size else b""
