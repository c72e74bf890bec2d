"""The backends on torch, and the choice between them, after known answers on this machine.

Without VNNI, oneDNN's int8 kernels may add pairs of products in 16 saturating bits; with a lowered
float precision, float products are rounded. Both are silent, so every backend first runs the layers
it shall serve on their extreme inputs, against :mod:`roicodec.kernels.integer`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from roicodec.errors import ModelError
from roicodec.kernels import integer
from roicodec.kernels.choose import hardest_layers
from roicodec.kernels.integer import SKELETON, Ints, Layer, Pointwise, Quantize
from roicodec.kernels.interface import Backend
from roicodec.kernels.onednn import OnednnBackend
from roicodec.kernels.reference import ReferenceBackend

__all__ = ["choose_torch_backend", "verify"]


def choose_torch_backend(
    name: str = "auto", layers: Iterable[Layer] | None = None, device: str = "cpu"
) -> Backend:
    """The backend on torch to run ``layers`` with.

    Args:
        name: ``onednn``, ``reference``, or ``auto``: oneDNN where it is exact, else the reference.
        layers: each is tried on its own extremes. None stands for
            :func:`~roicodec.kernels.choose.hardest_layers`.
        device: where the reference runs; oneDNN is for ``cpu`` only.

    Raises:
        ModelError: if the backend that was asked for, or the reference, is not exact here.
    """
    tried = list(hardest_layers() if layers is None else layers)
    why = "asked for"
    if name != "reference":
        try:
            if torch.device(device).type != "cpu":
                raise ModelError(f"the onednn backend does not run on {device}")
            fast = OnednnBackend()
            verify(fast, tried)
        except (ModelError, RuntimeError, AttributeError) as error:
            why = str(error).splitlines()[0]
            if name == "onednn":
                raise ModelError(f"{why}; use the reference backend") from error
        else:
            fast.reason = f"{'asked for' if name == 'onednn' else 'fastest'}, exact on this CPU"
            return fast
    reference = ReferenceBackend(device)
    verify(reference, tried)
    reference.reason = why
    return reference


def verify(backend: Backend, layers: Iterable[Layer]) -> None:
    """Comparison of a backend with the definition on inputs that reach each channel's extremes.

    Raises:
        ModelError: naming the first layer that differs.
    """
    with torch.inference_mode():
        for layer in layers:
            error = _difference(backend, layer)
            if error:
                raise ModelError(
                    f"the {backend.name} backend is off by {error} in {type(layer).__name__} "
                    f"{getattr(layer, 'name', '')} on this machine"
                )


def _difference(backend: Backend, layer: Layer) -> int:
    """Largest difference between a backend and the definition on extreme and random inputs."""
    if isinstance(layer, Pointwise):
        probe = _probe(layer)
        return _pointwise_difference(backend, layer) or (
            _pointwise_difference(backend, probe) if probe else 0
        )
    rng = np.random.default_rng(4)
    if isinstance(layer, Quantize):
        values = rng.integers(SKELETON.low, SKELETON.high + 1, (97, len(layer.shift)))
        values[0], values[1] = SKELETON.low, SKELETON.high
        values[2:40] >>= rng.integers(0, 15, (38, 1))
        got = backend.quantize(layer)(backend.skeleton(torch.tensor(values)))
        return _largest(backend.integers(got, layer.target), integer.quantize(values, layer))
    low, high = layer.source.low, layer.source.high
    frame = rng.integers(low, high + 1, (15, 17, len(layer.weight)))
    ends = np.where(layer.weight > 0, high, low), np.where(layer.weight > 0, low, high)
    for row, end in zip((0, 4, 8), (*ends, np.full_like(layer.weight, high)), strict=True):
        frame[row : row + 3, :3] = end.transpose(1, 2, 0)
    got = backend.depthwise(layer)(backend.codes(torch.tensor(frame), layer.source))
    return _largest(backend.integers(got, layer.target), integer.depthwise(frame, layer))


def _pointwise_difference(backend: Backend, layer: Pointwise) -> int:
    rng = np.random.default_rng(4)
    rows = _extreme_rows(layer, rng)
    codes = backend.codes(torch.tensor(rows), layer.source)
    op = backend.pointwise(layer)
    result = op(codes)
    to_skeleton = layer.target == SKELETON
    got = backend.values(result) if to_skeleton else backend.integers(result, layer.target)
    error = _largest(got, integer.pointwise(rows, layer))
    # A single row may take another kernel.
    error = max(error, int((op(codes[:1]) - result[:1]).abs().max()))
    if to_skeleton:
        before = rng.integers(SKELETON.low, SKELETON.high + 1, (len(rows), len(layer.weight)))
        stream = backend.skeleton(torch.tensor(before))
        after = backend.values(op.accumulate(stream, codes))
        error = max(error, _largest(after, integer.accumulate(before, rows, layer)))
    return error


def _probe(layer: Pointwise) -> Pointwise | None:
    """The same products, with nothing that could hide an error in them.

    Where all inputs are at their highest, and neighbouring products of one sign add up to the most
    they can in any channel, the bias leaves an accumulator of zero, which is neither shifted nor
    clamped. None if the bias does not fit.
    """
    bias = -layer.source.high * layer.weight.sum(1)
    shift = np.zeros_like(bias)
    try:
        return Pointwise(layer.weight, bias, shift, layer.source, SKELETON, name=layer.name)
    except ModelError:
        return None


def _extreme_rows(layer: Pointwise, rng: np.random.Generator) -> Ints:
    """Rows that drive the heaviest channels to both ends, constant rows, and random ones."""
    low, high = layer.source.low, layer.source.high
    heaviest = layer.weight[np.argsort(-abs(layer.weight).sum(1), kind="stable")[:32]]
    random = rng.integers(low, high + 1, (32, layer.weight.shape[1]))
    ends = rng.choice([low, high], random.shape)
    constant = np.array([[low], [0], [high]]).repeat(layer.weight.shape[1], 1)
    rows = [np.where(heaviest > 0, high, low), np.where(heaviest > 0, low, high)]
    return np.concatenate([*rows, constant, random, ends])


def _largest(got: torch.Tensor, expected: Ints) -> int:
    return int(abs(got.numpy(force=True).astype(np.int64) - expected).max(initial=0))
