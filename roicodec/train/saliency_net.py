"""The saliency network as it is trained; :mod:`roicodec.encoder.roi.inference` runs it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roicodec.encoder.roi.inputs import INPUTS
from roicodec.encoder.roi.network import OUTPUTS

__all__ = ["SaliencyNet"]

_STEM, _STAGES = 16, ((24, 1), (40, 2), (72, 3), (112, 2))
_DECODER = (72, 40, 24)
_EXPANSION = 4
_PRIORS = 16
_SMOOTHING = 9


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
