"""Networks on native kernels against the reference backend: every method, integer by integer."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.bitstream.constants import CODING_STEPS, FEATURE_CHANNELS, PIXEL_CHANNELS
from roicodec.decoder.backend_network import BackendNetwork
from roicodec.decoder.native_network import NativeNetwork
from roicodec.decoder.regions import Layout
from roicodec.decoder.weights import NAMES
from roicodec.kernels import native
from roicodec.kernels.reference import ReferenceBackend
from tests import tiny_model

_ROWS, _COLUMNS = 4, 6

pytestmark = pytest.mark.skipif(native.library() is None, reason=native.reason())


def _layout(
    b_roi: int, b_bg: int, rng: np.random.Generator, skipped: float, mapped: int = 0
) -> Layout:
    mask = np.zeros((_ROWS, _COLUMNS), np.bool_)
    mask[1:3, 2:5] = True
    skip = rng.random(mask.shape) < skipped
    skip[1, 2] = False
    offsets = rng.integers(-2, 3, mask.shape).astype(np.int8) if mapped else None
    return Layout(mask, b_roi, b_bg, skip, offsets)


@pytest.mark.parametrize("level", native.levels())
@pytest.mark.parametrize("inter", [False, True])
@pytest.mark.parametrize(
    ("b_roi", "b_bg", "skipped", "mapped"),
    [(8, 8, 0, 0), (16, 4, 0, 1), (4, 16, 0.5, 0), (2, 0, 0, 0), (7, 8, 0.9, 1), (8, 8, 0, 1)],
)
def test_every_result_is_the_reference_backends(
    level: str, inter: bool, b_roi: int, b_bg: int, skipped: float, mapped: int
) -> None:
    rng = np.random.default_rng((inter, b_roi, b_bg))
    arrays = tiny_model.networks()[2][NAMES[inter]]
    layout = _layout(b_roi, b_bg, rng, skipped, mapped)
    quality = layout.qualities(30, 10, -7)
    count = layout.height * layout.width
    samples, residual = (
        rng.integers(low, 256, (count, PIXEL_CHANNELS)).astype(np.int16) for low in (0, -255)
    )
    features = rng.integers(-3000, 3000, (count, FEATURE_CHANNELS)).astype(np.int16)
    hyper = rng.integers(-9, 10, (count // 16, 32)).astype(np.int32)
    latents = rng.integers(-2000, 2000, (count, 96)).astype(np.int16)
    with native.forced(level):
        own, other = NativeNetwork(arrays), BackendNetwork(arrays, ReferenceBackend())
        networks = own, other
        contexts = [n.context(layout, samples, features) if inter else None for n in networks]
        if inter:
            _same(*(n.context_values(layout, c) for n, c in zip(networks, contexts, strict=True)))
        found = [
            n.analyse(layout, residual, quality, c) for n, c in zip(networks, contexts, strict=True)
        ]
        _same(*found)
        _same(*(n.hyper_analyse(layout, found[0]) for n in networks))
        states = [
            n.entropy_start(layout, hyper, quality, 30, c)
            for n, c in zip(networks, contexts, strict=True)
        ]
        for step in range(CODING_STEPS):
            if step:
                states = [
                    n.entropy_next(layout, s, step, latents)
                    for n, s in zip(networks, states, strict=True)
                ]
            models = [
                n.distribution(layout, s, step, quality)
                for n, s in zip(networks, states, strict=True)
            ]
            for one, two in zip(*models, strict=True):
                _same(one, two)
        rows = [
            n.synthesise(layout, latents, quality, c)
            for n, c in zip(networks, contexts, strict=True)
        ]
        _same(*rows)
        kept = features if inter else None
        for one, two in zip(
            *(n.finish(layout, rows[0], samples, kept) for n in networks), strict=True
        ):
            _same(one, two)


def _same(one: np.ndarray, two: np.ndarray) -> None:
    assert (one.shape, one.dtype) == (two.shape, two.dtype)
    np.testing.assert_array_equal(one, two)


def test_a_layout_is_let_go() -> None:
    """What is prepared for a layout lives as long as the layout."""
    network = NativeNetwork(tiny_model.networks()[2]["intra"])
    layout = _layout(8, 8, np.random.default_rng(0), 0)
    latents = np.zeros((layout.height * layout.width, 96), np.int16)
    network.synthesise(layout, latents, layout.qualities(30, 0, 0), None)
    assert len(network._rows) == 1
    del layout
    assert not len(network._rows)
