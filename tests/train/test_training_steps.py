"""What a step of training codes and weighs, and what it is started from."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from roicodec.bitstream.constants import FEATURE_CHANNELS, PIXEL_CHANNELS, UNIT
from roicodec.networks.blocks import Block, Sandwich
from roicodec.networks.frame_net import PRICE, FrameNet, FrameOutput, quantizer_step
from roicodec.networks.quantized import QuantizedBlock, quantize_network
from roicodec.train.cell_choices import skipped, unmatched
from roicodec.train.data import Batch, load_folder
from roicodec.train.losses import CHROMA_SAMPLE_WEIGHT, LAMBDA, rate_distortion, relative_weight
from roicodec.train.revive import revive
from roicodec.train.stages import InterStage, IntraStage


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
