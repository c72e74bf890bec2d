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
from roicodec.networks.back_projection import Band, back_projected
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
        positions: positions of a band that is differentiated at a time; each needs 4 kB.
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
        layout, network, device = frame.layout, frame.model.network, self._device
        places = torch.from_numpy(layout.positions).to(device)
        index = frame.quality.by_mask
        region = torch.from_numpy(layout.roi[layout.positions].astype(np.int64)).to(device)
        own = network.steps(frame.quality) * (2.0**STEP_EXPONENT * UNIT)
        curvature = _CURVATURE * (QUANTIZER_STEPS[index, None] / own) ** 2
        scale = torch.from_numpy(curvature * _LATENT_UNIT).float().to(device)[region]
        decoded = torch.from_numpy(latents).to(device)[places].float()
        pull = _weighted(torch.from_numpy(error).to(device), places) / UNIT
        gradient = self._gradient(frame, index, region, decoded * _LATENT_UNIT, pull)
        before = torch.from_numpy(target).to(device).view(latents.shape)[places]
        moves = np.zeros(latents.shape, np.float32)
        moved = _DAMPING * (decoded - gradient / scale - before)
        moves[layout.positions] = moved.numpy(force=True)
        return moves.ravel()

    def _gradient(
        self, frame: PreparedFrame, index: list[int], region: Tensor, latents: Tensor, pull: Tensor
    ) -> Tensor:
        """Gradient of half the weighted squared error by the latents, float32 ``[N, 96]``.

        Args:
            frame: the frame that was tried, of which N positions are computed.
            index: quality indices of background and ROI.
            region: 1 where a position is in the ROI, else 0, int64 ``[N]``.
            latents: dequantized latents in units, ``[N, 96]``.
            pull: weighted errors in units, ``[N, 96]``.
        """
        net, layout = self._network(frame.setting.kind != INTRA), frame.layout
        network = frame.model.network
        quality = torch.tensor(index, dtype=torch.float32, device=self._device)
        start = net.synthesis_quality(quality)[region]
        context = None
        path = network.architecture.context
        if frame.context is not None and path is not None:
            values = network.context_values(layout, frame.context)[layout.positions]
            exponent = int(network.arrays.exponents(path.out.target)[0])
            context = torch.from_numpy(values).to(self._device).float() * 2.0**exponent
        gradient = torch.zeros_like(latents)
        reach, height = len(net.synthesis), max(self._least_rows, self._positions // layout.width)
        for top in range(0, layout.height, height):
            # The output of these rows depends on ``reach`` more on either side.
            above = max(top - reach, 0)
            below = min(top + height + reach, layout.height)
            edges = [row * layout.width for row in (above, top, top + height, below)]
            begin, own_begin, own_end, end = np.searchsorted(layout.positions, edges).tolist()
            if own_begin == own_end:
                continue
            near = slice(begin, end)
            wanted = torch.zeros_like(pull[near])
            wanted[own_begin - begin : own_end - begin] = pull[own_begin:own_end]
            band = Band(
                below - above,
                layout.width,
                torch.from_numpy(layout.positions[near] - edges[0]).to(self._device),
                latents[near],
                start[near],
                None if context is None else context[near],
                wanted,
            )
            gradient[near] += back_projected(net, band)
        return gradient


def _weighted(error: Tensor, places: Tensor) -> Tensor:
    """Errors times the weight of their plane in PSNR (6 Y + U + V) / 8, relative to that of luma.

    Args:
        error: of packed samples, ``[(H/8) (W/8), 96]``.
        places: the rows to return, int64 ``[N]``.
    """
    squares = error.float().square().mean(0)
    luma, *chroma = (max(float(s.mean()), _LEAST) for s in torch.split(squares, list(PACKING)))
    weights = torch.tensor([1.0, *(_CHROMA * luma / square for square in chroma)])
    by_channel = weights.repeat_interleave(torch.tensor(PACKING)).to(error.device)
    return error[places].float() * by_channel
