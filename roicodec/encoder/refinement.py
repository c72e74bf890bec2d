"""Refinement of the latents before quantization by the gradient of the reconstruction error.

The analysis does not know how latents will be rounded. After a trial the error of the frame is
propagated back through the synthesis, and the latents take damped Newton steps against its gradient
before they are quantized again: content-adaptive optimization of the latents (Campos et al., CVPR
Workshops 2019; Yang, Bamler and Mandt, NeurIPS 2020). Steps are few and small because the gradient
lacks the rate, which RDOQ minimizes afterwards::

    y ─ + ─ RDOQ ─ ŷ ─ synthesis ─ post-filter ─ x̂
        └────── damping * (ŷ - y - gradient) ────┘

The derivative of the post-filter is taken to be the identity, and the synthesis' own is computed
with 8-bit weights and codes (:mod:`roicodec.encoder.transposed`): a step of a quarter of the way
needs no more. Other encoders may choose other symbols, and any symbols decode alike everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
from roicodec.encoder.transposed import SCALE, Transposed, transposed
from roicodec.kernels.back_projection import back_projected, latent_steps, pull_rows

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


class LatentRefiner:
    """Refinement of the latents of one encoder's frames.

    Layers are transposed when a frame of their type is refined for the first time.

    Args:
        model: the networks.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._networks: dict[bool, Transposed] = {}

    def _network(self, inter: bool) -> Transposed:
        if inter not in self._networks:
            network = self._model.inter if inter else self._model.intra
            self._networks[inter] = transposed(network.network.arrays)
        return self._networks[inter]

    def __call__(
        self,
        frame: PreparedFrame,
        target: NDArray[np.float32],
        latents: NDArray[np.int16],
        error: Packed,
        active: Sequence[NDArray[np.uint8]],
    ) -> NDArray[np.float32]:
        """Steps of the latents before quantization, in latent integers, float32 of the shape of
        ``target``.

        Args:
            frame: the frame that was tried.
            target: latents before quantization, flattened ``[(H/8) (W/8) 96]``, in latent integers.
            latents: dequantized latents of the trial, int16 ``[(H/8) (W/8), 96]``.
            error: packed samples of the trial's output picture minus the original's, int16
                ``[(H/8) (W/8), 96]``.
            active: which ReLUs of the trial's synthesis were open, of every block.
        """
        layout, network = frame.layout, frame.model.network
        net = self._network(frame.setting.kind != INTRA)
        weights, scale = _weights(error)
        order = layout.order
        more = network.architecture.synthesis[0].stream.channels - error.shape[1]
        rows = pull_rows(error, order, weights, more)
        shape = layout.height, layout.width
        gradient = back_projected(net.chain, rows, active, order, shape)
        own = network.steps(frame.quality) * (2.0**STEP_EXPONENT * UNIT)
        curvature = _CURVATURE * (QUANTIZER_STEPS[frame.quality, None] / own) ** 2
        newton = net.unit / (scale * UNIT * _LATENT_UNIT * curvature)
        moves = latent_steps(
            gradient,
            order,
            layout.level[order],
            newton.astype(np.float32),
            latents,
            target.reshape(latents.shape),
            _DAMPING,
        )
        return moves.ravel()


def _weights(error: Packed) -> tuple[NDArray[np.float32], float]:
    """Weights of errors in the derivative, float32 ``[96]``: of their plane in
    PSNR (6 Y + U + V) / 8, relative to that of luma, times a scale; and the scale.

    Args:
        error: of packed samples, int16 ``[(H/8) (W/8), 96]``.
    """
    single = error.astype(np.float32)
    squares = np.einsum("ij,ij->j", single, single) / len(error)
    planes = np.split(squares, np.cumsum(PACKING)[:-1])
    luma, *chroma = (max(float(plane.mean()), _LEAST) for plane in planes)
    scale = float(SCALE / np.sqrt(luma))
    weights = scale * np.array([1.0, *(_CHROMA * luma / square for square in chroma)])
    return np.repeat(weights, PACKING).astype(np.float32), scale
