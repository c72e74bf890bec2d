"""Operations with a reference and a native form, and the choice between the two.

A native form is used only after it gave a known answer on this machine: at its first call it runs
once on a small fixed input, and the checksum of what it returns is compared with the reference's,
which is stored beside it and held by a test.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from roicodec.kernels import native

__all__ = ["Operation", "checksum", "operations"]

P = ParamSpec("P")
R = TypeVar("R")

Arrays = Iterable[NDArray[Any]]

_OPERATIONS: dict[str, Operation[Any, Any]] = {}


class Operation(Generic[P, R]):
    """A function of two forms; calling it calls the one in use.

    Args:
        name: unique, for ``doctor`` and benchmarks.
        reference: in numpy; defines the result.
        native: the same function in C++, which is not called where there is no library.
        probe: runs a form on small inputs; yields all that it computes.
        answer: :func:`checksum` of what the reference gives the probe.
    """

    def __init__(
        self,
        name: str,
        reference: Callable[P, R],
        native: Callable[P, R],
        probe: Callable[[Callable[P, R]], Arrays],
        answer: int,
    ) -> None:
        self.name, self.reference, self.native = name, reference, native
        self.probe, self.answer = probe, answer
        _OPERATIONS[name] = self

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._chosen[0](*args, **kwargs)

    @property
    def form(self) -> str:
        """``native`` or ``reference``."""
        return "reference" if self._chosen[0] is self.reference else "native"

    @property
    def reason(self) -> str:
        """Reason for the form in use."""
        return self._chosen[1]

    @cached_property
    def _chosen(self) -> tuple[Callable[P, R], str]:
        if native.library() is None:
            return self.reference, native.reason()
        try:
            got = checksum(self.probe(self.native))
        except AttributeError as error:
            return self.reference, f"not in the library: {error}"
        if got != self.answer:
            return self.reference, "the native form is not exact on this machine"
        return self.native, f"exact on this machine, {native.reason()}"


def checksum(arrays: Arrays) -> int:
    """CRC-32 of the values of integer arrays, whatever their dtype and layout."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.asarray(array, "<i8").tobytes(), crc)
    return crc


def operations() -> Iterator[Operation[Any, Any]]:
    """All operations whose modules were imported, by name."""
    for name in sorted(_OPERATIONS):
        yield _OPERATIONS[name]
