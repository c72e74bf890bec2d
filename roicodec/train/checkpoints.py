"""Trained networks from checkpoints and weights files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.numpy import load_file

from roicodec.errors import InputError
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.quantized import load_network
from roicodec.networks.restore import restore_network

__all__ = ["trained_network"]


def trained_network(path: Path, inter: bool) -> FrameNet:
    """Network of a file.

    Args:
        path: checkpoint of ``fit``, whose averaged weights are taken, or ``.safetensors`` file.
        inter: whether it must be an inter network.

    Raises:
        InputError: if a weights file is of the other frame type.
    """
    if path.suffix == ".safetensors":
        net = restore_network(load_file(path))
        if net.inter != inter:
            kinds = "intra", "inter"
            raise InputError(f"{path}: an {kinds[net.inter]} network, {kinds[inter]} is needed")
        return net
    return load_network(torch.load(path, weights_only=True)["ema"], inter)
