"""The released model: two integer networks and their entropy tables, loaded from the package."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import CELL, HYPER_ALPHABET, HYPER_CONTEXTS, LATENT_ALPHABET
from roicodec.bitstream.entropy import Tables
from roicodec.decoder.adaptation import Adaptation
from roicodec.decoder.complexity import complexity
from roicodec.decoder.layers import NetworkArrays
from roicodec.decoder.native_network import NativeNetwork
from roicodec.decoder.network import IntegerNetwork
from roicodec.decoder.post_filter import PostFilter
from roicodec.decoder.shapes import FrameShape, decoder_layers
from roicodec.decoder.weights import NAMES, POST_FILTER, WEIGHTS, Arrays, load_arrays, model_id
from roicodec.errors import ModelError
from roicodec.kernels.choose import choose_backend, hardest_layers, heaviest
from roicodec.kernels.integer import Layer
from roicodec.kernels.native_backend import NativeBackend

if TYPE_CHECKING:
    from roicodec.kernels.interface import Backend

__all__ = ["Model", "NetworkModel", "load_model", "tried_layers"]


class NetworkModel:
    """One network with its entropy tables and the post-filter of its frames.

    Attributes:
        network: the integer network.
        latent_tables, hyper_tables: frequency tables of latents and hyper-latents.
        adaptation: stand-ins of the latents' tables.
        post_filter: of the output pictures.
    """

    def __init__(
        self, arrays: Arrays, backend: NativeBackend | Backend, post_filter: PostFilter
    ) -> None:
        self.network = _network(arrays, backend)
        self.latent_tables = _symmetric(arrays["tables.latents"], LATENT_ALPHABET)
        if self.latent_tables.certain[0] != 0:
            raise ValueError("table 0 of the latents is not certain of 0")
        self.adaptation = Adaptation(self.latent_tables, arrays["tables.stand_ins"])
        self.hyper_tables = _symmetric(arrays["tables.hyper"], HYPER_ALPHABET)
        if len(self.hyper_tables) != self.network.hyper_step.shape[1] * HYPER_CONTEXTS:
            raise ValueError(f"{len(self.hyper_tables)} tables of hyper-latents")
        self.post_filter = post_filter


def _network(arrays: Arrays, backend: NativeBackend | Backend) -> IntegerNetwork:
    if isinstance(backend, NativeBackend):
        return NativeNetwork(arrays)
    from roicodec.decoder.backend_network import BackendNetwork

    return BackendNetwork(arrays, backend)


def _post_filter(filters: Arrays, name: str) -> PostFilter:
    return PostFilter(filters[f"{name}.weight"], filters["levels"], filters["bounds"])


def _symmetric(frequencies: NDArray[np.generic], size: int) -> Tables:
    """Tables of the symbols -size..size and an escape."""
    return Tables(frequencies, offset=-size, escape=True)


def tried_layers(networks: Mapping[str, Arrays]) -> Iterator[Layer]:
    """Layers that a torch backend must compute exactly before the networks run on it.

    The hardest layers that the arithmetic allows, and of each kind the heaviest of the networks.

    Args:
        networks: arrays of each network.

    Raises:
        ModelError: naming a layer whose accumulators could overflow.
    """
    yield from hardest_layers()
    yield from heaviest(layer for name in NAMES for layer in NetworkArrays(networks[name]).layers())


class Model:
    """Both networks on one backend.

    Args:
        files: arrays of ``intra``, ``inter`` and ``post_filter``.
        backend: a backend, or its name (:func:`roicodec.kernels.choose.choose_backend`); one on
            torch is verified on :func:`tried_layers`.
        released: whether the arrays are those of the package, whose bounds the tests check.

    Raises:
        ModelError: naming a layer whose accumulators could overflow, or that no backend computes
            exactly here.

    Attributes:
        id: 16 bytes that name the weights in a stream.
        backend: the backend in use.
    """

    def __init__(
        self,
        files: Mapping[str, Arrays],
        backend: str | NativeBackend | Backend | None = None,
        *,
        released: bool = False,
    ) -> None:
        self.id = model_id(files)
        self.backend = (
            choose_backend(backend, tried_layers(files))
            if backend is None or isinstance(backend, str)
            else backend
        )
        if not released:
            for name in NAMES:
                for _ in NetworkArrays(files[name]).layers():
                    pass
        filters = files[POST_FILTER]
        self.intra, self.inter = (
            NetworkModel(files[name], self.backend, _post_filter(filters, name)) for name in NAMES
        )

    def mega_bit_ops(self, bits: Sequence[int]) -> NDArray[np.float64]:
        """10^6 BitOPs a pixel of decoding an inter frame without skipped cells, ``[K]``.

        Args:
            bits: K bit-widths; 0 is skip.
        """
        cells, arrays = 16, self.inter.network.arrays.raw
        counts = [
            complexity(decoder_layers(arrays, FrameShape(0, cells, b, b))).bit_ops for b in bits
        ]
        return np.array(counts) / (cells * CELL**2 * 1e6)


def load_model(folder: Path | None = None, backend: str | Backend | None = None) -> Model:
    """The released model, or that of a folder.

    Args:
        folder: where its files are, see :func:`~roicodec.decoder.weights.load_arrays`.
        backend: as of :class:`Model`.

    Raises:
        ModelError: if a file is missing, damaged, or does not fit this version.
    """
    files = load_arrays(folder)
    try:
        return Model(files, backend, released=folder is None and WEIGHTS not in os.environ)
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"the weights do not fit this version ({error!r})") from error
