"""Every instruction set that this machine has, as a fixture."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roicodec.kernels import native


@pytest.fixture(params=native.LEVELS)
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test with the native kernels of each level; skips those that are not here."""
    if request.param not in native.levels():
        pytest.skip(f"{request.param}: {native.reason()}")
    with native.forced(request.param):
        yield request.param
