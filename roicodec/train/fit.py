"""Training runs: what is trained, on what, starting from what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from roicodec.bitstream.constants import LATENT_CHANNELS, PAD
from roicodec.errors import InputError
from roicodec.networks.blocks import ANCHORS
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.lsq import SEARCHED_STEPS
from roicodec.networks.quantized import (
    QuantizedBlock,
    free_coarsest,
    free_only,
    free_unmatched,
    load_network,
    quantize_network,
)
from roicodec.train.checkpoints import trained_network
from roicodec.train.data import Clip, load_folder, sample_intra
from roicodec.train.klt import block_covariance, klt_basis
from roicodec.train.loop import LoopOptions, optimize
from roicodec.train.ranks import Ranks
from roicodec.train.revive import revive
from roicodec.train.stages import (
    NEW_CONTENT,
    PARTS,
    WARM_UP,
    InterStage,
    IntraStage,
    Stage,
    packed_centred,
)

__all__ = ["FitOptions", "fit_network", "start_intra"]

_INTRA_BATCHES, _INTER_BATCHES = 60, 80
"""Batches over which the initial transform (KLT) is measured."""

_MUCH_NEW = 0.5
"""Share of inter frames with new content while the vectors of intra-coded cells are trained."""


@dataclass(frozen=True)
class FitOptions:
    """A training run.

    Attributes:
        stage: ``intra`` or ``inter``.
        data: folder of clips and photographs.
        run: folder of the checkpoint and the log.
        cache: folder of decoded data.
        intra: checkpoint or weights file of the network that codes first frames; for ``inter``.
        init: checkpoint or weights file to start from; None to start from the KLT.
        quantize: whether to train with quantization, at random bit-widths.
        bits: bit-width 2..8 whose weight steps and biases alone are trained; None for all.
        coarsest: number of vectors of the quality tables, from the lowest quality, that alone are
            trained; None for all.
        unmatched: whether only the vectors of intra-coded cells are trained.
        batch: frames or sequences of a step, on each rank.
        size: side of the crops in luma samples, a multiple of 32.
        length: frames of a sequence; ``inter``.
        unroll: frames of a step; ``inter``.
        seed: of all random draws.
        loop: of the optimization.
        start_batches: batches over which the KLT is measured; None for the stage's usual number.
        searched_steps: steps that calibration tries for each quantizer.
        new_content: share of inter frames with content of another sequence.

    Raises:
        InputError: if options do not go together; the message starts with the field's name.
    """

    stage: str
    data: Path
    run: Path
    cache: Path
    intra: Path | None = None
    init: Path | None = None
    quantize: bool = False
    bits: int | None = None
    coarsest: int | None = None
    unmatched: bool = False
    batch: int = 16
    size: int = 128
    length: int = 7
    unroll: int = 1
    seed: int = 1
    loop: LoopOptions = field(default_factory=LoopOptions)
    start_batches: int | None = None
    searched_steps: int = SEARCHED_STEPS
    new_content: float = NEW_CONTENT

    def __post_init__(self) -> None:
        if self.size % PAD:
            raise InputError(f"size {self.size}: must be a multiple of {PAD}")
        if self.loop.compiled and self.quantize:
            raise InputError("compile: not with quantize, which needs a graph for each pair")
        if self.bits and not self.quantize:
            raise InputError("bits: only with quantize")
        if self.coarsest is not None and not 0 < self.coarsest < ANCHORS:
            raise InputError(f"coarsest {self.coarsest}: must be 1 to {ANCHORS - 1}")
        if (self.bits is not None) + (self.coarsest is not None) + self.unmatched > 1:
            raise InputError("bits, coarsest and unmatched exclude each other")
        if self.unmatched and not self.inter:
            raise InputError("unmatched: only inter frames have such cells")
        if self.quantize and not self.bits and self.batch < PARTS:
            raise InputError(f"batch {self.batch}: quantize splits it in {PARTS}")
        if self.inter and self.intra is None:
            raise InputError("intra: name the checkpoint of a trained intra network")

    @property
    def inter(self) -> bool:
        """Whether an inter network is trained."""
        return self.stage == "inter"

    @property
    def checkpoint(self) -> Path:
        """File of the last checkpoint."""
        return self.run / "last.pt"


def fit_network(
    options: FitOptions, ranks: Ranks, started: Callable[[int], object] | None = None
) -> None:
    """Training of a network; an interrupted run continues from its last checkpoint.

    Args:
        options: of the run.
        ranks: the processes that train together; each draws data of its own.
        started: called at the start of every step with the number of steps done.

    Raises:
        InputError: if there is nothing to train on, or a checkpoint is of another kind.
    """
    seed = options.seed + ranks.rank
    torch.manual_seed(seed)
    inter = options.inter
    clips = ranks.first_alone(
        lambda: load_folder(options.data, options.cache, motion=inter, times=inter)
    )
    task = _stage(options, clips, seed)
    net = _start(options, task, clips)
    resumed = options.checkpoint.exists()
    if options.quantize and not resumed:
        _quantize(net, task, options.searched_steps)
    if options.bits:
        free_only(net, options.bits, widen=not resumed)
        task.bits = options.bits
    if options.coarsest:
        task.finest = free_coarsest(net, options.coarsest)
    if options.unmatched:
        free_unmatched(net)
        task.new_content = _MUCH_NEW
    optimize(net, task, options.run, options.loop, ranks, started)


def _stage(options: FitOptions, clips: list[Clip], seed: int) -> Stage:
    task: Stage
    if options.intra and options.inter:
        intra = trained_network(options.intra, False)
        task = InterStage(
            *(clips, seed, options.batch, options.size, intra, options.length, options.unroll)
        )
    else:
        task = IntraStage(clips, seed, options.batch, options.size)
    task.new_content = options.new_content
    return task


def _start(options: FitOptions, task: Stage, clips: list[Clip]) -> FrameNet:
    """The network to train."""
    inter, checkpoint = options.inter, options.checkpoint
    if checkpoint.exists():
        net = load_network(torch.load(checkpoint, weights_only=True)["net"], inter)
        if options.quantize and not _is_quantized(net):
            raise InputError(
                f"{checkpoint}: not quantized; train in another folder and start from it"
            )
        task.quantized = options.quantize
        return net
    if options.init:
        net = trained_network(options.init, inter)
        if not options.quantize and not _is_quantized(net):
            count = revive(net, lambda: task.step(net))
            click.echo(f"{options.init}: {count} dead hidden channels initialized again")
        return net
    net = load_network(FrameNet(inter).state_dict(), inter)
    batches = options.start_batches
    start_intra(net, clips, options.seed, batches or _INTRA_BATCHES)
    if isinstance(task, InterStage):
        _start_inter(net, task, batches or _INTER_BATCHES)
    return net


def start_intra(net: FrameNet, clips: list[Clip], seed: int, batches: int) -> None:
    """Initialization of a network with the KLT of frames.

    Args:
        net: untrained network.
        clips: the data.
        seed: of the random crops.
        batches: number of batches of 16 crops.
    """
    rng = np.random.default_rng(seed)
    covariance = sum(
        block_covariance(packed_centred(sample_intra(clips, rng, 16, 128))) for _ in range(batches)
    )
    assert isinstance(covariance, Tensor)
    net.start_from_klt(*klt_basis(covariance / batches))


def _start_inter(net: FrameNet, stage: InterStage, batches: int) -> None:
    """Initialization of a network with the KLT of prediction residuals."""
    total = torch.zeros(LATENT_CHANNELS, LATENT_CHANNELS)
    for _ in range(batches):
        with torch.no_grad():
            stage.step(net)
        total += block_covariance(stage.residual)
    net.start_from_klt(*klt_basis(total / batches))


def _is_quantized(net: FrameNet) -> bool:
    return any(isinstance(m, QuantizedBlock) for m in net.modules())


def _quantize(net: FrameNet, task: Stage, searched: int) -> None:
    def run() -> None:
        with torch.no_grad():
            task.step(net)

    for _ in range(WARM_UP):
        run()
    if not _is_quantized(net):
        quantize_network(net, run, searched)
    task.quantized = True
