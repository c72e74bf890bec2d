"""The derivative of the synthesis on computed positions."""

from __future__ import annotations

import torch

from roicodec.networks.back_projection import Band, back_projected
from roicodec.networks.blocks import set_branch_dtype
from roicodec.networks.frame_net import FrameNet

_HEIGHT, _WIDTH = 5, 7


def _net(*, inter: bool) -> FrameNet:
    torch.manual_seed(1)
    net = FrameNet(inter)
    set_branch_dtype(net, torch.float32)
    with torch.no_grad():
        for parameter in net.synthesis.parameters():
            parameter.normal_(0, 0.1)
    return net


def _band(*, inter: bool) -> Band:
    count = _HEIGHT * _WIDTH
    latents, start, pull = torch.randn(count, 96), torch.randn(count, 128), torch.randn(count, 96)
    context = torch.randn(count, 64) if inter else None
    return Band(_HEIGHT, _WIDTH, torch.arange(count), latents, start, context, pull)


def _planes(rows: torch.Tensor) -> torch.Tensor:
    return rows.T.reshape(1, -1, _HEIGHT, _WIDTH)


def test_it_is_what_autograd_finds() -> None:
    for inter in (False, True):
        net, band = _net(inter=inter), _band(inter=inter)
        latents = _planes(band.latents).requires_grad_()
        context = None if band.context is None else _planes(band.context)
        made, _ = net.synthesise(latents, _planes(band.start), context)
        expected = torch.autograd.grad(made, latents, _planes(band.pull))[0][0].flatten(1).T
        with torch.no_grad():
            found = back_projected(net, band)
        assert expected.abs().mean() > 0.01
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_is_not_computed_is_like_what_lies_outside() -> None:
    net, band = _net(inter=True), _band(inter=True)
    places = torch.arange(_HEIGHT * _WIDTH).view(_HEIGHT, _WIDTH)[1:, :4].flatten()
    assert band.context is not None
    own = band.latents[places], band.start[places], band.context[places], band.pull[places]
    with torch.no_grad():
        part = back_projected(net, Band(_HEIGHT, _WIDTH, places, *own))
        alone = back_projected(net, Band(_HEIGHT - 1, 4, torch.arange(len(places)), *own))
    torch.testing.assert_close(part, alone, rtol=1e-4, atol=1e-4)
