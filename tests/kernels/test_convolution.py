"""Convolutions in single precision: native against reference, and both against torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from roicodec.kernels.convolution import Weights, convolve, depthwise, pointwise
from tests.kernels.operations import agree


def numbers(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Of all magnitudes, with zeros and what is hardly one among them."""
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, shape)
    values[rng.random(shape) < 0.1] = 0
    values[rng.random(shape) < 0.02] = 1e-44
    return values.astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 7, 37])
@pytest.mark.parametrize("channels", [(1, 1), (7, 16), (40, 24), (33, 100)])
def test_pointwise(instructions: str, count: int, channels: tuple[int, int]) -> None:
    rng = np.random.default_rng((count, *channels))
    inputs, outputs = channels
    weights = Weights.of(numbers(rng, outputs, inputs), numbers(rng, outputs))
    x = numbers(rng, count, inputs)
    agree(pointwise, x, weights, False)
    agree(pointwise, x, weights, True, numbers(rng, count, outputs))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 14)])
@pytest.mark.parametrize("channels", [(1, 4), (7, 16), (16, 24)])
def test_convolution(instructions: str, size: tuple[int, int], channels: tuple[int, int]) -> None:
    rng = np.random.default_rng((*size, *channels))
    inputs, outputs = channels
    weights = Weights.of(numbers(rng, outputs, inputs, 3, 3), numbers(rng, outputs))
    agree(convolve, numbers(rng, *size, inputs), weights)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 14)])
@pytest.mark.parametrize("channels", [1, 21, 96])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(instructions: str, size: tuple[int, int], channels: int, stride: int) -> None:
    rng = np.random.default_rng((*size, channels, stride))
    weight, bias = numbers(rng, 9, channels), numbers(rng, channels)
    agree(depthwise, numbers(rng, *size, channels), weight, bias, stride)


def test_they_are_convolutions() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(11, 8, 5)).astype(np.float32)
    own = torch.from_numpy(x.transpose(2, 0, 1))[None]
    weight, bias = (rng.normal(size=s).astype(np.float32) for s in ((6, 5, 3, 3), (6,)))
    dense = F.conv2d(own, torch.from_numpy(weight), torch.from_numpy(bias), 2, 1).relu()
    found = convolve(x, Weights.of(weight, bias))
    np.testing.assert_allclose(found, dense[0].permute(1, 2, 0), atol=1e-5)
    single = rng.normal(size=(5, 1, 3, 3)).astype(np.float32)
    for stride in 1, 2:
        each = F.conv2d(own, torch.from_numpy(single), torch.from_numpy(bias[:5]), stride, 1,
                        groups=5).relu()  # fmt: skip
        filters = np.ascontiguousarray(single.reshape(5, 9).T)
        got = depthwise(x, filters, bias[:5], stride)
        np.testing.assert_allclose(got, each[0].permute(1, 2, 0), atol=1e-5)


def test_what_does_not_fit_is_refused(instructions: str) -> None:
    weights = Weights.of(np.zeros((4, 3), np.float32), np.zeros(4, np.float32))
    x = np.zeros((2, 2, 5), np.float32)
    with pytest.raises(ValueError, match="5 channels"):
        pointwise.native(x, weights, False)
    with pytest.raises(ValueError, match="5 channels"):
        convolve.native(x, weights)
    with pytest.raises(ValueError, match="5 channels"):
        depthwise.native(x, np.zeros((9, 4), np.float32), np.zeros(4, np.float32), 1)
