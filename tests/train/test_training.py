"""Training at its smallest, on clips made on the spot: it learns, resumes exactly, and releases."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from matplotlib import image
from safetensors.numpy import load_file
from torch import Tensor

from roicodec.bitstream.header import Header
from roicodec.decoder.decoder import FrameDecoder
from roicodec.decoder.model import load_model
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import RectangleRoi
from roicodec.errors import InputError
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.quantized import TRAINED_BITS, load_network
from roicodec.train.checkpoints import trained_network
from roicodec.train.curves import curves
from roicodec.train.data import load_folder
from roicodec.train.fit import FitOptions, fit_network, start_intra
from roicodec.train.loop import parameter_groups
from roicodec.train.losses import relative_weight
from roicodec.train.ranks import Ranks
from roicodec.train.release import Calibration, write_release
from roicodec.train.stages import IntraStage
from tests import tiny_model, two_ranks
from tests.train.small_training import checkpoint, fit, small_options, train

_ROOT = Path(__file__).parents[2]
_SMALL = Calibration(intra=(2, 64), inter=(2, 64))


def _fit_interrupted(options: FitOptions, after: int) -> dict[str, Any]:
    """Like :func:`fit`, but stopped after so many steps, each of them saved, and started again."""

    def stop(done: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_network(replace(options, loop=replace(options.loop, save_seconds=0)), Ranks(), stop)
    assert checkpoint(options.run)["step"] == after
    return fit(options)


def _tensors(value: object, path: str = "") -> dict[str, object]:
    """Everything in a checkpoint, by its place."""
    if isinstance(value, dict):
        items = [(str(k), v) for k, v in value.items() if k != "seconds"]
    elif isinstance(value, list | tuple):
        items = [(str(i), v) for i, v in enumerate(value)]
    elif hasattr(value, "__dict__") and not isinstance(value, Tensor):
        items = list(vars(value).items())
    else:
        return {path: value}
    return {k: v for name, item in items for k, v in _tensors(item, f"{path}/{name}").items()}


def _assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    a, b = _tensors(one), _tensors(other)
    assert a.keys() == b.keys()
    assert sum(isinstance(v, Tensor) for v in a.values()) > 300
    for name, value in a.items():
        if isinstance(value, Tensor | np.ndarray):
            assert (value == b[name]).all(), name  # type: ignore[union-attr]
        else:
            assert value == b[name], name


def _loss(stage: IntraStage, net: FrameNet) -> float:
    """Mean loss over data and noise that are the same at every call."""
    stage.rng = np.random.default_rng(5)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(5)
        return float(np.mean([stage.step(net)[0]["loss"].mean() for _ in range(3)]))


@pytest.fixture(scope="module")
def intra(data: Path, runs: Path) -> dict[str, Any]:
    """An intra network after as many steps as it takes to beat the transform it starts as."""
    return fit(small_options("intra", data, runs / "intra", steps=110, rate=5e-4))


def test_the_loss_falls(intra: dict[str, Any], data: Path, runs: Path) -> None:
    clips = load_folder(data, runs / "cache", motion=False)
    start = load_network(FrameNet(False).state_dict(), False)
    start_intra(start, clips, 1, two_ranks.BATCHES)
    stage = IntraStage(clips, 1, 4, 64)
    before, after = (_loss(stage, n) for n in (start, load_network(intra["net"], False)))
    assert after < 0.985 * before


def test_intra_training_resumes(data: Path, runs: Path) -> None:
    options = small_options("intra", data, runs / "whole", steps=5, rate=0.01)
    whole = fit(options)
    assert whole["step"] == 5
    _assert_equal(whole, _fit_interrupted(replace(options, run=runs / "again"), 2))


@pytest.mark.usefixtures("intra")
def test_the_command_line_continues_a_run(data: Path, runs: Path) -> None:
    run = runs / "continued"
    shutil.copytree(runs / "intra", run)
    small = ("--batch", 2, "--size", 64, "--steps", 112)
    result = train(
        *("fit", "intra", "--data", data, "--cache", runs / "cache", "--run", run, *small)
    )
    assert result.exit_code == 0, result.output
    assert checkpoint(run)["step"] == 112


@pytest.fixture(scope="module")
def inter(intra: dict[str, Any], data: Path, runs: Path) -> dict[str, Any]:
    """An inter network after two steps."""
    first = runs / "intra" / "last.pt"
    return fit(small_options("inter", data, runs / "inter", intra=first, steps=2, length=4))


def test_quantized_inter_training_resumes(inter: dict[str, Any], data: Path, runs: Path) -> None:
    options = small_options(
        *("inter", data, runs / "inter-q"),
        intra=runs / "intra" / "last.pt",
        init=runs / "inter" / "last.pt",
        quantize=True,
        steps=4,
        length=5,
        unroll=2,
        rate=0.01,
        batch=4,
    )
    whole = fit(options)
    assert "analysis.0.mix_in.steps.log_step" in whole["net"]
    assert whole["task"]["reference"][0].shape == (4, 64, 64)
    again = _fit_interrupted(replace(options, run=runs / "inter-again"), 2)
    _assert_equal(whole, again)
    changed = [n for n, w in whole["net"].items() if not n.endswith(("ready", "equalize"))
               and n in inter["net"] and not torch.equal(w, inter["net"][n])]  # fmt: skip
    assert "up.weight" in changed
    with pytest.raises(InputError, match="not quantized"):
        fit(replace(options, run=runs / "inter"))


def test_one_bit_width_is_trained_alone(
    inter: dict[str, Any], data: Path, runs: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {
        "intra": runs / "intra" / "last.pt",
        "length": 5,
        "rate": 0.01,
        "quantize": True,
    }
    begun: dict[str, Any] = {"init": runs / "inter" / "last.pt", "batch": 4, "steps": 2}
    before = fit(small_options("inter", data, tmp_path / "all", **more, **begun))["ema"]
    more |= {"init": tmp_path / "all" / "last.pt", "bits": 4}
    after = fit(small_options("inter", data, tmp_path / "four", **more, steps=4))["net"]
    row = TRAINED_BITS.index(4)
    moved = set()
    for name, was in before.items():
        now = after[name]
        if name.endswith((".bias", ".log_step")) and len(was) == len(TRAINED_BITS):
            others = torch.arange(len(was)) != row
            assert torch.equal(now[others], was[others])
            now, was = now[row], was[row]
            moved |= {name.rpartition(".")[2]} if not torch.equal(now, was) else set()
        else:
            assert torch.equal(now, was), name
        if name.endswith(("mix_in.input.log_step", "expand.input.log_step")):
            assert now >= before[name][row + 1].round() + 1
    assert moved == {"bias", "log_step"}
    # It continues from what it was, and does not widen again.
    again = fit(small_options("inter", data, tmp_path / "four", **more, steps=5))
    assert again["step"] == 5


@pytest.mark.usefixtures("intra", "inter")
@pytest.mark.parametrize("stage", ["intra", "inter"])
def test_the_coarsest_qualities_alone(data: Path, runs: Path, tmp_path: Path, stage: str) -> None:
    more: dict[str, Any] = {"rate": 0.01, "quantize": True, "batch": 4}
    if stage == "inter":
        # With new content everywhere the vectors of intra-coded cells take part, too.
        more |= {"intra": runs / "intra" / "last.pt", "length": 5, "new_content": 1.0}
    begun: dict[str, Any] = {"init": runs / stage / "last.pt", "steps": 1}
    before = fit(small_options(stage, data, tmp_path / "all", **more, **begun))["ema"]
    more |= {"init": tmp_path / "all" / "last.pt", "coarsest": 2, "steps": 3}
    done = fit(small_options(stage, data, tmp_path / "two", **more))
    for name, now in done["net"].items():
        was = before[name]
        if name.endswith(".table"):
            assert not torch.equal(now[:2], was[:2])
            now, was = now[2:], was[2:]
        assert torch.equal(now, was), name
    if stage == "inter":
        assert max(s["qualities"].max() for s in done["task"]["sequences"]) <= 2 * 6.3 + 3


@pytest.mark.usefixtures("intra", "inter")
def test_what_stands_for_features_alone(data: Path, runs: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "intra": runs / "intra" / "last.pt",
        "length": 5,
        "rate": 0.01,
        "quantize": True,
    }
    more["batch"] = 4
    begun = small_options(
        *("inter", data, tmp_path / "all"), **more, init=runs / "inter" / "last.pt", steps=1
    )
    held = fit(begun)["ema"]
    done = fit(
        replace(
            begun,
            run=tmp_path / "one",
            init=begun.checkpoint,
            unmatched=True,
            loop=replace(begun.loop, steps=3),
        )
    )
    moved = {name for name, now in done["net"].items() if not torch.equal(now, held[name])}
    assert moved == {"unmatched.table"}


def test_release(
    inter: dict[str, Any],
    data: Path,
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights that encode and decode: exactly, and with something like the original."""

    def release(intra_path: Path, out: Path) -> None:
        write_release(
            *(intra_path, runs / "inter" / "last.pt", data, out, runs / "cache"),
            count=2,
            filtered=160,
            calibration=_SMALL,
        )

    release(runs / "intra" / "last.pt", tmp_path)
    model = load_model(tmp_path, "reference")
    assert model.id.hex() in capsys.readouterr().out
    clip = tiny_model.pictures(70, 50, 4, seed=1)
    options = EncoderOptions(quality=40, candidates=(4, 8), gop=3, structure="low-delay")
    encoder = FrameEncoder(70, 50, options, RectangleRoi((0, 0, 32, 32), (70, 50)), model)
    coded = [c for p in clip for c in encoder.encode(p)]
    decoder = FrameDecoder(Header(70, 50, gop=3, **encoder.header_fields), model)
    for frame, picture in zip(coded, clip, strict=True):
        decoded = decoder.decode(frame.chunk)[0].picture
        assert decoded.crc32() == frame.reconstruction.crc32() == frame.chunk.crc32
        assert np.square(decoded.y.astype(float) - picture.y).mean() < 60

    # Training goes on from what was released, and so does a release.
    released = {name: tmp_path / f"{name}.safetensors" for name in ("intra", "inter")}
    more: dict[str, Any] = {
        "intra": released["intra"],
        "init": released["inter"],
        "steps": 1,
        "length": 4,
    }
    state = fit(small_options("inter", data, runs / "inter-on", **more))["net"]
    close = trained_network(runs / "inter" / "last.pt", True).state_dict()
    assert {n: w.shape for n, w in state.items()} == {n: w.shape for n, w in close.items()}
    torch.testing.assert_close(state["up.weight"], close["up.weight"], rtol=0, atol=0.01)
    with pytest.raises(InputError, match="an intra network, inter is needed"):
        trained_network(released["intra"], True)
    release(released["intra"], tmp_path / "again")
    before, after = (load_file(p / "intra.safetensors") for p in (tmp_path, tmp_path / "again"))
    for array in before.keys() - {"tables.latents", "tables.hyper", "tables.stand_ins"}:
        np.testing.assert_array_equal(before[array], after[array])


def test_curves(intra: dict[str, Any], inter: dict[str, Any], runs: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader((runs / "intra" / "curve.csv").open()))
    assert [int(r["step"]) for r in rows] == [100, 110]
    arguments = [runs / "intra", runs / "inter", "--out", tmp_path / "curves.png"]
    result = CliRunner().invoke(curves, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    picture = image.imread(tmp_path / "curves.png")
    assert min(picture.shape[:2]) > 200
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


@pytest.mark.slow
def test_two_processes_average_their_gradients(data: Path, runs: Path) -> None:
    """What torchrun trains, against both ranks' gradients computed here."""
    run = runs / "two"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    result = subprocess.run(
        [*torchrun, "-m", "--", "tests.two_ranks", data, runs / "cache", run],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"},
        cwd=_ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("step=1 ") == 1
    assert "rank 0 agrees" in result.stdout
    assert "rank 1 agrees" in result.stdout
    saved = checkpoint(run)
    (other,) = saved["others"]
    clips = load_folder(data, runs / "cache", motion=False)
    gradients, weights = [], None
    for rank, state in enumerate((saved, other)):
        torch.manual_seed(1 + rank)
        net = load_network(FrameNet(False).state_dict(), False)
        start_intra(net, clips, 1, two_ranks.BATCHES)
        weights = weights or {n: w.clone() for n, w in net.state_dict().items()}
        net.load_state_dict(weights)
        task = IntraStage(clips, 1 + rank, 2, 64)
        result_, quality = task.step(net)
        loss = result_["loss"]
        (loss * relative_weight(loss, quality, task.batch)).mean().backward()
        gradients.append({n: p.grad for n, p in net.named_parameters()})
        assert task.state() == state["task"]
        assert torch.equal(torch.get_rng_state(), state["torch_rng"])
    one, other_one = ({n: g for n, g in found.items() if g is not None} for found in gradients)
    mean = {n: (g + other_one[n]) / 2 for n, g in one.items()}
    norm = torch.stack([g.norm() for g in mean.values()]).norm()
    net = load_network(saved["net"], False)
    order = [p for group in parameter_groups(net) for p in group.parameters]
    names = {id(p): n for n, p in net.named_parameters()}
    # Adam's first moment after one step is a tenth of the clipped gradient.
    for number, state in saved["optimizer"]["state"].items():
        expected = 0.1 * mean[names[id(order[number])]] / norm.clamp_min(1)
        assert torch.allclose(state["exp_avg"], expected, rtol=1e-3, atol=1e-7)
