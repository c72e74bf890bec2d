"""Fit of the context trees and frequency tables of motion coding to the vectors of real clips.

``python -m roicodec.train.motion_tables DIR`` reads every ``*.mkv`` of a folder and writes
``roicodec/bitstream/motion_tables.json``. It starts from vectors found with the tables as they are;
each further round refines the vectors with the last tables' bit costs and fits the tables to them.
The result is part of the stream's format: another one makes older streams unreadable.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from roicodec import bitstream
from roicodec.bitstream.entropy import Ints, Tables, integer_frequencies
from roicodec.bitstream.motion_bits import Recorder, record_motion
from roicodec.bitstream.motion_trees import Contexts, ContextTree
from roicodec.bitstream.motion_walk import SYMBOLS
from roicodec.encoder.motion.match import Matcher
from roicodec.encoder.motion.refine import refine
from roicodec.encoder.motion.search import SearchPlane, search_pair
from roicodec.media import Reader

__all__ = ["main"]

_SMOOTHING = 16.0
"""Weight of the parent's distribution in that of a node, in symbols."""


def _fit_tree(
    features: NDArray[np.uint8], values: Ints, size: int, *, leaves: int, gain: float
) -> tuple[ContextTree, Tables]:
    """Context tree grown best split first by the entropy it saves, and its tables.

    Args:
        features: of each symbol, uint8 ``[N, F]``.
        values: symbols in ``0..size - 1``, ``[N]``.
        size: size of the alphabet.
        leaves: largest number of leaves.
        gain: smallest saving of a split in bits.
    """
    total = np.bincount(values, minlength=size).astype(float)
    prior = total + 0.01
    root = _Node(np.arange(len(values)), total, prior / prior.sum())
    queue: list[tuple[float, int, _Node]] = []
    order = itertools.count()

    def propose(node: _Node) -> None:
        node.split(features, values, size)
        if node.saving > gain:
            heapq.heappush(queue, (-node.saving, next(order), node))

    propose(root)
    grown = 1
    while queue and grown < leaves:
        node = heapq.heappop(queue)[2]
        propose(node.grow(features, values, size, above=False))
        propose(node.grow(features, values, size, above=True))
        grown += 1
    nodes: list[list[int]] = []
    rows: list[NDArray[np.float64]] = []
    root.flatten(nodes, rows)
    tree = ContextTree(*np.array(nodes, np.int32).T)
    return tree, Tables(integer_frequencies(np.stack(rows)))


@dataclass(eq=False)
class _Node:
    """A node of a growing tree.

    Attributes:
        where: numbers of its symbols.
        counts: how often each symbol occurs, ``[size]``.
        prior: distribution of its parent, ``[size]``.
        saving: bits that its best split saves; 0 for none.
        feature, threshold: that split.
        children: below and above the threshold; empty of a leaf.
    """

    where: NDArray[np.int64]
    counts: NDArray[np.float64]
    prior: NDArray[np.float64]
    saving: float = 0.0
    feature: int = -1
    threshold: int = 0
    children: list[_Node] = field(default_factory=list)

    def split(self, features: NDArray[np.uint8], values: Ints, size: int) -> None:
        symbols = values[self.where]
        whole = _entropy(self.counts)
        for number in range(features.shape[1]):
            joint = features[self.where, number].astype(np.int64) * size + symbols
            table = np.bincount(joint, minlength=size).astype(float)
            table = np.pad(table, (0, -len(table) % size)).reshape(-1, size)
            below = table.cumsum(0)[:-1]
            if len(below):
                saved = whole - _entropy(below) - _entropy(self.counts - below)
                best = int(saved.argmax())
                if saved[best] > self.saving:
                    self.saving = float(saved[best])
                    self.feature, self.threshold = number, best

    def grow(self, features: NDArray[np.uint8], values: Ints, size: int, *, above: bool) -> _Node:
        where = self.where[(features[self.where, self.feature] > self.threshold) == above]
        counts = np.bincount(values[where], minlength=size).astype(float)
        child = _Node(where, counts, self.distribution())
        self.children.append(child)
        return child

    def distribution(self) -> NDArray[np.float64]:
        smoothed = self.counts + _SMOOTHING * self.prior
        out: NDArray[np.float64] = smoothed / smoothed.sum()
        return out

    def flatten(self, nodes: list[list[int]], rows: list[NDArray[np.float64]]) -> None:
        if not self.children:
            nodes.append([-1, 0, len(rows)])
            rows.append(self.distribution())
            return
        here = [self.feature, self.threshold, 0]
        nodes.append(here)
        self.children[0].flatten(nodes, rows)
        here[2] = len(nodes)
        self.children[1].flatten(nodes, rows)


def _entropy(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits of an ideal code for counts along the last axis."""
    total = counts.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(counts > 0, counts * np.log2(counts), 0).sum(-1)
        whole = np.where(total > 0, total * np.log2(total), 0)
    out: NDArray[np.float64] = whole - each
    return out


def _fit_contexts(recorders: Sequence[Recorder], *, leaves: int = 96) -> Contexts:
    """Trees and tables fitted to recorded frames.

    Args:
        recorders: of the frames.
        leaves: largest number of leaves of a tree.
    """
    trees, tables = {}, {}
    for name, size in SYMBOLS.items():
        calls = [call for recorder in recorders for call in recorder.calls if call[0] == name]
        features = np.concatenate([f.astype(np.uint8) for _, f, _ in calls])
        values = np.concatenate([v for _, _, v in calls])
        trees[name], tables[name] = _fit_tree(features, values, size, leaves=leaves, gain=50.0)
    return Contexts(trees, tables)


def _recorded(path: Path, qp: int, frames: int, contexts: Contexts | None) -> Iterator[Recorder]:
    """Motion of a clip as it is found, or refined with ``contexts``, too."""
    before: SearchPlane | None = None
    previous = None
    step = 2.0 ** ((qp - 4) / 6)
    with Reader(str(path), slice(0, frames)) as reader:
        for picture in reader:
            plane = SearchPlane(picture.y)
            if before is not None:
                vectors = search_pair(plane, before, step=step, previous=previous)
                if contexts is not None:
                    matcher = Matcher.of(plane.luma, before.phases, step)
                    vectors = refine(matcher, vectors, previous, contexts=contexts)
                yield record_motion(vectors, previous)
                previous = vectors
            before = plane


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--qp", "qps", multiple=True, default=(26, 30, 34, 38), show_default=True)
@click.option("--frames", default=8, show_default=True, help="Frames of each clip.")
@click.option(
    "--rounds",
    default=2,
    show_default=True,
    help="The first fits vectors found with the format's tables.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(bitstream.__file__).with_name("motion_tables.json"),
    show_default=True,
)
def main(folder: Path, qps: tuple[int, ...], frames: int, rounds: int, out: Path) -> None:
    """Fit the motion tables to the clips (*.mkv) in FOLDER."""
    clips = sorted(folder.glob("*.mkv"))
    if not clips:
        raise click.UsageError(f"no *.mkv in {folder}")
    contexts: Contexts | None = None
    for _ in range(rounds):
        recorders = [r for c in clips for qp in qps for r in _recorded(c, qp, frames, contexts)]
        contexts = _fit_contexts(recorders)
        bits = sum(r.bits(contexts) for r in recorders)
        click.echo(
            f"{len(recorders)} frames of {len(clips)} clips, {bits / len(recorders):.0f} "
            "bits a frame"
        )
        out.write_text(contexts.to_json(), "ascii")


if __name__ == "__main__":
    main()
