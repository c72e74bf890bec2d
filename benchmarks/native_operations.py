"""Cases of the operations beside the networks, on a 1280x720 picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.case import Case
from roicodec.kernels import post_filter

__all__ = ["OPERATION_CASES"]


def post_filter_cases() -> Iterator[Case]:
    """The post-filter on the luma of a 1280x720 picture, padded."""
    rng = np.random.default_rng(0)
    y, x = np.indices((736, 1280))
    waves = 128 + 90 * np.sin(0.03 * x + 0.01 * y) + rng.normal(0, 3, x.shape)
    plane = waves.clip(0, 255).astype(np.uint8)
    shape = post_filter.ACTIVITIES, post_filter.DIRECTIONS, post_filter.WEIGHTS
    table = post_filter.filter_table(rng.integers(-9, 10, shape).astype(np.int32))
    levels = np.arange(60, 960, 60, dtype=np.int32)
    bounds = np.arange(2, 34, 2, dtype=np.int32)
    for name, switches in (("all on", post_filter.ALL_ON), ("classes alone", 0)):
        run = partial(post_filter.filter_plane.native, plane, table, levels, bounds, switches)
        yield Case(f"post-filter, {name}", run, plane.size, "samples")
    after, activity = post_filter.filter_plane.native(
        plane, table, levels, bounds, post_filter.ALL_ON
    )
    planes = plane, after, activity
    gains = partial(post_filter.squared_gains.native, *planes, plane[:720])
    yield Case("post-filter switches", gains, plane.size, "samples")
    merge = partial(post_filter.merge.native, *planes, 0x5A)
    yield Case("post-filter merge", merge, plane.size, "samples")


OPERATION_CASES: list[Callable[[], Iterator[Case]]] = [post_filter_cases]
"""Functions that yield cases, one for each module of operations."""
