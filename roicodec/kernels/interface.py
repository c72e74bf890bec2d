"""Interface of a backend: the operations of :mod:`roicodec.kernels.integer`, on torch tensors.

A backend keeps two kinds of tensor in a form of its own: *skeleton* tensors (int16 integers) and
*codes* (the integers of a :class:`~roicodec.kernels.integer.Grid`). Both are ordinary tensors whose
rows may be sliced, gathered and concatenated; their values are read only through the backend that
made them. Layers are prepared once, then called often.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from roicodec.kernels.integer import Depthwise, Grid, Pointwise, Quantize

__all__ = ["Backend", "PointwiseOp", "TensorOp"]

TensorOp = Callable[[Tensor], Tensor]


class PointwiseOp(Protocol):
    """A prepared :class:`~roicodec.kernels.integer.Pointwise`."""

    def __call__(self, codes: Tensor) -> Tensor:
        """Codes ``[N, Cin]`` to codes of the target, or to a new skeleton, ``[N, Cout]``."""
        ...

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        """Skeleton rows ``[N, Cout]`` (contiguous), changed in place by adding the branch."""
        ...


class Backend(ABC):
    """A way to run the integer definition; every backend gives the same integers."""

    name: str
    device: torch.device
    reason: str = ""
    """Reason why this backend was chosen."""

    @abstractmethod
    def skeleton(self, values: Tensor) -> Tensor:
        """Integers ``[..., C]`` within int16, of any dtype, to a skeleton."""

    @abstractmethod
    def values(self, skeleton: Tensor) -> Tensor:
        """The int16 integers of a skeleton."""

    @abstractmethod
    def codes(self, values: Tensor, grid: Grid) -> Tensor:
        """Integers of a grid, of any dtype, to codes."""

    @abstractmethod
    def integers(self, codes: Tensor, grid: Grid) -> Tensor:
        """The int32 integers of codes."""

    @abstractmethod
    def quantize(self, layer: Quantize) -> TensorOp:
        """Operation from skeleton rows ``[N, C]`` (contiguous) to codes of the target grid."""

    @abstractmethod
    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        """Operation of a pointwise layer. A 16-bit skeleton source takes codes of that grid."""

    @abstractmethod
    def depthwise(self, layer: Depthwise) -> TensorOp:
        """Operation from codes ``[H, W, C]`` (contiguous) to codes of the target grid."""
