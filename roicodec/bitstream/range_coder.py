"""The range coder: a native form, and a reference on the library constriction.

Both write the same bytes for the same calls, and read the same symbols from any bytes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.tables import PRECISION, Ints, Tables
from roicodec.errors import StreamError
from roicodec.kernels.native import address, function
from roicodec.kernels.operations import Arrays, Operation

__all__ = [
    "NativeDecoder",
    "NativeEncoder",
    "RangeDecoder",
    "RangeEncoder",
    "check",
    "range_decoder",
    "range_encoder",
]

_MAX_ESCAPE_BITS = 24


class RangeEncoder(Protocol):
    """Writer of a section."""

    def put(self, tables: Tables, symbols: Ints, index: Ints) -> None:
        """Code symbols ``[N]``, each with the table that ``index`` ``[N]`` names."""

    def put_uniform(self, values: Ints, size: int) -> None:
        """Code values ``[N]`` in ``0..size - 1`` as equiprobable."""

    def finish(self) -> bytes:
        """The coded bytes."""


class RangeDecoder(Protocol):
    """Reader of a section."""

    def get(self, tables: Tables, index: Ints) -> Ints:
        """Symbols, one for every entry of ``index`` ``[N]``."""

    def get_uniform(self, count: int, size: int) -> Ints:
        """Equiprobable values in ``0..size - 1``."""


# --- reference ----------------------------------------------------------------------------------


def _groups(index: Ints) -> list[tuple[int, NDArray[np.int64]]]:
    """Table numbers in ascending order, each with the positions that use it, ascending."""
    order = np.argsort(index, kind="stable")
    used, start = np.unique(index[order], return_index=True)
    return list(zip(used.tolist(), np.split(order, start[1:]), strict=True)) if len(index) else []


def _model(tables: Tables, number: int) -> Any:
    """constriction's model of a row; None of a certain one."""
    if tables.certain[number] <= tables.high + 1:
        return None
    import constriction

    if number not in tables.models:
        row = tables.frequencies[number] / (1 << PRECISION)
        tables.models[number] = constriction.stream.model.Categorical(row, perfect=False)
    return tables.models[number]


class ReferenceEncoder:
    """Writer on constriction's range encoder."""

    def __init__(self) -> None:
        import constriction

        self._coder = constriction.stream.queue.RangeEncoder()
        self._uniform = constriction.stream.model.Uniform
        self._empty = True

    def put(self, tables: Tables, symbols: Ints, index: Ints) -> None:
        outside = (symbols < tables.low) | (symbols > tables.high)
        if outside.any() and not tables.escape:
            raise ValueError("symbol outside the alphabet of a table without escape")
        column = np.where(outside, tables.high + 1, symbols) - tables.offset
        for number, where in _groups(index):
            model = _model(tables, number)
            if model is None:
                if (column[where] != tables.certain[number] - tables.offset).any():
                    raise ValueError(f"table {number} admits one symbol only")
            else:
                self._coder.encode(np.ascontiguousarray(column[where]), model)
                self._empty = False
        if outside.any():
            self._put_escapes(symbols[outside], tables)

    def put_uniform(self, values: Ints, size: int) -> None:
        if len(values):
            self._coder.encode(np.ascontiguousarray(values), self._uniform(size))
            self._empty = False

    def _put_escapes(self, s: Ints, tables: Tables) -> None:
        negative = s < tables.low
        wide = s.astype(np.int64)
        distance = np.where(negative, tables.low - wide, wide - tables.high)
        bits = np.floor(np.log2(distance)).astype(np.int32)
        if bits.max() >= _MAX_ESCAPE_BITS:
            raise ValueError(f"symbol further than 2**{_MAX_ESCAPE_BITS} from its table")
        self.put_uniform(negative.astype(np.int32), 2)
        self.put_uniform(bits, _MAX_ESCAPE_BITS)
        for b in range(_MAX_ESCAPE_BITS - 1):
            with_bit = bits > b
            self.put_uniform(((distance[with_bit] >> b) & 1).astype(np.int32), 2)

    def finish(self) -> bytes:
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


class ReferenceDecoder:
    """Reader on constriction's range decoder."""

    def __init__(self, data: bytes) -> None:
        import constriction

        words = np.frombuffer(data + bytes(-len(data) % 4 + 8), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._uniform = constriction.stream.model.Uniform

    def get(self, tables: Tables, index: Ints) -> Ints:
        out = np.empty(len(index), np.int32)
        for number, where in _groups(index):
            model = _model(tables, number)
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
        if not count:
            return np.empty(0, np.int32)
        return self._decode(self._uniform(size), count)

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


# --- native -------------------------------------------------------------------------------------

_STATE = 6
"""64-bit words of a coder's state."""

_ERRORS: dict[int, tuple[type[Exception], str]] = {
    -1: (StreamError, "entropy-coded section is damaged"),
    -2: (MemoryError, "no memory for entropy coding"),
    -3: (ValueError, "symbol outside the alphabet of a table without escape"),
    -4: (ValueError, f"symbol further than 2**{_MAX_ESCAPE_BITS} from its table"),
    -5: (IndexError, "number of a table that there is not"),
    -6: (ValueError, "a table that admits one symbol only has another"),
}


def check(status: int) -> None:
    """Check of a native coder's status.

    Raises:
        StreamError: if the section is damaged.
        MemoryError, ValueError, IndexError: as another negative status says.
    """
    if status < 0:
        error, text = _ERRORS[status]
        raise error(text)


class NativeEncoder:
    """Writer in C++.

    Attributes:
        state: address of its state, for native code that writes symbols itself.
    """

    def __init__(self) -> None:
        self._memory = np.zeros(_STATE, np.uint64)
        self.state = address(self._memory, np.uint64)
        function("rq_encoder_start", "p")(self.state)
        weakref.finalize(self, _free, self._memory)

    def put(self, tables: Tables, symbols: Ints, index: Ints) -> None:
        check(
            function("rq_encode", "ppppl", "i")(
                self.state, tables.laid_out.ctypes.data, address(symbols, np.int32),
                address(index, np.int32), len(index),
            )
        )  # fmt: skip

    def put_uniform(self, values: Ints, size: int) -> None:
        check(
            function("rq_encode_uniform", "ppli", "i")(
                self.state, address(values, np.int32), len(values), size
            )
        )

    def finish(self) -> bytes:
        out = np.empty(function("rq_encoder_size", "p", "l")(self.state), np.uint8)
        length = function("rq_encoder_finish", "pp", "l")(self.state, address(out, np.uint8))
        check(length)
        return out[:length].tobytes()


def _free(memory: NDArray[np.uint64]) -> None:
    function("rq_encoder_free", "p")(address(memory, np.uint64))


class NativeDecoder:
    """Reader in C++.

    Attributes:
        state: address of its state, for native code that reads symbols itself.
    """

    def __init__(self, data: bytes) -> None:
        self._data = np.frombuffer(data, np.uint8)
        self._memory = np.zeros(_STATE, np.uint64)
        self.state = address(self._memory, np.uint64)
        function("rq_decoder_start", "ppl")(
            self.state, address(self._data, np.uint8), len(self._data)
        )

    def get(self, tables: Tables, index: Ints) -> Ints:
        out = np.empty(len(index), np.int32)
        check(
            function("rq_decode", "pppl" + "p", "i")(
                self.state, tables.laid_out.ctypes.data, address(index, np.int32), len(index),
                address(out, np.int32),
            )
        )  # fmt: skip
        return out

    def get_uniform(self, count: int, size: int) -> Ints:
        out = np.empty(count, np.int32)
        check(
            function("rq_decode_uniform", "plip", "i")(
                self.state, count, size, address(out, np.int32)
            )
        )
        return out


# --- operations ---------------------------------------------------------------------------------


def _probe_tables() -> Tables:
    """Flat, steep and certain rows, with escapes."""
    rows = np.array([[30000, 9000, 1, 26000, 535], [0, 0, 65536, 0, 0], [1, 1, 65532, 1, 1]])
    return Tables(rows, offset=-2, escape=True)


def _probe_symbols() -> tuple[Ints, Ints]:
    """Symbols and the numbers of their tables."""
    number = np.arange(300)
    index = number * 7 % 5 % 3
    symbols = number * number % 4 - 2
    symbols[::17] = 3 + number[::17] ** 2
    symbols[::23] = -70000
    return np.where(index == 1, 0, symbols).astype(np.int32), index.astype(np.int32)


def _probe_encoder(form: Callable[[], RangeEncoder]) -> Arrays:
    tables, (symbols, index) = _probe_tables(), _probe_symbols()
    for count in (0, 1, 2, 300):
        encoder = form()
        encoder.put(tables, symbols[:count], index[:count])
        encoder.put_uniform(index[:count], 3)
        yield np.frombuffer(encoder.finish(), np.uint8)


def _probe_decoder(form: Callable[[bytes], RangeDecoder]) -> Arrays:
    tables, (_, index) = _probe_tables(), _probe_symbols()
    data = (np.arange(120) ** 3 % 251).astype(np.uint8).tobytes()
    for length in (0, 3, 120):
        decoder = form(data[:length])
        yield decoder.get(tables, index)
        yield decoder.get_uniform(50, 1000)
        yield decoder.get(tables, index)


range_encoder: Operation[[], RangeEncoder] = Operation(
    "range encoder", ReferenceEncoder, NativeEncoder, _probe_encoder, 0xDB015A20
)
"""A new writer of a section."""

range_decoder: Operation[[bytes], RangeDecoder] = Operation(
    "range decoder", ReferenceDecoder, NativeDecoder, _probe_decoder, 0xF95DBE6F
)
"""A new reader of a section.

Args:
    data: the section, which may be damaged; bytes beyond its end are 0.
"""
