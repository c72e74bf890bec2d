"""The released model: two integer networks and their entropy tables, loaded from the package."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from roicodec.entropy import Tables
from roicodec.errors import ModelError
from roicodec.model.runtime import IntegerNetwork
from roicodec.model.schema import HYPER_ALPHABET, LATENT_ALPHABET
from roicodec.quant.backends import choose_backend
from roicodec.quant.interface import Backend

__all__ = ["Model", "NetworkModel", "load_model", "model_id"]

Arrays = Mapping[str, NDArray[np.generic]]

NAMES = ("intra", "inter")


def model_id(networks: Mapping[str, Arrays]) -> bytes:
    """First 16 bytes of the SHA-256 over every array: name, type, shape, little-endian values."""
    digest = hashlib.sha256()
    for network in sorted(networks):
        for name in sorted(networks[network]):
            array = np.asarray(networks[network][name])
            head = f"{network}/{name}:{array.dtype.name}:{array.shape};"
            digest.update(head.encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:16]


class NetworkModel:
    """One network with its tables.

    Attributes:
        network: the integer network.
        latents, hyper: frequency tables of latents and hyper-latents.
    """

    def __init__(self, arrays: Arrays, backend: Backend) -> None:
        self.network = IntegerNetwork(arrays, backend)
        self.latents = _symmetric(arrays["tables.latents"], LATENT_ALPHABET)
        self.hyper = _symmetric(arrays["tables.hyper"], HYPER_ALPHABET)


def _symmetric(frequencies: NDArray[np.generic], size: int) -> Tables:
    """Tables of the symbols -size..size and an escape."""
    return Tables(frequencies, offset=-size, escape=True)


class Model:
    """Both networks on one backend.

    Args:
        networks: arrays of ``intra`` and ``inter``.
        backend: name of the backend, see :func:`roicodec.quant.backends.choose_backend`.

    Attributes:
        id: 16 bytes that name the weights in a stream.
        backend: the backend in use.
    """

    def __init__(self, networks: Mapping[str, Arrays], backend: str | None = None) -> None:
        self.id = model_id(networks)
        self.backend = choose_backend(backend)
        self.intra, self.inter = (NetworkModel(networks[n], self.backend) for n in NAMES)


def load_model(folder: Path | None = None, backend: str | None = None) -> Model:
    """The released model, or the one in ``folder`` (``intra.safetensors``, ``inter.safetensors``).

    Without a folder the environment variable ROICODEC_WEIGHTS may name one.

    Raises:
        ModelError: if its files are missing or are not what they should be.
    """
    named = os.environ.get("ROICODEC_WEIGHTS")
    where = folder or (Path(named) if named else Path(str(files("roicodec") / "weights")))
    networks = {}
    for name in NAMES:
        path = where / f"{name}.safetensors"
        if not path.exists():
            raise ModelError(f"{path}: the weights are missing; install roicodec again")
        try:
            networks[name] = load_file(path)
        except Exception as error:
            raise ModelError(f"{path}: not a weights file ({error})") from error
    try:
        with torch.inference_mode():
            return Model(networks, backend)
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"{where}: the weights do not fit this version ({error!r})") from error
