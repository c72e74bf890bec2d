"""Files of weights: saved, missing, cut, changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from roicodec.decoder.model import Model, load_model
from roicodec.decoder.weights import model_id
from roicodec.errors import ModelError
from roicodec.kernels.reference import ReferenceBackend
from tests import tiny_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_model.save(folder)
    return folder


@pytest.fixture
def damaged(weights: Path, tmp_path: Path) -> Callable[[bytes], Model]:
    """Loads a model whose intra file holds the bytes given."""
    for name in ("inter", "post_filter"):
        (tmp_path / f"{name}.safetensors").symlink_to(weights / f"{name}.safetensors")

    def load(data: bytes) -> Model:
        (tmp_path / "intra.safetensors").write_bytes(data)
        return load_model(tmp_path, ReferenceBackend())

    return load


def test_saved_weights_are_the_model(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = model_id(tiny_model.networks()[2])
    assert load_model(weights, "reference").id == expected
    monkeypatch.setenv("ROICODEC_WEIGHTS", str(weights))
    assert load_model(backend=ReferenceBackend()).id == expected


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"intra\.safetensors: the weights are missing"):
        load_model(tmp_path)


def test_a_cut_file(weights: Path, damaged: Callable[[bytes], Model]) -> None:
    data = (weights / "intra.safetensors").read_bytes()
    for length in (0, 3, 8, 500, len(data) // 2, len(data) - 1):
        with pytest.raises(ModelError, match=r"intra\.safetensors: not a weights file"):
            damaged(data[:length])


@pytest.mark.parametrize(
    "name",
    ["up.weight", "exponent.entropy", "spread", "step", "hyper_step", "index_quality",
     "analysis_quality", "tables.hyper", "tables.latents", "entropy.1.mix_out.steps",
     "analysis.0.mix_in.equalize", "synthesis.2.depthwise.input"],
)  # fmt: skip
def test_an_array_is_missing(name: str, weights: Path, damaged: Callable[[bytes], Model]) -> None:
    data = (weights / "intra.safetensors").read_bytes()
    quoted = f'"{name}"'.encode()
    assert data.count(quoted) == 1
    with pytest.raises(ModelError, match="do not fit this version"):
        damaged(data.replace(quoted, quoted[:-2] + b'_"'))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tables.latents", lambda a: a + (a > 0)),
        ("tables.hyper", lambda a: a[:, :-1]),
        ("spread", lambda a: a[:-1]),
        ("down.weight", lambda a: a.T),
        ("analysis.1.project.steps", lambda a: a[:3]),
        ("entropy.2.depthwise.weight", lambda a: a[:, :2]),
    ],
)
def test_an_array_of_another_kind(
    name: str,
    change: Callable[[NDArray[np.generic]], NDArray[np.generic]],
    tmp_path: Path,
    damaged: Callable[[bytes], Model],
) -> None:
    arrays = tiny_model.networks()[2]["intra"]
    whole = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
    save_file({**whole, name: np.ascontiguousarray(change(whole[name]))}, tmp_path / "other")
    with pytest.raises(ModelError):
        damaged((tmp_path / "other").read_bytes())


def test_flipped_bits_never_pass_for_the_model(
    weights: Path, damaged: Callable[[bytes], Model]
) -> None:
    data = (weights / "intra.safetensors").read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(3)
    places = [*range(8), *rng.integers(8, header, 20), *rng.integers(header, len(data), 2)]
    refused = 0
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        try:
            assert damaged(bytes(flipped)).id != model_id(tiny_model.networks()[2])
        except ModelError:
            refused += 1
    assert refused > 20
