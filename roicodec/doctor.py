"""Report on how this machine runs the networks: backend and reason, rates, libraries."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata

import numpy as np
import torch

from roicodec import __version__
from roicodec.all_operations import all_operations
from roicodec.errors import ModelError
from roicodec.kernels import native
from roicodec.kernels.choose import BACKENDS, ENVIRONMENT, choose_backend
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Ints, Layer, Pointwise
from roicodec.kernels.interface import Backend
from roicodec.kernels.matrix import Field, PackedDepthwise, PackedPointwise
from roicodec.kernels.native_backend import NativeBackend

__all__ = ["BackendReport", "OperationReport", "Report", "report", "text_lines"]

_LIBRARIES = ("torch", "numpy", "av", "constriction", "opencv-python-headless")
_VARIABLES = (
    ENVIRONMENT,
    native.ENVIRONMENT,
    native.LIBRARY_ENVIRONMENT,
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
)
_HEIGHT, _WIDTH, _CHANNELS = 45, 80, 128
SECONDS = 0.15
"""Time for which each layer is measured, by the clock."""


@dataclass(frozen=True)
class BackendReport:
    """One backend on this machine.

    Attributes:
        name: of the backend.
        error: why it cannot be used here; empty if it can.
        rates: 10**9 multiply-accumulates a second, requantization included, for ``pointwise 8``,
            ``pointwise 16`` (bits) and ``depthwise 8``; empty if it cannot be used.
    """

    name: str
    error: str
    rates: dict[str, float]


@dataclass(frozen=True)
class OperationReport:
    """One operation outside the networks on this machine.

    Attributes:
        name: of the operation.
        form: ``native`` or ``reference``.
        reason: why that one is used.
    """

    name: str
    form: str
    reason: str


@dataclass(frozen=True)
class Report:
    """Content of what ``roicodec doctor`` prints.

    Attributes:
        chosen, reason: the backend that encode and decode would use, and why.
        backends: every backend there is.
        operations: every operation that has a native form.
        cpu: name of the processor.
        instruction_sets: what torch dispatches to, and what of 8-bit dot products the CPU has.
        threads, cores: threads that torch computes with, and cores that this process may use.
        libraries: versions by name.
        environment: those of the variables that matter which are set.
    """

    chosen: str
    reason: str
    backends: tuple[BackendReport, ...]
    operations: tuple[OperationReport, ...]
    cpu: str
    instruction_sets: tuple[str, ...]
    threads: int
    cores: int
    libraries: dict[str, str]
    environment: dict[str, str]


def report(name: str | None, layers: Iterable[Layer]) -> Report:
    """Report on this machine; takes about three seconds.

    Args:
        name: the backend asked for, as in :func:`~roicodec.kernels.choose.choose_backend`.
        layers: that a backend must compute exactly, see
            :func:`~roicodec.decoder.model.tried_layers`.

    Raises:
        InputError, ModelError: as :func:`~roicodec.kernels.choose.choose_backend`.
    """
    tried = list(layers)
    chosen = choose_backend(name, tried)
    capabilities = torch.cpu.get_capabilities()
    dots = ("avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "dot")
    return Report(
        chosen=chosen.name,
        reason=chosen.reason,
        backends=tuple(_examine(b, tried) for b in BACKENDS if b != "auto"),
        operations=tuple(OperationReport(o.name, o.form, o.reason) for o in all_operations()),
        cpu=str(capabilities.get("cpu_name") or platform.processor() or platform.machine()),
        instruction_sets=(
            torch.backends.cpu.get_cpu_capability(),
            *(d.upper() for d in dots if capabilities.get(d)),
        ),
        threads=torch.get_num_threads(),
        cores=len(os.sched_getaffinity(0)),
        libraries={
            "roicodec": __version__,
            "python": platform.python_version(),
            **{library: metadata.version(library) for library in _LIBRARIES},
            "oneDNN": _onednn_version(),
        },
        environment={v: os.environ[v] for v in _VARIABLES if v in os.environ},
    )


def text_lines(found: Report) -> Iterator[str]:
    """The report as text, a line at a time."""
    yield f"backend     {found.chosen}: {found.reason}"
    for backend in found.backends:
        rates = ", ".join(f"{kind} bits {rate:.0f}" for kind, rate in backend.rates.items())
        yield f"{backend.name:<11} {backend.error or f'GMAC/s: {rates}'}"
    alike: dict[str, list[str]] = {}
    for operation in found.operations:
        alike.setdefault(f"{operation.form}, {operation.reason}", []).append(operation.name)
    for form, names in alike.items():
        yield f"operations  {form}: {', '.join(names)}"
    yield f"cpu         {found.cpu}, {found.cores} cores"
    yield f"uses        {', '.join(found.instruction_sets)}; {found.threads} threads"
    yield f"versions    {', '.join(f'{k} {v}' for k, v in found.libraries.items())}"
    settings = ", ".join(f"{k}={v}" for k, v in found.environment.items())
    yield f"environment {settings or 'nothing set'}"


def _examine(name: str, layers: list[Layer]) -> BackendReport:
    try:
        backend = choose_backend(name, layers)
    except ModelError as error:
        return BackendReport(name, str(error), {})
    return BackendReport(name, "", _rates(backend))


def _rates(backend: NativeBackend | Backend) -> dict[str, float]:
    runs = _native_runs() if isinstance(backend, NativeBackend) else _torch_runs(backend)
    with torch.inference_mode():
        return {name: macs / _least_seconds(run) / 1e9 for name, run, macs in runs}


_Run = tuple[str, Callable[[], object], int]
"""Layer that is measured, a call of it, and its multiply-accumulates."""


def _layers() -> Iterator[tuple[Pointwise, Ints]]:
    """Layers onto the residual stream, with the codes that they read."""
    rng = np.random.default_rng(0)
    rows, c = _HEIGHT * _WIDTH, _CHANNELS
    zeros = np.zeros(c, np.int64)
    for bits, top in ((8, 128), (16, 256)):
        source = Grid(bits, signed=False)
        layer = Pointwise(rng.integers(-top, top, (c, c)), zeros, zeros + 12, source, SKELETON)
        yield layer, rng.integers(0, source.high + 1, (rows, c))


def _spatial() -> tuple[Depthwise, Ints]:
    rng = np.random.default_rng(1)
    grid, zeros = Grid(8, signed=False), np.zeros(_CHANNELS, np.int64)
    weight = rng.integers(-128, 128, (_CHANNELS, 3, 3))
    values = rng.integers(0, 256, (_HEIGHT, _WIDTH, _CHANNELS))
    return Depthwise(weight, zeros, zeros + 9, grid, grid), values


def _torch_runs(backend: Backend) -> Iterator[_Run]:
    for layer, values in _layers():
        op = backend.pointwise(layer)
        codes = backend.codes(torch.tensor(values), layer.source)
        stream = backend.skeleton(torch.zeros(values.shape, dtype=torch.int32))
        run = partial(op.accumulate, stream, codes)
        yield f"pointwise {layer.source.bits}", run, len(values) * layer.weight.size
    spatial, values = _spatial()
    run = partial(backend.depthwise(spatial), backend.codes(torch.tensor(values), spatial.source))
    yield "depthwise 8", run, 9 * values.size


def _native_runs() -> Iterator[_Run]:
    for layer, values in _layers():
        stream = np.zeros(values.shape, np.int16)
        run = partial(PackedPointwise(layer).accumulate, stream, values.astype(np.int16))
        yield f"pointwise {layer.source.bits}", run, len(values) * layer.weight.size
    spatial, values = _spatial()
    field = Field(*values.shape)
    field.values[1:-1, 1:-1, : values.shape[2]] = values
    places = Field.places(np.arange(_HEIGHT * _WIDTH), _WIDTH)
    run = partial(PackedDepthwise(spatial, to_bytes=True), field, places)
    yield "depthwise 8", run, 9 * values.size


def _least_seconds(run: Callable[[], object]) -> float:
    run()
    least, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        run()
        least = min(least, time.perf_counter() - start)
    return least


def _onednn_version() -> str:
    for line in torch.__config__.show().splitlines():
        if "MKL-DNN v" in line:
            return line.split("MKL-DNN v")[1].split()[0]
    return "none"
