"""Which form of an operation is used, and that the known answers are the references'."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.all_operations import all_operations
from roicodec.kernels import native
from roicodec.kernels.operations import Arrays, Operation, checksum

OPERATIONS = {operation.name: operation for operation in all_operations()}


@pytest.mark.parametrize("name", OPERATIONS)
def test_known_answers_are_the_references(name: str) -> None:
    operation = OPERATIONS[name]
    assert checksum(operation.probe(operation.reference)) == operation.answer


@pytest.mark.parametrize("name", OPERATIONS)
def test_native_forms_give_them(instructions: str, name: str) -> None:
    operation = OPERATIONS[name]
    assert checksum(operation.probe(operation.native)) == operation.answer
    assert operation.form == "native"
    assert operation.reason.startswith("exact on this machine")


def test_start_up_takes_little() -> None:
    if native.library() is None or native.LIBRARY_ENVIRONMENT in os.environ:
        pytest.skip("not the library as it is built")
    least = float("inf")
    for _ in range(3):
        start = time.process_time()
        for operation in OPERATIONS.values():
            checksum(operation.probe(operation.native))
        least = min(least, time.process_time() - start)
    assert least < 0.03


def doubled(array: NDArray[np.int64]) -> NDArray[np.int64]:
    return 2 * array


def wrong(array: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(array == 3, 7, 2 * array)


def missing(array: NDArray[np.int64]) -> NDArray[np.int64]:
    native.function("rq_no_such_function", "p")(0)
    return array


def probe(form: Any) -> Arrays:
    yield form(np.arange(5))


@pytest.mark.parametrize(
    ("form", "reason"), [(wrong, "is not exact"), (missing, "not in the library")]
)
def test_a_form_that_fails_is_not_used(form: Any, reason: str) -> None:
    if native.library() is None:
        pytest.skip(native.reason())
    answer = checksum(probe(doubled))
    operation = Operation("test", doubled, form, probe, answer)
    assert operation.form == "reference"
    assert reason in operation.reason
    assert operation(np.arange(5)).tolist() == [0, 2, 4, 6, 8]


def test_without_a_library_references_are_used() -> None:
    code = (
        "from roicodec.all_operations import all_operations\n"
        "print({(o.form, o.reason) for o in all_operations()})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, native.ENVIRONMENT: "off"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "{('reference', 'switched off by ROICODEC_NATIVE')}"
