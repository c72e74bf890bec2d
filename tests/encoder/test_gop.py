"""Coding structures: plans of mini-GOPs, and streams that are coded by them."""

from __future__ import annotations

import itertools

import pytest

from roicodec.bitstream.constants import BIDIRECTIONAL, INTER, INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.decoder.decoder import DecodedFrame, FrameDecoder
from roicodec.encoder.effort import Effort
from roicodec.encoder.encoder import CodedFrame, FrameEncoder
from roicodec.encoder.gop import PYRAMIDS, STRUCTURES, mini_gop, prices, references_kept
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.errors import InputError, ReferenceLost, StreamError
from roicodec.picture import Picture
from tests import tiny_model

BARE = Effort(sweeps=1, trials=0, intra_trials=0)


@pytest.mark.parametrize("length", range(1, 17))
def test_every_frame_of_a_pyramid_finds_its_references(length: int) -> None:
    planned = mini_gop(length)
    assert sorted(p.number for p in planned) == list(range(1, length + 1))
    assert planned[0].kind == INTER
    buffer: ReferenceBuffer[int] = ReferenceBuffer(references_kept(length))
    buffer.keep(0, 0)
    for coded, p in enumerate(planned, 1):
        assert p.number == coded + p.place.shift
        kept = buffer.references(p.kind, p.place, p.number)
        wanted = (p.number - p.place.past, p.number + p.place.future)
        assert kept == wanted[: len(kept)]
        assert len(kept) == (2 if p.kind == BIDIRECTIONAL else 1)
        if p.place.kept:
            buffer.keep(p.number, p.number)


def test_a_bit_is_worth_more_error_in_higher_layers() -> None:
    worth = [prices(layer) for layer in range(6)]
    for low, high in itertools.pairwise(worth):
        assert low.symbols <= high.symbols
        assert low.skip <= high.skip
        assert low.vectors <= high.vectors


def test_structures_have_lengths() -> None:
    assert set(STRUCTURES) - set(PYRAMIDS) == {"auto"}
    with pytest.raises(InputError, match="structure 5"):
        EncoderOptions(structure="5")


def coded(
    frames: int, structure: str, gop: int = 96
) -> tuple[Header, list[Picture], list[CodedFrame]]:
    pictures = tiny_model.pictures(70, 50, frames, seed=3)
    options = EncoderOptions(quality=30, gop=gop, structure=structure)
    encoder = FrameEncoder(70, 50, options, NoRoi(70, 50), tiny_model.model(), effort=BARE)
    made = [c for p in [*pictures, None] for c in encoder.encode(p)]
    return Header(70, 50, gop=gop, **encoder.header_fields), pictures, made


def chunks(header: Header, made: list[CodedFrame]) -> list[tuple[int, FrameChunk]]:
    """As a reader returns them."""
    packed = [c.chunk.pack(header, n) for n, c in enumerate(made)]
    read = [FrameChunk.unpack(payload, header) for payload in packed]
    assert [replaced for _, _, replaced in read] == [[]] * len(read)
    return [(number, chunk) for number, chunk, _ in read]


@pytest.mark.parametrize(
    ("structure", "frames", "gop"), [("4", 10, 96), ("8", 9, 96), ("16", 7, 5)]
)
def test_pyramids_decode_in_order_to_what_was_coded(structure: str, frames: int, gop: int) -> None:
    header, pictures, made = coded(frames, structure, gop)
    kinds = [c.chunk.kind for c in made]
    assert BIDIRECTIONAL in kinds
    assert kinds.count(INTRA) == -(-frames // gop)
    decoder = FrameDecoder(header, tiny_model.model())
    found: list[DecodedFrame] = []
    for number, chunk in chunks(header, made):
        found += decoder.decode(chunk, number)
    found += decoder.decode(None)
    assert [f.number for f in found] == list(range(frames))
    assert [f.picture.pts for f in found] == [p.pts for p in pictures]
    by_pts = {c.reconstruction.pts: c.reconstruction for c in made}
    for f in found:
        assert f.picture.crc32() == by_pts[f.picture.pts].crc32()


def without(lost: int) -> tuple[list[int], int]:
    """Numbers of the pictures that come out of a pyramid of 8 when one is lost, in order, and how
    many frames are told to want it."""
    header, _, made = coded(9, "8")
    decoder = FrameDecoder(header, tiny_model.model())
    shown, orphans = [], 0
    for number, chunk in chunks(header, made):
        if number + chunk.place.shift == lost:
            continue
        try:
            shown += [f.number for f in decoder.decode(chunk, number)]
        except ReferenceLost as error:
            assert "which it refers to, is lost" in str(error)  # noqa: PT017 - counted
            orphans += 1
    return shown + [f.number for f in decoder.decode(None)], orphans


@pytest.mark.parametrize("leaf", [1, 3, 5, 7])
def test_a_lost_leaf_costs_itself_alone(leaf: int) -> None:
    assert without(leaf) == ([n for n in range(9) if n != leaf], 0)


@pytest.mark.parametrize(
    ("lost", "left"),
    [(2, [0, 4, 5, 6, 7, 8]), (6, [0, 1, 2, 3, 4, 8]), (4, [0, 8]), (8, [0])],
)
def test_a_lost_reference_costs_its_dependants(lost: int, left: list[int]) -> None:
    assert without(lost) == (left, 9 - 1 - len(left))


def test_a_damaged_leaf_is_told_and_costs_itself_alone() -> None:
    header, _, made = coded(9, "8")
    decoder = FrameDecoder(header, tiny_model.model())
    shown: list[int] = []
    for number, chunk in chunks(header, made):
        place = number + chunk.place.shift
        if place == 3:
            bad = FrameChunk.unpack(made[number].chunk.pack(header, number)[:-1] + b"\x00", header)[
                1
            ]
            with pytest.raises(StreamError, match="CRC32"):
                decoder.decode(bad, number)
        else:
            shown += [f.number for f in decoder.decode(chunk, number)]
    assert shown + [f.number for f in decoder.decode(None)] == [0, 1, 2, 4, 5, 6, 7, 8]
