"""Every number that the format fixes: sizes, exponents, alphabets, limits (``docs/format.md``).

No other module states one of them again. A tensor with exponent e counts in ``2**e`` units; a unit
is 32 sample values.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ARITHMETIC_ID",
    "AVERAGE",
    "BIAS_EXPONENT",
    "BIDIRECTIONAL",
    "BLOCK",
    "CELL",
    "CHROMA_LOCATIONS",
    "CODING_STEPS",
    "COLOR_MATRICES",
    "COLOR_PRIMARIES",
    "COLOR_RANGES",
    "COLOR_TRANSFERS",
    "CONTEXT_CHANNELS",
    "DIRECT",
    "FEATURE_CHANNELS",
    "FRAME_TYPES",
    "FUTURE",
    "HYPER_ALPHABET",
    "HYPER_CHANNELS",
    "HYPER_CONTEXTS",
    "INDEX_EXPONENT",
    "INDEX_GAIN",
    "INTER",
    "INTRA",
    "LATENT_ALPHABET",
    "LATENT_CHANNELS",
    "LATENT_EXPONENT",
    "LATENT_TABLES",
    "LUMA_CHANNELS",
    "MAGIC",
    "MAPS_ALL",
    "MAPS_INTRA",
    "MAP_LIMIT",
    "MAP_STEP",
    "MAX_AREA",
    "MAX_BITS",
    "MAX_CHUNK",
    "MAX_DISTANCE",
    "MAX_FRAMES",
    "MAX_GAP",
    "MAX_LAYER",
    "MAX_PERIOD",
    "MAX_QUALITY",
    "MAX_REFERENCES",
    "MAX_ROTATION",
    "MAX_SIDE",
    "MAX_TERM",
    "MAX_TEXT",
    "MID_GRAY",
    "MIN_SIDE",
    "NO_MAPS",
    "PACKING",
    "PAD",
    "PAST",
    "PHASES",
    "PIXEL_CHANNELS",
    "QUALITIES",
    "QUANTIZER_OCTAVES",
    "QUANTIZER_STEPS",
    "QUANTIZER_STEP_COARSEST",
    "READABLE",
    "SAMPLE_SHIFT",
    "STEP_EXPONENT",
    "STREAM_EXPONENT",
    "UNIT",
    "VECTOR_LIMIT",
    "VECTOR_UNIT",
    "VERSION",
]

MAGIC = b"\x89RQV\r\n\x1a\n"
VERSION = 7
"""First bytes of a stream, and the version of the format that follows them."""

READABLE = (6, 7)
"""Versions that are read: 6 is 7 without bidirectional frames."""

ARITHMETIC_ID = 1
"""Version of the integer arithmetic, named by every stream."""

# --- frames ---------------------------------------------------------------------------------

INTRA, INTER, BIDIRECTIONAL = 0, 1, 2
"""Frame types: refers to none, to one frame shown before it, to one before and one after it."""

FRAME_TYPES: tuple[Literal["intra"], Literal["inter"], Literal["bidirectional"]]
FRAME_TYPES = "intra", "inter", "bidirectional"
"""Names of the frame types."""

AVERAGE, PAST, FUTURE, DIRECT = range(4)
"""Prediction modes of a cell of a bidirectional frame: the mean of both references, one of them, or
the mean by the vectors that are expected, of which none is coded."""

MAX_DISTANCE = 16
"""Most frames between a frame and one that it refers to, in the order of presentation."""

MAX_REFERENCES = 6
"""Most decoded frames that a decoder keeps to refer to."""

MAX_LAYER = 7
"""Highest temporal layer."""

MIN_SIDE, MAX_SIDE, MAX_AREA = 16, 4096, 4096 * 2304
"""Limits of a picture, in luma samples."""

MAX_CHUNK = 1 << 26
"""Longest payload of a chunk, in bytes."""

MAX_FRAMES = 1 << 27
"""Most frames of a stream: 51 days at 30 frames a second."""

MAX_GAP = 1 << 22
"""Most frames that can be missing in a row, 38 hours at 30 frames a second; a frame whose number
says more is damaged."""

MAX_BITS = 16
"""Widest bit-width that a stream may name."""

QUALITIES = 64
"""Number of quality indices."""

MAX_QUALITY = QUALITIES - 1

MAP_STEP, MAP_LIMIT = 2, 10
"""Quality indices of a step of the quality map, and its largest magnitude in steps."""

NO_MAPS, MAPS_INTRA, MAPS_ALL = range(3)
"""Frames of a stream that have a quality map: none, intra frames, all."""

QUANTIZER_STEP_COARSEST, QUANTIZER_OCTAVES = 243.7, 75 / 14
"""Quantizer step at quality 0, in sample values, and how many times it halves up to quality 63."""


def _quantizer_steps() -> NDArray[np.float64]:
    single = np.float32
    octaves = -single(QUANTIZER_OCTAVES) * np.arange(QUALITIES, dtype=single) / single(MAX_QUALITY)
    scale = np.exp2(octaves.astype(np.float64)).astype(single)
    # Not the nearest, but what training computes in single precision: motion search meets ties.
    scale[[18, 29, 53]] = np.nextafter(scale[[18, 29, 53]], np.array([0, 1, 0], single))
    return np.asarray(single(QUANTIZER_STEP_COARSEST) * scale, np.float64)


QUANTIZER_STEPS = _quantizer_steps()
"""Nominal quantizer step of each quality index, in sample values, float64 ``[64]``; for encoders.
The decoder's steps, by channel, are in the weights."""

# --- description ----------------------------------------------------------------------------

MAX_TERM = (1 << 31) - 1
"""Largest numerator and denominator of time base, frame rate and sample aspect, as in FFmpeg."""

MAX_PERIOD = 86400
"""Longest unit of time stamps and longest nominal time from one frame to the next, in seconds."""

MAX_ROTATION = 180
"""Largest magnitude of the rotation, in degrees."""

MAX_TEXT = 1024
"""Longest text of the header, in bytes."""

COLOR_RANGES = range(3)
"""FFmpeg's AVColorRange: 0 unspecified, 1 limited, 2 full."""

COLOR_MATRICES = range(18)
COLOR_PRIMARIES = (*range(13), 22)
COLOR_TRANSFERS = range(19)
"""Code points of ITU-T H.273, reserved ones below the last included; 2 unspecified."""

CHROMA_LOCATIONS = range(7)
"""FFmpeg's AVChromaLocation: 0 unspecified, 1 left, 2 centre, 3 top left, 4 top, 5 bottom left, 6
bottom."""

# --- grids ----------------------------------------------------------------------------------

CELL = 16
"""Side of a cell of the ROI mask and of the skip map, in luma samples."""

BLOCK = 8
"""Side of a motion block and of a position of the networks, in luma samples."""

PAD = 32
"""Frames are extended to a multiple of this many luma samples, the last row and column repeated;
also the side of the square that one position of hyper-latents describes."""

VECTOR_UNIT = 4
"""Motion vectors count in quarter luma samples."""

VECTOR_LIMIT = 2047
"""Largest magnitude of a vector's component, in quarter luma samples."""

# --- channels -------------------------------------------------------------------------------

PACKING = (64, 16, 16)
"""Samples of Y, U and V in a packed 8x8 block."""

LUMA_CHANNELS = PACKING[0]
PIXEL_CHANNELS = sum(PACKING)
FEATURE_CHANNELS = 32
"""Features that a frame's synthesis leaves for the next frame's context."""
LATENT_CHANNELS = 96
HYPER_CHANNELS = 32
CONTEXT_CHANNELS = 64

PHASES: NDArray[np.int64] = np.array([[0, 2], [3, 1]])
"""Phase of each position of a 2x2 square; (channel + phase) modulo 4 is the coding step of a
latent."""

CODING_STEPS = PHASES.size
"""Number of coding steps of the latents."""

# --- exponents ------------------------------------------------------------------------------

UNIT = 32.0
"""Sample values per unit."""

MID_GRAY = 128
"""Prediction of an intra frame, in sample values."""

SAMPLE_SHIFT = 4
"""Residuals count in ``2**-4`` sample values."""

STREAM_EXPONENT = -9
"""Exponent of the residual stream at 1/8 resolution."""

LATENT_EXPONENT = -8
"""Exponent of latents and of dequantized hyper-latents."""

STEP_EXPONENT = -12
"""Exponent of the latents' quantizer steps."""

INDEX_EXPONENT = -4
"""Exponent of table indices before rounding."""

INDEX_GAIN = 4
"""Factor by which the heads' weights make table indices smaller than they are."""

BIAS_EXPONENT = -20
"""Exponent of biases inside blocks."""

# --- alphabets ------------------------------------------------------------------------------

LATENT_ALPHABET = 64
"""Largest magnitude of a latent's symbol; larger ones are coded as an escape."""

LATENT_TABLES = 48
"""Number of frequency tables of the latents."""

HYPER_ALPHABET = 24
"""Largest magnitude of a hyper-latent's symbol; larger ones are coded as an escape."""

HYPER_CONTEXTS = 8
"""Contexts of each channel of hyper-latents: none, and seven levels of the neighbours."""
