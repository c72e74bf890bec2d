"""Layers made of nested lists, which tests write by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from roicodec.kernels.integer import Depthwise, Grid, Pointwise, Quantize

__all__ = ["depthwise", "pointwise", "quantize"]


def pointwise(
    weight: ArrayLike,
    bias: ArrayLike,
    shift: ArrayLike,
    source: Grid,
    target: Grid,
    name: str = "layer",
) -> Pointwise:
    """A pointwise layer; what is no integer is left for it to refuse."""
    arrays = np.asarray(weight), np.asarray(bias), np.asarray(shift)
    return Pointwise(*arrays, source, target, name=name)


def depthwise(
    weight: ArrayLike, bias: ArrayLike, shift: ArrayLike, source: Grid, target: Grid
) -> Depthwise:
    """A depthwise layer."""
    return Depthwise(np.asarray(weight), np.asarray(bias), np.asarray(shift), source, target)


def quantize(shift: ArrayLike, target: Grid) -> Quantize:
    """A quantizer."""
    return Quantize(np.asarray(shift), target)
