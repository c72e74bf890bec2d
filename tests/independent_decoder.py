"""A second, independent decoder of frames, in plain numpy: "Order of frames", "Expected motion" and
"Frames" of docs/format.md by the book.

Names are those of the text; arithmetic and layers are in ``independent_networks``, the prediction
in ``independent_prediction``. Chunks, masks, motion and entropy-coded arrays are read with
roicodec: other tests have independent decoders of those. Whole frames are computed; what is in
cells that are not computed is 0 or without effect.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.entropy import SymbolDecoder, Tables
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.quality_map import QualityMap, decode_map

from . import independent_networks as nets
from .independent_networks import SKELETON, Arrays, Ints, Mask, Parts, accumulate, clip, pointwise
from .independent_prediction import (
    CHROMA,
    LUMA,
    Reference,
    Vectors,
    both_expected,
    expected,
    pack,
    predict,
    predict_features,
    unpack,
)

Planes = list[NDArray[np.uint8]]

BOUNDS = np.array([7, 9, 11, 14, 18, 23, 29, 37])


# --- Post-filter ----------------------------------------------------------------------------


TAPS = ((0, 1), (0, 2), (0, 3), (1, -2), (1, -1), (1, 0), (1, 1), (1, 2),
        (2, -1), (2, 0), (2, 1), (3, 0))  # fmt: skip
TURNS = (((1, 0), (0, 1)), ((0, 1), (1, 0)), ((-1, 0), (0, 1)), ((0, -1), (1, 0)))
"""Matrices that turn (i, j)."""


def shifted(s: Ints, i: int, j: int) -> Ints:
    """s(y + i, x + j) for all y and x."""
    at: Ints = np.indices(s.shape)
    y, x = clip(at[0] + i, (0, len(s) - 1)), clip(at[1] + j, (0, s.shape[1] - 1))
    return np.asarray(s[y, x])


def post_filter(s: Ints, weights: Ints, levels: Ints, bounds: Ints, switches: int) -> Ints:
    """Post-filter: a plane. ``weights`` are those of its part and of the range of Q, ``levels`` and
    ``bounds`` those of Q."""
    h, w = s.shape[0] // 4, s.shape[1] // 4

    def total(i: int, j: int) -> Ints:
        difference = abs(2 * s - shifted(s, i, j) - shifted(s, -i, -j))
        block = difference.reshape(h, 4, w, 4).sum((1, 3))
        beside = sum(shifted(block, *n) for n in ((-1, 0), (1, 0), (0, -1), (0, 1)))
        return np.asarray(2 * block + beside)

    V, H, D, E = total(1, 0), total(0, 1), total(1, 1), total(1, -1)
    activity = (levels <= (V + H)[..., None]).sum(-1)
    straight = np.maximum(H, V) * np.minimum(D, E) > np.maximum(D, E) * np.minimum(H, V)
    strong = np.where(straight, np.maximum(H, V), np.maximum(D, E))
    weak = np.where(straight, np.minimum(H, V), np.minimum(D, E))
    contrast = sum((4 * strong > k * weak).astype(int) for k in (5, 8, 12, 24))
    direction = np.where(contrast == 0, 0, 2 * contrast - straight)
    turn = 2 * (E >= D) + (V >= H)
    out = s.copy()
    for t, (down, right) in enumerate(TURNS):
        at = [(down[0] * i + down[1] * j, right[0] * i + right[1] * j) for i, j in TAPS]
        pairs = [(shifted(s, i, j) - s, shifted(s, -i, -j) - s) for i, j in at]
        for r, m in np.argwhere(turn == t):
            if switches >> activity[r, m] // 2 & 1:
                block = slice(4 * r, 4 * r + 4), slice(4 * m, 4 * m + 4)
                w_k = weights[activity[r, m], direction[r, m]]
                b = bounds[activity[r, m]]
                change = sum(
                    w * sum(d[block] for d in pair) + v * sum(clip(d[block], (-b, b)) for d in pair)
                    for w, v, pair in zip(w_k[:12], w_k[12:], pairs, strict=True)
                )
                out[block] = clip(s[block] + (128 + change) // 256, (0, 255))
    return out


# --- Order of frames, Regions to Picture and reference --------------------------------------


class Lost(Exception):
    """A frame cannot be decoded: a reference is not kept, or its CRC is wrong."""


class Decoder:
    """The frames of a stream, one after another in coding order."""

    mask: Mask
    features: Ints
    skip: Mask | None
    offset_map: QualityMap | None

    def __init__(self, header: Header, networks: Mapping[str, Arrays]) -> None:
        assert header.model_id == nets.model_id(networks)
        assert header.arithmetic_id == 1
        self.size = header.height, header.width
        self.grid = -(-header.height // 16), -(-header.width // 16)
        self.cells = -(-header.height // 32) * 2, -(-header.width // 32) * 2
        self.shape = 2 * self.cells[0], 2 * self.cells[1]
        self.offsets = {c.bits: c.offset for c in header.candidates}
        self.networks = {name: nets.Network(networks[name]) for name in ("intra", "inter")}
        self.filters = {n: a.astype(np.int64) for n, a in networks["post_filter"].items()}
        self.most, self.maps = header.references, header.maps
        self.kept: dict[int, Reference] = {}
        self.number = -1

    def pictures(self, chunks: Iterable[tuple[int, FrameChunk]]) -> Iterator[tuple[int, Planes]]:
        """What is shown: numbers in the order in which frames are shown, and planes.

        Args:
            chunks: with their numbers in coding order.
        """
        waiting: dict[int, Planes] = {}
        next_shown = 0
        for number, chunk in chunks:
            n, place = number + chunk.place.shift, chunk.place
            next_shown = max(next_shown, n if chunk.kind == 0 else n - place.past)
            with suppress(Lost):
                waiting[n] = self.decode(chunk, number)
            while ready := [k for k in sorted(waiting) if k <= next_shown]:
                for k in ready:
                    yield k, waiting.pop(k)
                    next_shown = max(next_shown, k + 1)
        for k in sorted(waiting):
            yield k, waiting[k]

    def decode(self, chunk: FrameChunk, number: int | None = None) -> Planes:
        """Y, U, V of a frame.

        Args:
            chunk: of the frame.
            number: in coding order; None if it follows the one before.

        Raises:
            Lost: if it cannot be decoded.
        """
        self.number = self.number + 1 if number is None else number
        n, place = self.number + chunk.place.shift, chunk.place
        self.kept = {k: r for k, r in self.kept.items() if chunk.kind and k >= n - place.past}
        wanted = [[], [n - place.past], [n - place.past, n + place.future]][chunk.kind]
        if any(k not in self.kept for k in wanted):
            raise Lost(f"frame {n} refers to {wanted}, of which not all are there")
        planes, left = self.reconstruct(chunk, [self.kept[k] for k in wanted])
        crc = 0
        for plane in planes:
            crc = zlib.crc32(plane.tobytes(), crc)
        if crc != chunk.crc32:
            raise Lost(f"frame {n} has another CRC")
        if place.kept:
            self.kept[n] = left
            while len(self.kept) > self.most:
                del self.kept[min(self.kept)]
        return planes

    def reconstruct(
        self, chunk: FrameChunk, references: list[Reference]
    ) -> tuple[Planes, Reference]:
        """Regions to Picture and reference: Y, U, V of a frame, and what it leaves."""
        self.chunk, self.intra = chunk, not references
        self.net = self.networks["intra" if self.intra else "inter"]
        self.C, self.E = np.zeros((2, 96), np.int64)
        if references:
            self.C, self.E = references[0].C.copy(), references[0].E.copy()
        self.read_regions(references)
        prediction, context = np.full((*self.shape, 96), 128), None
        self.features = np.zeros((*self.shape, 32), np.int64)
        fields: list[Vectors] = []
        if references:
            prediction, fields = self.predicted(references)
            context = self.context(prediction)
        samples = prediction
        if self.parts:
            samples = self.synthesis(self.latents(context), context, prediction)
        planes = unpack(samples)
        left = Reference(planes, self.features, self.mask, self.C * 14 // 16, self.E * 14 // 16)
        if self.intra:
            left.features = 0 * self.features
            left.C, left.E = np.zeros((2, 96), np.int64)
            self.skip = None
        else:
            left.past, left.a, left.skip = fields[0], chunk.place.past, self.skip
        if len(references) == 2:
            left.future, left.b = fields[1], chunk.place.future
        left.offsets = self.offset_map
        halves = [-(-n // 2) for n in self.size]
        sizes = (self.size, halves, halves)
        shown = [self.shown(plane, part) for plane, part in zip(planes, (0, 1, 1), strict=True)]
        cropped = [p[:r, :c].astype(np.uint8) for p, (r, c) in zip(shown, sizes, strict=True)]
        return cropped, left

    def predicted(self, references: list[Reference]) -> tuple[Ints, list[Vectors]]:
        """Prediction, and the fields; sets the features."""
        place = self.chunk.place
        modes = None
        if len(references) == 1:
            fields = [self.motion.vectors(self.shape, expected(references[0], place.past))]
        else:
            likely = both_expected(references[0], references[1], place.past, place.future)
            past, future, modes = self.motion.bidirectional(self.shape, likely)
            fields = [past, future]
        made = []
        for reference, field in zip(references, fields, strict=True):
            v = field.astype(np.int64)
            filters = zip(reference.planes, (LUMA, CHROMA, CHROMA), strict=True)
            made.append(
                (
                    pack([predict(ref, v, F) for ref, F in filters]),
                    predict_features(reference.features, v),
                )
            )
        prediction, self.features = made[0]
        if modes is not None:
            mode = modes.repeat(2, 0).repeat(2, 1)[..., None]
            prediction, self.features = (
                np.where(mode == 1, p, np.where(mode == 2, f, (p + f + 1) // 2))
                for p, f in zip(*made, strict=True)
            )
        if self.motion.unmatched is not None:
            at = np.pad(self.motion.unmatched, self.beyond).repeat(2, 0).repeat(2, 1)
            for part in np.split(prediction, [64, 80], -1):
                n = part.shape[-1]
                part[at] = (2 * part[at].sum(-1, keepdims=True) + n) // (2 * n)
            self.features[at] = self.net["unmatched"][self.q[at]]
        return prediction, fields

    def shown(self, plane: Ints, part: int) -> Ints:
        """Post-filter: the switches and the filters of a plane."""
        Q = self.chunk.quality
        weights = self.filters["intra.weight" if self.intra else "inter.weight"][part, 6 * Q // 64]
        levels, bounds = self.filters["levels"][Q], self.filters["bounds"][Q]
        return post_filter(plane, weights, levels, bounds, self.chunk.filters[part])

    def read_regions(self, references: list[Reference]) -> None:
        """Mask, Skip map, Regions: bit-widths and quality indices of positions."""
        chunk = self.chunk
        before = references[0] if references else None
        self.mask = decode_mask(chunk.mask, self.grid, before.mask if before else None)
        self.motion = MotionReader(chunk.motion, self.grid, before.skip if before else None)
        self.skip = self.motion.skip
        beyond = [(0, whole - part) for whole, part in zip(self.cells, self.grid, strict=True)]
        self.beyond = beyond
        roi, skip = np.pad(self.mask, beyond), np.pad(self.skip, beyond, "edge")
        roi, skip = (m.repeat(2, 0).repeat(2, 1) for m in (roi, skip))
        bits = np.where(skip, 0, np.where(roi, chunk.b_roi, chunk.b_bg))
        self.computed = bits > 0
        self.parts: Parts = [(int(b), bits == b) for b in np.unique(bits[self.computed])]
        offsets = np.where(roi, self.offsets[chunk.b_roi], self.offsets[chunk.b_bg])
        known = before.offsets if before else None
        self.offset_map = None
        if self.maps == 2 or (self.maps == 1 and self.intra):
            inside = self.computed[: 2 * self.grid[0] : 2, : 2 * self.grid[1] : 2]
            self.offset_map = decode_map(chunk.offsets, inside, known)
        if self.offset_map is not None:
            own = np.pad(self.offset_map.astype(np.int64), beyond, "edge")
            offsets = offsets + 2 * own.repeat(2, 0).repeat(2, 1)
        self.q = clip(chunk.quality + offsets, (0, 63))

    def context(self, prediction: Ints) -> Ints:
        """Context."""
        stream = np.concatenate(((prediction - 128) * 16, self.features), -1)
        stream = self.net.block("context_block", stream, -9, self.parts, None)
        return pointwise(stream, self.net.skeleton("context_out"))

    def hyper_latents(self, coder: SymbolDecoder) -> Ints:
        """Hyper-latents."""
        shape = self.shape[0] // 4, self.shape[1] // 4, 32
        tables = Tables(self.net["tables.hyper"], offset=-24, escape=True)
        z = np.zeros(shape, np.int64)
        r, m, _ = np.indices(shape)
        near = {0: (), 2: ((-1, -1), (-1, 1), (1, -1), (1, 1)),
                1: ((-1, 0), (0, -1), (0, 1), (1, 0))}  # fmt: skip
        for odd, offsets in near.items():
            now = r % 2 + m % 2 == odd
            total, n = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            for i, j in offsets:
                there = (clip(r + i, (0, shape[0] - 1)) == r + i) & (
                    clip(m + j, (0, shape[1] - 1)) == m + j
                )
                total += np.where(there, np.roll(z, (-i, -j), (0, 1)), 0)
                n += there
            level = sum((8 * abs(total) > k * n).astype(int) for k in (1, 5, 11))
            context = (4 + np.sign(total) * level) if offsets else 0 * total
            z[now] = coder.get(tables, (8 * np.arange(32) + context)[now])
        return z

    def hyper(self, coder: SymbolDecoder) -> Ints:
        """Hyper-synthesis: rows of positions."""
        net, Q = self.net, self.chunk.quality
        rows = clip(self.hyper_latents(coder) * net["hyper_step"][Q], SKELETON)
        rows = nets.split(pointwise(rows, net.skeleton("hyper_synthesis.0"), nets.unsigned(16)))
        return nets.split(pointwise(rows, net.skeleton("hyper_synthesis.1"), nets.unsigned(16)))

    def latents(self, context: Ints | None) -> Ints:
        """Entropy network, Latents: those of computed cells, others 0."""
        net, q, S = self.net, self.q, self.net.exponent("entropy")
        coder = SymbolDecoder(self.chunk.latents)
        hyper = self.hyper(coder)
        x = accumulate(net["entropy_quality"][q], hyper, net.skeleton("hyper_synthesis.2"))
        if context is not None:
            x = accumulate(x, context, net.skeleton("context_in"))
        tables = Tables(net["tables.latents"], offset=-64, escape=True)
        expected = net["tables.latents"].astype(np.int64) @ np.minimum(abs(np.arange(-64, 66)), 2)
        latents = np.zeros((*self.shape, 96), np.int64)
        r, m, c = np.indices(latents.shape)
        F = np.where(r % 2 == 0, np.where(m % 2 == 0, 0, 2), np.where(m % 2 == 0, 3, 1))
        for k in range(4):
            if k:
                x = accumulate(x, net.spread(latents), net.skeleton(f"inject.{k - 1}"))
            x = net.block(f"entropy.{k}", x, S, self.parts, None)
            mu, i = np.split(pointwise(x, net.skeleton(f"heads.{k}")), 2, -1)
            t = clip((i + net["index_quality"][q] + 8) // 16, (0, 47))
            coded = ((c + F) % 4 == k) & self.computed[..., None]
            ratio = 16 * (self.C + 1024)[:, None] >= BOUNDS * (self.E + 1024)[:, None]
            channel, t = c[coded], t[coded]
            s = coder.get(tables, net["tables.stand_ins"][ratio.sum(1)[channel], t]).astype(
                np.int64
            )
            np.add.at(self.C, channel, 256 * np.minimum(abs(s), 2))
            np.add.at(self.E, channel, expected[t] // 256)
            differences = (s * net["step"][q][coded] + 8) // 16
            latents[coded] = clip(mu[coded] + differences, SKELETON)
        return latents

    def synthesis(self, latents: Ints, context: Ints | None, prediction: Ints) -> Ints:
        """Synthesis: samples; sets the features."""
        net = self.net
        x = accumulate(net["synthesis_quality"][self.q], net.spread(latents), net.skeleton("up"))
        r, features = np.split(net.stack("synthesis", x, -9, self.parts, context), [96], -1)
        computed = self.computed[..., None]
        self.features = np.where(computed, features, self.features)
        samples = clip((16 * prediction + r + 8) // 16, (0, 255))
        return np.where(computed, samples, prediction)
