"""The machine report."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from roicodec import doctor
from roicodec.errors import InputError
from roicodec.kernels import choose, native
from roicodec.kernels.choose import ENVIRONMENT
from roicodec.kernels.integer import Grid, Pointwise
from roicodec.kernels.onednn import OnednnBackend


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SECONDS", 0.01)
    monkeypatch.delenv(ENVIRONMENT, raising=False)


def test_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "reference")
    found = doctor.report(None, choose.hardest_layers())
    assert (found.chosen, found.reason) == ("reference", "asked for")
    assert [b.name for b in found.backends] == ["native", "onednn", "reference"]
    for backend in found.backends:
        assert set(backend.rates) == (
            set() if backend.error else {"pointwise 8", "pointwise 16", "depthwise 8"}
        )
        assert all(rate > 0 for rate in backend.rates.values())
    assert {o.name for o in found.operations} >= {"post-filter"}
    assert {o.form for o in found.operations} <= {"native", "reference"}
    assert found.libraries["torch"] == torch.__version__
    assert found.environment[ENVIRONMENT] == "reference"
    assert found.threads == torch.get_num_threads()
    text = "\n".join(doctor.text_lines(found))
    assert "reference: asked for" in text
    for form in {f"{o.form}, {o.reason}" for o in found.operations}:
        assert text.count(f"operations  {form}: ") == 1
    for operation in found.operations:
        assert operation.name in text
    assert f"{ENVIRONMENT}=reference" in text


def test_says_why_a_backend_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: OnednnBackend, layer: Pointwise) -> None:
        raise RuntimeError("no such kernel\nat some line")

    monkeypatch.setattr(OnednnBackend, "pointwise", refuse)
    monkeypatch.setattr(native, "library", lambda: None)
    grid = Grid(8, signed=False)
    zeros = np.zeros(3, np.int64)
    layer = Pointwise(np.eye(3, dtype=np.int64), zeros, zeros, grid, grid, name="head")
    found = doctor.report(None, [layer])
    assert (found.chosen, found.reason) == (
        "reference",
        f"no such kernel; no native kernels: {native.reason()}",
    )
    assert found.backends[0].error.startswith("no native kernels")
    assert found.backends[1].error.startswith("no such kernel; use")
    assert any("no such kernel" in line for line in doctor.text_lines(found))


def test_unknown_backend() -> None:
    with pytest.raises(InputError):
        doctor.report("gpu", [])
