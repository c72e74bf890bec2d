"""Entropy coding of integer symbols with integer tables, on constriction's range coder.

A probability never comes from a float that was computed: a symbol's model is a row of a
:class:`Tables`, chosen by an integer index. Byte-exact layout: ``docs/format.md``.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.errors import StreamError

__all__ = ["PRECISION", "Ints", "SymbolDecoder", "SymbolEncoder", "Tables", "integer_frequencies"]

PRECISION = 16
"""Frequencies of a table row sum to ``2**PRECISION``."""

_MAX_ESCAPE_BITS = 24

Ints = NDArray[np.int32]


def integer_frequencies(weights: ArrayLike) -> NDArray[np.int64]:
    """Round non-negative weights ``[..., S]`` to frequencies >= 1 that sum to ``2**PRECISION``.

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
        make = constriction.stream.model.Categorical
        self._models = [
            None if certain <= self.high + 1 else make(row / (1 << PRECISION), perfect=False)
            for row, certain in zip(freq, self.certain, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._models)

    def cost(self) -> NDArray[np.float64]:
        """Bits of every column of every row, ``[T, S]``; infinite where it cannot be coded."""
        with np.errstate(divide="ignore"):
            return PRECISION - np.log2(self.frequencies.astype(np.float64))


def _groups(index: Ints) -> list[tuple[int, NDArray[np.int64]]]:
    """Table numbers in ascending order, each with the positions that use it, ascending."""
    order = np.argsort(index, kind="stable")
    used, start = np.unique(index[order], return_index=True)
    return list(zip(used.tolist(), np.split(order, start[1:]), strict=True)) if len(index) else []


class SymbolEncoder:
    """Writes symbols to a range coder; ``finish`` returns the bytes."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._empty = True

    def put(self, tables: Tables, symbols: ArrayLike, index: ArrayLike) -> None:
        """Code ``symbols`` (int ``[N]``), each with the table that ``index`` (int ``[N]``) names.

        Symbols are coded table by table, in order of the table's number, then the escapes.

        Raises:
            ValueError: if a symbol cannot be coded with its table.
        """
        s = np.asarray(symbols, np.int32).ravel()
        outside = (s < tables.low) | (s > tables.high)
        if outside.any() and not tables.escape:
            raise ValueError("symbol outside the alphabet of a table without escape")
        column = np.where(outside, tables.high + 1, s) - tables.offset
        for number, where in _groups(np.asarray(index, np.int32).ravel()):
            model = tables._models[number]
            if model is None:
                if (column[where] != tables.certain[number] - tables.offset).any():
                    raise ValueError(f"table {number} admits one symbol only")
            else:
                self._coder.encode(np.ascontiguousarray(column[where]), model)
                self._empty = False
        if outside.any():
            self._put_escapes(s[outside], tables)

    def put_uniform(self, values: ArrayLike, size: int) -> None:
        """Code ``values`` (int ``[N]``, in ``0..size - 1``) as equiprobable; size 2..2**24."""
        v = np.ascontiguousarray(np.asarray(values, np.int32).ravel())
        if len(v):
            self._coder.encode(v, constriction.stream.model.Uniform(size))
            self._empty = False

    def _put_escapes(self, s: Ints, tables: Tables) -> None:
        negative = s < tables.low
        distance = np.where(negative, tables.low - s, s - tables.high).astype(np.int64)
        bits = np.floor(np.log2(distance)).astype(np.int32)
        if bits.max() >= _MAX_ESCAPE_BITS:
            raise ValueError(f"symbol further than 2**{_MAX_ESCAPE_BITS} from its table")
        self.put_uniform(negative.astype(np.int32), 2)
        self.put_uniform(bits, _MAX_ESCAPE_BITS)
        for b in range(_MAX_ESCAPE_BITS - 1):
            with_bit = bits > b
            self.put_uniform((distance[with_bit] >> b) & 1, 2)

    def finish(self) -> bytes:
        """The coded bytes; empty when nothing was coded.

        Of all numbers in the coder's last interval, written with the most significant byte first,
        the one with the most zero bytes at the end is taken, without them: the decoder adds zeros.
        """
        if self._empty:
            return b""
        words = bytes(self._coder.get_compressed().astype(">u4").tobytes())
        settled, low, size = self._last_interval()
        total = 4 * settled + 8
        inside = int.from_bytes(words + bytes(total - len(words)), "big")
        first = inside - (inside - low) % (1 << 64)
        last = first + size - 1
        shortest = first.to_bytes(total, "big")
        # A length that will not do rules out all shorter ones.
        for length in range(total - 1, 0, -1):
            shift = 8 * (total - length)
            value = -(-first >> shift)
            if value << shift > last or value >> 8 * length:
                break
            shortest = value.to_bytes(length, "big")
        return shortest

    def _last_interval(self) -> tuple[int, int, int]:
        """Words that are settled; the interval of all that follows, as 64 bits, and its size."""
        settled, (low, size) = self._coder.pos()
        return int(settled), int(low), int(size)


class SymbolDecoder:
    """Reads what :class:`SymbolEncoder` wrote, by the same sequence of calls."""

    def __init__(self, data: bytes) -> None:
        words = np.frombuffer(data + bytes(-len(data) % 4 + 8), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def get(self, tables: Tables, index: ArrayLike) -> Ints:
        """Decode one symbol for every entry of ``index`` (int ``[N]``); int32 ``[N]``."""
        idx = np.asarray(index, np.int32).ravel()
        out = np.empty(len(idx), np.int32)
        for number, where in _groups(idx):
            model = tables._models[number]
            if model is None:
                out[where] = tables.certain[number]
            else:
                out[where] = self._decode(model, len(where)) + tables.offset
        if tables.escape:
            escaped = out > tables.high
            if escaped.any():
                out[escaped] = self._get_escapes(int(escaped.sum()), tables)
        return out

    def get_uniform(self, count: int, size: int) -> Ints:
        """Decode ``count`` equiprobable values in ``0..size - 1``; int32 ``[count]``."""
        if not count:
            return np.empty(0, np.int32)
        return self._decode(constriction.stream.model.Uniform(size), count)

    def _get_escapes(self, count: int, tables: Tables) -> Ints:
        negative = self.get_uniform(count, 2).astype(bool)
        bits = self.get_uniform(count, _MAX_ESCAPE_BITS)
        distance = np.left_shift(np.ones(count, np.int32), bits)
        for b in range(_MAX_ESCAPE_BITS - 1):
            with_bit = bits > b
            distance[with_bit] |= self.get_uniform(int(with_bit.sum()), 2) << b
        return np.where(negative, tables.low - distance, tables.high + distance).astype(np.int32)

    def _decode(self, model: Any, count: int) -> Ints:
        try:
            return np.asarray(self._coder.decode(model, count), np.int32)
        except (AssertionError, ValueError) as error:
            raise StreamError("entropy-coded section is damaged") from error
