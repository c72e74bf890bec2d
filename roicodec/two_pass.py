"""First pass of an encode to a bit rate: how many bits every frame takes at one quality."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from math import log2
from typing import BinaryIO

from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.constants import MAX_QUALITY
from roicodec.bitstream.reader import StreamReader
from roicodec.encoder.effort import EFFORTS
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.profile_control import OCTAVES, Profile
from roicodec.errors import InputError

__all__ = ["first_pass"]

_START = 36
_NEAR = 6
"""Indices within which bits at one quality tell those at another."""
_MOST_PASSES = 3


def first_pass(
    encode: Callable[[EncoderOptions, BinaryIO], object], options: EncoderOptions
) -> Profile:
    """Profile of a video at about the quality that its bit rate needs, from encodes at least
    effort: one, or up to three where the first guess is far off.

    Args:
        encode: encodes the video by options to a stream.
        options: with the bit rate.

    Raises:
        InputError: if there is no bit rate, or what ``encode`` raises.
    """
    if options.bit_rate is None:
        raise InputError("two passes are for a bit rate", parameter="two_pass")
    quality = _START
    for _ in range(_MOST_PASSES):
        plain = replace(
            options, bit_rate=None, max_rate=None, buffer_bits=None, quality=quality,
            effort=min(EFFORTS),
        )  # fmt: skip
        with tempfile.TemporaryFile() as stream:
            encode(plain, stream)
            stream.seek(0)
            reader = StreamReader(stream)
            bits = tuple(8 * i.size for i in reader if isinstance(i, Chunk) and i.frame is not None)
        rate = reader.header.frame_rate or options.frame_rate
        wanted = options.bit_rate / float(rate) * len(bits)
        exact = min(max(quality + log2(wanted / sum(bits)) / OCTAVES, 0), MAX_QUALITY)
        if abs(exact - quality) <= _NEAR:
            break
        quality = round(exact)
    return Profile(exact, bits)
