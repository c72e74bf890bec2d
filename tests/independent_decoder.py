"""A second, independent decoder of frames, in plain numpy: "Frames" of docs/format.md by the book.

Names are those of the text; arithmetic and layers are in ``independent_networks``. Chunks, masks,
motion and entropy-coded arrays are read with roicodec: other tests have independent decoders of
those. Whole frames are computed; what is in cells that are not computed is 0 or without effect.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from roicodec.bitstream.constants import INTRA
from roicodec.bitstream.entropy import SymbolDecoder, Tables
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.motion_section import MotionReader

from . import independent_networks as nets
from .independent_networks import SKELETON, Arrays, Ints, Mask, Parts, accumulate, clip, pointwise

LUMA = np.array([[0, 0, 0, 64, 0, 0, 0, 0], [-1, 4, -10, 58, 17, -5, 1, 0],
                 [-1, 4, -11, 40, 40, -11, 4, -1], [0, 1, -5, 17, 58, -10, 4, -1]])  # fmt: skip
CHROMA = np.array([[0, 64, 0, 0], [-2, 58, 10, -2], [-4, 54, 16, -2], [-6, 46, 28, -4],
                   [-4, 36, 36, -4], [-4, 28, 46, -6], [-2, 16, 54, -4], [-2, 10, 58, -2],
                   ])  # fmt: skip

BOUNDS = np.array([7, 9, 11, 14, 18, 23, 29, 37])


# --- Packing, Prediction --------------------------------------------------------------------


def pack(planes: list[Ints]) -> Ints:
    """Packing: rows of 96 samples."""
    rows = [p.reshape(len(p) // n, n, -1, n) for p, n in zip(planes, (8, 4, 4), strict=True)]
    return np.concatenate([r.swapaxes(1, 2).reshape(*r.shape[::2], -1) for r in rows], -1)


def unpack(rows: Ints) -> list[Ints]:
    """Packing: the planes of such rows."""
    h, w, _ = rows.shape
    parts = zip(np.split(rows, [64, 80], -1), (8, 4, 4), strict=True)
    return [p.reshape(h, w, n, n).swapaxes(1, 2).reshape(h * n, w * n) for p, n in parts]


def displaced(ref: Ints, vectors: Ints, F: Ints) -> Ints:
    """Prediction: P of a plane, its vectors ``[N, N, 2]`` those of blocks.

    u is the number of filters, a that of the taps before the middle.
    """
    u, taps, side = len(F), F.shape[1], len(ref) // len(vectors)
    a = taps // 2 - 1
    dx, dy = np.moveaxis(vectors.repeat(side, 0).repeat(side, 1), -1, 0)
    y, x = np.indices(ref.shape)
    X, Y = x + dx // u - a, y + dy // u - a
    total = np.zeros(ref.shape, np.int64)
    for j, i in np.ndindex(taps, taps):
        near = ref[clip(Y + j, (0, len(ref) - 1)), clip(X + i, (0, ref.shape[1] - 1))]
        total += F[dy % u, j] * F[dx % u, i] * near
    return clip(total, (0, 255 * 4096))


def predict(ref: Ints, vectors: Ints, F: Ints) -> Ints:
    """Prediction: a plane."""
    side, (y, x) = len(ref) // len(vectors), np.indices(ref.shape)
    wide = np.pad(vectors, ((1, 1), (1, 1), (0, 0)), "edge")
    above, below, left, right = (
        displaced(ref, v, F)
        for v in (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    )
    v1 = np.where(y % side < side // 2, above, below)
    v2 = np.where(x % side < side // 2, left, right)
    window = np.array({8: (5, 3, 2, 1, 1, 2, 3, 5), 4: (4, 2, 2, 4)}[side])
    g1, g2 = window[y % side], window[x % side]
    total = (16 - g1 - g2) * displaced(ref, vectors, F) + g1 * v1 + g2 * v2
    rounded: Ints = (total + 2**15) // 2**16
    return rounded


def predict_features(features: Ints, vectors: Ints) -> Ints:
    """Prediction: the predicted features."""
    rows, columns, _ = vectors.shape
    (r, m), (dx, dy) = np.indices((rows, columns)), np.moveaxis(vectors, -1, 0)
    r, m = r + (dy + 16) // 32, m + (dx + 16) // 32
    return np.asarray(features[clip(r, (0, rows - 1)), clip(m, (0, columns - 1))])


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


# --- Regions to Picture and reference -------------------------------------------------------


class Decoder:
    """The frames of a stream, one after another."""

    mask: Mask
    planes: list[Ints]
    features: Ints
    skip: Mask | None
    vectors: NDArray[np.int16] | None

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

    def decode(self, chunk: FrameChunk) -> list[NDArray[np.uint8]]:
        """Regions to Picture and reference: Y, U, V of the next frame."""
        self.intra, self.chunk = chunk.kind == INTRA, chunk
        self.net = self.networks["intra" if self.intra else "inter"]
        self.read_regions()
        prediction, context = np.full((*self.shape, 96), 128), None
        if self.intra:
            self.features = np.zeros((*self.shape, 32), np.int64)
            self.C, self.E = np.zeros((2, 96), np.int64)
        else:
            self.vectors = self.motion.vectors(self.shape, self.vectors)
            v = self.vectors.astype(np.int64)
            filters = zip(self.planes, (LUMA, CHROMA, CHROMA), strict=True)
            prediction = pack([predict(ref, v, F) for ref, F in filters])
            self.features = predict_features(self.features, v)
            if self.motion.unmatched is not None:
                at = np.pad(self.motion.unmatched, self.beyond).repeat(2, 0).repeat(2, 1)
                for part in np.split(prediction, [64, 80], -1):
                    n = part.shape[-1]
                    part[at] = (2 * part[at].sum(-1, keepdims=True) + n) // (2 * n)
                self.features[at] = self.net["unmatched"][self.q[at]]
            context = self.context(prediction)
        samples = prediction
        if self.parts:
            samples = self.synthesis(self.latents(context), context, prediction)
        self.planes = unpack(samples)
        self.C, self.E = self.C * 14 // 16, self.E * 14 // 16
        if self.intra:
            self.features = 0 * self.features
            self.skip = self.vectors = None
            self.C, self.E = np.zeros((2, 96), np.int64)
        halves = [-(-n // 2) for n in self.size]
        sizes = (self.size, halves, halves)
        shown = [
            self.shown(plane, part) for plane, part in zip(self.planes, (0, 1, 1), strict=True)
        ]
        return [p[:r, :c].astype(np.uint8) for p, (r, c) in zip(shown, sizes, strict=True)]

    def shown(self, plane: Ints, part: int) -> Ints:
        """Post-filter: the switches and the filters of a plane."""
        Q = self.chunk.quality
        weights = self.filters["intra.weight" if self.intra else "inter.weight"][part, 6 * Q // 64]
        levels, bounds = self.filters["levels"][Q], self.filters["bounds"][Q]
        return post_filter(plane, weights, levels, bounds, self.chunk.filters[part])

    def read_regions(self) -> None:
        """Mask, Skip map, Regions: bit-widths and quality indices of positions."""
        chunk = self.chunk
        self.mask = decode_mask(chunk.mask, self.grid, None if self.intra else self.mask)
        self.motion = MotionReader(chunk.motion, self.grid, None if self.intra else self.skip)
        self.skip = self.motion.skip
        beyond = [(0, whole - part) for whole, part in zip(self.cells, self.grid, strict=True)]
        self.beyond = beyond
        roi, skip = np.pad(self.mask, beyond), np.pad(self.skip, beyond, "edge")
        roi, skip = (m.repeat(2, 0).repeat(2, 1) for m in (roi, skip))
        bits = np.where(skip, 0, np.where(roi, chunk.b_roi, chunk.b_bg))
        self.computed = bits > 0
        self.parts: Parts = [(int(b), bits == b) for b in np.unique(bits[self.computed])]
        offsets = np.where(roi, self.offsets[chunk.b_roi], self.offsets[chunk.b_bg])
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
