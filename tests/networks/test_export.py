"""The integer networks against the quantized float ones that they are exported from."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roicodec.bitstream.constants import (
    CODING_STEPS,
    FEATURE_CHANNELS,
    INDEX_GAIN,
    LATENT_CHANNELS,
    LATENT_EXPONENT,
    PIXEL_CHANNELS,
    STREAM_EXPONENT,
    UNIT,
)
from roicodec.decoder.architecture import ARCHITECTURES, BLOCK_PROJECTIONS
from roicodec.decoder.backend_network import BackendNetwork
from roicodec.decoder.layers import NetworkArrays
from roicodec.decoder.model import Model, tried_layers
from roicodec.decoder.regions import Layout
from roicodec.decoder.weights import FILES, NAMES, model_id
from roicodec.errors import ModelError
from roicodec.kernels import integer
from roicodec.kernels.packing import pack as pack_rows
from roicodec.kernels.reference import ReferenceBackend
from roicodec.networks.blocks import Regions, set_branch_dtype
from roicodec.networks.export import export_network
from roicodec.networks.frame_net import FrameNet, coding_steps
from roicodec.networks.frame_net import pack as pack_units
from roicodec.networks.restore import quality_anchors, restore_network
from tests import tiny_model

_WIDTH, _HEIGHT, _QUALITY = 128, 64, 40


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def _float32(net: FrameNet) -> FrameNet:
    """A copy whose branches compute in float32, also where the CPU would train in bfloat16."""
    net = copy.deepcopy(net)
    set_branch_dtype(net, torch.float32)
    return net


class _Taken(dict[str, Tensor]):
    """Outputs of a float network's layers in one forward pass, and ``out``, its result."""

    def __init__(self, net: FrameNet, *arguments: object) -> None:
        super().__init__()
        handles = []
        for name, module in net.named_modules():

            def keep(_m: object, _a: object, out: Tensor, key: str = name) -> None:
                self[key] = out

            if isinstance(module, torch.nn.Conv2d):
                handles.append(module.register_forward_hook(keep))
        self.out = net(*arguments)
        for handle in handles:
            handle.remove()


def _rows(x: Tensor) -> NDArray[np.float64]:
    """``[1, C, H, W]`` to ``[H * W, C]``."""
    return x[0].flatten(1).T.double().numpy()


def _integers(x: Tensor, exponent: int) -> NDArray[np.int16]:
    return np.rint(_rows(x) * 2.0**-exponent).clip(-32768, 32767).astype(np.int16)


class _Case:
    """A frame through both networks at a pair of bit-widths."""

    def __init__(self, inter: bool, b_roi: int, b_bg: int) -> None:
        nets = tiny_model.networks()
        self.net, self.inter = _float32(nets[1] if inter else nets[0]), inter
        self.network = BackendNetwork(nets[2][NAMES[inter]], ReferenceBackend())
        self.mask = np.zeros((_HEIGHT // 16, _WIDTH // 16), bool)
        self.mask[1:3, 2:5] = True
        self.layout = Layout(self.mask, b_roi, b_bg)
        (now,) = tiny_model.pictures(_WIDTH, _HEIGHT, 1, seed=9)
        noise = torch.Generator().manual_seed(2)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=noise)

        self.frame = now.planes
        y, u, v = (
            (torch.tensor(p) + 4 * random(*p.shape)).round().clamp(0, 255).byte().numpy()
            for p in self.frame
        )
        self.prediction = y, u, v
        features = 0.05 * random(1, FEATURE_CHANNELS, _HEIGHT // 8, _WIDTH // 8)
        # What integers can hold.
        self.features = (features * 2.0**-STREAM_EXPONENT).round() * 2.0**STREAM_EXPONENT

    def trained(self, b_roi: int, b_bg: int, quality: float = _QUALITY) -> _Taken:
        """The float network's values at any bit-widths."""
        frame, prediction = (
            pack_units(*(torch.tensor(p).float()[None] - 128 for p in planes))
            for planes in (self.frame, self.prediction)
        )
        context = (prediction, self.features) if self.inter else (None, None)
        regions = Regions(b_roi, b_bg, torch.tensor(self.mask)[None, None])
        taken = _Taken(self.net, frame, torch.tensor([float(quality)]), *context, regions)
        taken["added"] = taken.out.packed - (prediction if self.inter else 0)
        return taken

    def differences(self, taken: _Taken) -> dict[str, float]:
        """Mean absolute differences, each step of the integers starting from the float's values."""
        network, layout, net = self.network, self.layout, self.net
        quality = layout.qualities(_QUALITY, 0, 0)
        q = torch.tensor(float(_QUALITY))
        spread = net.exponent.exp2()[:, None, None]
        flat = np.full((_HEIGHT * _WIDTH // 64, 96), 128, np.int16)
        predicted = pack_rows(self.prediction) if self.inter else flat
        out, context = {}, None
        if self.inter:
            features = _integers(self.features, STREAM_EXPONENT)
            context = network.context(layout, predicted, features)
            whole = network.context_values(layout, context)
            path = network.architecture.context
            assert path is not None
            unit = np.exp2(network.arrays.exponents(path.out.target))
            out["context"] = _difference(whole * unit, _rows(taken["context_out"]))
        latents = network.analyse(layout, pack_rows(self.frame) - predicted, quality, context)
        out["latents"] = _difference(latents * _LATENT, _rows(taken["down"]))

        shape = 1, LATENT_CHANNELS, layout.height, layout.width
        coarse = (torch.from_numpy(latents).float() * _LATENT).T.view(shape) / spread
        z = net.hyper_analysis[0](coarse)
        for layer in net.hyper_analysis[1:]:
            z = layer(functional.pixel_unshuffle(functional.relu(z), 2))
        out["hyper"] = _difference(network.hyper_analyse(layout, latents), _rows(z))
        gain = torch.exp(net.hyper_log_gain(q)).numpy()
        symbols = np.rint(_rows(taken["hyper_analysis.2"]) * gain).astype(np.int32)
        state = network.entropy_start(layout, symbols, quality, _QUALITY, context)
        decoded = _integers(taken.out.latents, LATENT_EXPONENT)
        step_of = coding_steps(taken.out.latents)
        for step in range(CODING_STEPS):
            if step:
                before = torch.where(torch.lt(step_of, step), taken.out.latents, 0.0)
                known = _integers(before, LATENT_EXPONENT)
                state = network.entropy_next(layout, state, step, known)
            mean, index = network.distribution(layout, state, step, quality)
            expected = _rows(taken[f"heads.{step}"])
            expected_mean = expected[:, :LATENT_CHANNELS] * spread[:, 0, 0].numpy()
            expected_index = (
                INDEX_GAIN * expected[:, LATENT_CHANNELS:] + net.index_quality(q).numpy()
            )
            own = _rows(torch.eq(step_of, step).double()) > 0
            out[f"mean{step}"] = _difference(mean.ravel() * _LATENT, expected_mean[own])
            out[f"index{step}"] = _difference(index.ravel(), np.rint(expected_index[own]))
        made = layout.frame(network.synthesise(layout, decoded, quality, context))
        out["samples"] = _difference(made[:, :PIXEL_CHANNELS] / 16, _rows(taken["added"]) * UNIT)
        left = made[:, PIXEL_CHANNELS:] * 2.0**STREAM_EXPONENT
        out["features"] = _difference(left, _rows(taken.out.features))
        return out


_LATENT = 2.0**LATENT_EXPONENT


def _difference(got: NDArray[np.generic], expected: NDArray[np.float64]) -> float:
    return float(np.abs(np.asarray(got, np.float64) - expected).mean())


_FINE = {"context": 0.005, "latents": 0.006, "hyper": 0.015, "mean": 0.003, "index": 0.08,
         "samples": 0.16, "features": 0.005}  # fmt: skip
"""At 8 and 16 bits: units of 32 sample values, hyper-latents, table numbers, sample values. The
skeleton's own rounding is most of it: latents count in 1/256, features in 1/512 units."""


_COARSE = {"context": 0.012, "latents": 0.025, "hyper": 0.015, "mean": 0.006, "index": 0.2,
           "samples": 0.7, "features": 0.02}  # fmt: skip
"""Below 8 bits: what lies near the border of a coarse step may fall to either side."""


@pytest.mark.parametrize("inter", [False, True])
@pytest.mark.parametrize(
    ("bits", "wrong", "limits"),
    [
        ((8, 8), (4, 4), _FINE),
        ((16, 16), (4, 4), _FINE),
        ((8, 4), (4, 8), _COARSE),
        ((16, 2), (2, 16), _COARSE),
    ],
)
def test_integers_follow_the_trained_network(
    inter: bool, bits: tuple[int, int], wrong: tuple[int, int], limits: dict[str, float]
) -> None:
    case = _Case(inter, *bits)
    found = case.differences(case.trained(*bits))
    too_large = {name: d for name, d in found.items() if d > limits[name.rstrip("0123")]}
    assert not too_large
    other = case.differences(case.trained(*wrong))
    assert other["samples"] > 2.5 * found["samples"]


def test_a_layer_too_large_for_its_integers_is_not_exported() -> None:
    intra, _, arrays = tiny_model.networks()
    prefix = "exponent."
    ranges = {
        name.removeprefix(prefix): 2.0 ** int(array[0]) * 32767 / 4
        for name, array in arrays["intra"].items()
        if name.startswith(prefix)
    }
    exported = export_network(intra, ranges)
    assert all((exported[name] == arrays["intra"][name]).all() for name in exported)
    net = copy.deepcopy(intra)
    net.up.weight[7, 3] = 1e6
    with pytest.raises(ModelError, match="up: its weights do not fit"):
        export_network(net, ranges)


@pytest.mark.parametrize(
    ("network", "name", "value", "says"),
    [
        ("intra", "analysis.1.expand.weight", 32000, "analysis.1.expand: output channel 7 can"),
        ("inter", "context_in.weight", -32000, "context_in: output channel 7 can"),
        ("inter", "inject.1.bias", 2**31 - 1, "inject.1: output channel 7 can"),
        ("intra", "entropy.2.depthwise.exponent", 60, "entropy.2.depthwise: shifts must lie"),
        ("intra", "down.weight", -32768, "down: a weight lies outside"),
        ("inter", "hyper_synthesis.2.exponent", 127, "hyper_synthesis.2: shifts must lie in"),
    ],
)
def test_weights_that_could_overflow_are_refused_when_loaded(
    network: str, name: str, value: int, says: str
) -> None:
    arrays = dict(tiny_model.networks()[2][network])
    array = arrays[name].copy()
    array[7] = value
    with pytest.raises(ModelError, match=says):
        Model({**tiny_model.networks()[2], network: {**arrays, name: array}})


def test_a_backend_is_tried_on_the_models_own_layers() -> None:
    own = {getattr(layer, "name", "") for layer in tried_layers(tiny_model.networks()[2])}
    blocks = {n.rsplit(".", 1)[0] for n in own if n.endswith((".expand", ".project", ".depthwise"))}
    assert blocks <= {block.name for block in ARCHITECTURES[True].blocks}
    assert {"256x33, 2 bits", "64, 16 bits"} < own
    assert blocks


def test_weights_too_small_to_matter_are_rounded_away() -> None:
    """No accumulator counts finer than 2**-24 of its target, however small its weights are."""
    arrays = dict(tiny_model.networks()[2]["intra"])
    block = ARCHITECTURES[False].analysis[1]
    name = block.projections[BLOCK_PROJECTIONS.index("expand")]
    exponent = arrays[f"{name}.exponent"].copy()
    usual = NetworkArrays(arrays).block(block, 16).expand
    finest = int(exponent[7]) - (24 - int(usual.shift[7]))
    exponent[7] = finest - 3
    small = NetworkArrays({**arrays, f"{name}.exponent": exponent}).block(block, 16).expand
    assert small.shift[7] == 24
    expected = integer.round_shift(arrays[f"{name}.weight"][7].astype(np.int64), np.array(3))
    np.testing.assert_array_equal(small.weight[7], expected)
    others = np.arange(len(exponent)) != 7
    np.testing.assert_array_equal(small.weight[others], usual.weight[others])


def test_the_id_depends_on_every_array() -> None:
    networks = {
        network: {name: np.ascontiguousarray(array.ravel()[:5]) for name, array in arrays.items()}
        for network, arrays in tiny_model.networks()[2].items()
    }
    seen = {model_id(networks)}
    for network in FILES:
        # Alone with its kind, or hashing would take long.
        arrays = networks[network]
        seen.add(model_id({network: arrays}))
        for array in arrays.values():
            array[-1] ^= 1
            seen.add(model_id({network: arrays}))
            array[-1] ^= 1
    assert len(seen) == 1 + len(FILES) + sum(map(len, networks.values())) > 600
    one = np.arange(6, dtype=np.int16)
    ids = [{"intra": {"a": a}} for a in (one, one.astype(np.int32), one.reshape(2, 3))]
    ids += [{"intra": {"b": one}}, {"inter": {"a": one}}]
    assert len({model_id(n) for n in ids}) == 5
    assert model_id({"intra": {"a": one}}) == model_id({"intra": {"a": one.astype(">i2")}})


@pytest.mark.parametrize("inter", [False, True])
def test_restored(inter: bool) -> None:
    """A float network from the integers does what the one that they came from did."""
    case = _Case(inter, 16, 16)
    original = case.net
    restored = _float32(restore_network(tiny_model.networks()[2][NAMES[inter]]))
    qualities = torch.arange(0.0, 64.0, 7.0)

    def taken(net: FrameNet) -> tuple[_Taken, Tensor]:
        case.net = net
        # All qualities: a single frame's symbols turn on roundings, and its bits by a percent.
        outs = [case.trained(16, 16, quality).out for quality in qualities.tolist()]
        return case.trained(16, 16), torch.stack([out.latent_bits.sum() for out in outs]).sum()

    (before, bits_before), (after, bits_after) = taken(original), taken(restored)
    for name, tolerance in (("down", 4 * _LATENT), ("added", 0.5 / UNIT)):
        assert _difference(_rows(after[name]), _rows(before[name])) < tolerance
    torch.testing.assert_close(bits_after, bits_before, rtol=0.01, atol=0)
    torch.testing.assert_close(
        restored.gain(qualities), original.gain(qualities), rtol=2e-3, atol=0
    )


def test_what_is_restored_does_not_depend_on_where_memory_lies() -> None:
    """Or an encoder, which takes derivatives of it, would not write the same file twice."""
    rows = torch.randn(64, 96)
    found = set()
    for shift in range(32):
        copied = torch.empty(rows.numel() + shift)[shift:].view(rows.shape).copy_(rows)
        found.add(quality_anchors(copied).numpy().tobytes())
    assert len(found) == 1
