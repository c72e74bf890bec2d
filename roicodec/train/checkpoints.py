"""Trained networks, from a checkpoint or from a release."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.numpy import load_file

from roicodec.model.networks import FrameNet
from roicodec.model.quantized import load_network
from roicodec.model.restore import restore_network

__all__ = ["trained_network"]


def trained_network(path: Path, inter: bool) -> FrameNet:
    """The averaged network of a checkpoint of ``fit``, or a released one (``.safetensors``)."""
    if path.suffix == ".safetensors":
        return restore_network(load_file(path))
    return load_network(torch.load(path, weights_only=False)["ema"], inter)
