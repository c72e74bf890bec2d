"""Effort of an encoder: more trials save bits; none of it costs a decoder time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_EFFORT", "EFFORTS", "PRESETS", "Effort"]


@dataclass(frozen=True)
class Effort:
    """Search and trials of an encoder.

    Attributes:
        sweeps: how often every vector is weighed against its neighbours' after the first time.
        trials: how often an inter frame is coded to find the cells to skip and latents that err
            less (:mod:`roicodec.encoder.refinement`).
        intra_trials: the same of an intra frame, for its latents alone.
        intra_cells: whether cells of inter frames without a match are tried as intra-coded ones;
            needs trials.
        early_skip: whether cells to skip are found before analysis where there are no trials.
    """

    sweeps: int
    trials: int
    intra_trials: int
    intra_cells: bool = True
    early_skip: bool = True


EFFORTS = {
    1: Effort(1, 0, 0),
    2: Effort(2, 0, 0),
    3: Effort(2, 0, 1),
    4: Effort(2, 1, 2),
    5: Effort(5, 2, 4),
    6: Effort(5, 2, 5),
    7: Effort(5, 3, 5),
    8: Effort(6, 3, 5),
    9: Effort(7, 5, 6),
}
DEFAULT_EFFORT = 5
PRESETS = {"fast": 1, "medium": DEFAULT_EFFORT, "slow": 7, "best": 9}
"""Efforts by name."""
