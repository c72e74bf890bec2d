"""Refinement of the latents before quantization by the gradient of the reconstruction error.

The analysis does not know how latents will be rounded. After a trial the error of the frame is
propagated back through the synthesis, and the latents take damped Newton steps against its gradient
before they are quantized again: content-adaptive optimization of the latents (Campos et al., CVPR
Workshops 2019; Yang, Bamler and Mandt, NeurIPS 2020). Steps are few and small because the gradient
lacks the rate, which RDOQ minimizes afterwards::

    y ─ + ─ RDOQ ─ ŷ ─ synthesis ─ post-filter ─ x̂
        └────── damping * (ŷ - y - gradient) ────┘

The derivative of the post-filter is taken to be the identity.

All of this runs in the encoder alone, in float: other machines may choose other symbols, and any
symbols decode alike everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import (
    INTRA,
    LATENT_EXPONENT,
    PACKING,
    QUANTIZER_STEPS,
    STEP_EXPONENT,
    UNIT,
)
from roicodec.decoder.frame import PreparedFrame
from roicodec.decoder.model import Model
from roicodec.decoder.planes import Packed
from roicodec.decoder.weights import Arrays
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.restore import restore_network

__all__ = ["LatentRefiner"]

_DAMPING = 0.25
"""Damping of the diagonal Newton step, which ignores that neighbouring latents interact."""
_CURVATURE = 0.87
"""Squared error of packed samples, in squared nominal quantizer steps, caused by an error of one
step in a latent: the median over channels."""
_CHROMA = 4 / 6
"""Per-sample weight of chroma against luma: (1/6 of the PSNR weight) / (1/4 of the samples)."""
_LEAST = 1e-3
"""Lower limit of a plane's mean squared error."""
_LATENT_UNIT = 2.0**LATENT_EXPONENT
_POSITIONS, _LEAST_ROWS = 8192, 16
"""Positions, and least rows, of a band of the frame that is differentiated at a time."""


class LatentRefiner:
    """Refinement of the latents of one encoder's frames.

    The float networks are restored when a frame of their type is refined for the first time.

    Args:
        model: the networks.
        positions: positions of a band that is differentiated at a time; each needs 10 kB.
        least_rows: least rows of a band.
        restore: function from stored arrays to a float network.
    """

    def __init__(
        self,
        model: Model,
        *,
        positions: int = _POSITIONS,
        least_rows: int = _LEAST_ROWS,
        restore: Callable[[Arrays], FrameNet] = restore_network,
    ) -> None:
        self._device = torch.device(model.backend.device)
        self._model = model
        self._positions, self._least_rows = positions, least_rows
        self._restore = restore
        self._networks: dict[bool, FrameNet] = {}

    @property
    def restored(self) -> int:
        """Number of float networks that have been restored, 0..2."""
        return len(self._networks)

    def _network(self, inter: bool) -> FrameNet:
        if inter not in self._networks:
            network = self._model.inter if inter else self._model.intra
            # Tensors of inference mode have no derivatives.
            with torch.inference_mode(False):
                net = self._restore(network.network.arrays.raw).to(self._device).eval()
                self._networks[inter] = net.requires_grad_(False)
        return self._networks[inter]

    def __call__(
        self,
        frame: PreparedFrame,
        target: NDArray[np.float32],
        latents: NDArray[np.int16],
        error: Packed,
    ) -> NDArray[np.float32]:
        """Steps of the latents before quantization, in latent integers, float32 of the shape of
        ``target``.

        Args:
            frame: the frame that was tried.
            target: latents before quantization, flattened ``[(H/8) (W/8) 96]``, in latent integers.
            latents: dequantized latents of the trial, int16 ``[(H/8) (W/8), 96]``.
            error: packed samples of the trial's output picture minus the original's, int16
                ``[(H/8) (W/8), 96]``.
        """
        layout, network = frame.layout, frame.model.network
        decoded = torch.from_numpy(latents).to(self._device)
        index = frame.quality.by_mask
        region = torch.from_numpy(layout.roi.astype(np.int64)).to(self._device)
        own = network.steps(frame.quality) * (2.0**STEP_EXPONENT * UNIT)
        curvature = _CURVATURE * (QUANTIZER_STEPS[index, None] / own) ** 2
        scale = torch.from_numpy(curvature * _LATENT_UNIT).float().to(self._device)[region]
        gradient = self._gradient(
            frame, index, region, decoded, torch.from_numpy(error).to(self._device)
        )
        before = torch.from_numpy(target).to(self._device).view(decoded.shape)
        moves = _DAMPING * (decoded - gradient / scale - before)
        return layout.merged(moves.numpy(force=True).astype(np.float32), 0).ravel()

    def _gradient(
        self, frame: PreparedFrame, index: list[int], region: Tensor, decoded: Tensor, error: Tensor
    ) -> Tensor:
        """Gradient of half the weighted squared error by the latents, ``[(H/8) (W/8), 96]``.

        Args:
            frame: the frame that was tried.
            index: quality indices of background and ROI.
            region: 1 where a position is in the ROI, else 0, int64 ``[(H/8) (W/8)]``.
            decoded: dequantized latents.
            error: of packed samples.
        """
        net, layout = self._network(frame.setting.kind != INTRA), frame.layout
        network = frame.model.network

        def whole(rows: Tensor, exponent: int = 0) -> Tensor:
            """Raster rows as a frame in units, ``[1, C, H/8, W/8]``."""
            scaled = rows.float() * 2.0**exponent
            return scaled.view(1, layout.height, layout.width, -1).permute(0, 3, 1, 2)

        # Tensors of inference mode have no derivatives; tensors computed from them here have.
        with torch.inference_mode(False), torch.enable_grad():
            latents = whole(decoded, LATENT_EXPONENT)
            quality = torch.tensor(index, dtype=torch.float32, device=self._device)
            start = whole(net.synthesis_quality(quality)[region])
            context = None
            path = network.architecture.context
            if frame.context is not None and path is not None:
                rows = torch.from_numpy(network.context_values(layout, frame.context))
                context = whole(
                    rows.to(self._device), int(network.arrays.exponents(path.out.target)[0])
                )
            weighted = _weighted(error) / UNIT
            pulled = layout.merged(weighted.numpy(force=True), 0)
            pull = whole(torch.from_numpy(pulled).to(self._device))
            gradient = torch.zeros_like(latents)
            reach, height = (
                len(net.synthesis),
                max(self._least_rows, self._positions // layout.width),
            )
            for top in range(0, layout.height, height):
                # The output of these rows depends on ``reach`` more on either side.
                near = slice(max(top - reach, 0), top + height + reach)
                band = latents[:, :, near].detach().requires_grad_()
                beside = None if context is None else context[:, :, near]
                made, _ = net.synthesise(band, start[:, :, near], beside)
                own = slice(top - near.start, top - near.start + height)
                made, wanted = made[:, :, own], pull[:, :, top : top + height]
                gradient[:, :, near] += torch.autograd.grad(made, band, wanted)[0]
        return gradient.permute(0, 2, 3, 1).reshape(decoded.shape)


def _weighted(error: Tensor) -> Tensor:
    """Errors times the weight of their plane in PSNR (6 Y + U + V) / 8, relative to that of luma.

    Args:
        error: of packed samples, ``[(H/8) (W/8), 96]``.
    """
    planes = torch.split(error.double(), list(PACKING), 1)
    luma, *chroma = (max(float(p.square().mean()), _LEAST) for p in planes)
    weights = 1.0, *(_CHROMA * luma / square for square in chroma)
    return torch.cat([p * weight for p, weight in zip(planes, weights, strict=True)], 1).float()
