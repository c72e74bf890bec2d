"""The released integer weights as arrays; imports no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from roicodec.errors import ModelError

__all__ = ["FILES", "NAMES", "POST_FILTER", "WEIGHTS", "Arrays", "load_arrays", "model_id"]

Arrays = Mapping[str, NDArray[np.generic]]

NAMES = ("intra", "inter")
"""Networks of a model: names of their files, indexed by whether they are inter networks."""
POST_FILTER = "post_filter"
WEIGHTS = "ROICODEC_WEIGHTS"
"""Environment variable that names another folder of weights."""
FILES = (*NAMES, POST_FILTER)
"""Names of all files of a model."""


def model_id(files: Mapping[str, Arrays]) -> bytes:
    """First 16 bytes of the SHA-256 over every array: name, type, shape, little-endian values."""
    digest = hashlib.sha256()
    for file in sorted(files):
        for name in sorted(files[file]):
            array = np.asarray(files[file][name])
            head = f"{file}/{name}:{array.dtype.name}:{array.shape};"
            digest.update(head.encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.digest()[:16]


def load_arrays(folder: Path | None = None) -> dict[str, Arrays]:
    """The arrays of a model, by file: ``intra``, ``inter`` and ``post_filter``.

    Args:
        folder: where they are; None means the one that the environment variable ROICODEC_WEIGHTS
            names, or the released ones.

    Raises:
        ModelError: if a file is missing or damaged.
    """
    named = os.environ.get(WEIGHTS)
    where = folder or (Path(named) if named else Path(str(files("roicodec") / "weights")))
    arrays: dict[str, Arrays] = {}
    for name in FILES:
        path = where / f"{name}.safetensors"
        if not path.exists():
            raise ModelError(f"{path}: the weights are missing; install roicodec again")
        try:
            arrays[name] = load_file(path)
        except Exception as error:
            raise ModelError(f"{path}: not a weights file ({error})") from error
    return arrays
