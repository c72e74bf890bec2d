"""The choice of a backend: what computes the networks' matrix layers.

A backend is used only after it gave the known answers on this machine: the native kernels those of
:mod:`roicodec.kernels.native_backend`, backends on torch those of the layers they shall serve.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from roicodec.errors import InputError, ModelError
from roicodec.kernels import integer
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Layer, Pointwise, Quantize
from roicodec.kernels.native_backend import NativeBackend

if TYPE_CHECKING:
    from roicodec.kernels.interface import Backend

__all__ = ["BACKENDS", "ENVIRONMENT", "choose_backend", "hardest_layers", "heaviest"]

BACKENDS = ("auto", "native", "onednn", "reference")
ENVIRONMENT = "ROICODEC_BACKEND"
"""Environment variable that names the backend where the caller does not."""


def choose_backend(
    name: str | None = None, layers: Iterable[Layer] | None = None
) -> NativeBackend | Backend:
    """The backend to run ``layers`` with; torch is imported only if it is on torch.

    Args:
        name: one of :data:`BACKENDS`; None means the environment variable, or ``auto``: the native
            kernels, or oneDNN, where they are exact, else the reference.
        layers: what a backend on torch is tried on; not read for the native kernels. None stands
            for :func:`hardest_layers`.

    Raises:
        InputError: if the name is unknown.
        ModelError: if a backend that was asked for, or the reference, is not exact here.
    """
    asked = name or os.environ.get(ENVIRONMENT) or "auto"
    if asked not in BACKENDS:
        raise InputError(f"backend {asked!r}: must be one of {', '.join(BACKENDS)}")
    why = ""
    if asked in ("auto", "native"):
        try:
            native = NativeBackend()
        except ModelError as error:
            if asked == "native":
                raise
            why = str(error)
        else:
            native.reason = f"{'asked for' if asked == 'native' else 'fastest'}, {native.reason}"
            return native
    from roicodec.kernels.torch_backends import choose_torch_backend

    chosen = choose_torch_backend(asked, layers)
    if why:
        chosen.reason += f"; {why}"
    return chosen


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
    """The layer of each kind and input whose accumulator can grow furthest.

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
