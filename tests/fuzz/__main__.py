"""``python -m tests.fuzz``: mutants of small streams against the reader, info and the decoder.

Every mutant follows from its number, so ``--first N --count 1`` repeats one. What fails is kept as
a file; those that matter belong into ``tests/fuzz/corpus``, which the tests replay.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

import click

from tests.fuzz.mutate import Mutant, mutated
from tests.fuzz.muxing import tracked
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, find

__all__ = ["main"]

LONGEST = 2.0
"""CPU seconds for one mutant."""

MOST_MEMORY = 64 << 20
"""Bytes that a process may grow by, once warm, beside 8 times its largest input."""

WARM = 200
"""Mutants after which memory is watched: modules, tables and networks are loaded by then."""


class Hang(BaseException):
    """A mutant took too long."""


@dataclass
class Outcome:
    """Result of a run on one target.

    Attributes:
        outcomes: number of mutants by what came of them.
        failures: by the last line of its traceback, how often, and the number of the first.
        slowest: CPU seconds of the slowest mutant.
        grown: bytes by which the process's peak memory grew after warming up.
        largest: bytes of the largest mutant.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, tuple[int, int]] = field(default_factory=dict)
    slowest: float = 0.0
    grown: int = 0
    largest: int = 0

    def add(self, other: Outcome) -> None:
        """Join the result of another process."""
        self.outcomes += other.outcomes
        for name, (count, first) in other.failures.items():
            before, number = self.failures.get(name, (0, first))
            self.failures[name] = before + count, min(number, first)
        self.slowest = max(self.slowest, other.slowest)
        self.grown = max(self.grown, other.grown)
        self.largest = max(self.largest, other.largest)


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _stop(number: int, frame: FrameType | None) -> None:
    raise Hang


def run(
    name: str, sound: list[bytes], first: int, step: int, count: int, until: float, keep: Path
) -> Outcome:
    """Mutants ``first``, ``first + step``, … through one target, until a time or number.

    Args:
        name: of the target.
        sound: streams to mutate.
        first, step, count: which mutants.
        until: when to stop, by ``time.monotonic``.
        keep: folder for inputs that fail.
    """
    target, outcome = TARGETS[name], Outcome()
    signal.signal(signal.SIGVTALRM, _stop)
    base = 0
    for done in range(count):
        if done == WARM:
            base = _peak()
        if time.monotonic() > until:
            break
        number = first + done * step
        rng = Random(f"{name} {number}")
        whole = rng.choice(sound)
        mutant = mutated(rng, [whole, *sound] if rng.random() < 0.3 else [whole])
        outcome.largest = max(outcome.largest, len(mutant.data))
        start = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, 10 * LONGEST)
        try:
            word = target(mutant)
            if name == "reader" and mutant.only_damaged:
                find(mutant, whole)
            outcome.outcomes[word] += 1
            if time.process_time() - start > LONGEST:
                raise Hang
        except (Exception, Hang):
            _failed(outcome, name, number, mutant, keep)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        outcome.slowest = max(outcome.slowest, time.process_time() - start)
    outcome.grown = max(0, _peak() - base) if base else 0
    return outcome


def _failed(outcome: Outcome, name: str, number: int, mutant: Mutant, keep: Path) -> None:
    lines = traceback.format_exc().strip().splitlines()
    frames = [line.strip() for line in lines if line.strip().startswith("File ")]
    place = frames[-1].split(", in ")[0] if frames else ""
    title = f"{lines[-1]} ({place})"
    count, first = outcome.failures.get(title, (0, number))
    outcome.outcomes["FAILED"] += 1
    outcome.failures[title] = count + 1, first
    if not count:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{name}-{number}.rq").write_bytes(mutant.data)
        (keep / f"{name}-{number}.txt").write_text("\n".join(lines), encoding="utf-8")


@click.command()
@click.option("--target", "targets", multiple=True, type=click.Choice(list(TARGETS)))
@click.option("--seconds", default=60.0, show_default=True, help="Time for each target.")
@click.option("--count", default=1 << 40, help="Most mutants for each target.")
@click.option("--first", default=0, show_default=True, help="Number of the first mutant.")
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@click.option(
    "--keep", default=Path("fuzz-failures"), type=click.Path(path_type=Path), show_default=True
)
def main(
    targets: tuple[str, ...], seconds: float, count: int, first: int, jobs: int, keep: Path
) -> None:
    """Run mutants; exit status 1 if one fails, takes over 2 s, or memory grows beyond bounds."""
    bad = False
    for name in targets or tuple(TARGETS):
        sound = tracked() if name == "muxer" else seeds()
        until = time.monotonic() + seconds
        each = -(-count // jobs)
        work = [(name, sound, first + job, jobs, each, until, keep) for job in range(jobs)]
        total = Outcome()
        if jobs == 1:
            total.add(run(*work[0]))
        else:
            with multiprocessing.get_context("spawn").Pool(jobs) as pool:
                for outcome in pool.starmap(run, work):
                    total.add(outcome)
        fat = total.grown > MOST_MEMORY + 8 * total.largest
        counts = ", ".join(f"{n} {word}" for word, n in sorted(total.outcomes.items()))
        print(
            f"{name}: {total.outcomes.total()} mutants: {counts}; slowest {total.slowest:.2f} s,"
            f" memory +{total.grown >> 20} MiB{' TOO MUCH' if fat else ''},"
            f" largest {total.largest} bytes",
            flush=True,
        )
        for title, (times, number) in sorted(total.failures.items()):
            print(f"  {times} times, first {number}: {title}", flush=True)
        bad |= fat or bool(total.failures)
    sys.exit(bad)


if __name__ == "__main__":
    main()
