"""BitOPs and measured time of the released networks at each choice of bit-widths.

    OMP_NUM_THREADS=1 python -m benchmarks.bitwidths [--sizes 352x288,1280x720] [--runs 3]

One inter frame of a real clip is encoded and decoded with each pair of bit-widths for ROI and rest.
Columns: `networks`, the decoder's networks without motion compensation and entropy decoding;
`decode`, the whole decoder; `encode`, the whole encoder without the search for the ROI. Times are
CPU milliseconds on one thread, the minimum of several rounds. "all" means one region. float32 is
the same networks without rounding (benchmarks/float_backend.py).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle

import av
import numpy as np
import torch

from benchmarks.float_backend import FloatBackend
from examples.clips import find_clip
from roicodec.bitstream.entropy import SymbolDecoder
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.decoder.complexity import complexity
from roicodec.decoder.frame import FrameCodec
from roicodec.decoder.latent_reader import LatentReader
from roicodec.decoder.latents import get_hyper
from roicodec.decoder.model import Model
from roicodec.decoder.references import Motion
from roicodec.decoder.shapes import FrameShape, decoder_layers
from roicodec.decoder.weights import load_arrays
from roicodec.encoder.effort import EFFORTS
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.features import Features
from roicodec.kernels import native
from roicodec.kernels.integer import SKELETON, Grid, Pointwise, Quantize
from roicodec.kernels.matrix import PackedPointwise
from roicodec.kernels.threads import set_threads
from roicodec.picture import Picture

SHARES = (10, 25, 50)
PAIRS = ((16, 8), (16, 4), (8, 4), (8, 2), (4, 2), (16, 0), (8, 0))
"""Bit-widths of ROI and rest; 0 skips the rest."""
QUALITY = 32
"""Quality index of all frames."""


@dataclass(frozen=True)
class Choice:
    """Bit-widths of ROI and rest, and the ROI's share of the picture in percent."""

    b_roi: int
    b_bg: int
    share: int

    def choose(self, features: Features, mask: Mask, *, inter: bool) -> tuple[int, int]:
        """The fixed pair: a choice serves as a selector."""
        return self.b_roi, self.b_bg if inter else self.b_bg or self.b_roi


class CentredRoi:
    """ROI in the middle of the picture, of its aspect ratio.

    Args:
        width: of the picture in luma samples.
        height: of the picture in luma samples.
        share: percentage of the cells that the ROI covers.
    """

    def __init__(self, width: int, height: int, share: int) -> None:
        rows, columns = grid_shape(width, height)
        side = (share / 100) ** 0.5
        h, w = round(rows * side), round(columns * side)
        self._mask = np.zeros((rows, columns), np.bool_)
        top, left = (rows - h) // 2, (columns - w) // 2
        self._mask[top : top + h, left : left + w] = True

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        return self._mask

    def close(self) -> None:
        pass


def pictures(width: int, height: int) -> list[Picture]:
    """Two successive frames of a real clip, scaled."""
    found: list[Picture] = []
    with av.open(str(find_clip("bigbuckbunny"))) as container:
        for frame in container.decode(video=0):
            i420 = frame.reformat(width, height, "yuv420p").to_ndarray()
            chroma = i420[height:].reshape(2, height // 2, width // 2)
            y, u, v = (np.ascontiguousarray(p) for p in (i420[:height], *chroma))
            found.append(Picture(y, u, v, pts=len(found), duration=1))
            if len(found) == 2:
                break
    return found


def milliseconds(action: Callable[[], object]) -> float:
    """CPU time of an action in milliseconds."""
    start = time.process_time()
    action()
    return 1000 * (time.process_time() - start)


class Trial:
    """One choice of bit-widths on one model: an intra frame, then the measured inter frame."""

    def __init__(self, model: Model, frames: list[Picture], choice: Choice) -> None:
        first = frames[0]
        self.choice, self.model, self.frames = choice, model, frames
        roi = CentredRoi(first.width, first.height, choice.share)
        # No cells are skipped: only the bit-widths differ.
        options = EncoderOptions(QUALITY, tuple({choice.b_roi, choice.b_bg}), structure="low-delay")
        self.encoder = FrameEncoder(
            first.width, first.height, options, roi, model, choice,
            effort=replace(EFFORTS[3], early_skip=False),
        )  # fmt: skip
        offsets = {c.bits: c.offset for c in self.encoder.header_fields["candidates"]}
        self.codec = FrameCodec(first.width, first.height, model, offsets)
        self.encoder.encode(first)
        [self.inter] = self.encoder.encode(frames[1])
        self.turns = cycle((0, 1))

    def encode_ms(self) -> float:
        """CPU time of encoding the next inter frame; the two pictures take turns."""
        picture = self.frames[next(self.turns)]
        return milliseconds(lambda: self.encoder.encode(picture))

    @torch.inference_mode()
    def networks_ms(self) -> float:
        """CPU time of the decoder's networks, with prediction and symbols given."""
        coded, codec = self.inter, self.codec
        predicted = codec.prepare(coded.setting, coded.references)

        def run() -> None:
            steps = iter(coded.symbols)
            frame = codec.prepare(coded.setting, coded.references, like=predicted)
            latents = codec.code_latents(frame, coded.hyper, lambda _model: next(steps)[1])
            codec.synthesise(frame, latents.values)

        return milliseconds(run)

    @torch.inference_mode()
    def decode_ms(self) -> float:
        """CPU time of decoding the frame chunk."""
        setting, chunk, codec = self.inter.setting, self.inter.chunk, self.codec

        def run() -> None:
            reader = MotionReader(chunk.motion, setting.mask.shape, None)
            motion = Motion(reader.vectors(codec.motion_shape, None))
            frame = codec.prepare(replace(setting, motion=motion), self.inter.references)
            run = SymbolDecoder(chunk.latents)
            hyper = get_hyper(run, codec.hyper_shape, frame.model.hyper_tables)
            latents = LatentReader(run, frame.model.latent_tables)
            made = codec.reconstruct(frame, codec.read_latents(frame, hyper, latents))
            codec.shown(setting, made.planes, chunk.filters, 0, 1).crc32()

        return milliseconds(run)

    def giga_bit_ops(self) -> float:
        """BitOPs of decoding the frame in 10^9."""
        shape = FrameShape.of(self.inter.setting.mask, None, self.choice.b_roi, self.choice.b_bg)
        arrays = load_arrays()["inter"]
        return complexity(decoder_layers(arrays, shape)).bit_ops / 1e9

    def giga_macs(self) -> float:
        """MACs of decoding the frame in 10^9."""
        shape = FrameShape.of(self.inter.setting.mask, None, self.choice.b_roi, self.choice.b_bg)
        return complexity(decoder_layers(load_arrays()["inter"], shape)).macs / 1e9


def peak() -> float:
    """10^9 MACs a second of 8-bit integers on one thread: the best that any product of matrices
    reaches here, torch's or our own, of sizes that fit in the cache."""
    products: list[tuple[int, Callable[[], object]]] = []
    for size in (256, 512, 1024):
        one = torch.randint(-128, 128, (size, size), dtype=torch.int8)
        products.append((size**3, partial(torch._int_mm, one, one)))
    if native.library() is not None:
        grid, rng = Grid(8, signed=True), np.random.default_rng(0)
        for cin, cout in ((256, 256), (256, 1024), (1024, 256)):
            weight = rng.integers(-127, 128, (cout, cin))
            zeros, shift = np.zeros(cout, np.int64), np.full(cout, 8)
            layer = Pointwise(weight, zeros, shift, grid, SKELETON, name="peak")
            run = PackedPointwise(layer, Quantize(np.zeros(cin, np.int64), grid))
            rows = rng.integers(-128, 128, (960, cin)).astype(np.int16)
            products.append((len(rows) * weight.size, partial(run, rows)))
    return max(
        count / 1e6 / min(milliseconds(run) + 1e-6 for _ in range(30)) for count, run in products
    )


def distance(giga_macs: float, decode_ms: float, giga_macs_a_second: float) -> str:
    """Line on the whole decoder's time by that of its MACs at the peak."""
    floor = 1000 * giga_macs / giga_macs_a_second
    return (
        f"Distance to the limit: the whole decoder at 8 bits takes {decode_ms:.0f} ms, its"
        f" {giga_macs:.1f} GMACs {floor:.1f} ms at this CPU's measured int8 peak of"
        f" {giga_macs_a_second:.0f} GMAC/s: {decode_ms / floor:.1f} times."
    )


def choices() -> list[Choice]:
    """Single bit-widths, then every pair at every share."""
    single = [Choice(b, b, 0) for b in (2, 4, 8, 16)]
    return single + [Choice(*pair, share) for pair in PAIRS for share in SHARES]


def print_table(width: int, height: int, runs: int, backend: str | None) -> None:
    """Table and summary of one picture size, measured and printed."""
    frames = pictures(width, height)
    exact, plain = Model(load_arrays(), backend), Model(load_arrays(), FloatBackend())
    print(f"{width}x{height}, {exact.backend.name} backend ({exact.backend.reason})", flush=True)
    trials = [Trial(plain, frames, Choice(8, 8, 0)), *(Trial(exact, frames, c) for c in choices())]
    # Trials take turns, so that other load on the machine affects all of them alike.
    rounds = [
        [(t.encode_ms(), t.decode_ms(), t.networks_ms()) for t in trials] for _ in range(runs)
    ]
    times = [
        [min(values) for values in zip(*of_trial, strict=True)]
        for of_trial in zip(*rounds, strict=True)
    ]
    unrounded = times[0]
    costs = {
        t.choice: Cost(t.giga_bit_ops(), *ms) for t, ms in zip(trials[1:], times[1:], strict=True)
    }
    eight = costs[Choice(8, 8, 0)].networks
    print(" ROI rest share  GBitOPs  encode  decode networks   of 8 bit  of float32")
    print("  float32              {:8.0f}{:8.0f}{:9.0f}".format(*unrounded))
    for choice, cost in costs.items():
        share = f"{choice.share}%" if choice.share else "all"
        print(
            f"{choice.b_roi:4d} {choice.b_bg:4d} {share:>5}{cost.giga_bit_ops:9.0f}"
            f"{cost.encode:8.0f}{cost.decode:8.0f}{cost.networks:9.0f}"
            f"{cost.networks / eight:11.2f}{cost.networks / unrounded[2]:12.2f}"
        )
    print(*in_words(costs, unrounded[2], exact.backend.name), sep="\n")
    whole = next(t for t in trials if t.choice == Choice(8, 8, 0) and t.model is exact)
    print(distance(whole.giga_macs(), costs[whole.choice].decode, peak()), flush=True)


@dataclass(frozen=True)
class Cost:
    """Cost of an inter frame.

    Attributes:
        giga_bit_ops: BitOPs of decoding in 10^9.
        encode: CPU milliseconds of the encoder.
        decode: CPU milliseconds of the decoder.
        networks: CPU milliseconds of the decoder's networks.
    """

    giga_bit_ops: float
    encode: float
    decode: float
    networks: float


_WHY = {
    "reference": "this backend multiplies integers held in float32, which takes the same time"
    " whatever their width",
    "onednn": "the kernels multiply bytes: fewer bits leave some of a byte's levels unused, and"
    " nothing is left out",
}


def in_words(costs: dict[Choice, Cost], float_ms: float, backend: str) -> list[str]:
    """Summary of the table: fewer bits, regions and float32, one line each."""
    eight = costs[Choice(8, 8, 0)]
    lines = []
    for bits in (2, 4):
        cost = costs[Choice(bits, bits, 0)]
        ops, ms = cost.giga_bit_ops / eight.giga_bit_ops, cost.networks / eight.networks
        gain = "no faster here" if ms > 0.95 else "faster"
        why = f": {_WHY[backend]}" if ms > 0.95 else ""
        lines.append(
            f"{bits} bits: {ops:.2f} of the BitOPs of 8, {ms:.2f} of the time; {gain}{why}."
        )
    sixteen = costs[Choice(16, 16, 0)]
    lines += [
        f"16 bits everywhere take {sixteen.networks / mixed.networks:.2f} times as long"
        f" as 16 in a ROI of 25 % and the rest {name}."
        for mixed, name in (
            (costs[Choice(16, 8, 25)], "at 8"),
            (costs[Choice(16, 0, 25)], "skipped"),
        )
    ]
    lines += [
        f"In the whole decoder 16 bits everywhere take {sixteen.decode / mixed.decode:.2f} times as"
        f" long as 16 in a ROI of 25 % and the rest {name} (bar {bar}); the networks are"
        f" {sixteen.networks / sixteen.decode:.0%} and {mixed.networks / mixed.decode:.0%} of it."
        for mixed, name, bar in (
            (costs[Choice(16, 8, 25)], "at 8", "1.5"),
            (costs[Choice(16, 0, 25)], "skipped", "3"),
        )
    ]
    lines.append(
        f"float32 takes {float_ms / eight.networks:.2f} times as long as 8 bits everywhere."
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="352x288,1280x720", help="(default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="rounds (default %(default)s)")
    parser.add_argument("--backend", help="auto (default), reference or onednn")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    set_threads(1)
    for size in asked.sizes.split(","):
        width, height = (int(side) for side in size.split("x"))
        print_table(width, height, asked.runs, asked.backend)
        print()


if __name__ == "__main__":
    main()
