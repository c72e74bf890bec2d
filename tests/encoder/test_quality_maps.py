"""Quality maps: what fills them, and that a decoder makes the same of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from roicodec.bitstream.constants import INTRA, MAPS_ALL, MAPS_INTRA, NO_MAPS
from roicodec.bitstream.header import Header
from roicodec.decoder.decoder import FrameDecoder
from roicodec.encoder.effort import Effort
from roicodec.encoder.encoder import CodedFrame, FrameEncoder
from roicodec.encoder.gop import mini_gop
from roicodec.encoder.maps import by_activity, by_importance, quality_map, steadied
from roicodec.encoder.motion.chain import MotionChain
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.grades import Grade, grades_of, wanted_offsets
from roicodec.encoder.roi.sources import NoRoi, RectangleRoi, RoiSource, parse_roi
from roicodec.encoder.tree import importance
from roicodec.errors import InputError
from roicodec.picture import Picture
from tests import tiny_model

WIDTH, HEIGHT = 96, 64
SKIPS = Effort(sweeps=1, trials=1, intra_trials=0, early_skip=False)


def pictures(count: int) -> list[Picture]:
    """Noise that is new in every picture at the right, a still even ramp at the left."""
    rng = np.random.default_rng(5)
    made = []
    for pts in range(count):
        y = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8) // 2 + 90, (HEIGHT, WIDTH)).copy()
        y[:, 48:] = rng.integers(0, 256, (HEIGHT, 48))
        flat = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
        made.append(Picture(y, flat, flat.copy(), pts=pts, duration=1))
    return made


def encode(
    count: int, roi: RoiSource | None = None, **options: Any
) -> tuple[int, list[CodedFrame]]:
    """Which frames have maps, and the frames, which were decoded to the same pictures."""
    chosen = EncoderOptions(**{"quality": 40, "gop": 16, "structure": "4", **options})
    model = tiny_model.model()
    encoder = FrameEncoder(WIDTH, HEIGHT, chosen, roi or NoRoi(WIDTH, HEIGHT), model, effort=SKIPS)
    coded = [made for p in [*pictures(count), None] for made in encoder.encode(p)]
    header = Header(width=WIDTH, height=HEIGHT, gop=16, **encoder.header_fields)
    decoder = FrameDecoder(header, model)
    shown = []
    for number, frame in enumerate(coded):
        data = frame.chunk.pack(header, number)
        _, chunk, lines = type(frame.chunk).unpack(data, header)
        assert (chunk, lines) == (frame.chunk, [])
        shown += decoder.decode(chunk)
    shown += decoder.decode(None)
    made = {frame.reconstruction.pts: frame for frame in coded}
    assert len(shown) == count
    for picture in shown:
        frame = made[picture.picture.pts]
        assert picture.picture.crc32() == frame.reconstruction.crc32()
        assert np.array_equal(or_flat(picture.setting.offsets), or_flat(frame.setting.offsets))
    return header.maps, coded


def or_flat(offsets: NDArray[np.int8] | None) -> NDArray[np.int8]:
    return np.zeros((HEIGHT // 16, WIDTH // 16), np.int8) if offsets is None else offsets


def test_ssim_makes_finer_what_is_even_in_every_frame() -> None:
    kind, frames = encode(6, tune="ssim", tree=0)
    assert kind == MAPS_ALL
    for frame in frames:
        offsets, computed = or_flat(frame.setting.offsets), frame.setting.computed
        even, busy = offsets[:, :3][computed[:, :3]], offsets[:, 3:][computed[:, 3:]]
        assert (even >= 3).all()
        assert (busy <= -3).all()
        assert len(busy)
    assert frames[0].chunk.offsets
    # The same again takes no bytes: cells of later frames are as even as those of the first.
    assert sum(len(f.chunk.offsets) for f in frames[1:]) < len(frames[0].chunk.offsets)


def test_the_tree_makes_finer_what_later_frames_lean_on() -> None:
    kind, frames = encode(6, tree=2.0)
    assert kind == MAPS_INTRA
    offsets = or_flat(frames[0].setting.offsets)
    assert (offsets[:, :3] > offsets[:, 3:]).all()
    assert frames[0].setting.kind == INTRA
    assert all(f.setting.offsets is None and not f.chunk.offsets for f in frames[1:])


@pytest.mark.parametrize("options", [{"tree": 0}, {"structure": "low-delay"}, {"gop": 1}])
def test_without_a_tree_there_are_no_maps(options: dict[str, Any]) -> None:
    kind, frames = encode(3, **options)
    assert kind == NO_MAPS
    assert all(not frame.chunk.offsets for frame in frames)


def test_an_intra_frame_alone_needs_nothing_behind_it() -> None:
    kind, frames = encode(1)
    assert kind == MAPS_INTRA
    assert len(frames) == 1
    assert frames[0].setting.offsets is None


def test_importance_counts_all_that_leans_on_a_cell() -> None:
    """Still pictures: everything of each frame is carried, a pyramid's shares as they are."""
    still = [pictures(1)[0]] * 3
    chain = MotionChain(8)
    for number in (1, 2):
        chain.add(number, np.zeros((HEIGHT // 8, WIDTH // 8, 2), np.int16))
    found = importance(chain, still, 0, mini_gop(2), 40)
    # Frame 1 hands 0.35 to each; frame 2 has 1.35, and 5 times as much with those behind it.
    np.testing.assert_allclose(found, 1 + 0.35 + 5 * 1.35, rtol=1e-6)
    moved = MotionChain(8)
    moved.add(1, np.full((HEIGHT // 8, WIDTH // 8, 2), 64, np.int16))
    shifted = importance(moved, still[:2], 0, mini_gop(1), 40)
    assert shifted[0, 0] == 1  # nothing comes from there: all vectors lead down and to the right
    assert shifted.max() > 2


def test_a_map_keeps_the_mean_and_its_limits() -> None:
    steps = np.array([[0.0, 2.0, 4.0], [-40.0, 2.0, 40.0]])
    found = quality_map((2, 3), [steps])
    assert found is not None
    assert found.tolist() == [[-1, 1, 3], [-10, 1, 10]]
    assert quality_map((2, 2), [np.full((4, 4), 7.0)]) is None
    graded = quality_map((1, 2), [], np.array([[3.0, -1.4]]))
    assert graded is not None
    assert graded.tolist() == [[3, -1]]


def test_a_map_changes_where_it_must() -> None:
    before = np.array([[0, 3, -10, 5]], np.int8)
    wanted = np.array([[1, 5, 10, 4]], np.int8)
    assert steadied(wanted, before, kept=True).tolist() == [[0, 5, 10, 5]]
    assert steadied(None, before, kept=True).tolist() == [[0, 0, 0, 0]]
    assert steadied(wanted, before, kept=False) is before


def test_activity_and_importance_count_in_doublings() -> None:
    picture = pictures(1)[0]
    y = picture.y.astype(np.int64)
    half = Picture(((y - 128) // 2 + 128).astype(np.uint8), picture.u, picture.v)
    difference = by_activity(half) - by_activity(picture)
    np.testing.assert_allclose(difference[:, 4:], 2, atol=0.05)  # a quarter of the variance
    np.testing.assert_allclose(by_importance(np.array([1.0, 2.0, 8.0]), 1.5), [0, 1.5, 4.5])


def test_where_bits_are_short_the_roi_keeps_its_quality() -> None:
    roi = RectangleRoi((0, 0, 32, 32), (WIDTH, HEIGHT))
    options: dict[str, Any] = {"structure": "low-delay", "candidates": (8,), "frame_rate": 25}
    kind, frames = encode(4, roi, **options, max_rate=400_000.0, buffer_bits=12_000.0)
    assert kind == MAPS_ALL
    _, plain = encode(4, roi, **options)
    short = [a.setting.quality - b.setting.quality for a, b in zip(plain, frames, strict=True)]
    assert max(short) > 3
    for lowered, frame in zip(short, frames, strict=True):
        s = frame.setting
        if lowered < 2:
            continue
        found = 2 * or_flat(s.offsets).astype(np.int64)
        inside = found[s.mask & s.computed]
        share = s.mask.mean()
        assert np.abs(inside - min(lowered * (1 - share), 20)).max(initial=0) <= 1
        assert (found[~s.mask & s.computed] <= 0).all()


# --- graded ROI -----------------------------------------------------------------------------


def indices(frame: CodedFrame, offsets: dict[int, int]) -> NDArray[np.int64]:
    """Quality index of every cell, less the frame's."""
    s = frame.setting
    region = np.where(s.mask, offsets[s.b_roi], offsets[s.b_bg])
    return region + 2 * or_flat(s.offsets).astype(np.int64)


def graded(path: Path | str, count: int = 2) -> list[CodedFrame]:
    source = parse_roi([str(path)], WIDTH, HEIGHT)
    options = {"roi_grades": True, "structure": "low-delay", "candidates": (8, 16)}
    kind, frames = encode(count, source, **options)
    assert kind == MAPS_ALL
    source.close()
    return frames


def test_delta_qps_are_what_cells_get(tmp_path: Path) -> None:
    path = tmp_path / "map.txt"
    deltas = np.zeros((4, 6), np.int64)
    deltas[1], deltas[2, :3], deltas[3, 3:] = -6, -3, 4
    path.write_text("6 4 " + " ".join(map(str, deltas.ravel())))
    for frame in graded(path):
        found = indices(frame, {8: 0, 16: 17})
        computed = frame.setting.computed
        assert np.abs(found + 2 * deltas)[computed].max() <= 1
        assert np.array_equal(frame.setting.mask, deltas < 0)


def test_gray_masks_lie_between_rest_and_roi(tmp_path: Path) -> None:
    gray = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    gray[:, 16:32], gray[:, 32:48] = 255, 127
    gray[:, 40, 20] = 64
    np.save(tmp_path / "gray.npy", gray)
    for frame in graded(tmp_path / "gray.npy"):
        s = frame.setting
        found = indices(frame, {8: 0, 16: 17})
        of_roi, of_rest = ({8: 0, 16: 17}[b] for b in (s.b_roi, s.b_bg))
        assert np.array_equal(s.mask[:, 0], [False, True, False, False])
        for row, share in enumerate((0, 1, 127 / 255, 0)):
            wanted = of_rest + share * (of_roi - of_rest)
            assert np.abs(found[row] - wanted)[s.computed[row]].max(initial=0) <= 1


def test_a_rectangle_keeps_its_offset() -> None:
    for frame in graded("16,16,32,32,-0.1"):
        s = frame.setting
        found = indices(frame, {8: 0, 16: 17})[s.mask & s.computed]
        assert np.abs(found - 2 * 5.1).max(initial=0) <= 1


def test_a_binary_mask_grades_nothing(tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:40, 10:50] = 1
    np.save(tmp_path / "mask.npy", mask)
    assert all(frame.setting.offsets is None for frame in graded(tmp_path / "mask.npy"))


def test_of_several_wishes_the_finest_counts() -> None:
    mask = np.array([[True, True, False, False]])
    shares = Grade(np.array([[1.0, 0.5, 0.5, np.nan]]), shares=True)
    finer = Grade(np.array([[2.0, 6.0, np.nan, np.nan]]), shares=False)
    found = wanted_offsets([shares, finer], mask, 16, -2)
    assert found is not None
    assert found.tolist() == [[0.0, -2.0, 4.5, 0.0]]
    assert wanted_offsets([], mask, 16, -2) is None


def test_zones_and_unions_pass_grades_on() -> None:
    union = parse_roi(["0,0,16,16,-0.2", "32,0,16,16"], WIDTH, HEIGHT)
    picture = pictures(1)[0]
    union.mask(0, 0.0, picture, None)
    [grade] = grades_of(union)
    assert grade.values[0, 0] == pytest.approx(10.2)
    assert np.isnan(grade.values[0, 2])
    assert grades_of(NoRoi(WIDTH, HEIGHT)) == ()


@pytest.mark.parametrize(("name", "value"), [("tune", "vmaf"), ("tree", -1), ("tree", 4.5)])
def test_options_out_of_range(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        EncoderOptions(**{name: value})  # type: ignore[arg-type]
