"""Training at its smallest, on clips made on the spot: it learns, resumes exactly, and releases."""

from __future__ import annotations

import csv
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from matplotlib import image
from safetensors.numpy import load_file
from torch import Tensor, nn

from roicodec.bitstream.constants import FEATURE_CHANNELS, PIXEL_CHANNELS, UNIT
from roicodec.bitstream.header import Header
from roicodec.decoder.decoder import FrameDecoder
from roicodec.decoder.model import load_model
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import RectangleRoi
from roicodec.errors import InputError
from roicodec.networks.blocks import Block, Sandwich
from roicodec.networks.frame_net import PRICE, FrameNet, FrameOutput, quantizer_step
from roicodec.networks.quantized import TRAINED_BITS, QuantizedBlock, load_network, quantize_network
from roicodec.picture import Picture
from roicodec.train.cell_choices import skipped, unmatched
from roicodec.train.checkpoints import trained_network
from roicodec.train.command import train_command
from roicodec.train.curves import curves
from roicodec.train.data import Batch, load_folder
from roicodec.train.fit import FitOptions, fit_network, start_intra
from roicodec.train.loop import LoopOptions, parameter_groups
from roicodec.train.losses import CHROMA_SAMPLE_WEIGHT, LAMBDA, rate_distortion, relative_weight
from roicodec.train.ranks import Ranks
from roicodec.train.release import Calibration, write_release
from roicodec.train.revive import revive
from roicodec.train.stages import InterStage, IntraStage
from tests import tiny_model, two_ranks

_ROOT = Path(__file__).parents[2]
_SIDE, _FRAMES = 128, 7
_SMALL = Calibration(intra=(2, 64), inter=(2, 64))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _write(path: Path, pictures: Sequence[Picture]) -> None:
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"qp": "4", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        for number, picture in enumerate(pictures):
            packed = np.concatenate([p.ravel() for p in picture.planes])
            frame = av.VideoFrame.from_ndarray(packed.reshape(-1, picture.width), "yuv420p")
            frame.pts = number
            out.mux(video.encode(frame))
        out.mux(video.encode(None))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two clips."""
    folder = tmp_path_factory.mktemp("data")
    for n, speed in enumerate([(2.0, 0.5), (-1.25, 1.0)]):
        clip = tiny_model.pictures(_SIDE, _SIDE, _FRAMES, seed=n, speed=speed)
        _write(folder / f"clip.{n}.mp4", clip)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def _train(*arguments: object) -> Result:
    return CliRunner().invoke(train_command, [*map(str, arguments)], catch_exceptions=False)


def _options(
    stage: str, data: Path, run: Path, *, steps: int, rate: float = 1e-3, **more: Any
) -> FitOptions:
    """A small run, with less data for the start of networks and quantizers."""
    start = two_ranks.BATCHES if stage == "intra" else 30
    small = {"batch": 2, "size": 64, "start_batches": start, "searched_steps": 3}
    loop = LoopOptions(steps, rate)
    return FitOptions(stage, data, run, run.parent / "cache", loop=loop, **{**small, **more})


def _fit(options: FitOptions) -> dict[str, Any]:
    """The checkpoint of a run."""
    fit_network(options, Ranks())
    return _checkpoint(options.run)


def _checkpoint(run: Path) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(run / "last.pt", weights_only=True)
    assert list(saved)[:7] == ["net", "ema", "optimizer", "torch_rng", "task", "step", "seconds"]
    return saved


def _fit_interrupted(options: FitOptions, after: int) -> dict[str, Any]:
    """Like :func:`_fit`, but stopped after so many steps, each of them saved, and started again."""

    def stop(done: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_network(replace(options, loop=replace(options.loop, save_seconds=0)), Ranks(), stop)
    assert _checkpoint(options.run)["step"] == after
    return _fit(options)


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


# --- data -----------------------------------------------------------------------------------


def test_a_folder_is_decoded_once_and_cuts_are_found(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    one, two = (tiny_model.pictures(134, 130, 5, seed=s) for s in (1, 2))
    dark = [Picture(p.y // 4, p.u, p.v) for p in two]
    _write(folder / "cut.mp4", one[:3] + dark)
    _write(folder / "small.mp4", tiny_model.pictures(96, 144, 2))
    for n in (0, 1):
        (folder / f"clip.{n}.mp4").write_bytes((data / f"clip.{n}.mp4").read_bytes())
    clips = load_folder(folder, tmp_path / "cache", motion=True)
    assert [c.name for c in clips] == ["clip.0.mp4", "clip.1.mp4", "cut.mp4"]
    assert [c.cuts for c in clips] == [(0,), (0,), (0, 3)]
    assert (clips[2].width, clips[2].height, len(clips[2].frames)) == (128, 128, 8)
    assert clips[2].runs(3) == [0, 3, 4, 5]
    first = tiny_model.pictures(_SIDE, _SIDE, _FRAMES, seed=1, speed=(-1.25, 1.0))[0]
    error = clips[1].frames[0, :_SIDE].astype(int) - first.y
    assert np.abs(error).mean() < 3
    # The texture of clip.0 moves by (2, 0.5) samples a frame; what was there is where it was.
    assert clips[0].motion is not None
    middle = np.median(clips[0].motion[0, 3:].reshape(-1, 2), axis=0)
    assert np.abs(middle - [8, 2]).max() <= 1
    files = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    assert not [name for name in files if "tmp" in name]
    again = load_folder(folder, tmp_path / "cache", motion=True)
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == files
    assert (again[0].frames == clips[0].frames).all()


def test_clips_come_backwards_and_at_half_their_rate(data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "clip.mp4").write_bytes((data / "clip.0.mp4").read_bytes())
    _write(tmp_path / "data" / "still.mp4", tiny_model.pictures(128, 128, 1))
    found = load_folder(tmp_path / "data", tmp_path / "cache", motion=True, times=True)
    ahead, back, half, still = found
    names = [c.name for c in found]
    assert names == ["clip.mp4", "clip.mp4 reversed", "clip.mp4 halved", "still.mp4"]
    assert (back.frames == ahead.frames[::-1]).all()
    assert (half.frames == ahead.frames[::2]).all()
    assert still.motion is None
    for clip, expected in ((ahead, (8, 2)), (back, (-8, -2)), (half, (16, 4))):
        assert clip.motion is not None
        assert len(clip.motion[0]) == len(clip.frames)
        middle = np.median(clip.motion[0, 1:].reshape(-1, 2), axis=0)
        assert np.abs(middle - expected).max() <= 1


def test_wrong_use(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clips or photographs"):
        load_folder(tmp_path, tmp_path / "cache", motion=False)
    for arguments, says in (
        (("intra", "--size", 100), "must be a multiple of 32"),
        (("intra", "--quantize", "--compile"), "a graph for each pair"),
        (("intra", "--quantize", "--batch", 3), "quantize splits it in 4"),
        (("intra", "--bits", 4), "--bits: only with quantize"),
        (("intra", "--bits", 4, "--quantize", "--coarsest", 2), "exclude each other"),
        (("intra", "--coarsest", 2, "--unmatched"), "exclude each other"),
        (("intra", "--unmatched"), "only inter frames"),
        (("inter",), "name the checkpoint of a trained intra network"),
    ):
        result = _train("fit", *arguments, "--data", data, "--run", tmp_path)
        assert result.exit_code == 2
        assert says in result.output


# --- stages ---------------------------------------------------------------------------------


def _loss(stage: IntraStage, net: FrameNet) -> float:
    """Mean loss over data and noise that are the same at every call."""
    stage.rng = np.random.default_rng(5)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(5)
        return float(np.mean([stage.step(net)[0]["loss"].mean() for _ in range(3)]))


@pytest.fixture(scope="module")
def intra(data: Path, runs: Path) -> dict[str, Any]:
    """An intra network after as many steps as it takes to beat the transform it starts as."""
    return _fit(_options("intra", data, runs / "intra", steps=110, rate=5e-4))


def test_the_loss_falls(intra: dict[str, Any], data: Path, runs: Path) -> None:
    clips = load_folder(data, runs / "cache", motion=False)
    start = load_network(FrameNet(False).state_dict(), False)
    start_intra(start, clips, 1, two_ranks.BATCHES)
    stage = IntraStage(clips, 1, 4, 64)
    before, after = (_loss(stage, n) for n in (start, load_network(intra["net"], False)))
    assert after < 0.985 * before


def test_intra_training_resumes(data: Path, runs: Path) -> None:
    options = _options("intra", data, runs / "whole", steps=5, rate=0.01)
    whole = _fit(options)
    assert whole["step"] == 5
    _assert_equal(whole, _fit_interrupted(replace(options, run=runs / "again"), 2))


@pytest.mark.usefixtures("intra")
def test_the_command_line_continues_a_run(data: Path, runs: Path) -> None:
    run = runs / "continued"
    shutil.copytree(runs / "intra", run)
    small = ("--batch", 2, "--size", 64, "--steps", 112)
    result = _train(
        *("fit", "intra", "--data", data, "--cache", runs / "cache", "--run", run, *small)
    )
    assert result.exit_code == 0, result.output
    assert _checkpoint(run)["step"] == 112


@pytest.fixture(scope="module")
def inter(intra: dict[str, Any], data: Path, runs: Path) -> dict[str, Any]:
    """An inter network after two steps."""
    first = runs / "intra" / "last.pt"
    return _fit(_options("inter", data, runs / "inter", intra=first, steps=2, length=4))


def test_quantized_inter_training_resumes(inter: dict[str, Any], data: Path, runs: Path) -> None:
    options = _options(
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
    whole = _fit(options)
    assert "analysis.0.mix_in.steps.log_step" in whole["net"]
    assert whole["task"]["reference"][0].shape == (4, 64, 64)
    again = _fit_interrupted(replace(options, run=runs / "inter-again"), 2)
    _assert_equal(whole, again)
    changed = [n for n, w in whole["net"].items() if not n.endswith(("ready", "equalize"))
               and n in inter["net"] and not torch.equal(w, inter["net"][n])]  # fmt: skip
    assert "up.weight" in changed
    with pytest.raises(InputError, match="not quantized"):
        _fit(replace(options, run=runs / "inter"))


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
    before = _fit(_options("inter", data, tmp_path / "all", **more, **begun))["ema"]
    more |= {"init": tmp_path / "all" / "last.pt", "bits": 4}
    after = _fit(_options("inter", data, tmp_path / "four", **more, steps=4))["net"]
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
    again = _fit(_options("inter", data, tmp_path / "four", **more, steps=5))
    assert again["step"] == 5


@pytest.mark.usefixtures("intra", "inter")
@pytest.mark.parametrize("stage", ["intra", "inter"])
def test_the_coarsest_qualities_alone(data: Path, runs: Path, tmp_path: Path, stage: str) -> None:
    more: dict[str, Any] = {"rate": 0.01, "quantize": True, "batch": 4}
    if stage == "inter":
        # With new content everywhere the vectors of intra-coded cells take part, too.
        more |= {"intra": runs / "intra" / "last.pt", "length": 5, "new_content": 1.0}
    begun: dict[str, Any] = {"init": runs / stage / "last.pt", "steps": 1}
    before = _fit(_options(stage, data, tmp_path / "all", **more, **begun))["ema"]
    more |= {"init": tmp_path / "all" / "last.pt", "coarsest": 2, "steps": 3}
    done = _fit(_options(stage, data, tmp_path / "two", **more))
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
    begun = _options(
        *("inter", data, tmp_path / "all"), **more, init=runs / "inter" / "last.pt", steps=1
    )
    held = _fit(begun)["ema"]
    done = _fit(
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


@pytest.mark.usefixtures("intra")
def test_new_content_is_another_sequence_s(data: Path, runs: Path) -> None:
    clips = load_folder(data, runs / "cache", motion=True)
    stage = InterStage(clips, 1, 2, 64, FrameNet(False), 4)
    ours = [torch.stack((torch.zeros(c, 8, 8), torch.ones(c, 8, 8))) for c in (96, 32)]
    stage.new_content = 0.0
    for kept, own in zip(stage.with_new_content(*ours), ours, strict=True):
        assert torch.equal(kept, own)
    stage.new_content = 1.0
    prediction, features = stage.with_new_content(*ours)
    for i in (0, 1):
        new = prediction[i] != ours[0][i]
        assert new.any()
        assert (new == new[0]).all()
        assert torch.equal(features[i] != ours[1][i], new[:32])
        rows, columns = new[0].any(1).nonzero(), new[0].any(0).nonzero()
        # A rectangle of whole cells.
        assert new[0].sum() == len(rows) * len(columns)
        assert len(rows) % 2 == len(columns) % 2 == rows.min() % 2 == columns.min() % 2 == 0


def test_cells_that_an_encoder_would_try_without_a_match() -> None:
    x = torch.randn(2, PIXEL_CHANNELS, 8, 8)
    near = x + 0.1 * torch.randn_like(x)
    quality = torch.tensor([40.0, 40.0])
    assert not unmatched(x, near, quality).any()
    near[0, :, 2:6, 4:8] = 2 * x[1, :, 2:6, 4:8]
    found = unmatched(x, near, quality)[:, 0]
    assert found[0, 2:6, 4:8].all()
    assert found.sum() == 16
    # What is no more than a coarse quantizer's error is left alone.
    assert not unmatched(x / 16, near / 16, torch.tensor([0.0, 0.0])).any()


def test_a_step_in_few_bits_is_a_sandwich(data: Path, tmp_path: Path) -> None:
    """Each part of a batch is coded as it is alone, at the widest, the narrowest, ... bit-width."""
    clips = load_folder(data, tmp_path, motion=False)
    stage = IntraStage(clips, 1, 4, 64)
    assert stage.regions(4, 8) is None
    net = FrameNet(False)
    for block in net.modules():
        if isinstance(block, Block):  # its last layers are zero at first
            nn.init.normal_(block.mix_out.weight, std=0.05)
            nn.init.normal_(block.project.weight, std=0.05)
    quantize_network(net, lambda: stage.step(net))
    stage.quantized = True
    drawn = set()
    for _ in range(40):
        step = stage.regions(4, 8)
        assert isinstance(step, Sandwich)
        *plain, pair = step.parts
        assert all(r.bits_roi == r.bits_bg and r.mask is None for r in plain)
        drawn.add(tuple(r.bits_bg for r in plain))
        assert pair.mask is not None
        assert pair.mask.shape == (1, 1, 8, 8)
    assert drawn == {(4, 8, 16), (2, 4, 8)}
    assert isinstance(step, Sandwich)
    made = next(m for m in net.modules() if isinstance(m, QuantizedBlock))
    x = torch.randn(4, made.mix_in.weight.shape[1], 8, 8)
    with torch.no_grad():
        together = made(x, None, step)
        alone = [made(x[i : i + 1], None, r)[0] for i, r in enumerate(step.parts)]
        other = made(x, None, step.parts[2])
    apart = [(t - a).abs().mean() for t, a in zip(together, alone, strict=True)]
    assert max(apart) < 0.02 * (together[0] - other[0]).abs().mean()


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
    options = EncoderOptions(quality=40, candidates=(4, 8), gop=3)
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
    state = _fit(_options("inter", data, runs / "inter-on", **more))["net"]
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


# --- two processes --------------------------------------------------------------------------


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
    saved = _checkpoint(run)
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


def test_training_skips_the_cells_that_the_encoder_would() -> None:
    """One 16x16 cell is worth its bits, one is not."""
    x, prediction = torch.ones(1, PIXEL_CHANNELS, 2, 4), torch.zeros(1, PIXEL_CHANNELS, 2, 4)
    made = prediction.clone()
    made[..., 2:] = 1
    everywhere = torch.ones(1, 1, 2, 4, dtype=torch.bool)
    features, moved = (
        torch.full((1, FEATURE_CHANNELS, 2, 4), 2.0),
        torch.full((1, FEATURE_CHANNELS, 2, 4), 3.0),
    )
    out = FrameOutput(made, features, x, torch.full((1, 1, 2), 9.0), torch.zeros(1))
    kept = skipped(out, x, prediction, moved, torch.tensor([30.0]), everywhere)
    torch.testing.assert_close(kept.packed, made)
    assert kept.latent_bits.tolist() == [[[0.0, 9.0]]]
    assert (kept.features[..., :2] == 3).all()
    assert (kept.features[..., 2:] == 2).all()
    # What the second cell wins is worth (256 + 128 * weight) units squared, no more.
    worth = PRICE * (quantizer_step(torch.tensor(30.0)) / UNIT).item() ** 2
    won = (4 * 64 + 4 * 32 * CHROMA_SAMPLE_WEIGHT) / worth
    for bits, is_kept in ((0.99 * won, True), (1.01 * won, False)):
        dear = replace(out, latent_bits=torch.full((1, 1, 2), bits))
        result = skipped(dear, x, prediction, moved, torch.tensor([30.0]), everywhere)
        assert bool(result.latent_bits[0, 0, 1] > 0) == is_kept
    new = skipped(out, x, prediction, moved, torch.tensor([30.0]), ~everywhere)
    assert torch.equal(new.latent_bits, out.latent_bits)


def test_chroma_weighs_as_its_error_is_smaller() -> None:
    """Errors of 4 (Y), 2 (U) and 1 (V): V's is 16 times finer, more than the bound."""
    samples = torch.zeros(1, PIXEL_CHANNELS, 2, 2)
    samples[:, :64], samples[:, 64:80], samples[:, 80:] = 4 / UNIT, 2 / UNIT, 1 / UNIT
    out = FrameOutput(
        samples, torch.zeros(1, FEATURE_CHANNELS, 2, 2), samples, torch.full((1, 1, 1), 64.0),
        torch.tensor([64.0]),
    )  # fmt: skip
    target = Batch(torch.full((1, 16, 16), 128.0), *[torch.full((1, 8, 8), 128.0)] * 2)
    quality = torch.tensor([20.0])
    found = rate_distortion(out, target, quality)
    assert [found[f"mse_{p}"].item() for p in "yuv"] == [16, 4, 1]
    distortion = (6 * 16 + 4 * 4 + 10 * 1) / 8
    worth = 0.75 * LAMBDA * quantizer_step(quality).item() ** 2
    assert found["bpp"].item() == 0.5
    assert found["loss"].item() == pytest.approx(0.5 + distortion / worth)


def test_a_percent_counts_the_same_in_all_content() -> None:
    """Two frames of two sequences, the second a hundred times dearer."""
    loss = torch.tensor([0.5, 50.0, 1.5, 150.0])
    weights = relative_weight(loss, torch.zeros(4), 2)
    assert weights.tolist() == pytest.approx([1 / 1.011, 1 / 100.011] * 2)
    assert relative_weight(torch.zeros(2), torch.tensor([0.0, 63.0]), 2).tolist() == pytest.approx(
        [1 / 0.011, 1 / (0.011 * math.exp(3.3))]
    )


def test_channels_that_never_fire_start_anew() -> None:
    """What they were replaced by fires, and changes nothing yet."""
    torch.manual_seed(5)
    block = Block(8).requires_grad_(False)
    for layer in (block.mix_out, block.project):
        torch.nn.init.normal_(layer.weight)
    assert block.mix_in.bias is not None
    assert block.depthwise.bias is not None
    assert block.expand.bias is not None
    block.mix_in.bias[:2] = -100  # of which one is a constant behind the depthwise layer
    block.depthwise.bias[:3] = torch.tensor([-1.0, 0.5, -100.0])
    block.expand.bias[4:9] = -100
    x = torch.randn(4, 8, 6, 6)
    before = block(x)
    assert revive(block, lambda: block(x), 1) == 3 + 5
    torch.testing.assert_close(block(x), before, rtol=0, atol=2e-2)
    assert not torch.any(block.mix_out.weight[:, :3])
    assert torch.any(block.mix_out.weight[:, 3])
    assert revive(block, lambda: block(x), 1) == 0
