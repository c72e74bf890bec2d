"""The elementary fields of chunks: numbers of variable length, fractions, texts, sections."""

from __future__ import annotations

import struct
from fractions import Fraction

from roicodec.errors import StreamError

__all__ = ["Cursor", "put_fraction", "put_section", "put_signed", "put_text", "put_varint"]


def put_varint(value: int) -> bytes:
    """Base-128, most significant group first; every byte but the last has bit 7 set."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} is not an unsigned 64-bit integer")
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def put_signed(value: int) -> bytes:
    """Zigzag: 0, -1, 1, -2, 2 ... become 0, 1, 2, 3, 4 ..."""
    return put_varint(2 * value if value >= 0 else -2 * value - 1)


class Cursor:
    """Reads fields off a payload; every overrun is a :class:`StreamError`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise StreamError("a field reaches beyond the end of its chunk")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, layout: str) -> tuple[int, ...]:
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

    def section(self) -> bytes:
        return self.take(self.varint())

    def text(self) -> str:
        try:
            return self.take(self.take(1)[0]).decode()
        except UnicodeDecodeError as error:
            raise StreamError("a text is not UTF-8") from error

    def end(self) -> None:
        if self.at != len(self.data):
            raise StreamError(f"{len(self.data) - self.at} bytes too many at the end of a chunk")


def put_fraction(value: Fraction) -> bytes:
    return put_varint(value.numerator) + put_varint(value.denominator)


def put_text(value: str) -> bytes:
    data = value.encode()
    if len(data) > 255:
        raise ValueError(f"text of {len(data)} bytes; at most 255 fit")
    return bytes([len(data)]) + data


def put_section(data: bytes) -> bytes:
    """Its length as a number of variable length, then the bytes."""
    return put_varint(len(data)) + data
