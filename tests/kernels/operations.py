"""A native form against its reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from roicodec.kernels.operations import Operation

__all__ = ["agree"]


def agree(operation: Operation[Any, Any], *arguments: Any) -> Any:
    """The result of an operation, after an assertion that both forms return it."""
    expected, got = operation.reference(*arguments), operation.native(*arguments)
    for one, other in zip(_flat(expected), _flat(got), strict=True):
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            np.testing.assert_array_equal(other, one)
        else:
            assert other == one
    return expected


def _flat(result: Any) -> Iterable[Any]:
    return result if isinstance(result, tuple) else (result,)
