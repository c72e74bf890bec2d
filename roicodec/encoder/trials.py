"""Trials of a frame: what is skipped, what is coded as intra, and better latents.

A trial codes the frame without writing it, and what it comes to decides the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import INTRA, LATENT_CHANNELS, LATENT_EXPONENT
from roicodec.bitstream.entropy import Ints
from roicodec.decoder.frame import FrameCodec, FrameSetting, PreparedFrame
from roicodec.decoder.planes import Packed, padded
from roicodec.decoder.post_filter import FilteredPlane, merged, useful
from roicodec.encoder.effort import Effort
from roicodec.encoder.gop import Prices
from roicodec.encoder.intra_cells import with_intra_cells
from roicodec.encoder.rdoq import RdoQuantizer
from roicodec.encoder.refinement import LatentRefiner
from roicodec.encoder.skip import SkipTrials, cell_costs, early_skip
from roicodec.kernels.packing import pack, unpack
from roicodec.picture import Picture

__all__ = ["FrameTrials", "Trial", "TriedFrame", "filter_switches"]


@dataclass(frozen=True, eq=False)
class TriedFrame:
    """A frame with everything decided but its symbols.

    Attributes:
        frame: prepared with the skip map and the intra-coded cells that the trials found.
        target: latents before quantization, float32 flattened ``[(H/8) (W/8) 96]``, in latent
            integers.
        hyper: quantized hyper-latents, int32 ``[Hp/32, Wp/32, 32]``.
    """

    frame: PreparedFrame
    target: NDArray[np.float32]
    hyper: Ints


@dataclass(frozen=True, eq=False)
class Trial:
    """Result of a trial.

    Attributes:
        made: packed samples of the reconstruction, before the post-filter.
        bits: of the latents at every position, ``[(H/8) (W/8)]``.
    """

    made: Packed
    bits: NDArray[np.float64]


def filter_switches(planes: list[FilteredPlane], picture: Picture) -> tuple[int, int]:
    """The post-filter's switches of luma and of chroma that bring planes nearest to a picture."""
    return useful(planes[:1], [picture.y]), useful(planes[1:], [picture.u, picture.v])


class FrameTrials:
    """Trials of the frames of one encoder.

    Args:
        codec: the frame codec.
        effort: how many trials.
    """

    def __init__(self, codec: FrameCodec, effort: Effort) -> None:
        self._codec, self._effort = codec, effort
        self._refiner = LatentRefiner(codec.model)

    def run(self, frame: PreparedFrame, picture: Picture, prices: Prices) -> TriedFrame:
        """The frame after all trials.

        Args:
            frame: prepared without skip map and intra-coded cells.
            picture: its original.
            prices: of bits.
        """
        intra = frame.setting.kind == INTRA
        samples = pack(padded(picture))
        if not intra and self._effort.trials and self._effort.intra_cells:
            frame = self._with_intra_cells(frame, samples, prices)
        if not intra and not self._effort.trials and self._effort.early_skip:
            setting = replace(frame.setting, skip=early_skip(frame, samples, prices.skip))
            frame = self._codec.prepare(setting, frame.references, like=frame)
        trials = self._effort.intra_trials if intra else self._effort.trials
        skip = None if intra or not trials else SkipTrials(frame, samples, prices.skip)
        moves = np.zeros(1, np.float32)
        latents, hyper = self._analysed(frame, samples)
        for _ in range(trials):
            if not frame.layout.parts:
                break
            trial = RdoQuantizer(frame.model.latent_tables, latents + moves, prices.symbols)
            decoded = self._codec.code_latents(frame, hyper, trial).values
            active: list[NDArray[np.uint8]] = []
            made, _ = self._codec.synthesise(frame, decoded, active)
            error = self._shown(frame, made, picture) - samples
            moves = moves + self._refiner(frame, trial.target, decoded, error, active)
            if skip is not None:
                skipped = skip.after(frame, made, trial.bits(LATENT_CHANNELS))
                setting = replace(frame.setting, skip=skipped)
                frame = self._codec.prepare(setting, frame.references, like=frame)
                latents, hyper = self._analysed(frame, samples)
        return TriedFrame(frame, latents + moves, hyper)

    def _with_intra_cells(
        self, frame: PreparedFrame, samples: Packed, prices: Prices
    ) -> PreparedFrame:
        def prepare(setting: FrameSetting) -> PreparedFrame:
            return self._codec.prepare(setting, frame.references)

        return with_intra_cells(frame, samples, prepare, lambda f: self._costs(f, samples, prices))

    def trial(self, frame: PreparedFrame, samples: Packed, prices: Prices) -> Trial:
        """One trial of a frame.

        Args:
            frame: prepared.
            samples: packed samples of its original.
            prices: of bits.
        """
        latents, hyper = self._analysed(frame, samples)
        symbols = RdoQuantizer(frame.model.latent_tables, latents, prices.symbols)
        decoded = self._codec.code_latents(frame, hyper, symbols).values
        made, _ = self._codec.synthesise(frame, decoded)
        return Trial(made, symbols.bits(LATENT_CHANNELS))

    def _costs(self, frame: PreparedFrame, samples: Packed, prices: Prices) -> NDArray[np.float64]:
        """D + lambda R of every cell in a trial, ``[H/16, W/16]``."""
        trial = self.trial(frame, samples, prices)
        return cell_costs(frame, trial.made, samples, trial.bits, prices.skip)

    def _shown(self, frame: PreparedFrame, made: Packed, picture: Picture) -> Packed:
        """Packed samples of the output picture that a trial would give."""
        codec = self._codec
        planes = codec.filtered(frame, unpack(made, codec.padded_width, codec.padded_height))
        y, u, v = merged(planes, filter_switches(planes, picture))
        return pack((y, u, v))

    def _analysed(self, frame: PreparedFrame, samples: Packed) -> tuple[NDArray[np.float32], Ints]:
        """Latents before quantization, flattened, in latent integers, and quantized hyper-latents;
        zeros where nothing is computed."""
        network = frame.model.network
        shape = self._codec.hyper_shape
        if not frame.layout.parts:
            return np.zeros(1, np.float32), np.zeros(shape, np.int32)
        residual = samples - frame.prediction
        latents = network.analyse(frame.layout, residual, frame.quality, frame.context)
        z = network.hyper_analyse(frame.layout, latents)
        step = network.hyper_step[frame.setting.quality] * 2.0**LATENT_EXPONENT
        hyper = np.rint(z / step).astype(np.int32).reshape(shape)
        return latents.ravel().astype(np.float32), hyper
