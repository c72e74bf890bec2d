"""Conversion of trained quantizers to integer layers: steps become shifts, biases integers."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from roicodec.kernels.integer import Depthwise, Grid, Pointwise

__all__ = ["integer_layer"]

_L = TypeVar("_L", Pointwise, Depthwise)


def integer_layer(
    kind: type[_L],
    weight: ArrayLike,
    weight_exponent: ArrayLike,
    bias: ArrayLike,
    *,
    source: tuple[Grid, ArrayLike],
    target: tuple[Grid, ArrayLike],
    name: str,
) -> _L:
    """A layer whose accumulators count in the product of the input's and the weights' steps.

    Weights of few bits are moved up as far as their byte allows, which costs nothing and makes that
    unit finer: at 2 bits a bias would otherwise be rounded to a unit as coarse as the data.

    Args:
        kind: :class:`Pointwise` or :class:`Depthwise`.
        weight: integers ``[Cout, Cin]`` or ``[C, 3, 3]``.
        weight_exponent: log2 of the weights' steps, integers ``[Cout]``.
        bias: in real units, float ``[Cout]``; rounded to the accumulator's unit.
        source, target: grid and log2 of the step of the input and of the output. One exponent, or
            one a channel (of a pointwise layer's input: only one).
        name: for error messages.

    Raises:
        ModelError: as the layer; a target step too far from the accumulator's unit is one cause.
    """
    w = np.asarray(weight, np.int64)
    largest = np.maximum(abs(w.reshape(len(w), -1)).max(1), 1)
    bits = np.frexp(largest)[1].astype(np.int64)
    up = np.maximum(7 - bits, 0)
    unit = np.asarray(source[1], np.int64) + np.asarray(weight_exponent, np.int64) - up
    scaled = np.rint(np.ldexp(np.asarray(bias, np.float64), -unit)).astype(np.int64)
    shift = np.asarray(target[1], np.int64) - unit
    moved = w << up.reshape(-1, *[1] * (w.ndim - 1))
    return kind(moved, scaled, shift, source[0], target[0], name=name)
