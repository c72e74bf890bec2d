"""How hard an encoder tries; none of it costs a decoder time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_EFFORT", "EFFORTS", "Effort"]


@dataclass(frozen=True)
class Effort:
    """What an encoder tries.

    Attributes:
        sweeps: how often every vector is weighed against its neighbours'; 0 takes x264's.
        trials: how often an inter frame is coded to find the cells to skip; 0 skips none.
        projections: how often the latents of an intra frame are corrected by what the synthesis
            makes of them, unquantized.
    """

    sweeps: int
    trials: int
    projections: int


EFFORTS = {
    1: Effort(0, 0, 0),
    2: Effort(1, 0, 0),
    3: Effort(2, 0, 0),
    4: Effort(2, 1, 1),
    5: Effort(3, 1, 1),
    6: Effort(4, 1, 1),
    7: Effort(3, 2, 1),
    8: Effort(4, 2, 1),
    9: Effort(5, 3, 1),
}
DEFAULT_EFFORT = 5
