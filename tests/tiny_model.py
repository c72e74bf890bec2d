"""A model of the real architecture, made in seconds without training, to code real streams with.

Both networks start as transform codecs, from the covariance of a Markov field; their branches are
random and small. Quantization, export and entropy tables are those of real training.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor
from torch.nn import functional as F

from roicodec.bitstream.constants import FEATURE_CHANNELS
from roicodec.decoder.model import Model
from roicodec.networks.blocks import Block, Pointwise, QualityTable
from roicodec.networks.export import export_network, measured_ranges
from roicodec.networks.frame_net import FrameNet, pack
from roicodec.networks.quantized import quantize_network
from roicodec.picture import Picture
from roicodec.train.klt import klt_basis
from roicodec.train.postfilter import no_post_filter
from roicodec.train.tables import logistic_tables

Arrays = dict[str, NDArray[np.generic]]

_SIDE = 64


def texture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """Clouds with edges, about 0..255, float32 ``[height, width]``."""
    out = np.zeros((height, width), np.float32)
    for side in (32, 11, 4):
        coarse = rng.normal(size=(1, 1, height // side + 3, width // side + 3))
        fine = F.interpolate(torch.tensor(coarse), scale_factor=side, mode="bilinear")
        out += side**0.5 * fine[0, 0, :height, :width].numpy().astype(np.float32)
    return np.asarray(np.clip(128 + 14 * out + 30 * np.sign(out), 0, 255), np.float32)


def pictures(
    width: int, height: int, count: int, *, seed: int = 0, speed: tuple[float, float] = (1.5, -0.75)
) -> list[Picture]:
    """A texture that moves by ``speed`` samples a frame (x, y), its colours with it."""
    rng = np.random.default_rng(seed)
    margin = 2 * int(np.ceil(count * max(map(abs, speed)))) + 4
    field = torch.tensor(
        np.stack([texture(rng, height + 2 * margin, width + 2 * margin) for _ in range(3)])
    )[None]
    ys, xs = torch.arange(height, dtype=torch.float32), torch.arange(width, dtype=torch.float32)
    out = []
    for t in range(count):
        gx = (xs + margin + t * speed[0]) / (width + 2 * margin - 1) * 2 - 1
        gy = (ys + margin + t * speed[1]) / (height + 2 * margin - 1) * 2 - 1
        grid = torch.stack(torch.meshgrid(gy, gx, indexing="ij")[::-1], -1)[None]
        y, u, v = F.grid_sample(field, grid, align_corners=True)[0].round().byte().numpy()
        u, v = (p[::2, ::2] // 2 + 64 for p in (u, v))
        out.append(Picture(y, np.ascontiguousarray(u), np.ascontiguousarray(v), t, 1))
    return out


def _covariance(deviation: float) -> Tensor:
    """Of 8x8 blocks whose samples are a separable first-order Markov field, ``[96, 96]``."""
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    small = 2 * rows[None, :4, :4], 2 * columns[None, :4, :4]
    row, column, plane = (
        pack(*planes).flatten() * 32
        for planes in (
            (rows[None], small[0], small[0]),
            (columns[None], small[1], small[1]),
            (torch.zeros(1, 8, 8), torch.ones(1, 4, 4), torch.full((1, 4, 4), 2.0)),
        )
    )
    distance = (row[:, None] - row).abs() + (column[:, None] - column).abs()
    scale = (deviation / 32 / torch.tensor([1.0, 2.0, 2.0]))[plane.long()]
    same = plane[:, None] == plane
    return scale[:, None] * scale * same * 0.95**distance


@torch.no_grad()
def _started(inter: bool) -> FrameNet:
    net = FrameNet(inter)
    net.start_from_klt(*klt_basis(_covariance(8.0 if inter else 45.0)))
    for module in net.modules():
        if isinstance(module, Block):
            for last in (module.mix_out, module.project):
                last.weight.normal_(std=0.05 / last.weight.shape[1] ** 0.5)
        elif isinstance(module, QualityTable) and module not in (
            net.index_quality,
            getattr(net, "unmatched", None),
        ):
            module.table.add_(0.01 * torch.randn_like(module.table))
    if inter:
        net.unmatched.table.normal_(std=0.01)
    last_hyper = net.hyper_analysis[2]
    assert isinstance(last_hyper, Pointwise)
    last_hyper.weight *= 0.1
    return net.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def _packed(pictures: list[Picture]) -> Tensor:
    planes = zip(*(p.planes for p in pictures), strict=True)
    return pack(*(torch.tensor(np.stack(p)).float() - 128 for p in planes))


@cache
def networks() -> tuple[FrameNet, FrameNet, dict[str, Arrays]]:
    """Quantized intra and inter network, and the files of a model with the integers of both."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        clips = [pictures(_SIDE, _SIDE, 2, seed=s) for s in range(3)]
        before, now = (_packed([c[t] for c in clips]) for t in (0, 1))
        quality = torch.linspace(0, 63, len(clips))
        intra, inter = _started(False), _started(True)
        moved = (before - 0.02 * torch.randn_like(before), torch.zeros(3, FEATURE_CHANNELS, 8, 8))
        arrays = {"intra": _exported(intra, lambda: intra(now, quality))}

        def run() -> None:
            out = inter(now, quality, *moved)
            inter(now, quality, moved[0], out.features)

        arrays["inter"] = _exported(inter, run)
        arrays["post_filter"] = no_post_filter()
    return intra, inter, arrays


def _exported(net: FrameNet, run: Callable[[], object]) -> Arrays:
    # Calibration takes most of the time: three steps of a quantizer are tried instead of eight.
    quantize_network(net, run, searched=3)
    with measured_ranges(net) as ranges:
        run()
    arrays = {**export_network(net, ranges), **logistic_tables(net)}
    # Not each its own, so that ratios matter.
    moved = np.clip(np.arange(48) + np.arange(-4, 5)[:, None], 1, 47)
    arrays["tables.stand_ins"][:, 1:] = moved[:, 1:]
    return arrays


@cache
def model() -> Model:
    """The model on the backend that this machine would choose."""
    with torch.inference_mode():
        return Model(networks()[2])


def save(folder: Path) -> None:
    """Write the weights as a release does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in networks()[2].items():
        whole = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
        save_file(whole, folder / f"{name}.safetensors")
