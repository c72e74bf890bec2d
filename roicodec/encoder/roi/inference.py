"""The saliency network, run on the kernels in single precision."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile

import cv2
import numpy as np
from numpy.typing import NDArray

from roicodec.errors import ModelError
from roicodec.kernels.convolution import Weights, convolve, depthwise, pointwise

__all__ = ["Inference"]

Floats = NDArray[np.float32]

_STAGES, _MERGES = 4, 3


class _InvertedResidual:
    """Widen, filter each channel, narrow; the input added where the shape allows."""

    def __init__(self, source: _Source, name: str, stride: int) -> None:
        self._wide = source.weights(f"{name}.body.0.0")
        self._filters = source.filters(f"{name}.body.1.0")
        self._narrow = source.weights(f"{name}.body.2.0")
        self._stride = stride
        self._same = stride == 1 and self._narrow.outputs == len(self._wide.weight)

    def __call__(self, x: Floats) -> Floats:
        filtered = depthwise(pointwise(x, self._wide, True), *self._filters, self._stride)
        return pointwise(filtered, self._narrow, False, x if self._same else None)


class Inference:
    """Convolutions of the folded network (:class:`roicodec.train.saliency_net.SaliencyNet`).

    Args:
        weights: its parameters by name, floating point.

    Raises:
        ModelError: if one is missing or does not fit the others.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        source = _Source(weights)
        self._stem = source.weights("stem.0")
        self._first = source.weights("stages.0.0.0")
        self._stages = [
            [
                _InvertedResidual(source, name, 1 if k else 2)
                for k, name in enumerate(source.numbered(f"stages.{n}"))
            ]
            for n in range(1, _STAGES)
        ]
        self._mix = source.weights("mix.0")
        self._merges = [
            (source.weights(f"merge.{n}.0.0"), _InvertedResidual(source, f"merge.{n}.1", 1))
            for n in range(_MERGES)
        ]
        self._head = source.weights("head")
        self._smooth = source.array("smooth.weight")[:, 0], source.array("smooth.bias")
        self._centre = source.array("priors.centre")
        self._spread = np.exp(source.array("priors.log_spread"))
        self._priors: dict[tuple[int, int], Floats] = {}
        self._try()

    def _try(self) -> None:
        """A run on a small picture: whatever does not fit shows."""
        try:
            self(np.zeros((len(self._stem.weight) // 9, 32, 32), np.float32))
        except ValueError as error:
            raise ModelError(f"the saliency weights do not fit this version ({error})") from error

    def __call__(self, x: Floats) -> Floats:
        """Logits of a frame.

        Args:
            x: float32 ``[7, h, w]`` as :class:`roicodec.encoder.roi.inputs.NetworkInput` makes
                them.

        Returns:
            float32 ``[4, ceil(h/4), ceil(w/4)]``: of the fixation density (softmax over the frame),
            of being the main object, a face, a person (sigmoid).
        """
        channels, height, width = x.shape
        last = cv2.transpose(x.reshape(channels, -1)).reshape(height, width, channels)
        x = convolve(np.asarray(last, np.float32), self._stem)
        x = convolve(x, self._first)
        skips = [x]
        for stage in self._stages:
            for block in stage:
                x = block(x)
            skips.append(x)
        x = pointwise(self._with_priors(skips.pop()), self._mix, True)
        for narrow, block in self._merges:
            skip = skips.pop()
            x = block(pointwise(np.concatenate((_resized(x, skip), skip), -1), narrow, True))
        logits = pointwise(self._with_priors(x), self._head, False)
        return np.stack([self._smoothed(logits[..., k], k) for k in range(logits.shape[-1])])

    def _smoothed(self, plane: Floats, number: int) -> Floats:
        kernels, biases = self._smooth
        edge = cv2.BORDER_REPLICATE
        smooth = cv2.filter2D(plane, -1, kernels[number], delta=biases[number], borderType=edge)
        return np.asarray(smooth, np.float32)

    def _with_priors(self, x: Floats) -> Floats:
        """Channels and the learned Gaussians over the frame."""
        size = x.shape[0], x.shape[1]
        if size not in self._priors:
            self._priors = self._priors if len(self._priors) < 2 else {}
            self._priors[size] = self._gaussians(*size)
        return np.concatenate((x, self._priors[size]), -1)

    def _gaussians(self, height: int, width: int) -> Floats:
        y, x = (
            np.exp(-((((np.arange(n) + 0.5) / n - centre[:, None]) / spread[:, None]) ** 2) / 2)
            for n, centre, spread in zip(
                (height, width), self._centre.T, self._spread.T, strict=True
            )
        )
        return np.asarray(np.einsum("kh,kw->hwk", y, x), np.float32)


def _resized(x: Floats, like: Floats) -> Floats:
    size = like.shape[1], like.shape[0]
    return np.asarray(cv2.resize(x, size, interpolation=cv2.INTER_LINEAR), np.float32)


class _Source:
    """Parameters by name, as kernels want them."""

    def __init__(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        self._weights = weights

    def array(self, name: str) -> Floats:
        if name not in self._weights:
            raise ModelError(f"the saliency weights do not fit this version (no {name})")
        return np.ascontiguousarray(self._weights[name], np.float32)

    def weights(self, name: str) -> Weights:
        return Weights.of(self.array(f"{name}.weight"), self.array(f"{name}.bias"))

    def filters(self, name: str) -> tuple[Floats, Floats]:
        """Weights ``[9, C]`` and bias ``[C]`` of a depthwise convolution."""
        weight = self.array(f"{name}.weight")
        return np.ascontiguousarray(weight.reshape(len(weight), -1).T), self.array(f"{name}.bias")

    def numbered(self, name: str) -> list[str]:
        """Names of the blocks of a stage."""
        names = (f"{name}.{k}" for k in count())
        return list(takewhile(lambda n: f"{n}.body.0.0.weight" in self._weights, names))
