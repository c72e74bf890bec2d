"""CRC-32 of any span of a buffer, at a cost that does not depend on the span's length.

A search for chunks needs the CRC of a span wherever something looks like a chunk. Such spans may
overlap as an attacker likes; hashing each from its start would take time quadratic in the input.
CRC-32 is linear: from the CRCs of two prefixes of the file follows that of the span between them.
"""

from __future__ import annotations

import zlib
from functools import cache

__all__ = ["SpanCrc", "flipped_bit"]

_STEP = 1 << 12
"""Bytes from one stored prefix to the next."""

_DIRECT = 2 * _STEP
"""Longest span, in bytes, that is hashed by itself."""

_POLYNOMIAL = 0xEDB88320

_ORDER = (1 << 32) - 1
"""Order of x modulo the polynomial: moving on by so many bytes changes nothing."""


class SpanCrc:
    """CRC-32 of spans of a buffer; long spans are hashed once, however many overlap."""

    def __init__(self) -> None:
        self._origin = 0
        self._marks = [0]
        """CRC of the file from the origin up to each multiple of ``_STEP`` behind it."""

    def __call__(self, buffer: bytearray, offset: int, start: int, end: int) -> int:
        """CRC-32 of ``buffer[start:end]``.

        Args:
            buffer: bytes of the file from ``offset`` on.
            offset: byte of the file where the buffer begins; must not decrease.
            start, end: positions in the buffer.
        """
        with memoryview(buffer) as view:
            if end - start <= _DIRECT:
                return zlib.crc32(view[start:end])
            if self._origin + (len(self._marks) - 1) * _STEP < offset:
                self._origin, self._marks = offset, [0]
            before, after = (self._prefix(view, offset, at) for at in (start, end))
        return after ^ _moved(before, end - start)

    def _prefix(self, view: memoryview, offset: int, end: int) -> int:
        """CRC of the file from the origin up to ``view[end]``."""
        skipped = self._origin - offset  # where the origin would be in the view
        number = (end - skipped) // _STEP
        while len(self._marks) <= number:
            at = skipped + (len(self._marks) - 1) * _STEP
            self._marks.append(zlib.crc32(view[at : at + _STEP], self._marks[-1]))
        mark = skipped + number * _STEP
        if mark >= 0:
            return zlib.crc32(view[mark:end], self._marks[number])
        # The mark before is gone from the buffer: go back from the one behind.
        mark += _STEP
        known = self._marks[number + 1] ^ zlib.crc32(view[end:mark])
        return _moved(known, _ORDER - (mark - end))


def _moved(crc: int, count: int) -> int:
    """The part that the CRC of some bytes has in that of the same and ``count`` more."""
    power = 0
    while count:
        if count & 1:
            crc = _looked_up(_tables(power), crc)
        count >>= 1
        power += 1
    return crc


_Tables = tuple[tuple[int, ...], ...]
"""A linear map of CRCs: the images of each of their four bytes."""


def _looked_up(tables: _Tables, crc: int) -> int:
    a, b, c, d = tables
    return a[crc & 255] ^ b[crc >> 8 & 255] ^ c[crc >> 16 & 255] ^ d[crc >> 24]


def _shifted(crc: int) -> int:
    """The part that a CRC has in that of one more bit."""
    return crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)


@cache
def _tables(power: int) -> _Tables:
    """The map by which ``2**power`` bytes follow."""
    if power:
        half = _tables(power - 1)
        return _map([_looked_up(half, _looked_up(half, 1 << bit)) for bit in range(32)])
    bits = [1 << bit for bit in range(32)]
    for _ in range(8):
        bits = [_shifted(bit) for bit in bits]
    return _map(bits)


def _map(bits: list[int]) -> _Tables:
    """A linear map by the images of the 32 bits."""
    tables = []
    for byte in range(4):
        table = [0]
        for bit in bits[8 * byte : 8 * byte + 8]:
            table += [bit ^ entry for entry in table]
        tables.append(tuple(table))
    return tuple(tables)


# --- one wrong bit ----------------------------------------------------------------------------


def flipped_bit(syndrome: int, size: int) -> int | None:
    """Place of the one bit of some bytes that is wrong, by their CRC.

    A flipped bit changes a CRC by what depends on its distance from the end alone, and differs for
    all distances below 2**32 - 1 bits: the distance is a discrete logarithm of the change.

    Args:
        syndrome: CRC-32 of the bytes as they are, exclusive or that which is stored; not 0.
        size: number of bytes.

    Returns:
        how many bits follow the wrong one (of a byte, the most significant is the last); -1 if the
        stored CRC alone is wrong; None if no single bit explains the syndrome.
    """
    if syndrome.bit_count() == 1:
        return -1
    distances, (a, b, c, d) = _distances(), _nearer()
    for passed in range(0, size, _STEP):
        distance = distances.get(syndrome)
        if distance is not None:
            distance += 8 * passed
            return distance if distance < 8 * size else None
        syndrome = (
            a[syndrome & 255] ^ b[syndrome >> 8 & 255] ^ c[syndrome >> 16 & 255] ^ d[syndrome >> 24]
        )
    return None


@cache
def _distances() -> dict[int, int]:
    """Distances of less than a step from the end, by the syndrome."""
    found, value = {}, 1
    for distance in range(8 * _STEP):
        value = _shifted(value)
        found[value] = distance
    return found


@cache
def _nearer() -> _Tables:
    """The map from a bit's syndrome to that of one which is a step nearer to the end."""
    return _map([_moved(1 << bit, _ORDER - _STEP) for bit in range(32)])
