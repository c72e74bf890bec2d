"""Entropy coding of arrays of integer symbols. Byte-exact layout: ``docs/format.md``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from roicodec.bitstream.range_coder import range_decoder, range_encoder
from roicodec.bitstream.tables import PRECISION, Ints, Tables, integer_frequencies

__all__ = ["PRECISION", "Ints", "SymbolDecoder", "SymbolEncoder", "Tables", "integer_frequencies"]


def _flat(values: ArrayLike) -> Ints:
    return np.ascontiguousarray(np.asarray(values, np.int32).ravel())


class SymbolEncoder:
    """Writer of symbols to a section.

    Attributes:
        coder: the range coder's form in use.
    """

    def __init__(self) -> None:
        self.coder = range_encoder()

    def put(self, tables: Tables, symbols: ArrayLike, index: ArrayLike) -> None:
        """Code ``symbols`` (int ``[N]``), each with the table that ``index`` (int ``[N]``) names.

        Symbols are coded table by table, in order of the table's number, then the escapes.

        Raises:
            ValueError: if a symbol cannot be coded with its table.
        """
        s, i = _flat(symbols), _flat(index)
        if len(s) != len(i):
            raise ValueError(f"{len(s)} symbols, but {len(i)} numbers of tables")
        self.coder.put(tables, s, i)

    def put_uniform(self, values: ArrayLike, size: int) -> None:
        """Code ``values`` (int ``[N]``, in ``0..size - 1``) as equiprobable; size 2..2**24."""
        self.coder.put_uniform(_flat(values), size)

    def finish(self) -> bytes:
        """The coded bytes; empty when nothing was coded.

        Of all numbers in the coder's last interval, written with the most significant byte first,
        the one with the most zero bytes at the end is taken, without them: the decoder adds zeros.
        """
        return self.coder.finish()


class SymbolDecoder:
    """Reader of what :class:`SymbolEncoder` wrote, by the same sequence of calls.

    Attributes:
        coder: the range coder's form in use.
    """

    def __init__(self, data: bytes) -> None:
        self.coder = range_decoder(data)

    def get(self, tables: Tables, index: ArrayLike) -> Ints:
        """Symbols, one for every entry of ``index`` (int ``[N]``), int32 ``[N]``.

        Raises:
            StreamError: if the section is damaged so that it cannot be read on.
        """
        return self.coder.get(tables, _flat(index))

    def get_uniform(self, count: int, size: int) -> Ints:
        """Equiprobable values in ``0..size - 1``, int32 ``[count]``.

        Raises:
            StreamError: as above.
        """
        return self.coder.get_uniform(count, size)
