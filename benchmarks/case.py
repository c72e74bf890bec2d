"""A case of a benchmark of kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """A kernel on one input.

    Attributes:
        name: name of the kernel and what distinguishes the input.
        run: function that calls the kernel once.
        work: amount of work of one call in ``unit``.
        unit: unit of work, such as ``samples`` or ``MAC``; rates are 10^9 of them a second.
    """

    name: str
    run: Callable[[], object]
    work: float
    unit: str
