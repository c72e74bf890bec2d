"""A second decoder of motion sections, unit by unit, written from the format's text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from itertools import product

import numpy as np
import pytest

from roicodec.bitstream.entropy import SymbolDecoder, Tables
from roicodec.bitstream.mask_coding import get_mask
from roicodec.bitstream.mode_tables import FREQUENCIES
from roicodec.bitstream.motion_section import MotionReader, encode_motion

Vector = tuple[int, int]
STORED = json.loads(files("roicodec.bitstream").joinpath("motion_tables.json").read_text())
TABLES = {name: Tables(entry["rows"]) for name, entry in STORED.items()}
MODES = Tables(FREQUENCIES)


def table_number(name: str, features: list[int]) -> int:
    nodes, at = STORED[name]["nodes"], 0
    while True:
        feature, threshold, target = nodes[3 * at : 3 * at + 3]
        if feature < 0:
            return int(target)
        at = target if features[feature] > threshold else at + 1


def size(n: int) -> int:
    return min(8, int(n).bit_length())


def norm(a: Vector) -> int:
    return abs(a[0]) + abs(a[1])


def minus(a: Vector, b: Vector) -> Vector:
    return a[0] - b[0], a[1] - b[1]


def dist(a: Vector, b: Vector) -> int:
    return size(norm(minus(a, b)))


def clip(n: int, limit: int) -> int:
    return max(-limit, min(limit, n))


def commonest(vectors: list[Vector]) -> Vector:
    count = Counter(vectors)
    return max(vectors, key=lambda v: (count[v], -vectors.index(v)))


def ranking(offers: list[tuple[Vector, int]]) -> tuple[list[Vector], list[int], int]:
    total: dict[Vector, int] = {}
    for vector, weight in offers:
        total[vector] = total.get(vector, 0) + weight
    order = sorted(total, key=lambda v: -total[v])
    some = (order + [(0, 0)] * 4)[:4]
    return some, ([total[v] for v in order] + [0] * 4)[:4], len(order)


class Reader:
    def __init__(self, data: bytes, shape: tuple[int, int], before: np.ndarray | None) -> None:
        self.rows, self.columns = shape[0] // 2, shape[1] // 2
        self.coder = SymbolDecoder(data)
        changes, self.moves = self.coder.get_uniform(2, 2)
        (new,) = self.coder.get(Tables([[63488, 2048]]), [0])
        # The map has a cell for each unit here; a frame may lack those of its last row and column.
        grid = self.rows, self.columns
        self.skip = get_mask(self.coder, grid, None, "skip") if changes else np.zeros(grid, bool)
        self.unmatched = get_mask(self.coder, grid, None, "roi") if new else None
        self.grid = [(r, c) for r in range(self.rows) for c in range(self.columns)]
        self.expect(before)

    def expect(self, before: np.ndarray | None) -> None:
        self.has_before = before is not None
        shape = 2 * self.rows, 2 * self.columns
        field = np.zeros((*shape, 2), int) if before is None else before
        self.block_before = {
            (r, c): [tuple(field[2 * r + k // 2, 2 * c + k % 2].tolist()) for k in range(4)]
            for r in range(self.rows)
            for c in range(self.columns)
        }
        self.base_before = {u: commonest(b) for u, b in self.block_before.items()}
        self.split_before = {u: int(len(set(b)) > 1) for u, b in self.block_before.items()}

    def exists(self, u: tuple[int, int]) -> bool:
        return 0 <= u[0] < self.rows and 0 <= u[1] < self.columns

    def around(self, u: tuple[int, int]) -> list[tuple[int, int]]:
        near = [(u[0] - 1, u[1]), (u[0], u[1] - 1), (u[0], u[1] + 1), (u[0] + 1, u[1])]
        return [n for n in near if self.exists(n)]

    def calm(self, u: tuple[int, int]) -> int:
        near = self.around(u)
        return 4 - len(near) + sum(self.base_before[n] == self.base_before[u] for n in near)

    def array(self, name: str, features: list[list[int]]) -> list[int]:
        index = [table_number(name, f) for f in features]
        return [int(symbol) for symbol in self.coder.get(TABLES[name], index)]

    def differences(
        self,
        kind: str,
        features: list[list[int]],
        spread: list[Vector],
        hints: list[list[Vector]],
        prediction: list[Vector],
    ) -> list[Vector]:
        out: list[list[int]] = []
        other = [0] * len(features)
        for axis in (0, 1):
            surprise = [
                [h[axis] - p[axis] for h in hint] for hint, p in zip(hints, prediction, strict=True)
            ]
            context = [
                [*f, size(s[axis]), size(s[1 - axis]), o, *(size(abs(h)) for h in hint)]
                for f, s, o, hint in zip(features, spread, other, surprise, strict=True)
            ]
            classes = self.array(f"{kind}_{'xy'[axis]}", context)
            values = list(classes)
            for e in range(1, 12):
                some = [i for i, q in enumerate(classes) if q >= 4 and q // 2 - 1 == e]
                low = self.coder.get_uniform(len(some), 2**e).tolist()
                for i, bits in zip(some, low, strict=True):
                    values[i] = (2 + classes[i] % 2) * 2**e + bits
            some = [i for i, n in enumerate(values) if n]
            signs = self.array(
                f"{kind}_sign",
                [[classes[i], *(clip(h, 8) + 8 for h in surprise[i])] for i in some],
            )
            for i, sign in zip(some, signs, strict=True):
                values[i] *= 1 - 2 * sign
            out.append([clip(p[axis] + n, 2047) for p, n in zip(prediction, values, strict=True)])
            other = classes
        return list(zip(*out, strict=True))

    def stages(self) -> Iterator[tuple[list[Vector], list[Vector], int, int]]:
        """Units, offsets of their neighbours, level and s of each stage; s of stage 0 is 0."""
        yield [(0, 0)], [], 8, 0
        s = 1
        while 2 * s <= max(self.rows, self.columns) - 1:
            s *= 2
        diagonal, cross = ((-1, -1), (-1, 1), (1, -1), (1, 1)), ((-1, 0), (0, -1), (0, 1), (1, 0))
        while s:
            for odd, offsets in ((2, diagonal), (1, cross)):
                units = [
                    (r, c)
                    for r, c in self.grid
                    if r % s == 0 and c % s == 0 and (r // s) % 2 + (c // s) % 2 == odd
                ]
                level = 2 * min(s.bit_length() - 1, 4) + (odd == 2)
                yield units, [(s * a, s * b) for a, b in offsets], level, s
            s //= 2

    def modes(self) -> dict[Vector, int]:
        places = [n for n in product(range(5), repeat=4) if sum(n) == 4]
        out: dict[Vector, int] = {}
        for units, offsets, _, s in self.stages():
            index = []
            for u in units:
                near = [(u[0] + a, u[1] + b) for a, b in offsets]
                n = [sum(out.get(v) == k for v in near) for k in range(4)]
                n[n.index(max(n))] += 4 - sum(n)
                index.append(35 * {1: 2, 2: 1}.get(s, 0) + places.index((n[0], n[1], n[2], n[3])))
            out.update(zip(units, self.coder.get(MODES, index).tolist(), strict=True))
        return out

    def decode(self, needs: dict[Vector, str] | None = None) -> np.ndarray:
        self.needs = needs or dict.fromkeys(self.grid, "coded")
        self.base: dict[tuple[int, int], Vector] = {}
        self.new: dict[tuple[int, int], int] = {}
        for units, offsets, level, _ in self.stages():
            self.bases(units, offsets, level)
        self.split: dict[tuple[int, int], int] = {}
        for parity in (0, 1):
            units = [u for u in self.grid if sum(u) % 2 == parity and self.needs[u] == "coded"]
            flags = self.array("split", [self.split_features(u) for u in units])
            self.split.update(zip(units, flags, strict=True))
        self.block = {u: [self.base[u]] * 4 for u in self.grid}
        self.block |= {u: self.block_before[u] for u in self.grid if self.needs[u] == "expected"}
        self.blocks([u for u in self.grid if self.split.get(u)])
        out = np.zeros((2 * self.rows, 2 * self.columns, 2), np.int16)
        for (r, c), vectors in self.block.items():
            for k, vector in enumerate(vectors):
                out[2 * r + k // 2, 2 * c + k % 2] = vector
        return out

    def bases(self, units: list[Vector], offsets: list[Vector], level: int) -> None:
        rows = []
        for u in units:
            near = [(u[0] + a, u[1] + b) for a, b in offsets]
            near = [n for n in near if self.exists(n)]
            last = self.base_before[u]
            offers = [(self.base[n], 4) for n in near] + [(last, 3)] * self.has_before
            c, w, m = ranking(offers)
            if self.needs[u] != "coded":
                self.new[u] = 0
                self.base[u] = last if self.needs[u] == "expected" else c[0]
                continue
            median, spread = last, (0, 0)
            if near:
                sides = [sorted(self.base[n][axis] for n in near) for axis in (0, 1)]
                n = len(near)
                middle_x, middle_y = ((b[(n - 1) // 2] + b[n // 2]) // 2 for b in sides)
                wide_x, wide_y = (b[-1] - b[0] for b in sides)
                median, spread = (middle_x, middle_y), (wide_x, wide_y)
            features = [level, len(near), m, *w[:3], dist(c[0], c[1]) if m > 1 else 0]
            features += [size(max(spread)), sum(self.new[n] for n in near)]
            if self.has_before:
                features += [dist(last, c[0]), self.calm(u), self.split_before[u]]
            else:
                features += [9, 5, 2]
            features += [size(norm(c[0])), dist(median, c[0])]
            rows.append((u, features, c, median, spread, [*c[:3], last]))
        choices = self.array("base", [row[1] for row in rows])
        fresh = [row for row, j in zip(rows, choices, strict=True) if j == 4]
        found = iter(
            self.differences(
                "base",
                [r[1] for r in fresh],
                [r[4] for r in fresh],
                [r[5] for r in fresh],
                [r[3] for r in fresh],
            )
        )
        for (u, _, c, *_), j in zip(rows, choices, strict=True):
            self.new[u] = int(j == 4)
            self.base[u] = next(found) if j == 4 else c[j]

    def split_features(self, u: tuple[int, int]) -> list[int]:
        near = self.around(u)
        base, last = self.base[u], self.base_before[u]
        d = sorted([dist(self.base[n], base) for n in near] + [0] * (4 - len(near)))
        had = self.has_before
        return [
            sum(x > 0 for x in d),
            d[3],
            d[2],
            self.new[u],
            sum(self.new[n] for n in near),
            self.split_before[u] if had else 2,
            sum(self.split_before[n] for n in near),
            self.calm(u) if had else 5,
            dist(last, base) if had else 9,
            sum(u) % 2,
            sum(self.split.get(n, 0) for n in near),
            size(norm(base)),
        ]

    def blocks(self, units: list[Vector]) -> None:
        done: dict[tuple[int, int], list[Vector]] = {u: [] for u in units}
        for k in range(4):
            rows = []
            for u in units:
                base, last = self.base[u], self.block_before[u][k]
                a = (u[0], u[1] + (1 if k % 2 else -1))
                b = (u[0] + (1 if k // 2 else -1), u[1])
                beside = [self.base[n] for n in (a, b) if self.exists(n)]
                offers = [(base, 5)] + [(v, 4) for v in beside] + [(v, 3) for v in done[u]]
                c, w, m = ranking(offers + [(last, 3)] * self.has_before)
                outer = [self.base[n] if self.exists(n) else base for n in (a, b)]
                place = c[: min(m, 4)].index(base) if base in c[: min(m, 4)] else 4
                features = [k, m, w[0], w[1], dist(c[0], c[1]) if m > 1 else 0]
                features += [done[u].count(base), place]
                features += [dist(v, base) for v in outer]
                features += [dist(last, base), self.split_before[u]] if self.has_before else [9, 2]
                sides = [[v[axis] for v in (base, *beside)] for axis in (0, 1)]
                wide_x, wide_y = (max(s) - min(s) for s in sides)
                spread = wide_x, wide_y
                rows.append((u, features, c, base, spread, [*outer, last]))
            choices = self.array("block", [row[1] for row in rows])
            fresh = [row for row, j in zip(rows, choices, strict=True) if j == 4]
            found = iter(
                self.differences(
                    "block",
                    [r[1] for r in fresh],
                    [r[4] for r in fresh],
                    [r[5] for r in fresh],
                    [r[3] for r in fresh],
                )
            )
            for (u, _, c, *_), j in zip(rows, choices, strict=True):
                done[u].append(next(found) if j == 4 else c[j])
        self.block.update(done)


def field(rows: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.tile(rng.integers(-9, 9, 2).astype(np.int16), (rows, columns, 1))
    for _ in range(4):
        y, x = rng.integers(0, rows), rng.integers(0, columns)
        out[y : y + 5, x : x + 6] = rng.integers(-60, 60, 2)
    stray = rng.random((rows, columns)) < 0.1
    out[stray] += rng.integers(-3, 4, (stray.sum(), 2)).astype(np.int16)
    far = rng.random((rows, columns)) < 0.02
    out[far] = rng.integers(-2047, 2048, (far.sum(), 2))
    return out


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (24, 16), (16, 40), (2, 2), (14, 26)])
@pytest.mark.parametrize("with_before", [False, True])
def test_the_text_suffices_to_decode(rows: int, columns: int, with_before: bool) -> None:
    vectors = field(rows, columns, seed=rows + columns)
    before = field(rows, columns, seed=rows + columns + with_before) if with_before else None
    data = encode_motion(None, None, vectors, before)
    np.testing.assert_array_equal(Reader(data, (rows, columns), before).decode(), vectors)


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("skips", [False, True])
def test_the_skip_map_comes_before_the_vectors(skips: bool, moves: bool) -> None:
    vectors = field(14, 26, seed=4) * moves
    skip = np.zeros((7, 13), bool)
    skip[2:5, 4:] = skips
    data = encode_motion(skip, None, vectors, None)
    assert bool(data) == (skips or moves)
    both = MotionReader(data, skip.shape, None)
    np.testing.assert_array_equal(both.skip, skip)
    np.testing.assert_array_equal(both.vectors((14, 26), None), vectors)
    if data:
        reader = Reader(data, (14, 26), None)
        np.testing.assert_array_equal(reader.skip, skip)
        assert reader.moves == moves
        if moves:
            np.testing.assert_array_equal(reader.decode(), vectors)


def test_cells_without_a_match_come_between_map_and_vectors() -> None:
    new = np.random.default_rng(3).random((7, 13)) < 0.3
    for vectors in (field(14, 26, 5), np.zeros((14, 26, 2), np.int16)):
        for skip in (None, ~new):
            data = encode_motion(skip, None, vectors, None, new)
            written = Reader(data, (14, 26), None)
            np.testing.assert_array_equal(written.unmatched, new)
            read = MotionReader(data, new.shape, None)
            assert read.unmatched is not None
            np.testing.assert_array_equal(read.unmatched, new)
            np.testing.assert_array_equal(read.skip, ~new if skip is not None else new & False)
            np.testing.assert_array_equal(read.vectors((14, 26), None), vectors)
    still = np.zeros((14, 26, 2), np.int16)
    assert encode_motion(None, None, still, None, new & False) == b""


def test_a_skip_map_that_stays_costs_nothing() -> None:
    still = np.zeros((14, 26, 2), np.int16)
    skip = np.arange(91).reshape(7, 13) % 5 < 2
    assert encode_motion(skip, skip.copy(), still, None) == b""
    np.testing.assert_array_equal(MotionReader(b"", (7, 13), skip).skip, skip)
    assert encode_motion(np.zeros((7, 13), bool), skip, still, None)


def test_golden_section() -> None:
    """A change here makes older streams unreadable: raise the stream's version with it."""
    vectors = np.tile(np.array((-6, 1), np.int16), (8, 8, 1))
    vectors[2:5, 3:6] = (11, -70)
    vectors[7, 0] = (-5, 1)
    golden = bytes.fromhex("7bbb9d691d9c139a07698d51d90e")
    assert encode_motion(None, None, vectors, None) == golden
    np.testing.assert_array_equal(Reader(golden, (8, 8), None).decode(), vectors)
