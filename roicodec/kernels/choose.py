"""Choose a backend: one is used only after it gave the known answers on this machine.

Without VNNI, oneDNN's int8 kernels may add pairs of products in 16 saturating bits; with a lowered
float precision, float products are rounded. Both are silent, so every backend first runs the layers
it shall serve on their extreme inputs, against :mod:`roicodec.kernels.integer`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from roicodec.errors import InputError, ModelError
from roicodec.kernels import integer
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Ints, Layer, Pointwise, Quantize
from roicodec.kernels.interface import Backend
from roicodec.kernels.onednn import OnednnBackend
from roicodec.kernels.reference import ReferenceBackend

__all__ = ["BACKENDS", "ENVIRONMENT", "choose_backend", "hardest_layers", "heaviest", "verify"]

BACKENDS = ("auto", "reference", "onednn")
ENVIRONMENT = "ROICODEC_BACKEND"
"""Environment variable that names the backend where the caller does not."""


def choose_backend(
    name: str | None = None, layers: Iterable[Layer] | None = None, device: str = "cpu"
) -> Backend:
    """The backend to run ``layers`` with.

    Args:
        name: one of :data:`BACKENDS`; None means the environment variable, or ``auto``: oneDNN
            where it is exact, else the reference.
        layers: each is tried on its own extremes. None stands for :func:`hardest_layers`.
        device: where the reference runs; oneDNN is for ``cpu`` only.

    Raises:
        InputError: if the name is unknown.
        ModelError: if a backend that was asked for, or the reference, is not exact here.
    """
    asked = name or os.environ.get(ENVIRONMENT) or "auto"
    if asked not in BACKENDS:
        raise InputError(f"backend {asked!r}: must be one of {', '.join(BACKENDS)}")
    tried = list(hardest_layers() if layers is None else layers)
    why = "asked for"
    if asked != "reference":
        try:
            if torch.device(device).type != "cpu":
                raise ModelError(f"the onednn backend does not run on {device}")
            fast = OnednnBackend()
            verify(fast, tried)
        except (ModelError, RuntimeError, AttributeError) as error:
            why = str(error).splitlines()[0]
            if asked == "onednn":
                raise ModelError(f"{why}; use the reference backend") from error
        else:
            fast.reason = f"{'asked for' if asked == 'onednn' else 'fastest'}, exact on this CPU"
            return fast
    reference = ReferenceBackend(device)
    verify(reference, tried)
    reference.reason = why
    return reference


def verify(backend: Backend, layers: Iterable[Layer]) -> None:
    """Compare a backend with the definition on inputs that reach every channel's extremes.

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


def hardest_layers() -> Iterator[Layer]:
    """Layers of every kind and bit-width with weights as large as their definition allows."""
    rng = np.random.default_rng(20)
    yield Quantize(np.arange(-15, 17), Grid(8, signed=True))
    yield Quantize(np.arange(-15, 17), SKELETON)
    for bits in integer.CANDIDATE_BITS:
        for cin, cout, signed in ((96, 64, True), (256, 33, False)):
            source = Grid(bits, signed=signed)
            # Half the int32 range, so that the shift below can round what comes out.
            high = min((1 << (min(bits, 15) - 1)) - 1, (1 << 30) // (source.magnitude * cin))
            weight = rng.integers(-high - 1, high + 1, (cout, cin))
            weight[:2] = [[high], [-high - 1]]
            bias = rng.integers(-999, 1000, cout)
            spread = int(integer.accumulator_bound(weight, bias, source).max()).bit_length()
            for target in (SKELETON, Grid(8, signed=False), Grid(bits, signed=False)):
                # At 2 bits the accumulator may be coarser than the target: shifts below zero.
                shift = spread - target.bits - np.arange(cout) % 3
                name = f"{cin}x{cout}, {bits} bits"
                yield Pointwise(weight, bias, shift, source, target, name=name)
    for bits in (2, 8, 16):
        weight = rng.integers(-128, 128, (64, 3, 3))
        weight[:2] = np.array([127, -128])[:, None, None]
        shift = 17 - bits + np.arange(64) % 3
        bias = rng.integers(-999, 1000, 64)
        source, target = Grid(8, signed=False), Grid(bits, signed=False)
        yield Depthwise(weight, bias, shift, source, target, name=f"64, {bits} bits")


def heaviest(layers: Iterable[Layer]) -> list[Layer]:
    """Of each kind of layer and input, the one whose accumulator can grow furthest.

    A model has a thousand layers at all its bit-widths, too many to try at every start.
    """
    found: dict[object, tuple[int, Layer]] = {}
    for layer in layers:
        if isinstance(layer, Quantize):
            continue
        reach = int(integer.accumulator_bound(layer.weight, layer.bias, layer.source).max())
        kind = type(layer), layer.source
        if kind not in found or reach > found[kind][0]:
            found[kind] = reach, layer
    return [layer for _, layer in found.values()]


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
