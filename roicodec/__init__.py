"""Neural video codec that spends bits and arithmetic where people look.

``import roicodec`` is quick: what a name needs (numpy, PyAV, torch) is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from roicodec.errors import InputError, ModelError, RoicodecError, StreamError

if TYPE_CHECKING:
    from roicodec.api import decode, encode, info, open
    from roicodec.batch import encode_all
    from roicodec.encoder.options import EncoderOptions
    from roicodec.kernels.threads import set_threads
    from roicodec.media.rgb import picture_from_rgb
    from roicodec.picture import Picture
    from roicodec.player import play
    from roicodec.push_pull import Decoder, Encoder
    from roicodec.stream_report import write_report
    from roicodec.thumbnails import thumbnail
    from roicodec.transcode import DecodeReport, EncodeReport, Listener
    from roicodec.video import DecodedPicture, Video

__version__ = "0.2.0"

_HOMES = {
    "DecodeReport": "transcode",
    "DecodedPicture": "video",
    "Decoder": "push_pull",
    "EncodeReport": "transcode",
    "Encoder": "push_pull",
    "EncoderOptions": "encoder.options",
    "Listener": "transcode",
    "Picture": "picture",
    "Video": "video",
    "decode": "api",
    "encode": "api",
    "encode_all": "batch",
    "info": "api",
    "open": "api",
    "picture_from_rgb": "media.rgb",
    "set_threads": "kernels.threads",
    "thumbnail": "thumbnails",
    "write_report": "stream_report",
    "play": "player",
}
"""Modules of the names that are imported when they are used."""

__all__ = [
    "DecodeReport",
    "DecodedPicture",
    "Decoder",
    "EncodeReport",
    "Encoder",
    "EncoderOptions",
    "InputError",
    "Listener",
    "ModelError",
    "Picture",
    "RoicodecError",
    "StreamError",
    "Video",
    "__version__",
    "decode",
    "encode",
    "encode_all",
    "info",
    "open",
    "picture_from_rgb",
    "play",
    "set_threads",
    "thumbnail",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
