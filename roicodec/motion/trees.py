"""Choice of a frequency table by an integer decision tree over integer features.

All tables of the motion section live in ``tables.json`` beside this module: for every symbol name
a tree, whose leaves number the rows of a frequency table. They are part of the stream's format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.entropy import Ints, Tables

__all__ = ["ContextTree", "Contexts", "shipped_contexts"]


@dataclass(frozen=True, eq=False)
class ContextTree:
    """A binary decision tree.

    Node n sends a symbol with features f to node ``above[n]`` if
    ``f[feature[n]] > threshold[n]``, else to node n + 1 (nodes are in preorder). A node with
    ``feature[n] < 0`` is a leaf, and ``above[n]`` its number.
    """

    feature: Ints
    threshold: Ints
    above: Ints

    def __post_init__(self) -> None:
        object.__setattr__(self, "depth", _depth(self.feature, self.above))

    depth: int = 0

    def leaf(self, features: ArrayLike) -> Ints:
        """The leaf number of every row of ``features`` (int ``[N, F]``); int32 ``[N]``."""
        f = np.asarray(features)
        node = np.zeros(len(f), np.int32)
        if len(f):
            flat = np.ascontiguousarray(f).ravel()
            start = np.arange(len(f)) * f.shape[1]
            for _ in range(self.depth):
                tested = self.feature[node]
                value = flat[start + np.maximum(tested, 0)]
                inner = np.where(value > self.threshold[node], self.above[node], node + 1)
                node = np.where(tested < 0, node, inner)
        leaves: Ints = self.above[node]
        return leaves


def _depth(feature: Ints, above: Ints) -> int:
    depth = np.zeros(len(feature), np.int32)
    for node in np.flatnonzero(feature >= 0):
        depth[node + 1] = depth[above[node]] = depth[node] + 1
    return int(depth.max())


@dataclass(frozen=True, eq=False)
class Contexts:
    """Everything that prices the symbols of a motion section.

    Attributes:
        trees, tables: by symbol name; a tree's leaves are the rows of the table.
    """

    trees: Mapping[str, ContextTree]
    tables: Mapping[str, Tables]

    @classmethod
    def from_json(cls, text: str) -> Contexts:
        """Read the text that :meth:`to_json` writes."""
        stored = json.loads(text)
        trees = {
            name: ContextTree(*np.array(entry["nodes"], np.int32).reshape(-1, 3).T)
            for name, entry in stored.items()
        }
        tables = {name: Tables(entry["rows"]) for name, entry in stored.items()}
        return cls(trees, tables)

    def to_json(self) -> str:
        """One line for every tree and every table row."""
        symbols = []
        for name, tree in self.trees.items():
            nodes = np.stack([tree.feature, tree.threshold, tree.above], 1).ravel().tolist()
            rows = ",\n".join(json.dumps(r) for r in self.tables[name].frequencies.tolist())
            symbols.append(f'"{name}": {{"nodes": {json.dumps(nodes)}, "rows": [\n{rows}]}}')
        joined = ",\n".join(symbols)
        return f"{{\n{joined}\n}}\n"

    def cost(self, name: str) -> NDArray[np.float64]:
        """Bits of every symbol in every leaf, ``[leaves, S]``."""
        return self.tables[name].cost()


@cache
def shipped_contexts() -> Contexts:
    """The tables of the stream's format."""
    text = files("roicodec.motion").joinpath("tables.json").read_text(encoding="ascii")
    return Contexts.from_json(text)
