"""Exponents and sizes that the stream's integer arithmetic fixes (``docs/format.md``).

A tensor with exponent e counts in ``2**e`` units; a unit is 32 sample values.
"""

from __future__ import annotations

__all__ = [
    "ARITHMETIC_ID",
    "BIAS_EXPONENT",
    "HYPER_ALPHABET",
    "HYPER_CONTEXTS",
    "INDEX_EXPONENT",
    "LATENT_ALPHABET",
    "LATENT_EXPONENT",
    "PAD",
    "SAMPLE_SHIFT",
    "STEP_EXPONENT",
    "STREAM_EXPONENT",
]

ARITHMETIC_ID = 1
"""Version of the arithmetic that a stream names."""

PAD = 32
"""Frames are extended to a multiple of this, the last row and column repeated; also the side of the
squares that have one position of hyper-latents."""

STREAM_EXPONENT = -9
"""Of the residual stream at 1/8 resolution."""

SAMPLE_SHIFT = 4
"""The stream counts in ``2**-4`` sample values."""

LATENT_EXPONENT = -8
"""Of latents and of hyper-latents after dequantization."""

STEP_EXPONENT = -12
"""Of the latents' quantizer steps."""

INDEX_EXPONENT = -4
"""Of table indices before rounding."""

BIAS_EXPONENT = -20
"""Of biases inside blocks."""

LATENT_ALPHABET = 64
"""Latents beyond this magnitude are coded as an escape."""

HYPER_ALPHABET = 24
"""The same for hyper-latents."""

HYPER_CONTEXTS = 8
"""Of each channel of hyper-latents: none, and seven levels of the neighbours."""
