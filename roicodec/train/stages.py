"""Data, rate and distortion of one optimizer step in each stage of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from roicodec.bitstream.constants import (
    FEATURE_CHANNELS,
    LUMA_CHANNELS,
    PIXEL_CHANNELS,
    QUALITIES,
    UNIT,
)
from roicodec.encoder.intra_cells import UNMATCHED_ENERGY, UNMATCHED_RATIO
from roicodec.encoder.motion.x264 import near_qp
from roicodec.networks.blocks import Regions, Sandwich
from roicodec.networks.compensation import compensate, compensate_features
from roicodec.networks.frame_net import (
    PRICE,
    FrameNet,
    FrameOutput,
    pack,
    plane_means,
    quantizer_step,
    unpack,
)
from roicodec.networks.quantized import TRAINED_BITS
from roicodec.train.data import MOTION_QPS, Batch, Clip, crop, flip, sample_intra, to_tensors
from roicodec.train.losses import CHROMA_SAMPLE_WEIGHT, RateDistortion, rate_distortion

__all__ = [
    "NEW_CONTENT",
    "PARTS",
    "WARM_UP",
    "InterStage",
    "IntraStage",
    "Stage",
    "packed_centred",
    "skipped",
    "unmatched",
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


def skipped(
    out: FrameOutput,
    x: Tensor,
    prediction: Tensor,
    features: Tensor,
    quality: Tensor,
    matched: Tensor,
) -> FrameOutput:
    """Output with the prediction in cells that the encoder would skip
    (:mod:`roicodec.encoder.skip`).

    The bits of the skip map are not counted.

    Args:
        out: output with all cells coded.
        x, prediction: packed samples in units, ``[B, 96, H/8, W/8]``.
        features: motion-compensated, ``[B, 32, H/8, W/8]``; a skipped cell keeps them.
        quality: indices 0..63, ``[B]``.
        matched: positions that may be skipped, bool ``[B, 1, H/8, W/8]``.
    """
    with torch.no_grad():
        weight = torch.ones(PIXEL_CHANNELS)
        weight[LUMA_CHANNELS:] = CHROMA_SAMPLE_WEIGHT

        def errors(made: Tensor) -> Tensor:
            squared = (made - x).square() * weight[:, None, None]
            return 4 * F.avg_pool2d(squared.sum(1, keepdim=True), 2)[:, 0]

        worth = PRICE * (quantizer_step(quality) / UNIT).square()[:, None, None]
        skip = out.latent_bits + (errors(out.packed) - errors(prediction)) / worth >= 0
        skip &= matched[:, 0, ::2, ::2]
        fine = skip[:, None].repeat_interleave(2, 2).repeat_interleave(2, 3)
    return replace(
        out,
        packed=torch.where(fine, prediction, out.packed),
        features=torch.where(fine, features, out.features),
        latent_bits=torch.where(skip, 0.0, out.latent_bits),
    )


@torch.no_grad()
def unmatched(x: Tensor, prediction: Tensor, quality: Tensor) -> Tensor:
    """Positions of the cells that an encoder would try as intra-coded ones
    (:mod:`roicodec.encoder.intra_cells`), bool ``[B, 1, H/8, W/8]``.

    Args:
        x, prediction: packed samples in units, ``[B, 96, H/8, W/8]``.
        quality: indices 0..63, ``[B]``.
    """

    def energy(difference: Tensor) -> Tensor:
        return 4 * F.avg_pool2d(difference[:, :LUMA_CHANNELS].square().sum(1, keepdim=True), 2)

    beside = energy(x - prediction)
    steps = (quantizer_step(quality) / UNIT)[:, None, None, None]
    cells = energy(x - plane_means(x)) < UNMATCHED_RATIO * beside
    cells &= beside > UNMATCHED_ENERGY * steps.square()
    return cells.repeat_interleave(2, 2).repeat_interleave(2, 3)


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
        """Continue from a state."""
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


class _Sequence:
    """A training sequence: cropped frames, their motion fields and quality indices."""

    _ARRAYS = ("frames", "motion", "qualities")

    def __init__(
        self, clip: Clip, rng: np.random.Generator, size: int, length: int, finest: float
    ) -> None:
        assert clip.motion is not None
        runs = clip.runs(length) or [0]
        start = runs[rng.integers(len(runs))]
        top = 8 * int(rng.integers((clip.height - size) // 8 + 1))
        left = 8 * int(rng.integers((clip.width - size) // 8 + 1))
        frames = crop(clip.frames[start : start + length], top, left, size)
        base = rng.uniform(0, finest)
        # At a lower quality the encoder's motion search is coarser, too.
        qp = int(np.argmin([abs(near_qp(base) - q) for q in MOTION_QPS]))
        span = slice(top // 8, (top + size) // 8), slice(left // 8, (left + size) // 8)
        motion = np.array(clip.motion[qp, start : start + length][:, *span])
        if rng.random() < 0.5:
            frames, motion = flip(frames), motion[:, :, ::-1] * np.array([-1, 1], np.int16)
        self.frames, self.motion = frames, motion
        self.intra_quality = float(np.clip(base + rng.uniform(3, 17), 0, QUALITIES - 1))
        self.qualities = np.clip(base + rng.uniform(-3, 3, length), 0, QUALITIES - 1)

    def state(self) -> dict[str, Any]:
        """The sequence as tensors and numbers, as a checkpoint may hold it."""
        held = {
            name: torch.tensor(np.ascontiguousarray(getattr(self, name))) for name in self._ARRAYS
        }
        return {"intra_quality": self.intra_quality, **held}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of :meth:`state`."""
        sequence = cls.__new__(cls)
        for name in cls._ARRAYS:
            setattr(sequence, name, state[name].numpy())
        sequence.intra_quality = state["intra_quality"]
        return sequence


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
        self.sequences: list[_Sequence | None] = [None] * batch
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
        """Replace finished sequences, and code the intra frames of the new ones."""
        new = [i for i in range(self.batch) if self.position[i] + self.unroll > self.limit[i]]
        if not new:
            return
        for i in new:
            if self.sequences[i] is not None:
                self.limit[i] = self.length
            clip = self.clips[self.rng.integers(len(self.clips))]
            length = min(self.length, len(clip.frames))
            self.limit[i] = min(self.limit[i], length)
            self.sequences[i] = _Sequence(clip, self.rng, self.size, length, self.finest)
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
        """Code the next frame of every sequence."""
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
        self.sequences = [held and _Sequence.from_state(held) for held in state["sequences"]]
        self.reference = Batch(*state["reference"])
