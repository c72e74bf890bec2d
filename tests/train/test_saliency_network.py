"""The saliency network, its input and its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from roicodec.encoder.roi.network import (
    INPUTS,
    NetworkSaliency,
    SaliencyNet,
    combine,
    load_saliency,
    network_input,
    small_size,
)
from roicodec.errors import InputError, ModelError
from roicodec.picture import Picture
from roicodec.train.saliency import Batches, _cut, losses
from roicodec.train.saliency_data import Labels, Photo, Sample, is_dev, is_test, photos


def noise(seed: int, width: int, height: int) -> Picture:
    random = np.random.default_rng(seed)
    half = (height + 1) // 2, (width + 1) // 2
    planes = [random.integers(0, 256, s).astype(np.uint8) for s in ((height, width), half, half)]
    return Picture(*planes)


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
    assert before.shape == (1, 2, 19, 26)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    assert torch.allclose(before, after, atol=1e-4)


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
    gray = Picture(*(np.full(s, v, np.uint8) for s, v in
                     (((48, 64), 192), ((24, 32), 128), ((24, 32), 0))))  # fmt: skip
    x = network_input(gray, None)
    assert x.shape == (INPUTS, 48, 64)
    assert [set(np.unique(plane)) for plane in x] == [{1.0}, {0.0}, {-2.0}, {0.0}, {0.0}]


def test_motion_is_an_input() -> None:
    now, before = noise(1, 128, 96), noise(1, 128, 96)
    now.y[30:60, 40:80] = before.y[30:60, 36:76]
    x = network_input(now, before)
    assert x[4, 40:50, 50:70].mean() > 4 * x[4, :10].mean()
    assert 0 <= x[3:].min() <= x[3:].max() <= 1


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (4096, 16), (16, 2304), (640, 360)])
def test_maps_of_any_frame(size: tuple[int, int]) -> None:
    net = trained_a_little()
    net.fold()
    model = NetworkSaliency(net.state_dict())
    found = model.map(noise(1, *size), noise(2, *size))
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    density, thing = model.outputs(noise(1, *size), None)
    assert density.mean() == pytest.approx(1, rel=1e-4)
    assert 0 <= thing.min() <= thing.max() <= 1


def test_both_outputs_count_the_same() -> None:
    density, thing = np.array([[0.0, 4.0]], np.float32), np.array([[1.0, 0.5]], np.float32)
    assert np.allclose(combine(density, thing), [[0.5, 0.5]])


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(ModelError, match="do not fit this version"):
        NetworkSaliency({"a": torch.zeros(1)})


def test_a_window_is_cut_where_it_says() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 4, (32, 64)).copy()
    whole = _cut(ramp, (0, 0, 1, 1), (32, 64), flip=False)
    assert np.array_equal(whole, ramp)
    half = _cut(ramp, (0.5, 0.25, 0.5, 0.5), (16, 32), flip=False)
    assert np.array_equal(half, ramp[8:24, 32:])
    assert np.array_equal(_cut(ramp, (0.5, 0.25, 0.5, 0.5), (16, 32), flip=True), half[:, ::-1])


def sample(row: int, *, fixated: bool, weight: float = 1.0) -> Sample:
    """A bright square that is looked at, and is the object."""
    planes = np.full((80, 128, 3), 100, np.uint8)
    planes[row : row + 24, 40:72, 0] = 230
    truth = np.zeros((20, 32), np.uint8)
    truth[row // 4 : row // 4 + 6, 10:18] = 255
    density = Labels(truth) if fixated else None
    return Sample(planes, np.zeros((80, 128, 2), np.uint8), density, Labels(truth, weight))


def test_batches_have_every_kind() -> None:
    kinds = [sample(8, fixated=True), sample(40, fixated=False), sample(20, fixated=False,
                                                                       weight=0.5)]  # fmt: skip
    x, density, thing, weight = Batches(kinds, 1).draw()
    assert x.shape == (12, INPUTS, 160, 256)
    assert density.shape == thing.shape == (12, 40, 64)
    sums = density.flatten(1).sum(1)
    assert torch.allclose(sums[sums > 0], torch.ones(5))
    assert sorted(weight.tolist()) == [0.5] * 4 + [1.0] * 8
    bright = x[:, 0, ::4, ::4]
    for k in range(12):  # whatever the crop, the truth stays on the square
        assert bright[k][thing[k] > 0.9].mean() > bright[k][thing[k] < 0.1].mean() + 0.5


def test_losses() -> None:
    truth = torch.zeros(2, 4, 4)
    truth[0, 1, 2] = 1
    exact, uniform = torch.full((2, 2, 4, 4), -20.0), torch.zeros(2, 2, 4, 4)
    exact[0, :, 1, 2] = 20
    weight = torch.ones(2)
    best, worst = (losses(logits, truth, truth, weight) for logits in (exact, uniform))
    # KLD 0, CC 1, NSS (15/16) / sqrt(15/256); uniform: KLD ln 16, the rest 0.
    assert best[0].item() == pytest.approx(-0.5 - 0.1 * 15**0.5, abs=1e-4)
    assert worst[0].item() == pytest.approx(np.log(16), abs=1e-4)
    # Cross entropy ln 2; overlap (1/2) / (1 + 15/2) in the first frame, none in the second.
    assert worst[1].item() == pytest.approx(np.log(2) + 0.5 * (1 - (0.5 / 8.5) / 2), abs=1e-4)
    assert best[1].item() == pytest.approx(0.25, abs=1e-3)  # an empty truth overlaps nothing


def test_it_learns() -> None:
    torch.manual_seed(0)
    batches = Batches([sample(r, fixated=True) for r in (8, 24, 40)], 1)
    net = SaliencyNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    found = []
    for _ in range(12):
        x, *truth = batches.draw()
        total = sum(losses(net(x[:, :, ::2, ::2]), *(t[..., ::2, ::2] if t.ndim == 3 else t
                                                     for t in truth)))  # fmt: skip
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
    density, thing = load_saliency().outputs(picture, None)
    for found in (density, thing):
        outside = found.copy()
        outside[10:25, 40:55] = np.nan
        assert found[13:22, 43:52].mean() > 3 * np.nanmean(outside)
