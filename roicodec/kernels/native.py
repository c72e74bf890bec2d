"""The native library: found, loaded with ctypes, and called on numpy arrays.

One shared library of plain C functions (``native/``); the interpreter's lock is released while one
runs. Where it is missing, was built from other sources, or is switched off, :func:`library` is None
and :func:`reason` says why; callers then use their reference kernels.
"""

from __future__ import annotations

import ctypes
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from roicodec.errors import InputError

__all__ = [
    "ENVIRONMENT",
    "LEVELS",
    "LIBRARY_ENVIRONMENT",
    "address",
    "forced",
    "function",
    "level",
    "levels",
    "library",
    "reason",
]

ENVIRONMENT = "ROICODEC_NATIVE"
"""Environment variable: one of :data:`LEVELS`, the best form to use, or ``off``."""

LIBRARY_ENVIRONMENT = "ROICODEC_NATIVE_LIBRARY"
"""Environment variable: path of another library to load, such as a build with sanitizers."""

LEVELS = ("plain", "avx2", "vnni", "amx")
"""Instruction sets that kernels have forms for, ascending: C++ alone, AVX2, AVX-512 with VNNI,
and that with tiles (AMX) for products of bytes."""

Array = NDArray[Any]


@cache
def _found() -> tuple[ctypes.CDLL | None, str]:
    asked = os.environ.get(ENVIRONMENT) or LEVELS[-1]
    if asked not in (*LEVELS, "off"):
        names = ", ".join((*LEVELS, "off"))
        raise InputError(f"{ENVIRONMENT}={asked}: must be one of {names}")
    if asked == "off":
        return None, f"switched off by {ENVIRONMENT}"
    given = os.environ.get(LIBRARY_ENVIRONMENT)
    path = Path(given) if given else Path(__file__).with_name("_native.so")
    if not path.exists():
        return None, f"not built (no {path.name}; needs a C++ compiler at installation)"
    try:
        loaded = ctypes.CDLL(str(path))
        loaded.rq_sources.restype = ctypes.c_char_p
        built = loaded.rq_sources().decode()
    except (OSError, AttributeError) as error:
        return None, f"cannot be loaded: {str(error).splitlines()[0]}"
    sources = Path(__file__).parents[2] / "native"
    if sources.is_dir() and built != _checksum(sources):
        return None, "built from other sources: run make native"
    loaded.rq_set_level(LEVELS.index(asked))
    loaded.rq_set_threads(len(os.sched_getaffinity(0)))
    return loaded, f"{LEVELS[loaded.rq_level()]} instructions"


def _checksum(folder: Path) -> str:
    """CRC-32 of all sources, as ``setup.py`` gives it to the compiler."""
    crc = 0
    for path in sorted(folder.iterdir()):
        if path.suffix in (".cpp", ".h"):
            crc = zlib.crc32(path.read_bytes(), crc)
    return f"{crc:08x}"


def library() -> ctypes.CDLL | None:
    """The loaded library; None where there is none to use.

    Raises:
        InputError: if :data:`ENVIRONMENT` names no level.
    """
    return _found()[0]


def reason() -> str:
    """Reason why there is no library, or the instructions that it uses."""
    found, why = _found()
    return why if found is None else f"{level()} instructions"


def levels() -> tuple[str, ...]:
    """Levels that this machine has, ascending; empty without a library."""
    found = library()
    return LEVELS[: found.rq_best_level() + 1] if found else ()


def level() -> str:
    """The level in use; ``off`` without a library."""
    found = library()
    return LEVELS[found.rq_level()] if found else "off"


@contextmanager
def forced(name: str) -> Iterator[None]:
    """Context in which the process uses the forms of a level, for tests and benchmarks.

    Raises:
        InputError: if this machine does not have it.
    """
    found = library()
    if found is None or name not in levels():
        raise InputError(f"no native kernels with {name} instructions here: {reason()}")
    before = found.rq_level()
    found.rq_set_level(LEVELS.index(name))
    try:
        yield
    finally:
        found.rq_set_level(before)


def function(name: str, arguments: str, result: str = "") -> Callable[..., Any]:
    """A function of the library.

    Args:
        name: of the C function.
        arguments: a letter each: ``p`` pointer (see :func:`address`), ``i`` int32, ``l`` int64,
            ``f`` float, ``d`` double.
        result: such a letter; none for void.

    Raises:
        InputError: if there is no library.
    """
    found = library()
    if found is None:
        raise InputError(f"no native kernels: {reason()}")
    called: Callable[..., Any] = _prototype(arguments, result)((name, found))
    return called


_TYPES: dict[str, Any] = {
    "p": ctypes.c_void_p,
    "i": ctypes.c_int32,
    "l": ctypes.c_int64,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


@cache
def _prototype(arguments: str, result: str) -> Any:
    return ctypes.CFUNCTYPE(_TYPES[result] if result else None, *(_TYPES[a] for a in arguments))


def address(array: Array, dtype: DTypeLike, *, writable: bool = False) -> int:
    """Address of a C-contiguous array's first element.

    Args:
        array: kept alive by the caller while native code uses it.
        dtype: that native code reads it as.
        writable: whether native code writes to it.

    Raises:
        TypeError: if the array is of another dtype, not contiguous, or may not be written.
    """
    if array.dtype != dtype or not array.flags.c_contiguous:
        layout = "contiguous" if array.flags.c_contiguous else "strided"
        raise TypeError(
            f"{layout} {array.dtype} array where contiguous {np.dtype(dtype)} is needed"
        )
    if writable and not array.flags.writeable:
        raise TypeError("a read-only array where native code writes")
    return int(array.ctypes.data)
