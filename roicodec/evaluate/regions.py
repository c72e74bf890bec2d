"""The masks of a comparison: what encoders are given, and what regions are scored on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from roicodec.bitstream.masks import Mask, samples_of
from roicodec.encoder.roi.sources import ArrayRoi, parse_roi
from roicodec.errors import InputError
from roicodec.media import Reader
from roicodec.picture import Picture

__all__ = ["find_masks", "store_masks"]

_ARRAYS = (".npz", ".npy")


def find_masks(spec: str, clip: Path) -> str | None:
    """ROI that ``spec`` names for a clip: of a folder, the file of the clip's name; else itself.

    Returns:
        ``auto``, a rectangle or a path; None where the folder has no file for the clip.

    Raises:
        InputError: if the folder has several.
    """
    folder = Path(spec)
    if not folder.is_dir():
        return spec
    found = sorted(p for p in folder.iterdir() if p.stem == clip.stem and p.is_file())
    if len(found) > 1:
        names = ", ".join(p.name for p in found)
        raise InputError(f"{folder}: several masks for {clip.stem}: {names}; keep one")
    return str(found[0]) if found else None


def store_masks(spec: str, reader: Reader, frames: int, target: Path) -> str:
    """File ``.npy`` with the masks of a clip's first frames, bool ``[frames, H, W]``.

    Arrays keep their outline to the sample; every other source has the 16x16 grid's.

    Args:
        spec: as :func:`find_masks` returns it.
        reader: of the clip; is read where the source looks at pictures.
        frames: number of frames.
        target: the ``.npy`` file.

    Returns:
        A digest of the masks.

    Raises:
        InputError: if the source cannot be used or has too few masks.
    """
    info = reader.info
    shape = (frames, info.height, info.width)
    stored = np.lib.format.open_memmap(target, "w+", np.bool_, shape)
    digest = hashlib.sha256(repr(shape).encode())
    source = _arrays(spec, reader) if Path(spec).suffix in _ARRAYS else _cells(spec, reader)
    count = 0
    for count, mask in enumerate(islice(source, frames), 1):
        stored[count - 1] = mask
        digest.update(np.packbits(mask).tobytes())
    stored.flush()
    if count < frames:
        raise InputError(f"{spec}: holds {count} masks, the comparison needs {frames}")
    return digest.hexdigest()


def _arrays(spec: str, reader: Reader) -> Iterator[Mask]:
    ArrayRoi(Path(spec), reader.info.width, reader.info.height).close()  # checks the file
    loaded = np.load(spec, mmap_mode="r")
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            loaded = loaded["mask" if "mask" in loaded.files else loaded.files[0]]
    still = loaded.ndim == 2 or len(loaded) == 1
    frame = 0
    while still or frame < len(loaded):
        mask = np.asarray(loaded if loaded.ndim == 2 else loaded[0 if still else frame])
        yield mask > 127 if mask.max() > 1 else mask > 0
        frame += 1


def _cells(spec: str, reader: Reader) -> Iterator[Mask]:
    info = reader.info
    source = parse_roi([spec], info.width, info.height)
    previous: Picture | None = None
    first: int | None = None
    try:
        for index, picture in enumerate(reader):
            first = picture.pts if first is None else first
            seconds = float((picture.pts - first) * info.time_base)
            cells = source.mask(index, seconds, picture, previous)
            yield samples_of(cells, info.width, info.height)
            previous = picture
    finally:
        source.close()
