"""``roicodec info --roi-map``: the masks of a stream, as other tools and --roi read them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from roicodec.bitstream.chunks import Chunk, pack_chunk
from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.masks import Mask
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.cli import main
from roicodec.encoder.roi.sources import parse_roi
from roicodec.picture import Picture
from tests.conftest import make_frame, make_header

WIDTH, HEIGHT = 100, 50
MASKS = [(np.arange(28) < cells).reshape(4, 7) for cells in (28, 7, 7, 0, 14, 3)]


def coded() -> bytes:
    out = io.BytesIO()
    with StreamWriter(out, make_header(width=WIDTH, height=HEIGHT)) as writer:
        for number, mask in enumerate(MASKS):
            previous = None if number % 4 == 0 else MASKS[number - 1]
            writer.write_frame(make_frame(number, mask=encode_mask(mask, previous)))
    return out.getvalue()


def info(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["info", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


def read(path: Path, count: int) -> list[Mask]:
    y, u, v = (np.zeros((h, w), np.uint8) for h, w in ((50, 100), (25, 50), (25, 50)))
    source = parse_roi([str(path)], WIDTH, HEIGHT)
    masks = [source.mask(index, 0.0, Picture(y, u, v), None) for index in range(count)]
    source.close()
    return masks


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "a.rq"
    path.write_bytes(coded())
    return path


@pytest.mark.parametrize("name", ["m.txt", "m.bin", "m.mkv", "m.avi", "m.nut", "m.mp4", "m.MOV"])
def test_masks_come_back(stream: Path, tmp_path: Path, name: str) -> None:
    assert info(stream, "--roi-map", tmp_path / name) == 0
    assert np.array_equal(read(tmp_path / name, len(MASKS)), MASKS)
    assert {path.name for path in tmp_path.iterdir()} == {"a.rq", name}


def test_the_listing_is_as_without(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info(stream, "--json", "--frames")
    plain = capsys.readouterr().out
    info(stream, "--json", "--frames", "--roi-map", tmp_path / "m.txt")
    assert capsys.readouterr().out == plain


def test_frames_keep_their_numbers_after_a_loss(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = stream.read_bytes()
    lost = next(i for i in StreamReader(io.BytesIO(data)) if isinstance(i, Chunk) and i.number == 1)
    stream.write_bytes(data[: lost.offset] + data[lost.offset + lost.size :])
    assert info(stream, "--roi-map", tmp_path / "m.txt") == 1
    none = np.zeros_like(MASKS[0])
    expected = [MASKS[0], none, none, none, MASKS[4], MASKS[5]]
    assert np.array_equal(read(tmp_path / "m.txt", len(MASKS)), expected)
    assert "3 frames whose mask is lost have no ROI in" in capsys.readouterr().err


def test_a_claim_of_many_missing_frames_does_not_fill_the_disk(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = stream.read_bytes()
    reader = StreamReader(io.BytesIO(data))
    far = next(i for i in reader if isinstance(i, Chunk) and i.number == 4)
    assert far.frame is not None
    claim = pack_chunk("FRAM", far.frame.pack(reader.header, 1_000_000))
    stream.write_bytes(data[: far.offset] + claim + data[far.offset + far.size :])
    assert info(stream, "--roi-map", tmp_path / "m.txt") == 1
    assert "999996 of 1000000 frames are missing, too many for a map" in capsys.readouterr().err
    assert not (tmp_path / "m.txt").exists()
    assert info(stream) == 1


def test_a_map_that_exists_is_kept_without_force(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.txt").write_text("mine")
    assert info(stream, "--roi-map", tmp_path / "m.txt") == 1
    assert "m.txt exists; give another name, or -f" in capsys.readouterr().err
    assert (tmp_path / "m.txt").read_text() == "mine"
    assert info(stream, "--roi-map", tmp_path / "m.txt", "-f") == 0
    assert np.array_equal(read(tmp_path / "m.txt", len(MASKS)), MASKS)


def test_an_unknown_ending_is_refused(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert info(stream, "--roi-map", tmp_path / "m.png") == 1
    assert "m.png: the name of a ROI map must end in one of .txt, .bin, .mkv" in (
        capsys.readouterr().err
    )


def test_nothing_appears_for_what_is_no_stream(tmp_path: Path) -> None:
    (tmp_path / "a.rq").write_bytes(b"no stream at all")
    assert info(tmp_path / "a.rq", "--roi-map", tmp_path / "m.txt") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.rq"]


def test_a_kvazaar_map_needs_neither_networks_nor_av(stream: Path, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from roicodec.cli import main\n"
        f"try: main(['info', '--roi-map', {str(tmp_path / 'm.txt')!r}, {str(stream)!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'av', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
