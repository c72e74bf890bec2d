"""The saliency network: where people look, and what the main object is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from roicodec.encoder.roi.inputs import INPUTS, NetworkInput
from roicodec.encoder.roi.saliency import SaliencyMap
from roicodec.errors import ModelError
from roicodec.picture import Picture

__all__ = ["OUTPUTS", "Aim", "Maps", "NetworkSaliency", "SaliencyNet", "combine",
           "load_saliency", "whole_heads"]  # fmt: skip

Aim = Literal["auto", "faces", "people"]

OUTPUTS = ("fixations", "object", "face", "person")
"""Names of the output maps."""

_STEM, _STAGES = 16, ((24, 1), (40, 2), (72, 3), (112, 2))
_DECODER = (72, 40, 24)
_EXPANSION = 4
_PRIORS = 16
_SMOOTHING = 9
_FACE_PULL = 0.3
_NO_FACE, _FACE = 0.005, 0.02
"""Shares of the frame: below the first faces do not count, from the second on nothing else does."""
_HEAD = np.ones((7, 5), np.uint8)
"""What a face is widened by: a head reaches further above and below it than to the sides."""
_SURE_FACE = 3
"""Factor on the log odds of a face: a hand is one by a third, and must not be by a tenth."""
_LOOKED_AT, _VIEWERS = 0.5, 1.0
"""What a person adds to the log density of fixations; deviation of viewers from each other, in
samples of the map."""
_LOOKS, _STILL_LOOKS = 0.15, 0.6
_LEAST_DENSITY = 0.05
_PEOPLE = 0.15
_DOUBT = 2.7
"""Bias taken off the object's log odds: trained on pictures with an object, it sees too many."""
_FOREGROUND, _BACKGROUND = 3.0, 0.5
"""What is added to the log odds before a fixed camera where all is foreground, and taken off."""


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
        """Merge of the normalization into the convolution."""
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
        self._made: dict[tuple[int, int], Tensor] = {}

    def forward(self, height: int, width: int) -> Tensor:
        if self.centre.requires_grad:
            return self._make(height, width)
        if (height, width) not in self._made:
            self._made[height, width] = self._make(height, width)
        return self._made[height, width]

    def _make(self, height: int, width: int) -> Tensor:
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
        self.head = nn.Conv2d(width + _PRIORS, len(OUTPUTS), 1)
        self.smooth = nn.Conv2d(len(OUTPUTS), len(OUTPUTS), _SMOOTHING, padding=_SMOOTHING // 2,
                                padding_mode="replicate", groups=len(OUTPUTS))  # fmt: skip
        self._start_smooth()

    def _start_smooth(self) -> None:
        """The fixations' filter starts as a Gaussian, the others as hardly any."""
        line = torch.arange(_SMOOTHING) - _SMOOTHING // 2
        for k, spread in enumerate((1.5, 0.4, 0.4, 0.4)):
            bell = torch.exp(-((line / spread) ** 2) / 2)
            bell = bell / bell.sum()
            self.smooth.weight.data[k, 0] = bell[:, None] * bell[None]
        nn.init.zeros_(self.smooth.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """
        Args:
            x: float32 ``[B, 7, h, w]`` as :class:`NetworkInput` makes them.

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
        """Merge of every normalization into its convolution: the released form."""
        for module in self.modules():
            if isinstance(module, _Conv):
                module.fold()


class Maps(NamedTuple):
    """Output maps for a frame, each float32 ``[h/4, w/4]`` of the small frame.

    Attributes:
        density: of fixations, relative to a uniform one: its mean is 1.
        thing, face, person: chance of being the main object, a face, a person, 0..1.
        foreground: what differs from the background of a fixed camera, 0..1; None where the camera
            moves, or nothing is known of it.
    """

    density: SaliencyMap
    thing: SaliencyMap
    face: SaliencyMap
    person: SaliencyMap
    foreground: SaliencyMap | None = None


class NetworkSaliency:
    """The network as a saliency model, for the frames of one video.

    Args:
        weights: of the folded network.
        aim: what its map is to tell of: of what matters, of faces or of people.

    Raises:
        ModelError: if they do not fit.
    """

    def __init__(self, weights: Mapping[str, Tensor], aim: Aim = "auto") -> None:
        self._aim = aim
        self._net = SaliencyNet()
        self._net.fold()
        try:
            self._net.load_state_dict({name: w.float() for name, w in weights.items()})
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"the saliency weights do not fit this version ({reason})") from error
        self._net.eval().requires_grad_(False)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._input = NetworkInput()
        self._faces: SaliencyMap | None = None
        self._count = 0

    @property
    def bits(self) -> SaliencyMap | None:
        return self._input.bits

    def outputs(self, picture: Picture, previous: Picture | None) -> Maps:
        """Output maps for a frame; frames as for :class:`NetworkInput`."""
        seen = self._input(picture, previous)
        x = torch.from_numpy(seen)[None]
        with torch.inference_mode():
            logits = self._net(x.contiguous(memory_format=torch.channels_last))[0]
            chances = logits[1:].sigmoid()
            fixations = logits[0] + _LOOKED_AT * chances[2]
            density = fixations.flatten().softmax(0).view_as(fixations).numpy()
            thing, face, person = chances.numpy()
        density = cv2.GaussianBlur(density, (0, 0), _VIEWERS, borderType=cv2.BORDER_REPLICATE)
        density = np.asarray(density / density.mean(), np.float32)
        foreground = None
        if self._input.fixed_camera:
            size = thing.shape[1], thing.shape[0]
            small = cv2.resize(seen[-1], size, interpolation=cv2.INTER_AREA)
            foreground = np.asarray(small, np.float32)
        return Maps(density, thing, face, person, foreground)

    def map(self, picture: Picture, previous: Picture | None) -> SaliencyMap:
        maps = self.outputs(picture, previous)
        if previous is None or self._faces is None:
            self._count, self._faces = 0, np.zeros_like(maps.face)
        self._count += 1
        pull = np.float32(max(_FACE_PULL, 1 / self._count))
        self._faces = self._faces + pull * (maps.face - self._faces)
        if self._aim == "faces":
            return whole_heads(self._faces)
        if self._aim == "people":
            return maps.person
        return combine(maps, self._faces, still=previous is None)


def combine(maps: Maps, faces: SaliencyMap, *, still: bool) -> SaliencyMap:
    """The chance that a place matters, 0..1: that of the object, of fixations (in a still picture
    they count more), of a person and of foreground together, or that of a face where there is one
    large enough.

    Args:
        maps: of the frame.
        faces: the map of faces, averaged over time.
        still: whether nothing is known of motion.
    """
    looked = _STILL_LOOKS if still else _LOOKS
    odds = _log_odds(maps.thing) + looked * np.log(maps.density + _LEAST_DENSITY) - _DOUBT
    odds += _PEOPLE * _log_odds(maps.person)
    if maps.foreground is not None:
        odds += _FOREGROUND * maps.foreground - _BACKGROUND
    thing = _chance(odds)
    share = float(np.mean(faces > 0.5))
    part = np.float32(np.clip((share - _NO_FACE) / (_FACE - _NO_FACE), 0, 1))
    return np.asarray((1 - part) * thing + part * whole_heads(faces), np.float32)


def whole_heads(faces: SaliencyMap) -> SaliencyMap:
    """A map of faces, doubtful ones weakened, with what is around them, so that no head is cut."""
    return np.asarray(cv2.dilate(_chance(_SURE_FACE * _log_odds(faces)), _HEAD), np.float32)


def _chance(odds: SaliencyMap) -> SaliencyMap:
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def _log_odds(chance: SaliencyMap) -> SaliencyMap:
    inside = np.clip(chance, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside / (1 - inside)), np.float32)


@lru_cache(maxsize=1)
def _released() -> Mapping[str, Tensor]:
    path = Path(str(files("roicodec") / "weights" / "saliency.safetensors"))
    if not path.exists():
        raise ModelError(f"{path}: the saliency weights are missing; install roicodec again")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a weights file ({error})") from error


def load_saliency(aim: Aim = "auto") -> NetworkSaliency:
    """The released saliency network, for one video.

    Args:
        aim: as for :class:`NetworkSaliency`.

    Raises:
        ModelError: if its weights are missing or are not what they should be.
    """
    return NetworkSaliency(_released(), aim)
