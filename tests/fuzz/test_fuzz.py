"""The corpus, and some hundred mutants of the fuzzer, on every run of the tests."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.__main__ import run
from tests.fuzz.corpus import FOLDER, said
from tests.fuzz.mutate import START, Mutant, damaged, mutated, pack, sections
from tests.fuzz.muxing import tracked
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import FORMS, TARGETS, find, listed

CORPUS = sorted(FOLDER.glob("*.rq"))


@pytest.fixture(scope="module")
def sound() -> list[bytes]:
    return seeds()


def test_seeds_are_sound(sound: list[bytes]) -> None:
    for data in sound:
        assert TARGETS["reader"](Mutant(data, True)) == "sound"
        assert not said(data)
    for data in sound[:4]:
        assert TARGETS["decoder"](Mutant(data, True)) == "sound"


def test_the_corpus_says_much() -> None:
    assert sum(path.stat().st_size for path in CORPUS) < 200_000
    lines = set().union(*(said(path.read_bytes()) for path in CORPUS))
    assert len(lines) > 35, sorted(lines)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path) -> None:
    mutant = Mutant(path.read_bytes(), False)
    for target in TARGETS.values():
        assert target(mutant) in ("sound", "damaged", "refused")
    assert len({listed(mutant, form) for form in FORMS}) == 1


@pytest.mark.parametrize(("name", "count"), [("reader", 400), ("info", 60), ("decoder", 8)])
def test_mutants(name: str, count: int, sound: list[bytes], tmp_path: Path) -> None:
    outcome = run(name, sound, 0, 1, count, time.monotonic() + 1e6, tmp_path)
    assert outcome.outcomes.total() == count
    assert not outcome.failures
    assert outcome.outcomes["damaged"] > count // 4


def test_mutants_into_containers(tmp_path: Path) -> None:
    tracks = tracked()
    for data in tracks:
        assert TARGETS["muxer"](Mutant(data, True)) == "sound"
    outcome = run("muxer", tracks, 0, 1, 30, time.monotonic() + 1e6, tmp_path)
    assert not outcome.failures
    assert outcome.outcomes["damaged"] > 3


def test_mutants_follow_from_their_number(sound: list[bytes]) -> None:
    first, second = (mutated(Random("a 5"), sound) for _ in range(2))
    assert first == second
    assert len({mutated(Random(f"a {n}"), sound).data for n in range(50)}) > 40


def test_what_must_hold_is_looked_at(sound: list[bytes], tmp_path: Path) -> None:
    """A program that fails is found out: a chunk not found, an exception of the wrong kind."""
    start, (head, *_) = sound[1][:START], sections(sound[1])
    hidden = start + pack(*head) + pack(b"PKT ", sound[1])
    with pytest.raises(AssertionError, match="frame 0 is whole, and was not found"):
        find(Mutant(hidden, True), sound[1])

    def broken(mutant: Mutant) -> str:
        raise IndexError("list index out of range")

    TARGETS["broken"] = broken
    try:
        outcome = run("broken", sound, 0, 1, 3, time.monotonic() + 1e6, tmp_path)
    finally:
        del TARGETS["broken"]
    [(title, (count, first))] = outcome.failures.items()
    assert "IndexError: list index out of range" in title
    assert (count, first) == (3, 0)
    assert (tmp_path / "broken-0.rq").is_file()


def test_damage_changes_something() -> None:
    data = bytes(range(256))
    assert sum(damaged(Random(n), data) != data for n in range(40)) > 25
