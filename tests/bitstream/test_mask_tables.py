"""Fitting the tables of mask coding."""

from __future__ import annotations

import runpy
from pathlib import Path

import cv2
import numpy as np

from roicodec.bitstream import mask_tables
from roicodec.bitstream.lattice import STAGES
from roicodec.bitstream.mask_coding import INTER_CONTEXTS, INTRA_CONTEXTS
from roicodec.train.mask_tables import main


def test_shipped_tables_fit_the_contexts() -> None:
    assert len(mask_tables.INTRA) == STAGES * INTRA_CONTEXTS
    assert len(mask_tables.INTER) == STAGES * INTER_CONTEXTS
    values = mask_tables.INTRA + mask_tables.INTER
    assert 0 < min(values) <= max(values) < 1 << mask_tables.PRECISION_BITS


def test_tables_are_fitted_to_what_is_there(tmp_path: Path) -> None:
    for name, value in (("seen", 0), ("held", 255)):
        (tmp_path / name).mkdir()
        for frame in range(3):
            gray = np.full((64, 96), value, np.uint8)
            gray[:16, 16 * frame : 16 * frame + 16] = 255 - value
            cv2.imwrite(str(tmp_path / name / f"{frame}.png"), gray)
    out = tmp_path / "tables.py"
    main([str(tmp_path), "--hold-out", "held", "--out", str(out)])
    fitted = runpy.run_path(str(out))
    assert len(fitted["INTRA"]) == len(mask_tables.INTRA)
    assert len(fitted["INTER"]) == len(mask_tables.INTER)
    # Almost nothing is ROI here: rare in every stage amid non-ROI neighbours.
    rare = fitted["INTRA"][INTRA_CONTEXTS::INTRA_CONTEXTS]
    assert max(rare) < 1 << (mask_tables.PRECISION_BITS - 2)
