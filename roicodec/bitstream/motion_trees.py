"""Choice of a frequency table by an integer decision tree over integer features.

All tables of the motion section live in ``motion_tables.json`` beside this module: for every
symbol name a tree, whose leaves number the rows of a frequency table. They belong to the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from roicodec.bitstream.tables import Ints, Tables
from roicodec.kernels.native import address

__all__ = ["ContextTree", "Contexts", "shipped_contexts"]

_FEATURES = {
    "base": 14,
    "base_x": 21,
    "base_y": 21,
    "base_sign": 5,
    "split": 12,
    "block": 11,
    "block_x": 17,
    "block_y": 17,
    "block_sign": 4,
}
"""Features of every kind of symbol, in the order of ``native/motion.h``."""


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

    @cached_property
    def _walk(self) -> tuple[Ints, Ints, Ints, int]:
        """Tested feature, threshold, children [below, above] of each node, and the depth.

        A leaf leads to itself.
        """
        node = np.arange(len(self.feature), dtype=np.int32)
        leaf = self.feature < 0
        children = np.stack([np.where(leaf, node, node + 1), np.where(leaf, node, self.above)], 1)
        depth = np.zeros(len(node), np.int32)
        for n in np.flatnonzero(~leaf):
            depth[children[n]] = depth[n] + 1
        return np.maximum(self.feature, 0), self.threshold, children.ravel(), int(depth.max())

    def leaf(self, features: ArrayLike) -> Ints:
        """The leaf number of every row of ``features`` (int ``[N, F]``); int32 ``[N]``."""
        f = np.ascontiguousarray(features)
        feature, threshold, children, depth = self._walk
        flat = f.reshape(-1)
        start = np.arange(len(f)) * f.shape[1]
        node = np.zeros(len(f), np.int32)
        for _ in range(depth):
            value = flat.take(start + feature.take(node))
            node = children.take(2 * node + (value > threshold.take(node)))
        leaves: Ints = self.above[node]
        return leaves

    def nodes(self, features: int, tables: int) -> Ints:
        """The nodes as rows of feature, threshold and target, ``[N, 3]``.

        Raises:
            ValueError: if a node tests a feature or leads to a node or a table that there is not.
        """
        number, leaf = np.arange(len(self.feature)), self.feature < 0
        onwards = (self.above > number) & (self.above < len(number)) & (number + 1 < len(number))
        sound = np.where(leaf, (self.above >= 0) & (self.above < tables), onwards)
        if not len(number) or not sound.all() or self.feature.max() >= features:
            raise ValueError("a decision tree leads nowhere")
        return np.ascontiguousarray(np.stack([self.feature, self.threshold, self.above], 1))


@dataclass(frozen=True, eq=False)
class Contexts:
    """Trees and frequency tables of the symbols of a motion section.

    Attributes:
        trees, tables: by symbol name; a tree's leaves are the rows of the table.
    """

    trees: Mapping[str, ContextTree]
    tables: Mapping[str, Tables]

    @classmethod
    def from_json(cls, text: str) -> Contexts:
        """Contexts from the text that :meth:`to_json` writes."""
        import json

        stored = json.loads(text)
        trees = {
            name: ContextTree(*np.array(entry["nodes"], np.int32).reshape(-1, 3).T)
            for name, entry in stored.items()
        }
        tables = {name: Tables(entry["rows"]) for name, entry in stored.items()}
        return cls(trees, tables)

    def to_json(self) -> str:
        """One line for every tree and every table row."""
        import json

        symbols = []
        for name, tree in self.trees.items():
            nodes = np.stack([tree.feature, tree.threshold, tree.above], 1).ravel().tolist()
            rows = ",\n".join(json.dumps(r) for r in self.tables[name].frequencies.tolist())
            symbols.append(f'"{name}": {{"nodes": {json.dumps(nodes)}, "rows": [\n{rows}]}}')
        joined = ",\n".join(symbols)
        return f"{{\n{joined}\n}}\n"

    @cached_property
    def laid_out(self) -> tuple[NDArray[np.int64], list[Ints]]:
        """The contexts of ``native/motion.h``: addresses of nodes and tables of every kind of
        symbol ``[9, 2]``, and what must be kept meanwhile.

        Raises:
            ValueError: as :meth:`ContextTree.nodes`.
        """
        nodes = [
            self.trees[name].nodes(features, len(self.tables[name]))
            for name, features in _FEATURES.items()
        ]
        tables = [self.tables[name].laid_out for name in _FEATURES]
        addresses = [
            (address(n, np.int32), address(t, np.int64)) for n, t in zip(nodes, tables, strict=True)
        ]
        return np.array(addresses, np.int64), nodes

    def cost(self, name: str) -> NDArray[np.float64]:
        """Bits of every symbol in every leaf, ``[leaves, S]``."""
        return self.tables[name].cost()


@cache
def shipped_contexts() -> Contexts:
    """The tables of the stream's format."""
    path = Path(__file__).with_name("motion_tables.json")
    return Contexts.from_json(path.read_text(encoding="ascii"))
