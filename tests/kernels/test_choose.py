"""Every backend against the definition, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from roicodec.errors import InputError, ModelError
from roicodec.kernels import integer, native, native_backend
from roicodec.kernels import torch_backends as backends
from roicodec.kernels.choose import ENVIRONMENT, choose_backend, heaviest
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Pointwise, Quantize
from roicodec.kernels.interface import Backend, PointwiseOp
from roicodec.kernels.onednn import OnednnBackend
from roicodec.kernels.operations import checksum
from roicodec.kernels.reference import ReferenceBackend
from roicodec.kernels.torch_backends import choose_torch_backend, verify
from tests import layers, quant_chain
from tests.machines import run_on


@pytest.fixture(autouse=True)
def _inference(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def exact() -> list[Backend]:
    """The reference, and oneDNN where this CPU runs it exactly."""
    chosen = choose_torch_backend("auto")
    return [ReferenceBackend()] + ([chosen] if chosen.name == "onednn" else [])


def _read(backend: Backend, tensor: Tensor, grid: Grid) -> np.ndarray:
    read = backend.values(tensor) if grid == SKELETON else backend.integers(tensor, grid)
    return read.numpy()


@pytest.mark.parametrize("rows", [0, 1, 5, 2049])
@pytest.mark.parametrize("seed", range(4))
def test_pointwise(exact: list[Backend], rows: int, seed: int) -> None:
    rng = np.random.default_rng((rows, seed))
    for bits in integer.CANDIDATE_BITS:
        source = Grid(bits, signed=bool(rng.integers(2)))
        target = (SKELETON, Grid(8, signed=False), Grid(bits, signed=False))[rng.integers(3)]
        weight_bits = int(rng.choice([bits, 16]))
        cin, cout = (int(n) for n in rng.integers(1, 70, 2))
        layer = quant_chain.random_pointwise(rng, cin, cout, source, target, weight_bits)
        values = rng.integers(source.low, source.high + 1, (rows, cin))
        before = rng.integers(SKELETON.low, SKELETON.high + 1, (rows, cout))
        for backend in exact:
            codes, op = backend.codes(torch.tensor(values), source), backend.pointwise(layer)
            assert (_read(backend, op(codes), target) == integer.pointwise(values, layer)).all()
            if target == SKELETON:
                stream = backend.skeleton(torch.tensor(np.concatenate([before[:1], before])))
                after = op.accumulate(stream[-rows or 1 :][:rows], codes)
                expected = integer.accumulate(before, values, layer)
                assert (backend.values(after).numpy() == expected).all()
                # In place, and nowhere else.
                whole = backend.values(stream).numpy()
                assert (whole == np.concatenate([before[:1], expected])).all()


@pytest.mark.parametrize("shift", [-6, -1, 0])
@pytest.mark.parametrize("bits", [4, 16])
def test_coarse_accumulators(exact: list[Backend], shift: int, bits: int) -> None:
    rng = np.random.default_rng(bits - shift)
    grid = Grid(bits, signed=True)
    weight = rng.integers(-8, 8, (6, 9))
    layer = Pointwise(weight, rng.integers(-9, 9, 6), np.full(6, shift), grid, SKELETON)
    values = rng.integers(max(grid.low, -99), min(grid.high, 99) + 1, (50, 9))
    before = rng.integers(-3000, 3000, (50, 6))
    for backend in exact:
        codes, op = backend.codes(torch.tensor(values), grid), backend.pointwise(layer)
        assert (backend.values(op(codes)).numpy() == integer.pointwise(values, layer)).all()
        after = backend.values(op.accumulate(backend.skeleton(torch.tensor(before)), codes))
        assert (after.numpy() == integer.accumulate(before, values, layer)).all()


@pytest.mark.parametrize("bits", integer.CANDIDATE_BITS)
def test_quantize_every_int16(exact: list[Backend], bits: int) -> None:
    layer = Quantize(np.array([-15, -7, -1, 0, 1, 5, 9, 16]), Grid(bits, signed=True))
    values = np.arange(-32768, 32768)[:, None].repeat(8, 1)
    expected = integer.quantize(values, layer)
    for backend in exact:
        skeleton = backend.skeleton(torch.tensor(values))
        assert (backend.values(skeleton).numpy() == values).all()
        got = backend.quantize(layer)(skeleton)
        assert (backend.integers(got, layer.target).numpy() == expected).all()
        assert (backend.values(skeleton).numpy() == values).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 33), (9, 7)])
@pytest.mark.parametrize("bits", [2, 5, 8, 16])
def test_depthwise(exact: list[Backend], size: tuple[int, int], bits: int) -> None:
    rng = np.random.default_rng(bits)
    channels = 19
    source, target = Grid(8, signed=False), Grid(bits, signed=False)
    weight = rng.integers(-128, 128, (channels, 3, 3))
    shift = 16 - bits + rng.integers(0, 3, channels)
    layer = Depthwise(weight, rng.integers(-999, 999, channels), shift, source, target)
    frame = rng.integers(0, 256, (*size, channels))
    for backend in exact:
        got = backend.depthwise(layer)(backend.codes(torch.tensor(frame), source))
        assert got.shape == frame.shape
        assert (_read(backend, got, target) == integer.depthwise(frame, layer)).all()


def test_the_reference_is_exact_beyond_float32() -> None:
    # 2**24 + 1 is not a float32.
    layer = layers.pointwise([[512, 1]], [0], [0], SKELETON, Grid(16, signed=False))
    fine = layers.pointwise([[512, 1]], [-(1 << 24)], [0], SKELETON, Grid(16, signed=False))
    assert (integer.accumulator_bound(layer.weight, layer.bias, SKELETON) > 1 << 24).all()
    reference = ReferenceBackend()
    rows = torch.tensor([[32767, 513], [32767, 512]])
    assert reference.pointwise(fine)(reference.codes(rows, SKELETON)).ravel().tolist() == [1, 0]


class _Truncating(OnednnBackend):
    """A backend that is off by one where a channel reaches its extremes."""

    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        weight = layer.weight.copy()
        weight.flat[0] ^= 1
        name = layer.name
        return super().pointwise(
            Pointwise(weight, layer.bias, layer.shift, layer.source, layer.target, name=name)
        )


def _identity(name: str = "identity") -> Pointwise:
    grid = Grid(8, signed=False)
    return layers.pointwise(np.eye(4, dtype=int), [0] * 4, [0] * 4, grid, grid, name=name)


def test_an_inexact_backend_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "OnednnBackend", _Truncating)
    chosen = choose_torch_backend("auto", [_identity("branch 3")])
    assert chosen.name == "reference"
    assert "off by" in chosen.reason
    assert "branch 3" in chosen.reason
    with pytest.raises(ModelError, match="use the reference backend"):
        choose_torch_backend("onednn", [_identity()])


class _SaturatingPointwise:
    """Adds products in pairs that saturate at 16 bits, as kernels without VNNI do."""

    def __init__(self, layer: Pointwise) -> None:
        self.layer = layer

    def __call__(self, codes: Tensor) -> Tensor:
        products = codes.numpy()[:, None] * self.layer.weight
        pairs = products.reshape(*products.shape[:2], -1, 2).sum(3).clip(-32768, 32767)
        acc = pairs.sum(2) + self.layer.bias
        return torch.tensor(integer.requantize(acc, self.layer.shift, self.layer.target))

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        total = integer.accumulate(skeleton.numpy(), codes.numpy(), self.layer)
        return skeleton.copy_(torch.tensor(total))


class _SaturatingBackend(quant_chain.DefinitionBackend):
    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        return _SaturatingPointwise(layer)


def test_saturation_is_found_in_a_light_channel_that_hides_it() -> None:
    # Channel 60 alone saturates, by 383, at a shift that makes less than a tenth of it.
    grid = Grid(8, signed=False)
    weight = np.tile([[64, -64]], (61, 16))
    weight[60] = 0
    weight[60, 4:6] = 65

    def layer(weight: np.ndarray) -> Pointwise:
        return Pointwise(weight, np.full(61, 99), np.full(61, 12), grid, grid, name="light")

    verify(_SaturatingBackend(), [layer(weight.clip(-64, 64))])
    verify(quant_chain.DefinitionBackend(), [layer(weight)])
    with pytest.raises(ModelError, match="off by 383 in Pointwise light"):
        verify(_SaturatingBackend(), [layer(weight)])


def test_a_missing_operator_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise AttributeError("'_OpNamespace' 'onednn' object has no attribute 'qlinear_prepack'")

    monkeypatch.setattr(torch.ops.onednn, "qlinear_prepack", missing)
    chosen = choose_torch_backend("auto", [_identity()])
    assert (chosen.name, "qlinear_prepack" in chosen.reason) == ("reference", True)


def test_an_inexact_reference_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        backends,
        "ReferenceBackend",
        type(
            "R", (_Truncating,), {"__init__": (lambda self, device: OnednnBackend.__init__(self))}
        ),
    )
    with pytest.raises(ModelError, match="off by"):
        choose_torch_backend("reference", [_identity()])


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_backend("reference", []).name == "reference"
    monkeypatch.setenv(ENVIRONMENT, "reference")
    assert choose_backend(layers=[]).reason == "asked for"
    monkeypatch.setenv(ENVIRONMENT, "cuda")
    with pytest.raises(InputError, match="auto, native, onednn, reference"):
        choose_backend()
    with pytest.raises(ModelError, match="does not run on meta"):
        choose_torch_backend("onednn", [], device="meta")


def _run_chain(variables: tuple[str | None, str | None]) -> dict[tuple[str, int], str]:
    result = run_on(*variables, "tests.quant_chain")
    if "runs with" in result.stderr:
        return {}
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    return {(name, int(threads)): sha for name, threads, sha in lines}


def test_same_integers_on_every_instruction_set() -> None:
    # oneDNN's instruction sets and torch's own are chosen apart, so each of either is enough.
    variables: list[tuple[str | None, str]] = [
        (None, capability) for capability in ("default", "avx2", "avx512")
    ]
    variables += [(isa, "default") for isa in ("SSE41", "AVX2", "AVX512_CORE")]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(_run_chain, variables))
    expected = quant_chain.digest(quant_chain.DefinitionBackend())
    ran = [key for result in results for key in result]
    assert ("reference", 1) in ran
    assert ("reference", 2) in ran
    for setting, result in zip(variables, results, strict=True):
        assert set(result.values()) <= {expected}, setting
    with_vnni = next(r for (isa, _), r in zip(variables, results, strict=True) if not isa and r)
    if ("onednn", 1) in with_vnni:
        # The trap: the same CPU without VNNI saturates, and the known answers must say so.
        for (isa, _), result in zip(variables, results, strict=True):
            assert (("onednn", 2) in result) == (isa is None), isa


def test_the_heaviest_of_each_kind_stands_for_the_others() -> None:
    source, other = Grid(8, signed=True), Grid(4, signed=True)

    def layer(weight: int, source: Grid) -> Pointwise:
        weights = np.array([[1, 1], [weight, -weight]])
        return layers.pointwise(weights, [0, 0], [0, 0], source, SKELETON)

    light, heavy, narrow = layer(5, source), layer(7, source), layer(2, other)
    assert heaviest([layers.quantize([0, 0], source), light, heavy, narrow]) == [heavy, narrow]


@pytest.mark.parametrize("bits", integer.CANDIDATE_BITS)
def test_known_answers_are_those_of_the_definition(bits: int) -> None:
    assert checksum(native_backend.defined(bits)) == native_backend.ANSWERS[bits]


def test_known_answers_reach_both_ends() -> None:
    """Every bit-width's answers hold clamped values and many that are not."""
    for bits in integer.CANDIDATE_BITS:
        for layer, rows in native_backend.trials(bits):
            low, high = layer.target.low, layer.target.high
            out = integer.pointwise(rows, layer)
            if layer.shift.any():
                assert (out == high).any(), layer
                assert len(np.unique(out)) > min(high - low, 100) // 2, layer


def test_native_kernels_are_first_where_they_are_exact(instructions: str) -> None:
    chosen = choose_backend("auto")
    assert (chosen.name, chosen.reason) == (
        "native",
        f"fastest, exact on this CPU, {instructions} instructions",
    )
    assert choose_backend("native").reason.startswith("asked for, exact")


def test_inexact_native_kernels_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(native_backend.ANSWERS, 5, 0)
    if native.library():
        with pytest.raises(ModelError, match="not exact on this machine at 5 bits"):
            choose_backend("native")
        chosen = choose_backend("auto", [])
        assert chosen.name in ("onednn", "reference")
        assert "not exact on this machine at 5 bits" in chosen.reason


def test_without_native_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "library", lambda: None)
    monkeypatch.setattr(native, "reason", lambda: "not built")
    with pytest.raises(ModelError, match="no native kernels: not built"):
        choose_backend("native")
    chosen = choose_backend("auto", [])
    assert chosen.name in ("onednn", "reference")
    assert chosen.reason.endswith("no native kernels: not built")
