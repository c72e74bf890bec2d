"""Encodes of a comparison, with the command line's stand-in for the networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.writer import StreamWriter
from roicodec.decoder.complexity import complexity
from roicodec.decoder.shapes import FrameShape, decoder_layers, encoder_layers
from roicodec.decoder.weights import Arrays, model_id
from roicodec.errors import InputError
from roicodec.evaluate.run import Plan, run_plan
from roicodec.evaluate.streams import Cost, frame_regions, network_costs
from roicodec.media import Reader
from tests import tiny_model
from tests.conftest import make_frame, make_header
from tests.evaluate.small_run import FRAMES, HEIGHT, WIDTH, Log, own, plan_of, write_clip, x264


def test_every_encode_is_a_file_that_decodes_to_what_was_measured(
    clip: Path, masks: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", Log()
    chosen = [own("ld", "masks", (7,)), *x264((32,), roi=True)]
    plan = plan_of(clip, out, chosen, roi=str(masks), masks=str(masks))
    (prepared,), encodes = run_plan(plan, log)
    assert not log.failures
    assert [e.codec for e in encodes] == [
        "roicodec_ld+roi",
        "x264_medium_ld",
        "x264_medium_ld+roi6",
    ]
    for e in encodes:
        assert (out / e.stream).stat().st_size == e.bytes
        assert e.bpp == pytest.approx(8 * e.bytes / (FRAMES * WIDTH * HEIGHT))
        assert (e.frames, e.width, e.height, e.fps) == (FRAMES, WIDTH, HEIGHT, 25)
        assert e.encoding is not None
        assert e.encoding.peak_bytes > 10e6
    lossless, plain, given = (e.quality for e in encodes)
    assert lossless.psnr_yuv == 100
    assert given.psnr_roi_y > plain.psnr_roi_y + 1
    assert given.psnr_bg_y < plain.psnr_bg_y
    with av.open(str(out / encodes[1].stream)) as video, Reader(str(clip)) as reader:
        errors = [
            np.mean((frame.to_ndarray()[:HEIGHT].astype(int) - picture.y) ** 2)
            for frame, picture in zip(video.decode(video=0), reader, strict=True)
        ]
    by_hand = np.mean([10 * np.log10(255**2 / e) for e in errors])
    assert plain.psnr_y == pytest.approx(by_hand, abs=1e-6)
    assert prepared.middle == FRAMES // 2
    assert not (out / "work").exists()


def test_finished_encodes_are_not_repeated(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = plan_of(clip, out, x264((26, 32)))
    first = Log()
    _, encodes = run_plan(plan, first)
    assert len(first.fresh) == 2
    again = Log()
    assert list(map(repr, run_plan(plan, again)[1])) == list(map(repr, encodes))
    assert (again.fresh, len(again.again)) == ([], 2)
    (out / encodes[0].stream).write_bytes(b"cut")
    repaired = Log()
    _, third = run_plan(plan, repaired)
    assert repaired.fresh == [("x264_medium_ld", 26)]
    assert third[0].bytes == encodes[0].bytes
    more = Log()
    run_plan(plan_of(clip, out, x264((26, 32, 38))), more)
    assert more.fresh == [("x264_medium_ld", 38)]


def test_what_changes_the_result_repeats_the_encode(
    clip: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    chosen = x264((32,))

    def fresh(**changes: Any) -> int:
        log = Log()
        run_plan(plan_of(clip, out, chosen, **changes), log)
        return len(log.fresh)

    assert fresh() == 1
    assert fresh() == 0
    assert fresh(frames=3) == 1
    assert fresh(frames=3, masks=str(masks)) == 1
    write_clip(clip, seed=2)
    assert fresh() == 1
    assert fresh() == 0
    monkeypatch.setattr(av, "__version__", "another")
    assert fresh() == 1


def test_results_do_not_depend_on_jobs_or_time(tmp_path: Path) -> None:
    clips = tuple(write_clip(tmp_path / f"{name}.y4m", n) for n, name in enumerate("ab"))
    runs = []
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        plan = Plan(clips, tuple(x264((26, 32))), None, "", "", out, jobs)
        _, encodes = run_plan(plan, Log())
        runs.append([(e.clip, e.codec, e.setting, e.bytes, e.quality.psnr_yuv) for e in encodes])
    assert runs[0] == runs[1]
    assert [r[0] for r in runs[0]] == ["a", "a", "b", "b"]


class Broken:
    """A codec whose encoder fails, or whose decoder loses a frame."""

    name, suffix, qualities, with_masks, version = "broken", ".bin", (1, 2), False, "1"

    def settings(self, quality: int) -> str:
        return str(quality)

    def encode(self, quality: int, source: Path, stream: Path, *rest: object) -> list[str]:
        if quality == 1:
            return [sys.executable, "-c", "import sys; sys.exit('it broke')"]
        return ["cp", str(source), str(stream)]

    def decode(self, stream: Path, target: Path) -> list[str]:
        size = stream.stat().st_size - (6 + WIDTH * HEIGHT + 2 * (WIDTH // 2) * (HEIGHT // 2))
        return ["sh", "-c", f"head -c {size} {stream} > {target}"]


def test_failures_are_told_and_the_rest_goes_on(clip: Path, tmp_path: Path) -> None:
    log = Log()
    _, encodes = run_plan(plan_of(clip, tmp_path / "out", [Broken(), *x264((32,))]), log)
    assert [e.codec for e in encodes] == ["x264_medium_ld"]
    assert log.failures[0].endswith("it broke")
    assert log.failures[1].endswith(f"decodes to {FRAMES - 1} frames of {FRAMES}")
    assert len(log.failures) == 2


@pytest.mark.parametrize("roi", ["16,16,20,20", "auto"])
def test_rois_from_other_sources(roi: str, clip: Path, tmp_path: Path) -> None:
    log = Log()
    chosen = [own("ld", "auto" if roi == "auto" else "masks", (7,)), *x264((32,), roi=True)]
    out = tmp_path / "out"
    _, encodes = run_plan(plan_of(clip, out, chosen, roi=roi, masks=roi), log)
    assert not log.failures
    found = frame_regions(out / encodes[0].stream, 2)
    assert found is not None
    if roi != "auto":
        assert np.argwhere(found.mask).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert (found.b_roi, found.b_bg) == (16, 4)
    assert all(not np.isnan(e.quality.psnr_roi_y) for e in encodes)


def test_masks_that_do_not_fit(clip: Path, masks: Path, tmp_path: Path) -> None:
    log, out = Log(), tmp_path / "out"
    other = write_clip(tmp_path / "other.y4m", 3)
    _, encodes = run_plan(plan_of(other, out, x264((32,)), masks=str(masks)), log)
    assert "no masks" in log.messages[0]
    assert np.isnan(encodes[0].quality.wpsnr_y)
    np.savez(masks / "moving.npz", mask=np.zeros((2, HEIGHT, WIDTH), np.uint8))
    with pytest.raises(InputError, match=f"holds 2 masks, the comparison needs {FRAMES}"):
        run_plan(plan_of(clip, out, x264((32,)), masks=str(masks)), log)
    np.savez(masks / "moving.npz", mask=np.zeros((FRAMES, HEIGHT, WIDTH + 1), np.uint8))
    with pytest.raises(InputError, match="the mask is 91x58"):
        run_plan(plan_of(clip, out, x264((32,)), masks=str(masks)), log)


def test_costs_are_those_of_the_stream(tmp_path: Path) -> None:
    files = tiny_model.networks()[2]
    networks: dict[str, Arrays] = {name: files[name] for name in ("intra", "inter")}
    path = tmp_path / "a.rq"
    mask = np.zeros((4, 8), np.bool_)
    mask[1, 1:3] = True
    coded = encode_mask(mask, None)
    header = make_header(width=128, height=64, model_id=model_id(networks))
    with path.open("wb") as file, StreamWriter(file, header) as writer:
        writer.write_frame(make_frame(0, b_roi=16, b_bg=8, mask=coded))
        writer.write_frame(make_frame(1, b_roi=8, b_bg=4, mask=encode_mask(mask, mask)))
    found = network_costs(path, networks)
    assert found is not None
    listed = []
    # The ROI and its neighbours are 4 x 6 positions.
    boxes = {"box_roi": 4 * 6, "box_bg": 8 * 16}
    for kind, shape in (
        ("intra", FrameShape(2, 30, 16, 8, **boxes)),
        ("inter", FrameShape(2, 30, 8, 4, **boxes)),
    ):
        layers = [f(networks[kind], shape) for f in (encoder_layers, decoder_layers)]
        listed.append([complexity(one) for one in layers])
    for cost, counts in zip(found, zip(*listed, strict=True), strict=True):
        assert cost == Cost(
            sum(c.macs for c in counts) / (2 * 128 * 64),
            sum(c.bit_ops for c in counts) / (2 * 128 * 64),
        )
    # One part by hand: four blocks' pointwise layers of the second frame, at two bit-widths.
    assert found[0].macs > found[1].macs > (2 + 30) * 4 * (16 + 16 + 32 + 32) / (2 * 128 * 64)
    names = {layer.name for layer in decoder_layers(networks["inter"], FrameShape(2, 30, 8, 4))}
    assert {"heads.1", "inject.0", "up", "context_in", "context_out"} < names
    assert network_costs(path, None) is None
    other = {**networks, "inter": {**networks["inter"], "more": np.zeros(1)}}
    assert network_costs(path, other) is None
