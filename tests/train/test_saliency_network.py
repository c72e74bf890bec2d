"""The saliency network, its input and its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from roicodec.encoder.roi.inference import Inference
from roicodec.encoder.roi.inputs import INPUTS, NetworkInput, small_size
from roicodec.encoder.roi.network import (
    Maps,
    NetworkSaliency,
    combine,
    load_saliency,
    whole_heads,
)
from roicodec.errors import InputError, ModelError
from roicodec.picture import Picture
from roicodec.train.saliency import Batches, _cut, _train, begin, losses
from roicodec.train.saliency_data import (
    WEIGHTS,
    Photo,
    Sample,
    clip_masks,
    is_dev,
    is_test,
    photos,
    scene,
)
from roicodec.train.saliency_net import SaliencyNet


def noise(seed: int, width: int, height: int) -> Picture:
    random = np.random.default_rng(seed)
    half = (height + 1) // 2, (width + 1) // 2
    shapes = (height, width), half, half
    y, u, v = (random.integers(0, 256, s).astype(np.uint8) for s in shapes)
    return Picture(y, u, v)


def parameters(net: SaliencyNet) -> dict[str, NDArray[np.float32]]:
    return {name: value.numpy() for name, value in net.state_dict().items()}


def trained_a_little(seed: int = 0) -> SaliencyNet:
    """A network whose normalizations have seen something."""
    torch.manual_seed(seed)
    net = SaliencyNet()
    for _ in range(3):
        net(torch.randn(2, INPUTS, 64, 96))
    return net.eval()


def test_it_is_small() -> None:
    assert sum(p.numel() for p in SaliencyNet().parameters()) < 1_500_000


def test_folding_changes_nothing() -> None:
    net = trained_a_little()
    x = torch.randn(1, INPUTS, 75, 101)
    with torch.no_grad():
        before = net(x)
        net.fold()
        after = net(x)
    assert before.shape == (1, 4, 19, 26)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    assert torch.allclose(before, after, atol=1e-4)


@pytest.mark.parametrize("size", [(144, 256), (75, 101), (32, 33)])
def test_it_is_run_as_it_was_trained(size: tuple[int, int]) -> None:
    net = trained_a_little()
    net.fold()
    x = torch.randn(1, INPUTS, *size)
    with torch.no_grad():
        expected = net(x)[0].numpy()
    found = Inference(parameters(net))(x[0].numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_priors_are_gaussians() -> None:
    priors = SaliencyNet().priors
    with torch.no_grad():
        priors.centre[0] = torch.tensor([0.25, 0.75])
        priors.log_spread[0] = torch.tensor([0.5, 0.125]).log()
        found = priors(2, 4)[0, 0]
    # Rows at 1/4 and 3/4: 0 and 1 deviations away; columns at 1/8 .. 7/8: 5, 3, 1, 1.
    rows, columns = np.array([0, 1]), np.array([5, 3, 1, 1])
    expected = np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / 2)
    assert np.allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        ((1280, 720), (256, 144)),
        ((190, 360), (135, 256)),
        ((426, 240), (256, 144)),
        ((176, 144), (176, 144)),
        ((16, 16), (32, 32)),
        ((4096, 16), (256, 32)),
    ],
)
def test_size_of_the_input(frame: tuple[int, int], size: tuple[int, int]) -> None:
    assert small_size(*frame) == size


def test_input_channels() -> None:
    y, u, v = (
        np.full(s, v, np.uint8) for s, v in (((48, 64), 192), ((24, 32), 128), ((24, 32), 0))
    )
    gray = Picture(y, u, v)
    x = NetworkInput()(gray, None)
    assert x.shape == (INPUTS, 48, 64)
    assert [set(np.unique(plane)) for plane in x] == [{1.0}, {0.0}, {-2.0}, *[{0.0}] * 4]


def test_motion_is_an_input() -> None:
    now, before = noise(1, 128, 96), noise(1, 128, 96)
    now.y[30:60, 40:80] = before.y[30:60, 36:76]
    x = NetworkInput()(now, before)
    assert x[4, 40:50, 50:70].mean() > 4 * x[4, :10].mean()
    assert 0 <= x[3:].min() <= x[3:].max() <= 1


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (4096, 16), (16, 2304), (640, 360)])
def test_maps_of_any_frame(size: tuple[int, int]) -> None:
    net = trained_a_little()
    net.fold()
    model = NetworkSaliency(parameters(net))
    found = model.map(noise(1, *size), noise(2, *size))
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    density, thing, *_ = model.outputs(noise(1, *size), None)
    assert density.mean() == pytest.approx(1, rel=1e-4)
    assert 0 <= thing.min() <= thing.max() <= 1


def maps_of(**parts: float) -> Maps:
    """Maps of 20x20 with one value each, unless changed."""
    values = {"density": 1.0, "thing": 0.5, "face": 0.0, "person": 0.1} | parts
    return Maps(**{name: np.full((20, 20), v, np.float32) for name, v in values.items()})


def test_object_and_fixations_count() -> None:
    none = np.zeros((20, 20), np.float32)
    plain = combine(maps_of(), none, still=False)
    assert combine(maps_of(thing=0.9), none, still=False)[0, 0] > plain[0, 0]
    looked = [combine(maps_of(density=4.0), none, still=still)[0, 0] for still in (False, True)]
    unseen = [combine(maps_of(density=0.2), none, still=still)[0, 0] for still in (False, True)]
    assert unseen[1] < unseen[0] < plain[0, 0] < looked[0] < looked[1]
    assert combine(maps_of(person=0.9), none, still=False)[0, 0] > plain[0, 0]


def test_foreground_of_a_fixed_camera_counts_and_its_background_less() -> None:
    none = np.zeros((20, 20), np.float32)
    moving = combine(maps_of(), none, still=False)[0, 0]
    before = [combine(maps_of(foreground=f), none, still=False)[0, 0] for f in (0.0, 0.9)]
    assert before[0] < moving < before[1]


def test_a_face_that_is_large_enough_is_all_that_counts() -> None:
    maps = maps_of(thing=0.99)
    without = combine(maps, np.zeros((20, 20), np.float32), still=False)
    faces = np.zeros((20, 20), np.float32)
    faces[:1, :2] = 0.9  # half a percent
    assert np.array_equal(combine(maps, faces, still=False), without)
    faces[:4, :4] = 0.9
    head = np.zeros((20, 20), np.float32)
    head[:7, :6] = 1  # and what is around
    assert np.allclose(combine(maps, faces, still=False), head, atol=0.01)


def test_a_doubtful_face_is_weakened() -> None:
    faces = np.array([[0.0, 0.2, 0.5, 0.8, 1.0]], np.float32).repeat(6, 1)
    found = whole_heads(faces)[0, 3::6]
    assert found == pytest.approx([0, 0.015, 0.5, 0.985, 1], abs=0.01)


def test_faces_are_remembered_and_forgotten_with_the_scene() -> None:
    """Whatever the network says, by the mean of the first frames, then slowly."""
    net = trained_a_little()
    net.fold()
    model = NetworkSaliency(parameters(net), "faces")
    frames = [noise(seed, 128, 96) for seed in range(3)]
    reference = NetworkSaliency(parameters(net))
    said = [reference.outputs(f, frames[t - 1] if t else None).face for t, f in enumerate(frames)]
    found = [model.map(f, frames[t - 1] if t else None) for t, f in enumerate(frames)]
    assert np.allclose(found[1], whole_heads(np.mean(said[:2], 0)), atol=1e-6)
    assert np.allclose(found[2], whole_heads(np.mean(said, 0)), atol=1e-6)
    assert np.allclose(model.map(frames[0], None), whole_heads(said[0]), atol=1e-6)


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(ModelError, match="do not fit this version"):
        NetworkSaliency({"a": np.zeros(1, np.float32)})


def test_a_window_is_cut_where_it_says() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (32, 64)).copy()
    whole = _cut(ramp, (0, 0, 1, 1), (32, 64), flip=False)
    assert np.array_equal(whole, ramp)
    half = _cut(ramp, (0.5, 0.25, 0.5, 0.5), (16, 32), flip=False)
    assert np.array_equal(half, ramp[8:24, 32:])
    assert np.array_equal(_cut(ramp, (0.5, 0.25, 0.5, 0.5), (16, 32), flip=True), half[:, ::-1])


def sample(row: int, kind: str) -> Sample:
    """A bright square that matters, and is looked at in photographs."""
    planes = np.full((80, 128, 3), 100, np.uint8)
    planes[row : row + 24, 40:72, 0] = 230
    truth = np.zeros((20, 32), np.uint8)
    truth[row // 4 : row // 4 + 6, 10:18] = 255
    density = truth if kind == "photos" else None
    motion = np.zeros((80, 128, 4), np.uint8)
    roles = np.stack([truth, np.zeros_like(truth)])
    known = kind != "photos", kind == "people"
    return Sample(kind, f"{kind} {row}", planes, motion, density, truth, roles, known)


def test_batches_have_every_kind() -> None:
    samples = [sample(row, kind) for row in (24, 36) for kind in WEIGHTS]
    x, density, thing, weight, roles, known = Batches(samples, 1).draw()
    assert x.shape == (13, INPUTS, 128, 208)
    assert density.shape == thing.shape == (13, 32, 52)
    sums = density.flatten(1).sum(1)
    assert torch.allclose(sums[sums > 0], torch.ones(5))
    assert weight.tolist() == pytest.approx([0.4] * 5 + [1.0] * 4 + [0.8, 0.7, 0.7, 0.5])
    assert torch.allclose(roles[:, 0], thing, atol=0.03)
    assert not roles[:, 1].any()
    assert known.tolist() == [[0, 0]] * 5 + [[1, 0]] * 5 + [[1, 1]] * 2 + [[1, 0]]
    bright = x[:, 0, ::4, ::4]
    for k in range(13):  # whatever the window, the truth stays on the square
        inside, outside = bright[k][thing[k] > 0.8], bright[k][thing[k] < 0.1]
        assert inside.mean() > outside.mean() + 0.5


def test_training_continues_from_released_weights(tmp_path: Path) -> None:
    """Of a network that had fewer input channels: the new ones begin without effect."""
    net = trained_a_little()
    net.fold()
    weights = {name: w.contiguous() for name, w in net.state_dict().items()}
    weights["stem.0.weight"] = weights["stem.0.weight"][:, :5].contiguous()
    save_file(weights, tmp_path / "old.safetensors")
    begun = begin(tmp_path / "old.safetensors").eval()
    x = torch.randn(1, INPUTS, 64, 96)
    only = x.clone()
    only[:, 5:] = 0
    with torch.no_grad():
        assert torch.allclose(begun(x), begun(only))
        assert torch.allclose(begun(x), net(only), atol=1e-5)


def test_roles_alone_leave_the_rest_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = trained_a_little()
    net.fold()
    x = torch.randn(1, INPUTS, 64, 96)
    with torch.no_grad():
        before = net(x)
    batches = Batches([sample(r, "people") for r in (24, 36)], 1)
    run = tmp_path / "run"
    run.mkdir()
    found = _train(net, batches, lambda _: {}, run, 3, 0.1, roles_only=True)
    with torch.no_grad():
        after = found(x)
    assert torch.allclose(before[:, :2], after[:, :2], atol=1e-5)
    assert not torch.allclose(before[:, 2:], after[:, 2:], atol=0.01)


def test_masks_of_a_clip(tmp_path: Path) -> None:
    masks = np.zeros((3, 4, 6), bool)
    masks[1, 2] = True
    (tmp_path / "saliency" / "masks").mkdir(parents=True)
    np.savez(tmp_path / "saliency" / "masks" / "davis_bear.npz", mask=masks)
    assert np.array_equal(clip_masks(tmp_path, "davis_bear") or [], masks)
    assert clip_masks(tmp_path, "bear") is None
    assert [scene(n) for n in ("davis_cows_long", "davis_cows_1", "head_pm")] == [
        "cows", "cows", "head_pm",
    ]  # fmt: skip


def test_losses() -> None:
    truth = torch.zeros(2, 4, 4)
    truth[0, 1, 2] = 1
    exact, uniform = torch.full((2, 4, 4, 4), -20.0), torch.zeros(2, 4, 4, 4)
    exact[0, :, 1, 2] = 20
    roles, known = torch.stack((truth, truth), 1), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    more = truth, torch.ones(2), roles, known
    best, worst = (losses(logits, truth, *more) for logits in (exact, uniform))
    # KLD 0, CC 1, NSS (15/16) / sqrt(15/256); uniform: KLD ln 16, the rest 0.
    assert best[0].item() == pytest.approx(-0.5 - 0.1 * 15**0.5, abs=1e-4)
    assert worst[0].item() == pytest.approx(np.log(16), abs=1e-4)
    # Cross entropy ln 2; overlap (1/2) / (1 + 15/2) in the first frame, none asked of the second.
    overlap = 0.5 / 8.5
    assert worst[1].item() == pytest.approx(np.log(2) + 0.5 * (1 - overlap) / 2, abs=1e-4)
    assert best[1].item() == pytest.approx(0, abs=1e-3)
    assert worst[2].item() == pytest.approx(np.log(2) + 0.5 * (1 - overlap), abs=1e-4)
    assert best[2].item() == pytest.approx(0, abs=1e-3)


def test_it_learns() -> None:
    torch.manual_seed(0)
    batches = Batches([sample(r, "photos") for r in (8, 24, 40)], 1)
    net = SaliencyNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    found = []
    for _ in range(12):
        x, *truth = batches.draw()
        small = (t[..., ::2, ::2] if t.ndim > 2 else t for t in truth)
        total = sum(losses(net(x[:, :, ::2, ::2]), *small), torch.zeros(()))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found.append(total.item())
    assert np.mean(found[-3:]) < 0.6 * found[0]


def test_held_out_photographs() -> None:
    test, dev = ({i for i in range(700) if rule(i)} for rule in (is_test, is_dev))
    assert len(test) == 100
    assert {0, 7, 693} < test
    assert len(dev) == 50
    assert not test & dev


def test_fixations_land_on_their_samples() -> None:
    points = np.array([[0.0, 0.0], [0.51, 0.99], [1.2, 0.5], [-0.1, 0.5]])
    density = np.zeros((10, 20), np.uint8)
    found = Photo("a", noise(1, 40, 20), density, points).fixations()
    assert np.array_equal(np.argwhere(found), [[0, 0], [9, 10]])


def test_a_folder_without_photographs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photographs"):
        photos(tmp_path)


def test_the_released_network_finds_the_odd_one_out() -> None:
    y = np.full((144, 256), 90, np.uint8)
    y[50:90, 170:210] = 220
    half = np.full((72, 128), 128, np.uint8)
    picture = Picture(y, half, half)
    density, thing, *_ = load_saliency().outputs(picture, None)
    for found in (density, thing):
        outside = found.copy()
        outside[10:25, 40:55] = np.nan
        assert found[13:22, 43:52].mean() > 3 * np.nanmean(outside)
