"""Fit of the probability tables of :mod:`roicodec.bitstream.mask_coding` to annotated masks.

``python -m roicodec.train.mask_tables FOLDER --hold-out NAME …`` reads the masks in
``FOLDER/<clip>/*.png`` frame by frame, also enlarged to twice and three times their size for larger
videos, and rewrites ``roicodec/bitstream/mask_tables.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream import mask_coding
from roicodec.bitstream.lattice import STAGES
from roicodec.bitstream.mask_coding import INTER_CONTEXTS, INTRA_CONTEXTS
from roicodec.bitstream.masks import Mask, cells_of

__all__ = ["count_mask", "main", "write_tables"]

_BITS = 12
"""Fractional bits of the probabilities."""
_SCALES = (1, 2, 3)
"""Factors by which masks are enlarged."""
_PRIOR = 2.0
"""Weight of the group's probability in that of a context, in cells."""

Counts = NDArray[np.float64]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fit the entropy tables of ROI masks.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hold-out", nargs="*", default=[])
    parser.add_argument(
        "--out", type=Path, default=Path(mask_coding.__file__).with_name("mask_tables.py")
    )
    options = parser.parse_args(arguments)
    intra = np.zeros((STAGES, INTRA_CONTEXTS, 2))
    inter = np.zeros((STAGES, INTER_CONTEXTS, 2))
    for clip in sorted(path for path in options.folder.iterdir() if path.is_dir()):
        if clip.name not in options.hold_out:
            for scale in _SCALES:
                _count_clip(clip, scale, intra, inter)
    write_tables(options.out, "ROI", intra, inter)


def write_tables(path: Path, what: str, intra: Counts, inter: Counts) -> None:
    """Module of tables that are fitted to counts.

    Args:
        path: file of the module.
        what: meaning of a cell that is set.
        intra: counts of cells that are not and that are set, ``[stages, contexts, 2]``.
        inter: the same with a previous mask.
    """
    around = np.arange(INTER_CONTEXTS)
    # Contexts of all stages with the same previous cell, change and neighbours share a prior.
    groups = (around // 125) * 25 + around % 25
    _write(path, what, _fit(intra, np.arange(5)), _fit(inter, groups))


def _count_clip(clip: Path, scale: int, intra: Counts, inter: Counts) -> None:
    previous: Mask | None = None
    for mask in _masks(clip, scale):
        count_mask(mask, None, intra)
        if previous is not None and not np.array_equal(mask, previous):
            count_mask(mask, previous, inter)
        previous = mask


def _masks(clip: Path, scale: int) -> Iterator[Mask]:
    for path in sorted(clip.glob("*.png")):
        with av.open(str(path)) as image:
            gray = next(image.decode(video=0)).to_ndarray(format="gray")
        samples = (gray > 127).repeat(scale, axis=0).repeat(scale, axis=1)
        yield cells_of(samples)


def count_mask(mask: Mask, previous: Mask | None, counts: Counts) -> None:
    """Update of counts by the cells of a mask.

    Args:
        mask: bool ``[h, w]``.
        previous: mask of the frame before, of the same shape; None to count intra contexts.
        counts: ``[stages, contexts, 2]``, changed in place.
    """
    for stage, (cells, context) in enumerate(mask_coding.contexts(mask, previous)):
        np.add.at(counts[stage], (context, mask.ravel()[cells].astype(np.intp)), 1)


def _fit(counts: Counts, groups: NDArray[np.intp]) -> NDArray[np.int64]:
    """Probability of a set cell in ``2**-_BITS``, shrunk towards that of the context's group."""
    pooled = np.zeros((groups.max() + 1, 2))
    np.add.at(pooled, groups, counts.sum(0))
    prior = ((pooled[:, 1] + 0.5) / (pooled.sum(1) + 1))[groups]
    chance = (counts[..., 1] + _PRIOR * prior) / (counts.sum(-1) + _PRIOR)
    scaled = np.rint(chance * (1 << _BITS)).astype(np.int64)
    return np.asarray(np.clip(scaled, 1, (1 << _BITS) - 1))


def _write(path: Path, what: str, intra: NDArray[np.int64], inter: NDArray[np.int64]) -> None:
    lines = [
        f'"""Chance of {what} per stage and context, in units of ``2**-PRECISION_BITS``.',
        "",
        f"Written by ``python -m roicodec.train.{path.stem}``; part of the stream's definition.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        '__all__ = ["INTER", "INTRA", "PRECISION_BITS"]',
        "",
        f"PRECISION_BITS = {_BITS}",
    ]
    for name, table in (("INTRA", intra), ("INTER", inter)):
        lines += ["# fmt: off", f"{name} = ("]
        values = [str(value) for value in table.ravel()]
        lines += ["    " + ", ".join(values[i : i + 15]) + "," for i in range(0, len(values), 15)]
        lines += [")", "# fmt: on"]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
