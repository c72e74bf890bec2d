"""The elementary fields of chunks; every number is big-endian."""

from __future__ import annotations

import struct
from fractions import Fraction

from roicodec.errors import StreamError

__all__ = ["Cursor", "blob", "fraction", "signed", "text", "varint"]


def varint(value: int) -> bytes:
    """An unsigned number below 2**64: base 128, most significant group first, bit 7 in all but
    the last byte."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} is not an unsigned 64-bit integer")
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def signed(value: int) -> bytes:
    """A signed number by zigzag: 0, -1, 1, -2, 2, ... as the varints 0, 1, 2, 3, 4, ..."""
    return varint(2 * value if value >= 0 else -2 * value - 1)


def fraction(value: Fraction) -> bytes:
    """Numerator and denominator of a non-negative fraction, as varints."""
    return varint(value.numerator) + varint(value.denominator)


def blob(data: bytes) -> bytes:
    """Bytes behind their length as a varint."""
    return varint(len(data)) + data


def text(value: str) -> bytes:
    """Text in UTF-8 as :func:`blob`; surrogates of :pep:`383` as the bytes they stand for."""
    return blob(value.encode("utf-8", "surrogateescape"))


class Cursor:
    """A reading place in a payload; a field that does not fit raises a :class:`StreamError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > len(self._data) - self._at:
            raise StreamError("a field reaches beyond the end of its chunk")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self._data) - self._at)

    def unpack(self, layout: str) -> tuple[int, ...]:
        """Fields of fixed length, as :mod:`struct` describes them."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def varint(self) -> int:
        value = 0
        for _ in range(10):
            byte = self.take(1)[0]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                if value >= 1 << 64:
                    break
                return value
        raise StreamError("a variable-length number is longer than 64 bits")

    def signed(self) -> int:
        value = self.varint()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def fraction(self) -> Fraction:
        numerator, denominator = self.varint(), self.varint()
        if not denominator:
            raise StreamError("a fraction has the denominator 0")
        return Fraction(numerator, denominator)

    def blob(self) -> bytes:
        return self.take(self.varint())

    def text(self) -> str:
        return self.blob().decode("utf-8", "surrogateescape")

    def end(self) -> None:
        """Check that nothing of the payload is left.

        Raises:
            StreamError: if bytes are left.
        """
        if self._at != len(self._data):
            raise StreamError(f"{len(self._data) - self._at} bytes too many at the end of a chunk")
