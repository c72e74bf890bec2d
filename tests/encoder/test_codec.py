"""Encoder and decoder with the tiny model: exactness, damage, regions."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from roicodec.bitstream.constants import INTER, INTRA, QUANTIZER_STEPS
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Candidate, Header
from roicodec.bitstream.masks import Mask, samples_of
from roicodec.bitstream.motion_section import MotionReader, encode_motion
from roicodec.bitstream.writer import StreamWriter
from roicodec.decoder.complexity import complexity
from roicodec.decoder.decoder import FrameDecoder
from roicodec.decoder.model import Model
from roicodec.decoder.network import IntegerNetwork
from roicodec.decoder.shapes import FrameShape, decoder_layers
from roicodec.encoder.decisions import FeatureAverage, bit_width_selector
from roicodec.encoder.effort import EFFORTS, Effort
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.rate_control import PsnrControl
from roicodec.encoder.roi.auto import AutoRoi
from roicodec.encoder.roi.saliency import SpectralMotion
from roicodec.encoder.roi.selector import LinearSelector, SizedSelector
from roicodec.encoder.roi.sources import NoRoi, RectangleRoi, RoiSource
from roicodec.errors import InputError, ModelError, StreamError
from roicodec.kernels.compensation import compensate
from roicodec.kernels.packing import unpack
from roicodec.picture import Picture
from roicodec.train.postfilter import PostFilterFit
from tests import decode_everywhere, tiny_model
from tests.machines import run_on

BARE = Effort(sweeps=1, trials=0, intra_trials=0, early_skip=False)
"""No trials, no skip map."""


@dataclass(frozen=True)
class Fixed:
    """Picks given pairs of bit-widths in turn; skip becomes the ROI's where it may not be."""

    pairs: Iterable[tuple[int, int]]

    def choose(self, features: object, mask: Mask, *, inter: bool) -> tuple[int, int]:
        b_roi, b_bg = next(self.pairs)  # type: ignore[call-overload]
        return b_roi, b_bg if b_bg or (inter and mask.any()) else b_roi


class Wandering:
    """A ROI that takes one more step to the right in every frame."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape

    def mask(self, index: int, time: float, picture: Picture, reference: Picture | None) -> Mask:
        mask = np.zeros(self.shape, bool)
        mask[: self.shape[0] // 2 + 1, index % self.shape[1]] = True
        return mask

    def close(self) -> None:
        pass


@dataclass
class Coded:
    """A coded clip: what a decoder needs, and what it must return."""

    header: Header
    chunks: list[FrameChunk]
    made: list[Picture] = field(repr=False)

    def decoder(self) -> FrameDecoder:
        return FrameDecoder(self.header, tiny_model.model())


def encode(
    pictures: Sequence[Picture],
    *,
    roi: RoiSource | None = None,
    pairs: Sequence[tuple[int, int]] = (),
    model: Model | None = None,
    effort_of: Effort | None = None,
    price: float | None = None,
    **options: object,
) -> Coded:
    size = pictures[0].width, pictures[0].height
    chosen = EncoderOptions(**{"quality": 30, "gop": 3, "structure": "low-delay", **options})  # type: ignore[arg-type]
    selector = Fixed(cycle(pairs)) if pairs else None
    encoder = FrameEncoder(
        *size,
        chosen,
        roi or NoRoi(*size),
        model or tiny_model.model(),
        selector,
        effort=effort_of,
        price=price,
    )
    coded = [c for p in [*pictures, None] for c in encoder.encode(p)]
    header = Header(*size, gop=chosen.gop, **encoder.header_fields)
    # As a reader returns them.
    packed = [c.chunk.pack(header, n) for n, c in enumerate(coded)]
    chunks = [FrameChunk.unpack(payload, header)[1] for payload in packed]
    return Coded(header, chunks, [c.reconstruction for c in coded])


def shown(decoder: FrameDecoder, chunk: FrameChunk) -> Picture:
    """The one picture that a frame of a low-delay stream gives."""
    [decoded] = decoder.decode(chunk)
    return decoded.picture


def assert_same(one: Picture, other: Picture) -> None:
    assert (one.pts, one.duration) == (other.pts, other.duration)
    for a, b in zip(one.planes, other.planes, strict=True):
        assert a.dtype == b.dtype == np.uint8
        assert np.array_equal(a, b)


def psnr(one: Picture, other: Picture) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.y.astype(float) - other.y) ** 2)))


def test_a_new_scene_begins_with_an_intra_frame() -> None:
    scenes = [tiny_model.pictures(128, 96, n, seed=s) for s, n in ((1, 3), (2, 7))]
    known: list[bool] = []

    class Watching(NoRoi):
        def mask(
            self, index: int, time: float, picture: Picture, reference: Picture | None
        ) -> Mask:
            known.append(reference is not None)
            return super().mask(index, time, picture, reference)

    coded = encode(scenes[0] + scenes[1], roi=Watching(128, 96), gop=5)
    found = [n for n, chunk in enumerate(coded.chunks) if chunk.kind == INTRA]
    assert found == [0, 3, 8]
    assert [n for n, before in enumerate(known) if not before] == [0, 3]
    decoder = coded.decoder()
    for chunk, made in zip(coded.chunks[3:], coded.made[3:], strict=True):
        assert_same(shown(decoder, chunk), made)


def test_seconds_of_a_roi_count_from_the_first_frame() -> None:
    """A source whose time stamps do not start at 0, as in a transport stream."""
    clip = [replace(p, pts=5000 + p.pts) for p in tiny_model.pictures(32, 32, 3)]
    seen: list[float] = []

    class Timed(NoRoi):
        def mask(
            self, index: int, time: float, picture: Picture, reference: Picture | None
        ) -> Mask:
            seen.append(time)
            return super().mask(index, time, picture, reference)

    step = clip[1].pts - clip[0].pts
    encode(clip, roi=Timed(32, 32), time_base=Fraction(1, 10))
    assert seen == [0, step / 10, 2 * step / 10]


# --- decoded is what was encoded ------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "candidates", "rectangle", "pairs"),
    [
        ((33, 18), (4, 8, 16), (10, 0, 12, 18), [(16, 4), (8, 4), (4, 16)]),
        ((16, 16), (2, 4, 8), None, []),
        ((16, 16), (4, 8, 16), (0, 0, 16, 16), []),
        ((70, 50), (4, 8, 16), (0, 0, 40, 20), []),
        ((70, 50), (2, 4, 8), (30, 17, 40, 33), [(8, 2), (2, 4), (8, 8)]),
        ((70, 50), (0, 8), (30, 17, 20, 20), [(8, 0), (8, 8)]),
        ((130, 34), (0, 3, 5, 6, 7), (60, 0, 1, 1), [(3, 5), (7, 6), (5, 0)]),
    ],
)
def test_decoded_frames_are_the_encoders(
    size: tuple[int, int],
    candidates: tuple[int, ...],
    rectangle: tuple[int, int, int, int] | None,
    pairs: list[tuple[int, int]],
) -> None:
    clip = tiny_model.pictures(*size, 5, seed=size[0])
    roi = RectangleRoi(rectangle, size) if rectangle else None
    coded = encode(clip, roi=roi, pairs=pairs, candidates=candidates)
    assert [c.kind for c in coded.chunks] == [INTRA, INTER, INTER, INTRA, INTER]
    inter = {(c.b_roi, c.b_bg) for c in coded.chunks if c.kind == INTER}
    assert not pairs or inter <= set(pairs)
    assert any(c.b_roi != c.b_bg for c in coded.chunks) == bool(
        pairs or rectangle == (0, 0, 40, 20)
    )
    decoder = coded.decoder()
    for chunk, made, picture in zip(coded.chunks, coded.made, clip, strict=True):
        decoded = shown(decoder, chunk)
        assert_same(decoded, made)
        assert decoded.crc32() == chunk.crc32
        assert decoded.pts == picture.pts
        assert psnr(decoded, picture) > 18


def test_a_stream_may_be_entered_at_any_intra_frame() -> None:
    coded = encode(tiny_model.pictures(40, 24, 5), gop=2)
    decoder = coded.decoder()
    for number in (2, 3, 0, 1, 4, 2):
        assert_same(shown(decoder, coded.chunks[number]), coded.made[number])


def test_one_and_two_threads_give_the_same_chunks_and_pictures() -> None:
    clip = tiny_model.pictures(70, 50, 3)
    threads = torch.get_num_threads()
    roi, pairs = RectangleRoi((20, 10, 30, 30), (70, 50)), [(16, 8), (4, 2), (8, 5)]
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(encode(clip, roi=roi, pairs=pairs, candidates=(2, 4, 5, 8, 16)))
        decoder = found[0].decoder()
        for chunk, made in zip(found[0].chunks, found[1].made, strict=True):
            assert_same(shown(decoder, chunk), made)
    finally:
        torch.set_num_threads(threads)
    assert found[0].chunks == found[1].chunks


# --- regions --------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_equal_bit_widths_make_the_mask_irrelevant(bits: int) -> None:
    clip = tiny_model.pictures(70, 50, 2, seed=4)
    rois: list[RoiSource | None] = [
        None,
        RectangleRoi((20, 0, 21, 40), (70, 50)),
        Wandering((4, 5)),
    ]
    plain, *others = (encode(clip, roi=r, pairs=[(bits, bits)], candidates=(bits,)) for r in rois)
    for other in others:
        for one, two in zip(plain.chunks, other.chunks, strict=True):
            assert replace(two, mask=b"") == one
    assert any(c.mask for c in others[0].chunks)


def test_skipped_regions_keep_their_prediction() -> None:
    clip = tiny_model.pictures(64, 64, 2, seed=5)
    roi = RectangleRoi((16, 16, 32, 16), (64, 64))
    coded = encode(clip, roi=roi, pairs=[(8, 0)], candidates=(0, 8), effort_of=BARE)
    chunk, made = coded.chunks[1], coded.made[1]
    assert (chunk.b_roi, chunk.b_bg) == (8, 0)
    vectors = MotionReader(chunk.motion, (4, 4), None).vectors((8, 8), None)
    assert vectors.any()
    predicted = unpack(compensate(coded.made[0].planes, vectors), 64, 64)
    inside = roi.mask(0, 0.0, clip[0], None)
    for plane, prediction, cell in zip(made.planes, predicted, (16, 8, 8), strict=True):
        different = plane != prediction
        where = samples_of(inside, plane.shape[1], plane.shape[0], cell)
        assert not different[~where].any()
        assert different[where].any()
    whole = encode(clip, roi=roi, pairs=[(8, 8)], candidates=(0, 8), effort_of=BARE)
    assert len(chunk.latents) < 0.6 * len(whole.chunks[1].latents)


def test_cells_of_the_skip_map_keep_their_prediction() -> None:
    coded = encode(tiny_model.pictures(128, 64, 3, seed=8), quality=40)
    chunk = coded.chunks[1]
    assert not coded.chunks[0].motion
    motion = MotionReader(chunk.motion, (4, 8), None)
    skip, vectors = motion.skip, motion.vectors((8, 16), None)
    assert 0 < skip.sum() < skip.size
    decoder = coded.decoder()
    shown(decoder, coded.chunks[0])
    without = replace(chunk, motion=encode_motion(None, None, vectors, None))
    with pytest.raises(StreamError):
        shown(_copy(decoder), without)
    # The first bits of the map stand behind two flags.
    for bit in (0x80, 0x40, 0x20, 0x10):
        flipped = bytes([chunk.motion[0] ^ bit]) + chunk.motion[1:]
        with pytest.raises(StreamError):
            shown(_copy(decoder), replace(chunk, motion=flipped))
    predicted = unpack(compensate(coded.made[0].planes, vectors), 128, 64)
    for plane, prediction, cell in zip(coded.made[1].planes, predicted, (16, 8, 8), strict=True):
        height, width = plane.shape
        different = plane != prediction[:height, :width]
        where = samples_of(skip, width, height, cell)
        assert not different[where].any()
        assert different[~where].any()


def window_opens(width: int, height: int) -> list[Picture]:
    """Three pictures of a texture that moves; in the last, another in a part of it: cells (1, 2) to
    (3, 4), at the right and lower edge of a frame of 70x50."""
    clip = tiny_model.pictures(width, height, 3, seed=8)
    other = tiny_model.pictures(width, height, 1, seed=9)[0]
    for into, new, cell in zip(clip[2].planes, other.planes, (16, 8, 8), strict=True):
        into[cell : 4 * cell, 2 * cell : 5 * cell] = new[cell : 4 * cell, 2 * cell : 5 * cell]
    return clip


def motion_sections(coded: Coded, grid: tuple[int, int]) -> list[MotionReader]:
    """Of the frames behind the first, which is intra."""
    found: list[MotionReader] = []
    for chunk in coded.chunks[1:]:
        skip = found[-1].skip if found else None
        found.append(MotionReader(chunk.motion, grid, skip))
    return found


def test_new_content_has_no_match() -> None:
    clip = window_opens(128, 96)
    coded = encode(clip, quality=40)
    before, motion = motion_sections(coded, (6, 8))
    assert before.unmatched is None
    assert motion.unmatched is not None
    assert motion.unmatched[1:4, 2:5].sum() >= 4
    # Beside the window a cell may be worse off with overlapped motion from inside it.
    assert motion.unmatched.sum() - motion.unmatched[1:4, 2:5].sum() <= 2
    plain = encode(clip, quality=40, effort_of=replace(EFFORTS[5], intra_cells=False))
    assert motion_sections(plain, (6, 8))[1].unmatched is None
    assert plain.chunks[:2] == coded.chunks[:2]
    assert _loss(coded, clip) < _loss(plain, clip)
    decoder = coded.decoder()
    for chunk, made in zip(coded.chunks[:2], coded.made[:2], strict=True):
        assert_same(shown(decoder, chunk), made)
    previous = before.vectors((12, 16), None)
    forgotten = encode_motion(
        motion.skip, before.skip, motion.vectors((12, 16), previous), previous
    )
    with pytest.raises(StreamError):
        shown(_copy(decoder), replace(coded.chunks[2], motion=forgotten))
    assert_same(shown(decoder, coded.chunks[2]), coded.made[2])


def _loss(coded: Coded, clip: list[Picture]) -> float:
    """D + lambda R of the last frame, in squared sample values of luma."""
    error = np.square(coded.made[-1].y.astype(float) - clip[-1].y).sum()
    chunk = coded.chunks[-1]
    worth = 0.06 * float(QUANTIZER_STEPS[chunk.quality]) ** 2
    return float(error + worth * 8 * (len(chunk.motion) + len(chunk.latents)))


def test_the_post_filter_changes_what_is_shown_and_nothing_else() -> None:
    clip = tiny_model.pictures(128, 96, 3, seed=8)
    bare = encode(clip, quality=16, effort_of=BARE)
    fits = {INTRA: PostFilterFit(), INTER: PostFilterFit()}
    for chunk, made, picture in zip(bare.chunks, bare.made, clip, strict=True):
        assert chunk.filters == (0, 0)
        fits[chunk.kind].add(made, picture, chunk.quality)
    files = tiny_model.networks()[2]
    weights = {
        f"{name}.weight": fits[kind].weights()
        for name, kind in (("intra", INTRA), ("inter", INTER))
    }
    fitted = {**files, "post_filter": {**files["post_filter"], **weights}}
    with torch.inference_mode():
        model = Model(fitted, tiny_model.model().backend)
    coded = encode(clip, quality=16, effort_of=BARE, model=model)
    decoder = FrameDecoder(coded.header, model)
    for chunk, made, before, without, picture in zip(
        coded.chunks, coded.made, bare.chunks, bare.made, clip, strict=True
    ):
        assert all(chunk.filters)
        assert psnr(made, picture) > psnr(without, picture) + 0.05
        assert_same(shown(decoder, chunk), made)
        assert replace(chunk, filters=(0, 0), crc32=before.crc32) == before


@pytest.mark.parametrize("effort", [1, 3])
def test_cells_are_skipped_without_a_trial_and_it_pays(effort: int) -> None:
    """Still content but for a part that changes."""
    clip = tiny_model.pictures(96, 64, 1, seed=3) * 3
    clip = [replace(p, y=p.y.copy(), pts=t) for t, p in enumerate(clip)]
    for t, picture in enumerate(clip):
        picture.y[16:48, 32 + 8 * t : 64 + 8 * t] = 40 * t + 60
    skipping = encode(clip, quality=2, effort=effort)
    plain = encode(clip, quality=2, effort_of=replace(EFFORTS[effort], early_skip=False))
    skip = motion_sections(skipping, (4, 6))[0].skip
    assert skip is not None
    assert skip[:, :2].all()
    assert not skip[1:3, 2].any()
    for chunk, before in zip(skipping.chunks[1:], plain.chunks[1:], strict=True):
        assert len(chunk.motion + chunk.latents) < len(before.motion + before.latents)
    decoder = skipping.decoder()
    for chunk, made in zip(skipping.chunks, skipping.made, strict=True):
        assert_same(shown(decoder, chunk), made)


def test_a_frame_of_nothing_but_skip() -> None:
    """A still clip: frames after the first take next to no bytes, and the networks do not run."""
    still = tiny_model.pictures(48, 32, 1)[0]
    clip = [replace(still, pts=t) for t in range(3)]
    coded = encode(clip, quality=0)
    decoder = coded.decoder()
    assert_same(shown(decoder, coded.chunks[0]), coded.made[0])
    with patch.object(IntegerNetwork, "synthesise", side_effect=AssertionError):
        for chunk, made in zip(coded.chunks[1:], coded.made[1:], strict=True):
            assert chunk.latents == b""
            assert_same(shown(decoder, chunk), made)


def test_more_effort_takes_fewer_bytes() -> None:
    clip = tiny_model.pictures(64, 64, 3, seed=3)
    sizes = [sum(len(c.motion + c.latents) for c in encode(clip, effort=e).chunks) for e in (3, 5)]
    assert sizes[0] > sizes[1]


def test_more_strength_moves_bits_into_the_roi() -> None:
    clip = tiny_model.pictures(64, 64, 1, seed=9)
    roi = RectangleRoi((16, 16, 32, 32), (64, 64))
    inside = samples_of(roi.mask(0, 0.0, clip[0], None), 64, 64)
    errors = []
    for strength in (0, 0.5, 1, 2):
        made = encode(
            clip, roi=roi, pairs=[(16, 4)], quality=32, gop=1, roi_strength=strength
        ).made[0]
        squared = (made.y.astype(float) - clip[0].y) ** 2
        errors.append((squared[inside].mean(), squared[~inside].mean()))
    assert errors == sorted(errors, key=lambda e: (-e[0], e[1]))


def test_dear_arithmetic_takes_fewer_bit_ops() -> None:
    clip = tiny_model.pictures(64, 64, 2, seed=9)
    roi = RectangleRoi((16, 16, 32, 32), (64, 64))
    sums = [
        sum(c.b_roi**2 + c.b_bg**2 for c in encode(clip, roi=roi, complexity=price).chunks)
        for price in (0, 20, 1e6)
    ]
    assert sums[0] >= sums[1] >= sums[2] == 2 * 2 * 4**2


def test_bit_widths_go_by_features_that_are_averaged_since_the_intra_frame() -> None:
    """One tenth of each frame's own; frames without a ROI, or that are all ROI, do not count."""
    average, seen = FeatureAverage(), []
    for frame, value in enumerate((1, 2, 90, 12, 5)):
        mask = np.eye(4, dtype=bool) & (frame != 2)
        made = average.add(np.full((2, 10), float(value)), mask, intra=frame % 4 == 0)
        seen.append(float(made[0, 0]))
    assert seen == pytest.approx([1, 2, 90, 3, 5])


@pytest.mark.parametrize("gop", [1, 96])
def test_arithmetic_is_priced_as_that_of_inter_frames(gop: int) -> None:
    """In intra frames, too: what is chosen there, those that follow should have."""
    model = tiny_model.model()
    cells, arrays = 4, model.inter.network.arrays.raw
    frames = [FrameShape(0, cells, b, b) for b in (4, 8, 16)]
    bit_ops = [complexity(decoder_layers(arrays, frame)).bit_ops for frame in frames]
    options = EncoderOptions(complexity=50, gop=gop, structure="low-delay")
    found, given = AutoRoi(SpectralMotion(), 64, 64), NoRoi(64, 64)
    selector = bit_width_selector(options, model, found)
    assert isinstance(selector, LinearSelector)
    assert isinstance(bit_width_selector(options, model, given), SizedSelector)
    assert selector.price == pytest.approx(0.5 * np.array(bit_ops) / (cells * 16 * 16) / 1e6)
    assert (np.diff(selector.price) > 0).all()


def test_a_psnr_begins_with_one_trial_of_the_first_frame() -> None:
    """What the encoder itself is shown, and asks the ROI for, stays as it is."""
    asked, tried = [], []

    class Counting(NoRoi):
        def mask(self, index: int, *rest: object) -> Mask:
            asked.append(index)
            return np.eye(4, dtype=bool)

    class Trying(PsnrControl):
        def tried(self, first: Callable[[int], float], boost: int) -> None:
            def trial(quality: int) -> float:
                tried.append(quality)
                return first(quality)

            super().tried(trial, boost)

    options = EncoderOptions(psnr=30.0, gop=2, effort=1, structure="low-delay")
    control = Trying(30.0, gop=2, frames=None)
    model = tiny_model.model()
    encoder = FrameEncoder(64, 64, options, Counting(64, 64), model, control=control)
    for picture in tiny_model.pictures(64, 64, 3):
        encoder.encode(picture)
    assert asked == [0, 1, 2]
    assert len(tried) == 1


def test_more_bits_in_the_roi_change_little_outside() -> None:
    """Regions meet in depthwise layers only: far from the ROI nothing of it is seen."""
    clip = tiny_model.pictures(192, 64, 1, seed=6)
    roi = RectangleRoi((0, 0, 16, 64), (192, 64))
    # The nearest symbols, whatever they cost, and no trials: the price depends on what the ROI's
    # latents are like, and what chroma's errors count for on all of them.
    options: dict[str, Any] = {"candidates": (4, 8), "quality": 10, "effort_of": BARE}
    pictures = [
        encode(clip, roi=roi, pairs=[(b_roi, 8)], price=0, **options).made[0] for b_roi in (4, 8)
    ]
    different = (pictures[0].y != pictures[1].y).any(0)
    assert different[:16].any()
    assert not different[160:].any()


# --- what does not fit ----------------------------------------------------------------------


def test_wrong_input() -> None:
    model, roi = tiny_model.model(), NoRoi(32, 32)
    with pytest.raises(InputError, match="candidate 9: the networks have bit-widths 0, 2"):
        EncoderOptions(candidates=(8, 9))
    encoder = FrameEncoder(32, 32, EncoderOptions(), roi, model)
    with pytest.raises(InputError, match="frame 0 has 48x32 samples, the first had 32x32"):
        encoder.encode(tiny_model.pictures(48, 32, 1)[0])


def test_a_stream_of_another_model_or_arithmetic() -> None:
    header = encode(tiny_model.pictures(16, 16, 1)).header
    with pytest.raises(ModelError, match="was made with model 0000"):
        FrameDecoder(replace(header, model_id=bytes(16)), tiny_model.model())
    with pytest.raises(ModelError, match="the stream uses arithmetic 99"):
        FrameDecoder(replace(header, arithmetic_id=99), tiny_model.model())


# --- damage ---------------------------------------------------------------------------------

_SECTIONS = ("mask", "motion", "latents")


@pytest.fixture(scope="module")
def coded() -> Coded:
    """Six frames in GOPs of four, in which every section but the skip map says something."""
    clip = tiny_model.pictures(70, 50, 6, seed=7)
    pairs = [(8, 4), (7, 5)]
    widths = (4, 5, 6, 7, 8)
    roi = Wandering((4, 5))
    coded = encode(clip, roi=roi, pairs=pairs, candidates=widths, gop=4, effort_of=BARE)
    for section in _SECTIONS:
        assert getattr(coded.chunks[1], section)
    return coded


def _after(coded: Coded, number: int) -> FrameDecoder:
    """A decoder that has decoded the frames of a GOP before ``number``."""
    decoder = coded.decoder()
    for n in range(number - number % 4, number):
        shown(decoder, coded.chunks[n])
    return decoder


def _copy(decoder: FrameDecoder) -> FrameDecoder:
    """A decoder in the same state, with the same networks."""
    model = decoder.model
    return copy.deepcopy(decoder, {id(model): model})


@pytest.mark.parametrize("number", [0, 1])
def test_a_flipped_bit_in_any_section_is_noticed(coded: Coded, number: int) -> None:
    before, chunk = _after(coded, number), coded.chunks[number]
    for section in _SECTIONS:
        data = getattr(chunk, section)
        # The last bytes may be what the coder did not need.
        for place in range(0, max(len(data) - 4, 1) if data else 0, max(len(data) // 4, 1)):
            flipped = bytearray(data)
            flipped[place] ^= 0x10
            change: dict[str, Any] = {section: bytes(flipped)}
            with pytest.raises(StreamError):
                shown(_copy(before), replace(chunk, **change))
    assert_same(shown(before, chunk), coded.made[number])


@pytest.mark.parametrize("number", [0, 1])
def test_a_changed_field_is_noticed(coded: Coded, number: int) -> None:
    before, chunk = _after(coded, number), coded.chunks[number]
    changes: list[dict[str, Any]] = [{"kind": 1 - chunk.kind}, {"crc32": chunk.crc32 ^ 1}]
    changes += [{"quality": chunk.quality ^ bit} for bit in (1, 2, 4, 8, 16, 32)]
    changes += [{"b_roi": b} for b in (0, 4, 5, 6, 7) if b != chunk.b_roi]
    changes += [{"b_bg": b} for b in (0, 5, 6, 7, 8) if b != chunk.b_bg]
    for change in changes:
        with pytest.raises(StreamError):
            shown(_copy(before), replace(chunk, **change))
    # Bit-widths that the stream did not announce do not get past the container.
    payload = bytearray(chunk.pack(coded.header, number))
    for place, bit in ((0, 1), (1, 3), (1, 0x40), (2, 0x80), (3, 8)):
        changed = payload.copy()
        changed[place] ^= bit
        if changed[place] in (4, 5, 6, 7, 8):
            continue
        with pytest.raises(StreamError):
            FrameChunk.unpack(bytes(changed), coded.header)


_Damage = tuple[str, int, int, bytes]


@st.composite
def _damages(draw: st.DrawFn) -> tuple[int, list[_Damage]]:
    """A frame's number, and what happens to its sections: where, how much goes, what comes."""
    damage = st.tuples(
        st.sampled_from(_SECTIONS),
        st.integers(0, 1 << 13),
        st.integers(0, 9),
        st.binary(max_size=9),
    )
    return draw(st.sampled_from((0, 1, 2))), draw(st.lists(damage, min_size=1, max_size=2))


@hypothesis_settings(max_examples=40)
@given(_damages())
def test_damaged_sections_never_give_a_wrong_picture(
    coded: Coded, damages: tuple[int, list[_Damage]]
) -> None:
    number, changes = damages
    decoder = _after(coded, number)
    chunk = coded.chunks[number]
    for section, place, gone, come in changes:
        data = getattr(chunk, section)
        at = place % (len(data) + 1)
        chunk = replace(chunk, **{section: data[:at] + come + data[at + gone :]})
    try:
        decoded = shown(decoder, chunk)
    except StreamError:
        with pytest.raises(StreamError, match="is lost"):
            shown(decoder, coded.chunks[3])
        assert_same(shown(decoder, coded.chunks[4]), coded.made[4])
    else:
        assert_same(decoded, coded.made[number])


def test_after_a_lost_frame_only_an_intra_frame_helps(coded: Coded) -> None:
    decoder = _after(coded, 1)
    with pytest.raises(StreamError, match=r"CRC32|damaged"):
        shown(decoder, coded.chunks[2])
    for number in (1, 2, 3):
        with pytest.raises(StreamError, match="which it refers to, is lost"):
            shown(decoder, coded.chunks[number])
    for number in (4, 5):
        assert_same(shown(decoder, coded.chunks[number]), coded.made[number])


def test_the_first_frame_must_be_intra(coded: Coded) -> None:
    with pytest.raises(StreamError, match="which it refers to, is lost"):
        shown(coded.decoder(), coded.chunks[1])


@pytest.mark.parametrize("bits", [0, 1, 9, 12])
def test_bit_widths_without_networks(coded: Coded, bits: int) -> None:
    header = replace(coded.header, candidates=(Candidate(bits), Candidate(8)))
    decoder = FrameDecoder(header, tiny_model.model())
    with pytest.raises(StreamError, match=f"bit-widths 8 and {bits} cannot be used"):
        shown(decoder, replace(coded.chunks[0], b_roi=8, b_bg=bits))


# --- on every machine -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A folder with weights and a stream of mixed bit-widths, and the CRCs of its pictures."""
    folder = tmp_path_factory.mktemp("everywhere")
    tiny_model.save(folder)
    pairs = [(16, 8), (8, 0), (4, 2), (16, 5)]
    clip = tiny_model.pictures(70, 50, 4, seed=8)
    coded = encode(
        clip, roi=RectangleRoi((20, 10, 30, 30), (70, 50)), pairs=pairs, gop=4,
        candidates=(0, 2, 4, 5, 8, 16),
    )  # fmt: skip
    assert [(c.b_roi, c.b_bg) for c in coded.chunks] == pairs
    with (folder / "stream.rq").open("wb") as file, StreamWriter(file, coded.header) as writer:
        for chunk in coded.chunks:
            writer.write_frame(chunk)
    return folder, [made.crc32() for made in coded.made]


def _check_machine(stream: tuple[Path, list[int]], isa: str | None, capability: str | None) -> None:
    """Decode in a process of its own, as a machine with other instructions would."""
    folder, crcs = stream
    result = run_on(isa, capability, "tests.decode_everywhere", str(folder))
    if result.returncode == -signal.SIGILL and capability == "avx512":
        pytest.skip("this CPU lacks the instructions that torch was told to use")
    if "runs with" in result.stderr:
        pytest.skip(f"this CPU {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr
    reference = [line for line in result.stdout.splitlines() if line.startswith("reference")]
    onednn = [line for line in result.stdout.splitlines() if line.startswith("onednn")]
    sums = " ".join(map(str, crcs))
    assert reference == [f"reference {t} {sums}" for t in decode_everywhere.THREADS]
    # Exact or refused, naming a layer; nothing in between.
    if len(onednn) == 1 and "refused" in onednn[0]:
        assert "is off by" in onednn[0]
        assert "Pointwise 96x64" in onednn[0]
    else:
        assert onednn == [f"onednn {t} {sums}" for t in decode_everywhere.THREADS]


def test_same_pixels_on_a_very_old_machine(stream: tuple[Path, list[int]]) -> None:
    _check_machine(stream, "SSE41", "default")


@pytest.mark.slow
@pytest.mark.parametrize("isa", [None, "SSE41", "AVX2", "AVX512_CORE"])
@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_same_pixels_on_every_instruction_set(
    stream: tuple[Path, list[int]], isa: str | None, capability: str
) -> None:
    _check_machine(stream, isa, capability)


def test_back_projection_raises_intra_frames() -> None:
    clip = tiny_model.pictures(96, 64, 1, seed=4)
    quality = []
    for effort in (3, 4):
        coded = encode(clip, quality=60, effort=effort)
        quality.append(psnr(clip[0], coded.made[0]))
    assert quality[1] > quality[0] + 0.1
