"""All operations that have a native form."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from roicodec.kernels.operations import Operation, operations

__all__ = ["MODULES", "all_operations"]

MODULES = (
    "bitstream.mask_coding",
    "bitstream.motion_coding",
    "bitstream.range_coder",
    "decoder.latents",
    "encoder.motion.match",
    "encoder.motion.pyramid",
    "encoder.motion.refine",
    "encoder.roi.features",
    "kernels.back_projection",
    "kernels.compensation",
    "kernels.convolution",
    "kernels.latents",
    "kernels.packing",
    "kernels.post_filter",
    "kernels.rows",
)
"""Modules that define operations."""


def all_operations() -> Iterator[Operation[Any, Any]]:
    """Every operation, by name."""
    for module in MODULES:
        import_module(f"roicodec.{module}")
    return operations()
