"""Where the ROI comes from: every form of --roi, and every way to get it wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from roicodec.bitstream.masks import Mask, cells_of, grid_shape, samples_of
from roicodec.encoder.roi.auto import AutoRoi
from roicodec.encoder.roi.export import open_mask_writer
from roicodec.encoder.roi.network import Aim, load_saliency
from roicodec.encoder.roi.saliency import SpectralMotion
from roicodec.encoder.roi.sources import KvazaarRoi, RoiSource, UnionRoi, is_given, parse_roi
from roicodec.errors import InputError
from roicodec.picture import Picture

WIDTH, HEIGHT = 70, 50
SHAPE = (4, 5)


def picture(width: int = WIDTH, height: int = HEIGHT) -> Picture:
    chroma = np.zeros(((height + 1) // 2, (width + 1) // 2), np.uint8)
    return Picture(np.zeros((height, width), np.uint8), chroma, chroma)


def mask_of(spec: str | list[str], index: int = 0, time: float = 0.0) -> Mask:
    source = parse_roi([spec] if isinstance(spec, str) else spec, WIDTH, HEIGHT)
    try:
        return source.mask(index, time, picture(), None)
    finally:
        source.close()


def grid(*cells: tuple[int, int]) -> Mask:
    out = np.zeros(SHAPE, np.bool_)
    for cell in cells:
        out[cell] = True
    return out


def write_image(path: Path, gray: NDArray[np.uint8]) -> str:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = gray.shape[1], gray.shape[0], "gray"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="gray")))
        container.mux(stream.encode(None))
    return str(path)


def random_masks(count: int, seed: int = 0) -> list[Mask]:
    random = np.random.default_rng(seed)
    return [random.random(SHAPE) < 0.4 for _ in range(count)]


def write_masks(
    path: Path, masks: Iterable[Mask], size: tuple[int, int] = (WIDTH, HEIGHT), rate: int = 0
) -> None:
    with open_mask_writer(str(path), *size, Fraction(rate)) as writer:
        for mask in masks:
            writer.write(mask)


def test_a_cell_is_roi_when_any_sample_is() -> None:
    samples = np.zeros((HEIGHT, WIDTH), np.bool_)
    samples[15, 16] = samples[49, 69] = True
    assert np.array_equal(cells_of(samples), grid((0, 1), (3, 4)))


@given(st.integers(1, 100), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_cells_of_undoes_samples_of(width: int, height: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random(grid_shape(width, height)) < 0.5
    samples = samples_of(mask, width, height)
    assert samples.shape == (height, width)
    assert np.array_equal(cells_of(samples), mask)


def test_none_and_no_specification_have_no_roi() -> None:
    assert np.array_equal(mask_of("none"), grid())
    assert np.array_equal(mask_of([]), grid())


def test_rectangle_takes_every_cell_it_touches() -> None:
    assert np.array_equal(mask_of("16,16,16,16"), grid((1, 1)))
    assert np.array_equal(mask_of("15,16,17,17"), grid((1, 0), (1, 1), (2, 0), (2, 1)))
    assert np.array_equal(mask_of("69,49,1,1"), grid((3, 4)))


@pytest.mark.parametrize("spec", ["0,0,1,1,-0.5,1,2.5", "0,0,1,1,1,2.5"])
def test_rectangle_counts_from_start_until_end(spec: str) -> None:
    times = {0.0: False, 0.999: False, 1.0: True, 2.499: True, 2.5: False}
    for time, inside in times.items():
        assert mask_of(spec, time=time)[0, 0] == inside


def test_a_rectangle_with_offset_alone_holds_always() -> None:
    assert mask_of("0,0,1,1,-0.25", time=1e6)[0, 0]


def test_several_sources_add_up() -> None:
    mask = mask_of(["0,0,8,8", "64,48,2,2", "0,0,70,1,5,6"])
    assert np.array_equal(mask, grid((0, 0), (3, 4)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("1,2,3", "has 3 numbers"),
        ("1,2,3,4,5,6,7,8", "has 8 numbers"),
        ("0,0,10.5,10", "whole luma samples"),
        ("0,0,0,10", "must be positive"),
        ("0,0,71,10", "outside the 70x50 frame"),
        ("-1,0,5,5", "outside the 70x50 frame"),
        ("0,0,5,5,0.5", "offset must be"),
        ("0,0,5,5,-2", "offset must be"),
        ("0,0,5,5,3,3", "start < end"),
        ("0,0,5,5,-1,2", "start < end"),
        ("face.png", "nor a file that exists"),
        ("1,2,x,4", "nor a file that exists"),
    ],
)
def test_wrong_specifications_say_what_is_wrong(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mask_of(spec)


def test_none_combines_with_nothing() -> None:
    with pytest.raises(InputError, match="none cannot be combined"):
        mask_of(["none", "0,0,5,5"])


def test_an_image_serves_every_frame(tmp_path: Path) -> None:
    gray = np.full((HEIGHT, WIDTH), 127, np.uint8)
    gray[40, 3] = 128
    path = write_image(tmp_path / "mask.png", gray)
    assert np.array_equal(mask_of(path), grid((2, 0)))
    assert np.array_equal(mask_of(path, index=7), grid((2, 0)))


def test_a_mask_image_of_the_wrong_size(tmp_path: Path) -> None:
    path = write_image(tmp_path / "mask.png", np.zeros((50, 71), np.uint8))
    with pytest.raises(InputError, match="mask is 71x50, but the video is 70x50"):
        mask_of(path)


def test_a_mask_image_of_labels_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "mask.png", np.eye(50, 70, dtype=np.uint8))
    with pytest.raises(InputError, match="brightest sample is 1"):
        mask_of(path)


@pytest.mark.parametrize("name", ["notes.md", "mask.png", "mask.mp4"])
def test_a_file_that_is_no_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a picture at all")
    with pytest.raises(InputError, match="cannot be read as a ROI mask"):
        mask_of(str(tmp_path / name))


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".avi"])
@pytest.mark.parametrize("size", [(70, 50), (65, 49)])
def test_a_gray_video_comes_back(tmp_path: Path, ending: str, size: tuple[int, int]) -> None:
    masks = random_masks(6)
    path = tmp_path / f"masks{ending}"
    write_masks(path, masks, size, rate=30)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    source = parse_roi([str(path)], *size)
    for index in [0, 1, 4, 2, 5]:
        assert np.array_equal(source.mask(index, 0.0, picture(*size), None), masks[index])
    with pytest.raises(InputError, match="holds 6 masks, but frame 6"):
        source.mask(6, 0.0, picture(*size), None)
    source.close()


def test_a_video_with_one_frame_serves_all(tmp_path: Path) -> None:
    [mask] = random_masks(1)
    write_masks(tmp_path / "m.mkv", [mask])
    assert np.array_equal(mask_of(str(tmp_path / "m.mkv"), index=9), mask)


def test_a_mask_video_has_the_rate_of_the_frames(tmp_path: Path) -> None:
    for name, rate in (("a.mkv", 30), ("b.mp4", 0)):
        write_masks(tmp_path / name, random_masks(3), rate=rate)
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].average_rate == (rate or 25)


@pytest.mark.parametrize("name", ["masks.gif", "masks", "-"])
def test_a_map_needs_a_known_ending(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"must end in one of \.txt, \.bin, \.mkv"):
        write_masks(tmp_path / name, random_masks(1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["old.txt", "new.mkv", "new.mp4", "new.bin"])
def test_nothing_is_left_of_a_broken_export(tmp_path: Path, name: str) -> None:
    def masks() -> Iterable[Mask]:
        yield from random_masks(2)
        raise KeyboardInterrupt

    (tmp_path / "old.txt").write_text("kept")
    with pytest.raises(KeyboardInterrupt):
        write_masks(tmp_path / name, masks())
    assert [file.name for file in tmp_path.iterdir()] == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["m.txt", "m.mkv"])
def test_an_export_into_nowhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no does not exist"):
        write_masks(tmp_path / "no" / name, random_masks(1))


def test_numpy_masks(tmp_path: Path) -> None:
    frames = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    frames[1, 20, 20] = 1
    frames[2, 0, 0], frames[2, 49, 69] = 100, 200
    np.savez(tmp_path / "m.npz", mask=frames, other=np.zeros(3))
    np.save(tmp_path / "m.npy", frames)
    np.save(tmp_path / "one.npy", frames[1].astype(np.bool_))
    for name in ("m.npz", "m.npy"):
        path = str(tmp_path / name)
        assert np.array_equal(mask_of(path, 0), grid())
        assert np.array_equal(mask_of(path, 1), grid((1, 1)))
        assert np.array_equal(mask_of(path, 2), grid((3, 4)))
        with pytest.raises(InputError, match="holds 3 masks, but frame 3"):
            mask_of(path, 3)
    assert np.array_equal(mask_of(str(tmp_path / "one.npy"), 5), grid((1, 1)))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((HEIGHT, WIDTH), np.float32), "bool or integer, not float32"),
        (np.zeros((2, 3, HEIGHT, WIDTH), np.uint8), r"not \[2, 3, 50, 70\]"),
        (np.zeros((0, HEIGHT, WIDTH), np.uint8), r"not \[0, 50, 70\]"),
        (np.zeros((WIDTH, HEIGHT), np.uint8), "mask is 50x70, but the video is 70x50"),
        (np.array([{}]), "cannot be read"),
    ],
)
def test_wrong_numpy_masks(tmp_path: Path, array: NDArray[np.generic], message: str) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(InputError, match=message):
        mask_of(str(tmp_path / "m.npy"))


def test_npz_without_a_mask_and_a_broken_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", a=np.zeros(1), b=np.zeros(1))
    with pytest.raises(InputError, match="needs an array named 'mask'; it has: a, b"):
        mask_of(str(tmp_path / "m.npz"))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="cannot be read as a numpy"):
        mask_of(str(tmp_path / "broken.npz"))


@pytest.mark.parametrize("ending", [".txt", ".bin"])
def test_a_kvazaar_file_comes_back_and_loops(tmp_path: Path, ending: str) -> None:
    masks = random_masks(3)
    path = tmp_path / f"roi{ending}"
    write_masks(path, masks)
    source = parse_roi([str(path)], WIDTH, HEIGHT)
    for index in [0, 1, 2, 3, 7, 5, 4]:
        assert np.array_equal(source.mask(index, 0.0, picture(), None), masks[index % 3])
    source.close()


def test_kvazaar_bytes_are_as_kvazaar_documents_them(tmp_path: Path) -> None:
    mask = np.array([[True, False, False], [False, False, True]])
    write_masks(tmp_path / "r.bin", [mask])
    assert (tmp_path / "r.bin").read_bytes() == struct.pack("<ii6b", 3, 2, -6, 0, 0, 0, 0, -6)
    write_masks(tmp_path / "r.txt", [mask, mask])
    assert (tmp_path / "r.txt").read_text() == "3 2\n-6 0 0\n0 0 -6\n" * 2


def test_a_kvazaar_map_of_any_size_is_stretched(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_text("2 2 -3 0 0 5\n1 1\n-1")
    source = KvazaarRoi(path, 64, 64)
    first, second = (source.mask(i, 0.0, picture(64, 64), None) for i in (0, 1))
    assert np.array_equal(first, np.kron([[True, False], [False, False]], np.ones((2, 2), bool)))
    assert second.all()


def test_a_map_that_only_coarsens_leaves_the_rest_as_roi(tmp_path: Path) -> None:
    # Kvazaar's own example file.
    path = tmp_path / "r.txt"
    path.write_text("2 2\n5 5 0 0")
    roi = KvazaarRoi(path, 64, 64).mask(0, 0.0, picture(64, 64), None)
    assert np.array_equal(roi.any(1), [False, False, True, True])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no ROI map"),
        ("3", "map 0: the file ends within its size"),
        ("2 2 1 1 1", "needs 4 delta-QPs, but the file ends after 3"),
        ("1 1 0 2 2 0 0", "map 1: 2x2 needs 4 delta-QPs, but the file ends after 2"),
        ("2 1 0 x", "'x' is not a whole number"),
        ("2 1 0 1.5", "'1.5' is not a whole number"),
        ("0 4", "0x4 is not a possible size"),
        ("-2 -2 0 0 0 0", "-2x-2 is not a possible size"),
        ("2 1 0 52", "delta-QP 52 is outside"),
        ("99999999999999999999 1", "is not a whole number"),
        ("1" * 5000, "is not a whole number"),
        ("100000 100000 0", "is not a possible size"),
    ],
)
def test_wrong_kvazaar_text(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        mask_of(str(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no ROI map"),
        (b"\x02\0\0\0\x02", "map 0: the file ends within its size"),
        (struct.pack("<ii", 2, 2) + b"\0\0\0", "needs 4 delta-QPs, but the file ends after 3"),
        (struct.pack(">ii", 2, 2) + b"\0\0\0\0", "is not a possible size"),
        (struct.pack("<iib", 1, 1, -128), "delta-QP -128 is outside"),
    ],
)
def test_wrong_kvazaar_binary(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "r.bin"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        mask_of(str(path))


def test_a_map_on_one_endless_line(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_text("5 4 " + " -1" * 20 + " 400 100 " + "0 " * 40000)
    source = KvazaarRoi(path, WIDTH, HEIGHT)
    assert source.mask(0, 0.0, picture(), None).all()
    assert not source.mask(1, 0.0, picture(), None).any()


def test_named_models() -> None:
    """Each looks at what it is named after."""
    rng = np.random.default_rng(4)
    noise = rng.integers(60, 120, (96, 256)).astype(np.uint8)
    half = np.full((48, 128), 128, np.uint8)
    frames = []
    for t in range(25):
        y = noise.copy()
        y[32:64, 10 + 6 * t : 42 + 6 * t] = 220
        frames.append(Picture(y, half, half))

    def last(source: RoiSource) -> NDArray[np.bool_]:
        for t, frame in enumerate(frames):
            mask = source.mask(t, t / 25, frame, frames[t - 1] if t else None)
        return mask

    moving = last(parse_roi(["moving"], 256, 96))
    assert moving[2:4, 10].all()  # the square is at 154 to 186
    assert moving.mean() < 0.4
    aims: tuple[Aim, ...] = ("auto", "faces", "people")
    for aim in aims:
        expected = last(AutoRoi(load_saliency(aim), 256, 96, share=0.2))
        assert np.array_equal(last(parse_roi([aim], 256, 96, share=0.2)), expected)
        assert not np.array_equal(expected, moving)


def test_what_is_given_and_what_is_found() -> None:
    rectangle = parse_roi(["0,0,32,32"], 64, 64)
    found = parse_roi(["auto"], 64, 64, saliency=SpectralMotion())
    assert is_given(rectangle)
    assert is_given(UnionRoi([rectangle, rectangle]))
    assert not is_given(found)
    assert not is_given(UnionRoi([rectangle, found]))
