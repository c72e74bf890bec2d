"""Data, rate and distortion of one optimizer step in each stage of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roicodec.bitstream.constants import FEATURE_CHANNELS, PIXEL_CHANNELS, QUALITIES
from roicodec.networks.blocks import Regions, Sandwich
from roicodec.networks.compensation import compensate, compensate_features
from roicodec.networks.frame_net import FrameNet, FrameOutput, pack, unpack
from roicodec.networks.quantized import TRAINED_BITS
from roicodec.train.cell_choices import skipped, unmatched
from roicodec.train.data import Batch, Clip, sample_intra, to_tensors
from roicodec.train.losses import RateDistortion, rate_distortion
from roicodec.train.sequences import TrainingSequence

__all__ = [
    "NEW_CONTENT",
    "PARTS",
    "WARM_UP",
    "InterStage",
    "IntraStage",
    "Stage",
    "packed_centred",
]


def packed_centred(batch: Batch) -> Tensor:
    """Packed frames minus mid-gray in units, ``[B, 96, H/8, W/8]``."""
    return pack(batch.y - 128, batch.u - 128, batch.v - 128)


def decoded_planes(packed: Tensor) -> Batch:
    """Reconstruction as a decoder outputs it: integers 0..255, with straight-through gradients.

    Args:
        packed: minus mid-gray in units, ``[B, 96, H/8, W/8]``.
    """
    planes = [p + 128 for p in unpack(packed)]
    return Batch(*(_through(p.round().clamp(0, 255), p) for p in planes))


def _through(exact: Tensor, smooth: Tensor) -> Tensor:
    """Exact values with the gradient of the smooth ones."""
    return smooth + (exact - smooth).detach()


_USUAL, _NARROW, _USUAL_SHARE = (4, 8, 16), (2, 4, 8), 0.75
"""Sets of candidates of a sandwich step, and the probability of the first."""

PARTS = 4
"""Shares of a sandwich step's batch: three candidates, and a random pair."""

NEW_CONTENT = 0.05
"""Usual share of inter frames with content of another sequence."""

WARM_UP = 12
"""Training steps before calibration: features grow along a GOP, and quantizers calibrated on its
first frames cost 2 dB at 8 bits."""


class Stage:
    """Source of a training step's data, and its rate and distortion.

    Attributes:
        quantized: whether bit-widths and regions are drawn too, for a quantized network.
        batch: number of frames or sequences that a step codes side by side.
        bits: bit-width of everything; None for the sandwich rule.
        finest: highest quality index of the frames.
        new_content: share of inter frames with content of another sequence.
    """

    quantized = False
    bits: int | None = None
    finest: float = QUALITIES - 1
    new_content: float = NEW_CONTENT
    rng: np.random.Generator
    batch: int

    def step(self, net: Callable[..., FrameOutput]) -> tuple[RateDistortion, Tensor]:
        """Results of the frames of one step, with gradients, and their quality indices ``[B]``.

        Args:
            net: the network.
        """
        raise NotImplementedError

    def regions(self, batch: int, cells: int) -> Regions | Sandwich | None:
        """Bit-widths of a step: a set of candidates, and a random pair on random 64x64 regions.

        Each has a quarter of the batch, so that every step updates the weights for the widest and
        the narrowest: the sandwich rule of Yu and Huang, "Universally Slimmable Networks and
        Improved Training Techniques", ICCV 2019 (arXiv:1903.05134), section 3.1. A sequence keeps
        its place in the set, and so the errors that accumulate at its bit-width.

        Args:
            batch: number of frames or sequences.
            cells: rows and columns of cells of a crop.
        """
        if not self.quantized:
            return None
        if self.bits is not None:
            return Regions(self.bits, self.bits)
        candidates = _USUAL if self.rng.random() < _USUAL_SHARE else _NARROW
        roi, bg = (int(b) for b in self.rng.choice(TRAINED_BITS, 2))
        coarse = self.rng.random((batch // PARTS, 1, -(-cells // 4), -(-cells // 4))) < 0.5
        mask = torch.from_numpy(coarse.repeat(4, 2).repeat(4, 3)[:, :, :cells, :cells])
        return Sandwich((*(Regions(b, b) for b in candidates), Regions(roi, bg, mask)))

    def state(self) -> dict[str, Any]:
        """State from which training continues exactly."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Any]) -> None:
        """Continuation from a state that :meth:`state` gave."""
        raise NotImplementedError


class IntraStage(Stage):
    """Training on single frames.

    Args:
        clips: the data.
        seed: of the random draws.
        batch: number of frames of a step.
        size: side of the crops in luma samples.
    """

    def __init__(self, clips: Sequence[Clip], seed: int, batch: int, size: int) -> None:
        self.clips, self.batch, self.size = clips, batch, size
        self.rng = np.random.default_rng(seed)

    def step(self, net: Callable[..., FrameOutput]) -> tuple[RateDistortion, Tensor]:
        batch = sample_intra(self.clips, self.rng, self.batch, self.size)
        quality = torch.from_numpy(self.rng.uniform(0, self.finest, self.batch)).float()
        regions = self.regions(self.batch, self.size // 16)
        out = net(packed_centred(batch), quality, regions=regions)
        return rate_distortion(out, batch, quality), quality

    def state(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


class InterStage(Stage):
    """Training on inter frames in closed loop: each step codes the next frames of sequences.

    The reference of a step is the network's reconstruction of the step before, so that training
    includes the errors that accumulate along a GOP. Within a step gradients flow from each frame to
    those before it, so that references and features learn to serve the next frame.

    Args:
        clips: the data; those without motion or smaller than the crops are left out.
        seed: of the random draws.
        batch: number of sequences that are coded side by side.
        size: side of the crops in luma samples.
        intra: network that codes the first frame of a sequence; it is not trained.
        length: frames of a sequence, with the first. Sequences start staggered.
        unroll: frames of a step.
    """

    _HELD = ("position", "limit", "features")

    def __init__(
        self,
        clips: Sequence[Clip],
        seed: int,
        batch: int,
        size: int,
        intra: FrameNet,
        length: int,
        unroll: int = 1,
    ) -> None:
        self.clips = [
            c
            for c in clips
            if c.motion is not None and min(c.height, c.width) >= size and len(c.frames) > unroll
        ]
        self.batch, self.size, self.length, self.intra = batch, size, length, intra
        self.unroll = unroll
        self.rng = np.random.default_rng(seed)
        self.sequences: list[TrainingSequence | None] = [None] * batch
        self.position = [length] * batch
        self.limit = [1 + unroll + i % (length - unroll) for i in range(batch)]
        self.reference = Batch(
            torch.zeros(batch, size, size),
            torch.zeros(batch, size // 2, size // 2),
            torch.zeros(batch, size // 2, size // 2),
        )
        self.features = torch.zeros(batch, FEATURE_CHANNELS, size // 8, size // 8)
        self.residual = torch.zeros(batch, PIXEL_CHANNELS, size // 8, size // 8)

    def _renew(self) -> None:
        """New sequences in place of finished ones, their intra frames coded."""
        new = [i for i in range(self.batch) if self.position[i] + self.unroll > self.limit[i]]
        if not new:
            return
        for i in new:
            if self.sequences[i] is not None:
                self.limit[i] = self.length
            clip = self.clips[self.rng.integers(len(self.clips))]
            length = min(self.length, len(clip.frames))
            self.limit[i] = min(self.limit[i], length)
            self.sequences[i] = TrainingSequence(clip, self.rng, self.size, length, self.finest)
            self.position[i] = 1
        fresh = [s for i in new if (s := self.sequences[i])]
        batch = to_tensors([s.frames[0] for s in fresh])
        quality = torch.tensor([s.intra_quality for s in fresh])
        with torch.no_grad():
            out = self.intra(packed_centred(batch), quality)
        first = decoded_planes(out.packed)
        ref = self.reference
        ref.y[new], ref.u[new], ref.v[new] = first.y, first.u, first.v
        self.features[new] = 0.0

    def step(self, net: Callable[..., FrameOutput]) -> tuple[RateDistortion, Tensor]:
        self._renew()
        regions = self.regions(self.batch, self.size // 16)
        frames = [self._code_next(net, regions) for _ in range(self.unroll)]
        ref = self.reference
        self.reference = Batch(ref.y.detach(), ref.u.detach(), ref.v.detach())
        self.features = self.features.detach()
        results = [result for result, _ in frames]
        joined = {name: torch.cat([r[name] for r in results]) for name in results[0]}
        return RateDistortion(joined), torch.cat([quality for _, quality in frames])

    def _code_next(
        self, net: Callable[..., FrameOutput], regions: Regions | Sandwich | None
    ) -> tuple[RateDistortion, Tensor]:
        """Result and quality of the next frame of every sequence."""
        now = [(s, p) for s, p in zip(self.sequences, self.position, strict=True) if s]
        batch = to_tensors([s.frames[p] for s, p in now])
        quality = torch.tensor([s.qualities[p] for s, p in now]).float()
        vectors = torch.from_numpy(np.stack([s.motion[p] for s, p in now])).long()
        ref = self.reference
        smooth = compensate(ref.y, ref.u, ref.v, vectors, exact=False)
        prediction = [_through((p + 0.5).floor().clamp(0, 255), p) for p in smooth]
        moved = compensate_features(self.features.permute(0, 2, 3, 1), vectors)
        x, p = packed_centred(batch), packed_centred(Batch(*prediction))
        self.residual = (x - p).detach()
        p, features = self.with_new_content(p, moved.permute(0, 3, 1, 2))
        new = unmatched(x, p, quality)
        out = net(x, quality, p, features, regions, new)
        out = skipped(out, x, p, features, quality, ~new)
        self.reference = decoded_planes(out.packed)
        self.features = out.features
        self.position = [p + 1 for p in self.position]
        return rate_distortion(out, batch, quality), quality

    def with_new_content(self, prediction: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and features, in a random rectangle of some frames those of another sequence.

        There the frame shows content that its reference lacks.

        Args:
            prediction: packed samples in units, ``[B, 96, H/8, W/8]``.
            features: ``[B, 32, H/8, W/8]``.
        """
        count, _, rows, columns = prediction.shape
        height, width = rows // 2, columns // 2
        cells = torch.zeros(count, 1, height, width, dtype=torch.bool)
        for i in range(count):
            if self.rng.random() < self.new_content:
                h, w = self.rng.integers(1, height + 1), self.rng.integers(1, width + 1)
                top, left = self.rng.integers(height - h + 1), self.rng.integers(width - w + 1)
                cells[i, 0, top : top + h, left : left + w] = True
        new = cells.repeat_interleave(2, 2).repeat_interleave(2, 3)
        other = (torch.where(new, t.roll(1, 0).detach(), t) for t in (prediction, features))
        return next(other), next(other)

    def state(self) -> dict[str, Any]:
        held = {name: getattr(self, name) for name in self._HELD}
        sequences = [sequence and sequence.state() for sequence in self.sequences]
        return {
            "rng": self.rng.bit_generator.state,
            "sequences": sequences,
            "reference": (self.reference.y, self.reference.u, self.reference.v),
            **held,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]
        for name in self._HELD:
            setattr(self, name, state[name])
        self.sequences = [held and TrainingSequence.from_state(held) for held in state["sequences"]]
        self.reference = Batch(*state["reference"])
