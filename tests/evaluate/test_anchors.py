"""Anchors: the same bytes as the encoder run by hand, ROI that arrives, honest processes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from roicodec.bitstream.masks import Mask
from roicodec.errors import InputError
from roicodec.evaluate import anchors, process
from roicodec.evaluate.coders import AGAINST, CONFIGS, anchor_coders, own_coder
from roicodec.media import VideoInfo
from roicodec.picture import Picture
from roicodec.psnr import psnr_regions

RATE = Fraction(25)
WIDTH, HEIGHT, FRAMES = 98, 66, 6
INFO = VideoInfo(WIDTH, HEIGHT, 1 / RATE, RATE)


def moving_pictures() -> list[Picture]:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (HEIGHT + 2 * FRAMES, WIDTH + 2 * FRAMES)).astype(np.float64)
    for _ in range(3):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1) + np.roll(wide, (1, 1))) / 4
    wide = ((wide - wide.min()) / np.ptp(wide) * 255).astype(np.uint8)
    out = []
    for n in range(FRAMES):
        y = wide[n : n + HEIGHT, 2 * n : 2 * n + WIDTH].copy()
        half = y[::2, ::2]
        out.append(Picture(y, half // 2 + 64, 192 - half // 2, pts=n, duration=1))
    return out


def still_pictures() -> list[Picture]:
    """The first picture again and again: what an encoder that may use B frames uses them for."""
    first = moving_pictures()[0]
    return [Picture(*first.planes, pts=n, duration=1) for n in range(FRAMES)]


def roi_mask() -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[20:44, 36:60] = True
    return mask


def by_hand(anchor: anchors.Anchor, crf: int) -> tuple[bytes, list[bytes]]:
    """Stream and decoded frames of the same encode with nothing but PyAV.

    FFmpeg's own bit stream filter takes out the SEI with the encoder's option string.
    """
    codec = av.CodecContext.create(anchor.encoder, "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.framerate, codec.time_base, codec.thread_count = RATE, 1 / RATE, 1
    codec.options = {**dict(anchor.options), "crf": str(crf)}
    packets = []
    for n, picture in enumerate(moving_pictures()):
        samples = np.concatenate([p.ravel() for p in picture.planes]).reshape(-1, WIDTH)
        frame = av.VideoFrame.from_ndarray(samples, "yuv420p")
        frame.pts, frame.time_base = n, 1 / RATE
        packets += codec.encode(frame)
    packets += codec.encode(None)
    name, sei = {
        "libx264": ("h264", "6"),
        "libx265": ("hevc", "39-40"),
        "libsvtav1": ("obu", ""),
    }[anchor.encoder]
    if sei:
        units = BitStreamFilterContext(f"filter_units=remove_types={sei}", name)
        packets = [kept for packet in [*packets, None] for kept in units.filter(packet)]
    data = b"".join(map(bytes, packets))
    with av.open(io.BytesIO(data), "r", format=name) as container:
        frames = [f.to_ndarray(format="yuv420p").tobytes() for f in container.decode(video=0)]
    return data, frames


def frames_of(pictures: Iterator[Picture]) -> list[bytes]:
    return [b"".join(p.tobytes() for p in picture.planes) for picture in pictures]


EVERY = [a for f in anchors.FAMILIES for c in anchors.CONFIGS for a in anchors.anchors(f, c)]


@pytest.mark.parametrize("anchor", EVERY, ids=lambda a: a.name)
def test_bytes_and_frames_equal_the_encode_done_by_hand(
    anchor: anchors.Anchor, tmp_path: Path
) -> None:
    path = tmp_path / f"coded{anchor.suffix}"
    anchors.encode(anchor, 33, moving_pictures(), INFO, path)
    stream, frames = by_hand(anchor, 33)
    assert len(frames) == FRAMES
    assert frames_of(anchors.decode(path)) == frames
    # Start codes may have a leading zero byte more or less.
    assert path.read_bytes().replace(b"\0\0\0\1", b"\0\0\1") == stream.replace(
        b"\0\0\0\1", b"\0\0\1"
    )


def test_the_options_of_the_stored_results() -> None:
    """Changing one of these would make results incomparable with those stored elsewhere."""
    assert {a.name: a.command(28) for f in anchors.FAMILIES for a in anchors.anchors(f, "ld")} == {
        "x264_medium_ld": "-c:v libx264 -preset medium -tune zerolatency"
        " -x264-params keyint=infinite:scenecut=0 -crf 28 -threads 1",
        "x264_medium_ld_psnr": "-c:v libx264 -preset medium -tune psnr,zerolatency"
        " -x264-params keyint=infinite:scenecut=0 -crf 28 -threads 1",
        "x265_medium_ld": "-c:v libx265 -preset medium -tune zerolatency"
        " -x265-params keyint=-1:scenecut=0:pools=none:frame-threads=1 -crf 28 -threads 1",
        "x265_medium_ld_tuned": "-c:v libx265 -preset medium -tune zerolatency"
        " -x265-params keyint=-1:scenecut=0:psy-rd=0:psy-rdoq=0:early-skip=0:rskip=0"
        ":rdoq-level=2:rd=4:aq-mode=0:pools=none:frame-threads=1 -crf 28 -threads 1",
        "svtav1_p4_ld": "-c:v libsvtav1 -preset 4 -g 9999"
        " -svtav1-params pred-struct=1:lp=1:tune=1 -crf 28 -threads 1",
    }


def picture_types(path: Path) -> str:
    with av.open(str(path)) as container:
        return "".join(PictureType(f.pict_type).name for f in container.decode(video=0))


@pytest.mark.parametrize("family", ["x264", "x265"])
def test_configurations_are_what_they_say(family: str, tmp_path: Path) -> None:
    types = {}
    for config in anchors.CONFIGS:
        for anchor in anchors.anchors(family, config):
            path = tmp_path / f"{anchor.name}{anchor.suffix}"
            anchors.encode(anchor, 30, still_pictures(), INFO, path)
            types[anchor.name] = (config, picture_types(path))
    for config, shown in types.values():
        assert len(shown) == FRAMES
        if config == "ld":
            assert shown == "I" + "P" * (FRAMES - 1)
        elif config == "intra":
            assert shown == "I" * FRAMES
        else:
            assert shown.count("I") == 1
    assert any("B" in shown for config, shown in types.values() if config == "default")


@pytest.mark.parametrize("family", ["x264", "x265"])
def test_the_roi_gets_more_of_the_bits(family: str, tmp_path: Path) -> None:
    mask = roi_mask()
    for anchor in anchors.anchors(family, "ld"):
        given = anchors.with_roi(anchor)
        assert given is not None
        assert given.name == f"{anchor.name}+roi6"
        difference = []
        for a in (anchor, given):
            path = tmp_path / f"{a.name}{a.suffix}"
            anchors.encode(a, 30, moving_pictures(), INFO, path, [mask] * FRAMES)
            pairs = zip(moving_pictures(), anchors.decode(path), strict=True)
            found = [psnr_regions(x, y, mask) for x, y in pairs]
            difference.append(np.mean([f.roi_y - f.background_y for f in found]))
        assert difference[1] - difference[0] > 1, anchor.name


def test_roi_anchors_need_masks_for_every_frame(tmp_path: Path) -> None:
    given = anchors.with_roi(anchors.anchors("x264", "ld")[0])
    assert given is not None
    with pytest.raises(InputError, match="needs a ROI mask"):
        anchors.encode(given, 30, moving_pictures(), INFO, tmp_path / "a.h264")
    with pytest.raises(InputError, match="ends after 2 frames"):
        anchors.encode(given, 30, moving_pictures(), INFO, tmp_path / "a.h264", [roi_mask()] * 2)


def test_anchors_by_name() -> None:
    for anchor in EVERY:
        assert anchors.by_name(anchor.name) is anchor
        given = anchors.with_roi(anchor)
        if given is not None:
            assert anchors.by_name(given.name) == given
    assert anchors.with_roi(anchors.by_name("svtav1_p4_ld")) is None
    for wrong in ("x264", "x264_medium_ld+roi", "svtav1_p4_ld+roi6"):
        with pytest.raises(InputError, match="no anchor"):
            anchors.by_name(wrong)
    with pytest.raises(InputError, match="configurations"):
        anchors.anchors("x264", "fast")


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_rectangles_cover_the_mask_once(mask: Mask) -> None:
    covered = np.zeros(mask.shape, np.int64)
    for x, y, w, h in anchors.rectangles(mask):
        covered[y : y + h, x : x + w] += 1
    assert (covered == mask).all()


def test_rectangles_are_merged() -> None:
    mask = np.zeros((6, 8), np.bool_)
    mask[1:4, 2:6] = mask[5, 0] = True
    assert anchors.rectangles(mask) == [(2, 1, 4, 3), (0, 5, 1, 1)]


def test_damaged_stream_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    path.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(InputError, match="cannot be decoded"):
        list(anchors.decode(path))


# --- processes -----------------------------------------------------------------------------


def test_usage_is_of_the_process_alone() -> None:
    ballast = np.ones(300_000_000, np.uint8)  # of this process, not of the one that is measured
    used = process.run([sys.executable, "-c", "x = bytearray(b'1') * 100_000_000"])
    assert ballast.sum() == len(ballast)
    assert 100e6 < used.peak_bytes < 200e6
    assert used.loop_s is None


def test_usage_counts_time() -> None:
    script = (
        "import time, json; time.sleep(0.3); sum(range(10**6));"
        ' print(\'{"seconds": 0.25, "cpu_seconds": 0.125}\')'
    )
    used = process.run([sys.executable, "-c", script])
    assert used.wall_s >= 0.3
    assert 0 < used.cpu_s < used.wall_s
    assert (used.loop_s, used.loop_cpu_s) == (0.25, 0.125)


def test_failing_command_says_why() -> None:
    script = "import sys; print('deep\\nwhat went wrong', file=sys.stderr); sys.exit(3)"
    with pytest.raises(InputError, match=r"what went wrong$"):
        process.run([sys.executable, "-c", script])
    with pytest.raises(InputError, match="no-such-program"):
        process.run(["no-such-program", "x"])


def test_worker_encodes_as_the_library_does(tmp_path: Path) -> None:
    from roicodec.media import Reader, Writer

    source, masks = tmp_path / "source.y4m", tmp_path / "masks.npy"
    with Writer(source, INFO) as writer:
        for picture in moving_pictures():
            writer.write(picture)
    np.save(masks, np.stack([roi_mask()] * FRAMES))
    coders, _ = anchor_coders("x264", "ld", (30,), roi=True)
    given = next(c for c in coders if c.name == "x264_medium_ld+roi6")
    stream, decoded = tmp_path / "a.h264", tmp_path / "a.y4m"
    used = process.run(given.encode(30, source, stream, FRAMES, masks))
    assert used.loop_s is not None
    assert used.loop_cpu_s is not None
    assert used.loop_s < used.wall_s
    assert used.loop_cpu_s < used.cpu_s
    process.run(given.decode(stream, decoded))
    direct = tmp_path / "b.h264"
    anchors.encode(
        anchors.by_name(given.name), 30, moving_pictures(), INFO, direct, [roi_mask()] * FRAMES
    )
    assert stream.read_bytes() == direct.read_bytes()
    with Reader(str(decoded)) as reader:
        assert frames_of(iter(reader)) == frames_of(anchors.decode(direct))


# --- coders --------------------------------------------------------------------------------


def test_own_commands() -> None:
    paths = Path("s.y4m"), Path("o.rq")
    plain = own_coder("ld", "none", (20,)).encode(20, *paths, 32, None)
    assert plain[1:4] == ["-m", "roicodec", "encode"]
    assert "--gop 32" in " ".join(plain)
    assert "--roi none" in " ".join(plain)
    given = own_coder("intra", "masks", (20,)).encode(20, *paths, 32, Path("m.npy"))
    assert "--roi m.npy --gop 1 " in " ".join(given)
    names = {(c, r): own_coder(c, r).name for c in CONFIGS for r in ("none", "auto", "masks")}
    assert names["ld", "none"] == "roicodec_ld"
    assert names["default", "auto"] == "roicodec+auto"
    assert len(set(names.values())) == len(names)
    with pytest.raises(InputError, match=r"0\.\.63"):
        own_coder("ld", "none", (64,))


@pytest.mark.parametrize(
    ("config", "named", "structure", "name"),
    [
        ("default", "", "auto", "roicodec"),
        ("ld", "", "low-delay", "roicodec_ld"),
        ("intra", "", "auto", "roicodec_intra"),
        ("default", "8", "8", "roicodec_8"),
        ("ld", "auto", "auto", "roicodec_ld_auto"),
    ],
)
def test_own_structures(config: str, named: str, structure: str, name: str) -> None:
    coder = own_coder(config, "none", (20,), structure=named)
    assert f"--structure {structure} " in coder.settings(20)
    assert coder.name == name


def test_vvc_needs_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("roicodec.evaluate.ffmpeg_program.has_encoder", lambda name: False)
    assert "vvc" in AGAINST
    coders, messages = anchor_coders("vvc", "ld", None, roi=False)
    assert coders == []
    assert "no ffmpeg with libvvenc" in messages[0]
    for name in ("vvencapp", "vvdecapp"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho vvencapp version 9\n")
        program.chmod(0o755)
    (coder,), messages = anchor_coders("vvc", "ld", (30,), roi=True)
    assert coder.version == "vvencapp version 9"
    assert "without" in messages[0]
    assert coder.encode(30, Path("s.y4m"), Path("o.266"), 4, None)[:3] == [
        "vvencapp",
        "--preset",
        "faster",
    ]
