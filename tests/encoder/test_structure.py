"""Choice of the coding structure: by trials, bounded look-ahead, the same at every run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from roicodec.bitstream.constants import BIDIRECTIONAL, INTER, INTRA
from roicodec.encoder.effort import Effort
from roicodec.encoder.encoder import CodedFrame, FrameEncoder
from roicodec.encoder.gop import INTRA_OFFSETS
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.encoder.structure import AutoStructure, FixedStructure, Structure, Tried, structure
from roicodec.errors import InputError
from roicodec.picture import Picture
from tests import tiny_model

BARE = Effort(sweeps=1, trials=0, intra_trials=0)
GOOD, BAD = Tried(5000, 36.0), Tried(30000, 36.0)
"""A pyramid to choose, and one not to, against :data:`LOW_DELAY`."""
LOW_DELAY = Tried(10000, 36.0)


def played(chooser: Structure, prices: list[float], pyramid: Tried) -> list[tuple[int, ...]]:
    """Everything that a chooser asks for in a GOP of such prices."""
    chooser.begin()
    asked: list[tuple[int, ...]] = []
    waiting: list[float] = []
    left = list(prices)
    while left or waiting:
        lengths = chooser.lengths(waiting, ended=not left) if waiting else ()
        if not lengths:
            waiting.append(left.pop(0))
            continue
        asked.append(lengths)
        if len(lengths) > 1:
            chooser.best([LOW_DELAY, pyramid], 40)
        del waiting[: max(lengths)]
    return asked


def test_a_gop_is_tried_once_and_goes_on_as_chosen() -> None:
    assert played(AutoStructure(8), [9.0] * 30, GOOD) == [(1, 8), (8,), (8,), (6,)]
    assert played(AutoStructure(8), [9.0] * 12, BAD) == [(1, 8), (1,), (1,), (1,), (1,)]


def test_every_gop_is_tried() -> None:
    chooser = AutoStructure(8)
    for _ in range(2):
        assert played(chooser, [9.0] * 8, GOOD) == [(1, 8)]


@pytest.mark.parametrize("factor", [0.2, 5])
def test_other_motion_is_tried_anew_but_seldom(factor: float) -> None:
    asked = played(AutoStructure(8), [9.0] * 40 + [9.0 * factor] * 16, GOOD)
    assert asked == [(1, 8), (8,), (8,), (8,), (8,), (1, 8), (8,)]
    asked = played(AutoStructure(8), [9.0] * 8 + [9.0 * factor] * 16, GOOD)
    assert asked == [(1, 8), (8,), (8,)]


@pytest.mark.parametrize(("lookahead", "pyramid"), [(1, 1), (3, 1), (4, 4), (7, 4), (8, 8)])
def test_no_more_pictures_wait_than_the_look_ahead(lookahead: int, pyramid: int) -> None:
    chooser = AutoStructure(lookahead)
    assert chooser.longest == pyramid
    assert not chooser.lengths([1.0] * (pyramid - 1), ended=False) or pyramid == 1
    assert chooser.lengths([1.0] * pyramid, ended=False)
    with pytest.raises(InputError, match="lookahead 9"):
        EncoderOptions(lookahead=9)


def test_fewer_than_three_frames_are_not_worth_a_trial() -> None:
    assert played(AutoStructure(8), [9.0] * 2, GOOD) == [(1,), (1,)]
    assert played(AutoStructure(8), [9.0] * 3, GOOD) == [(1, 3)]


def test_bits_quality_and_index_decide() -> None:
    def kept(pyramid: Tried, quality: int = 36) -> int:
        return AutoStructure(8).best([LOW_DELAY, pyramid], quality)

    assert (kept(GOOD), kept(BAD)) == (1, 0)
    assert (kept(Tried(15000, 36.5)), kept(Tried(15000, 37.5))) == (0, 1)
    assert (kept(Tried(11500, 36.1), 10), kept(Tried(11500, 36.1), 60)) == (0, 1)


def test_structures_have_choosers() -> None:
    for name, longest in (("low-delay", 1), ("4", 4), ("8", 8), ("16", 16)):
        fixed = structure(name, 8)
        assert isinstance(fixed, FixedStructure)
        assert fixed.longest == longest
        assert played(fixed, [1.0] * 33, GOOD) == [(longest,)] * (33 // longest) + (
            [(33 % longest,)] if 33 % longest else []
        )
    assert isinstance(structure("auto", 8), AutoStructure)


# --- real frames ----------------------------------------------------------------------------


def coded(pictures: list[Picture], **options: object) -> list[CodedFrame]:
    chosen = EncoderOptions(quality=50, structure="auto", **options)  # type: ignore[arg-type]
    encoder = FrameEncoder(64, 48, chosen, NoRoi(64, 48), tiny_model.model(), effort=BARE)
    return [c for p in [*pictures, None] for c in encoder.encode(p)]


class Always(AutoStructure):
    """A chooser of one of the two, whatever comes out of a trial."""

    index = 0

    def best(self, tried: list[Tried], quality: int) -> int:  # type: ignore[override]
        self._chosen = (1, self.longest)[self.index]
        return self.index


@pytest.mark.parametrize("index", [0, 1])
def test_what_is_not_kept_leaves_no_trace(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of the kept kind alone, but for the quality of the intra frame."""
    from roicodec.encoder import structure as module

    monkeypatch.setattr(Always, "index", index)
    monkeypatch.setattr(module, "AutoStructure", Always)
    monkeypatch.setattr(Always, "intra_offset", INTRA_OFFSETS[index])
    pictures = tiny_model.pictures(64, 48, 12, seed=5)
    auto = coded(pictures)
    name = ("low-delay", "8")[index]
    encoder = FrameEncoder(
        64, 48, EncoderOptions(quality=50, structure=name), NoRoi(64, 48), tiny_model.model(),
        effort=BARE,
    )  # fmt: skip
    alone = [c for p in [*pictures, None] for c in encoder.encode(p)]
    kinds = [c.chunk.kind for c in auto]
    assert kinds == [c.chunk.kind for c in alone]
    assert kinds.count(BIDIRECTIONAL) == (0, 9)[index]
    if index:
        assert [c.chunk for c in auto] == [c.chunk for c in alone]


def test_a_run_repeats_itself() -> None:
    pictures = tiny_model.pictures(64, 48, 13, seed=2)
    one, other = coded(pictures, gop=10), coded(pictures, gop=10)
    assert [c.chunk for c in one] == [c.chunk for c in other]
    assert [c.chunk.kind for c in one].count(INTRA) == 2
    assert {INTER, INTRA} <= {c.chunk.kind for c in one}


def test_frames_come_when_their_pyramid_is_whole() -> None:
    options = EncoderOptions(quality=50, structure="auto", lookahead=4, gop=7)
    encoder = FrameEncoder(64, 48, options, NoRoi(64, 48), tiny_model.model(), effort=BARE)
    pictures = tiny_model.pictures(64, 48, 9)
    given = [len(encoder.encode(p)) for p in [*pictures, None]]
    # The intra frame waits with the first pyramid, for its quality map.
    assert given == [0, 0, 0, 0, 5, 0, 0, 2, 0, 2]
    encoder = FrameEncoder(
        64, 48, replace(options, tree=0), NoRoi(64, 48), tiny_model.model(), effort=BARE
    )
    given = [len(encoder.encode(p)) for p in [*pictures, None]]
    assert given[:5] == [1, 0, 0, 0, 4]
    assert sum(given[:8]) == 8  # the second intra frame waits for nothing
    assert sum(given) == 9
