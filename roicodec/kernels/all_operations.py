"""All operations that have a native form."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from roicodec.kernels.operations import Operation, operations

__all__ = ["MODULES", "all_operations"]

MODULES = ("compensation", "packing", "post_filter")
"""Modules of this package that define operations."""


def all_operations() -> Iterator[Operation[Any, Any]]:
    """Every operation, by name."""
    for module in MODULES:
        import_module(f"roicodec.kernels.{module}")
    return operations()
