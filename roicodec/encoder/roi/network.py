"""The saliency network: where people look, and what the main object is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from roicodec.encoder.roi.saliency import SaliencyMap, motion_contrast
from roicodec.errors import ModelError
from roicodec.picture import Picture

__all__ = ["INPUTS", "NetworkSaliency", "SaliencyNet", "combine", "load_saliency",
           "network_input", "small_size"]  # fmt: skip

INPUTS = 5
"""Channels of the input: Y, U, V, motion contrast on an absolute and on a relative scale."""

_LONGEST = 256
_SHORTEST = 32
_STEM, _STAGES = 16, ((24, 1), (40, 2), (72, 3), (112, 2))
_DECODER = (72, 40, 24)
_EXPANSION = 4
_PRIORS = 16
_SMOOTHING = 9
_STILL = 0.5


class _Conv(nn.Sequential):
    """Convolution and normalization (folded into the convolution for release), then ReLU."""

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, *, stride: int = 1, groups: int = 1,
        active: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True) if active else nn.Identity(),
        )

    def fold(self) -> None:
        """Make the normalization part of the convolution."""
        conv, norm = self[0], self[1]
        if isinstance(norm, nn.BatchNorm2d):
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            conv.weight.data = conv.weight.data * scale[:, None, None, None]
            conv.bias.data = (conv.bias - norm.running_mean) * scale + norm.bias
            self[1] = nn.Identity()


class _InvertedResidual(nn.Module):
    """M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
    section 3.3: widen, filter each channel, narrow; the input added where the shape allows."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        wide = inputs * _EXPANSION
        self.body = nn.Sequential(
            _Conv(inputs, wide),
            _Conv(wide, wide, 3, stride=stride, groups=wide),
            _Conv(wide, outputs, active=False),
        )
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return x + y if self.same else y


class _Priors(nn.Module):
    """Learned Gaussians over the frame, ``[1, N, h, w]``: where people look whatever is there."""

    def __init__(self) -> None:
        super().__init__()
        side = math.isqrt(_PRIORS)
        place = (torch.arange(side) + 0.5) / side
        self.centre = nn.Parameter(torch.stack(torch.meshgrid(place, place, indexing="ij"), -1)
                                   .reshape(_PRIORS, 2))  # fmt: skip
        self.log_spread = nn.Parameter(torch.full((_PRIORS, 2), math.log(0.25)))

    def forward(self, height: int, width: int) -> Tensor:
        axes = [(torch.arange(n, device=self.centre.device) + 0.5) / n for n in (height, width)]
        y, x = (
            torch.exp(-(((axis[None] - self.centre[:, k, None])
                         / self.log_spread[:, k, None].exp()) ** 2) / 2)
            for k, axis in enumerate(axes)
        )  # fmt: skip
        return (y[:, :, None] * x[:, None, :])[None]


class SaliencyNet(nn.Module):
    """Inverted-residual encoder, learned Gaussian priors, decoder with skips, smoothing.

    After R. Droste, J. Jiao, J. A. Noble, "Unified Image and Video Saliency Modeling", ECCV 2020
    (UNISAL), section 3, much smaller. Motion comes in as contrast channels, and smoothing over
    time is left to :class:`roicodec.encoder.roi.auto.AutoRoi`. Instead of parts for every data set
    there are two outputs, since there are two kinds of truth: fixations and outlines of objects.
    """

    def __init__(self) -> None:
        super().__init__()
        width = _STEM
        self.stem = _Conv(INPUTS, width, 3, stride=2)
        self.stages = nn.ModuleList()
        for number, (outputs, repeats) in enumerate(_STAGES):
            first: nn.Module = (
                _Conv(width, outputs, 3, stride=2)  # dense: few channels, many samples
                if number == 0
                else _InvertedResidual(width, outputs, 2)
            )
            rest = (_InvertedResidual(outputs, outputs) for _ in range(repeats - 1))
            self.stages.append(nn.Sequential(first, *rest))
            width = outputs
        self.priors = _Priors()
        self.mix = _Conv(width + _PRIORS, width)
        self.merge = nn.ModuleList()
        for outputs, (skip, _) in zip(_DECODER, _STAGES[-2::-1], strict=True):
            self.merge.append(
                nn.Sequential(_Conv(width + skip, outputs), _InvertedResidual(outputs, outputs))
            )
            width = outputs
        self.head = nn.Conv2d(width + _PRIORS, 2, 1)
        self.smooth = nn.Conv2d(2, 2, _SMOOTHING, padding=_SMOOTHING // 2,
                                padding_mode="replicate", groups=2)  # fmt: skip
        self._start_smooth()

    def _start_smooth(self) -> None:
        """The fixations' filter starts as a Gaussian, the objects' as none."""
        line = torch.arange(_SMOOTHING) - _SMOOTHING // 2
        for k, spread in enumerate((1.5, 0.4)):
            bell = torch.exp(-((line / spread) ** 2) / 2)
            bell = bell / bell.sum()
            self.smooth.weight.data[k, 0] = bell[:, None] * bell[None]
        nn.init.zeros_(self.smooth.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """
        Args:
            x: float32 ``[B, 5, h, w]`` as :func:`network_input` makes them.

        Returns:
            ``[B, 2, ceil(h/4), ceil(w/4)]``: logits of the fixation density (softmax over the
            frame) and of being the main object (sigmoid).
        """
        x = self.stem(x)
        skips = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        x = self.mix(self._with_priors(skips.pop()))
        for merge in self.merge:
            skip = skips.pop()
            wider = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = merge(torch.cat((wider, skip), 1))
        logits: Tensor = self.smooth(self.head(self._with_priors(x)))
        return logits

    def _with_priors(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.priors(*x.shape[-2:]).expand(len(x), -1, -1, -1)), 1)

    def fold(self) -> None:
        """Fold every normalization into its convolution: the released form."""
        for module in self.modules():
            if isinstance(module, _Conv):
                module.fold()


def network_input(picture: Picture, previous: Picture | None) -> NDArray[np.float32]:
    """The network's input for a frame: float32 ``[5, h, w]``, its longer side 256 at most.

    Y, U and V less 128, over 64; then motion contrast m in samples of the small frame: m/(1 + m),
    and m relative to its maximum or half a sample. Without ``previous`` both are 0.
    """
    size = small_size(picture.width, picture.height)
    planes = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in picture.planes]
    out = np.zeros((INPUTS, size[1], size[0]), np.float32)
    out[:3] = (np.stack(planes).astype(np.float32) - 128) / 64
    if previous is not None:
        before = np.asarray(cv2.resize(previous.y, size, interpolation=cv2.INTER_AREA), np.uint8)
        motion = motion_contrast(np.asarray(planes[0], np.uint8), before)
        out[3] = motion / (1 + motion)
        out[4] = motion / max(float(motion.max()), _STILL)
    return out


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the network's input for a frame, of the frame's shape."""
    scale = min(1.0, _LONGEST / max(width, height))
    return max(_SHORTEST, round(width * scale)), max(_SHORTEST, round(height * scale))


class NetworkSaliency:
    """The network as a saliency model.

    Args:
        weights: of the folded network.

    Raises:
        ModelError: if they do not fit.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._net = SaliencyNet()
        self._net.fold()
        try:
            self._net.load_state_dict({name: w.float() for name, w in weights.items()})
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"the saliency weights do not fit this version ({reason})") from error
        self._net.eval().requires_grad_(False)

    def outputs(
        self, picture: Picture, previous: Picture | None
    ) -> tuple[SaliencyMap, SaliencyMap]:
        """Fixation density relative to a uniform one, and chance of being the main object.

        Both float32 ``[h/4, w/4]`` of the small frame; the mean of the first is 1, the second is
        in 0..1.
        """
        x = torch.from_numpy(network_input(picture, previous))[None]
        with torch.inference_mode():
            fixations, thing = self._net(x)[0]
            density = fixations.flatten().softmax(0).view_as(fixations) * fixations.numel()
            return density.numpy(), thing.sigmoid().numpy()

    def map(self, picture: Picture, previous: Picture | None) -> SaliencyMap:
        density, thing = self.outputs(picture, previous)
        return combine(density, thing)


def combine(density: SaliencyMap, thing: SaliencyMap) -> SaliencyMap:
    """One map in 0..1 of both outputs: their mean, the density as d/(d + 4)."""
    return np.asarray((density / (density + 4) + thing) / 2, np.float32)


@lru_cache(maxsize=1)
def _released() -> Mapping[str, Tensor]:
    path = Path(str(files("roicodec") / "weights" / "saliency.safetensors"))
    if not path.exists():
        raise ModelError(f"{path}: the saliency weights are missing; install roicodec again")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a weights file ({error})") from error


def load_saliency() -> NetworkSaliency:
    """The released saliency network.

    Raises:
        ModelError: if its weights are missing or are not what they should be.
    """
    return NetworkSaliency(_released())
