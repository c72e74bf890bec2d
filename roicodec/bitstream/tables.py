"""Frequency tables of the entropy coder.

A probability never comes from a float that was computed: a symbol's model is a row of a
:class:`Tables`, chosen by an integer index. Byte-exact layout: ``docs/format.md``.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.kernels.native import address, function

__all__ = ["PRECISION", "Ints", "Tables", "integer_frequencies"]

PRECISION = 16
"""Frequencies of a table row sum to ``2**PRECISION``."""

Ints = NDArray[np.int32]


def integer_frequencies(weights: ArrayLike) -> NDArray[np.int64]:
    """Frequencies >= 1 with sum ``2**PRECISION``, rounded from non-negative weights ``[..., S]``.

    What rounding leaves over or takes away goes to the most frequent symbol.
    """
    w = np.asarray(weights, np.float64)
    total = 1 << PRECISION
    size = w.shape[-1]
    scaled = w / w.sum(-1, keepdims=True) * (total - size)
    freq: NDArray[np.int64] = np.floor(scaled).astype(np.int64) + 1
    top = freq.argmax(-1)[..., None]
    rest = total - freq.sum(-1, keepdims=True)
    np.put_along_axis(freq, top, np.take_along_axis(freq, top, -1) + rest, -1)
    return freq


class Tables:
    """A set of T frequency tables over the same alphabet.

    Args:
        frequencies: integers ``[T, S]``; each row is >= 0 and sums to ``2**PRECISION``. In a row
            with a single non-zero entry that symbol is certain and is not coded at all.
        offset: the symbol that column 0 stands for.
        escape: whether the last column stands for "outside the alphabet"; such a symbol is
            followed by its distance in an Elias-gamma code of equiprobable bits.

    Raises:
        ValueError: if a row does not sum to ``2**PRECISION``.
    """

    def __init__(self, frequencies: ArrayLike, *, offset: int = 0, escape: bool = False) -> None:
        freq = np.asarray(frequencies, np.int64)
        if freq.ndim != 2 or (freq < 0).any() or (freq.sum(1) != 1 << PRECISION).any():
            raise ValueError(f"every row of a table must sum to 2**{PRECISION}")
        self.frequencies = freq
        self.offset = offset
        self.escape = escape
        self.low = offset
        self.high = offset + freq.shape[1] - 1 - int(escape)
        self.certain = np.where((freq > 0).sum(1) == 1, freq.argmax(1) + offset, self.high + 2)
        self.models: dict[int, Any] = {}
        """Models of the reference coder, made on demand."""
        self._arrays: tuple[NDArray[Any], ...] = ()

    def __len__(self) -> int:
        return len(self.frequencies)

    @cached_property
    def laid_out(self) -> NDArray[np.int64]:
        """The ``Tables`` of ``native/entropy.h``: three addresses, then numbers."""
        count, size = self.frequencies.shape
        bounds, index = np.empty((count, size + 1), np.uint32), np.empty((count, 256), np.uint16)
        frequencies = np.ascontiguousarray(self.frequencies)
        function("rq_lay_out", "pllpp")(
            address(frequencies, np.int64), count, size, address(bounds, np.uint32),
            address(index, np.uint16),
        )  # fmt: skip
        certain = np.where(self.certain <= self.high + 1, self.certain - self.offset, -1)
        self._arrays = bounds, index, certain.astype(np.int32)
        addresses = [address(array, array.dtype) for array in self._arrays]
        return np.array([*addresses, count, size, self.offset, self.escape], np.int64)

    def cost(self) -> NDArray[np.float64]:
        """Bits of every column of every row, ``[T, S]``; infinite where it cannot be coded."""
        with np.errstate(divide="ignore"):
            return PRECISION - np.log2(self.frequencies.astype(np.float64))
