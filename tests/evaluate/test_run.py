"""``roicodec eval`` from clips to the page, with the command line's stand-in for the networks."""

from __future__ import annotations

import csv
import html.parser
import itertools
import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from roicodec.bitstream.mask_coding import encode_mask
from roicodec.bitstream.writer import StreamWriter
from roicodec.decoder.complexity import complexity
from roicodec.decoder.shapes import FrameShape, decoder_layers, encoder_layers
from roicodec.decoder.weights import Arrays, model_id
from roicodec.errors import InputError
from roicodec.evaluate import page
from roicodec.evaluate.coders import Coder, anchor_coders, own_coder
from roicodec.evaluate.command import eval_command
from roicodec.evaluate.points import COLUMNS, read_points, write_csv
from roicodec.evaluate.results import usable_points, write_results
from roicodec.evaluate.run import Encode, Listener, Plan, jsonable, run_plan
from roicodec.evaluate.streams import Cost, frame_regions, network_costs
from roicodec.evaluate.tables import compare_all, mean_comparison, measures_of
from roicodec.media import Reader, VideoInfo, Writer
from roicodec.picture import Picture
from studies import results as report
from tests import tiny_model
from tests.conftest import make_frame, make_header
from tests.fake_codec import FakeFactory

RATE = Fraction(25)
WIDTH, HEIGHT, FRAMES = 90, 58, 5
CRF = (20, 26, 32, 38)


def write_clip(path: Path, seed: int, frames: int = FRAMES) -> Path:
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (HEIGHT + frames, WIDTH + frames)).astype(np.float64)
    for _ in range(3):
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1)) / 3
    wide = ((wide - wide.min()) / np.ptp(wide) * 255).astype(np.uint8)
    with Writer(path, VideoInfo(WIDTH, HEIGHT, 1 / RATE, RATE)) as writer:
        for n in range(frames):
            y = wide[n : n + HEIGHT, n : n + WIDTH].copy()
            writer.write(Picture(y, y[::2, ::2] // 2 + 64, 192 - y[::2, ::2] // 2, n, 1))
    return path


def own(config: str, roi: str, qualities: tuple[int, ...]) -> Coder:
    """roicodec with the stand-in for the networks."""
    return own_coder(config, roi, qualities, program=FakeFactory.command)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "moving.y4m", 1)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_masks(tmp_path)


def write_masks(tmp_path: Path) -> Path:
    """A folder with a mask for the clip, not aligned to the 16x16 grid."""
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    mask[:, 20:40, 30:50] = 1
    folder = tmp_path / "masks"
    folder.mkdir()
    np.savez_compressed(folder / "moving.npz", mask=mask)
    return folder


class Log(Listener):
    def __init__(self) -> None:
        self.fresh: list[tuple[str, int]] = []
        self.again: list[tuple[str, int]] = []
        self.failures: list[str] = []
        self.messages: list[str] = []

    def done(self, encode: Encode, *, fresh: bool) -> None:
        (self.fresh if fresh else self.again).append((encode.codec, encode.setting))

    def failed(self, clip: str, codec: str, setting: int, message: str) -> None:
        self.failures.append(f"{clip} {codec} {setting}: {message}")

    def warn(self, message: str) -> None:
        self.messages.append(message)


def plan_of(clip: Path, out: Path, chosen: list[Coder], **changes: Any) -> Plan:
    fields = {"frames": None, "roi": "", "masks": "", **changes}
    return Plan((clip,), tuple(chosen), out=out, **fields)


def x264(crf: tuple[int, ...] = CRF, *, roi: bool = False) -> list[Coder]:
    return [c for c in anchor_coders("x264", "ld", crf, roi=roi)[0] if "psnr" not in c.name]


# --- encodes -------------------------------------------------------------------------------


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


# --- points and tables ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Encode], Path]:
    """Clips and encodes of a small comparison, and its folder."""
    folder = tmp_path_factory.mktemp("measured")
    clip, masks, out = write_clip(folder / "moving.y4m", 1), write_masks(folder), folder / "out"
    chosen = [own("ld", "masks", (7,)), *x264(roi=True)]
    plan = plan_of(clip, out, chosen, roi=str(masks), masks=str(masks))
    clips, encodes = run_plan(plan, Log())
    return clips, encodes, out


def test_points_survive_csv_and_json(measured: tuple[Any, list[Encode], Path]) -> None:
    clips, encodes, out = measured
    write_results(out, clips, encodes, "x264_medium_ld", {"Date": "today"}, [])
    assert list(map(repr, read_points(out / "results.json"))) == list(map(repr, encodes))
    rows = read_points(out / "results.csv")
    for row, encode in zip(rows, encodes, strict=True):
        assert (row.clip, row.codec, row.setting) == (encode.clip, encode.codec, encode.setting)
        assert (row.bytes, row.command) == (encode.bytes, encode.command)
        assert row.quality.wpsnr_yuv == pytest.approx(encode.quality.wpsnr_yuv, abs=1e-5)
        assert row.encoding is not None
        assert encode.encoding is not None
        assert row.encoding.cpu_s == pytest.approx(encode.encoding.cpu_s, abs=1e-4)
    assert compare_all(rows, "x264_medium_ld")[0].result is None  # lossless: one point
    plain = compare_all(rows, "x264_medium_ld")[-1].result
    exact = compare_all(encodes, "x264_medium_ld")[-1].result
    assert plain is not None
    assert exact is not None
    assert plain.percent == pytest.approx(exact.percent, abs=0.1)


def test_points_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(
        "clip,codec,q,frames,width,height,fps,bytes,psnr_y,wpsnr_y@0.8,enc_cpu_s\n"
        "moving,hm,22,5,90,58,25.0,1000,40.5,,1.5\n"
    )
    (point,) = read_points(path)
    assert (point.codec, point.bytes, point.quality.psnr_y) == ("hm", 1000, 40.5)
    assert np.isnan(point.quality.wpsnr_y)
    assert point.encoding is not None
    assert point.encoding.cpu_s == 1.5
    stored = json.loads(json.dumps(jsonable(point.as_dict()), allow_nan=False))
    assert repr(Encode.from_dict(stored)) == repr(point)
    listed = tmp_path / "points.json"
    listed.write_text(json.dumps([{"clip": "m", "codec": "c", "q": 1, "frames": 2, "width": 3,
                                   "height": 4, "bytes": 5, "psnr_y": 6.5}]))  # fmt: skip
    assert read_points(listed)[0].bpp == pytest.approx(8 * 5 / 24)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "clip,codec\n", "lacks the columns q, frames"),
        ("a.csv", ",".join(COLUMNS) + "\n" + "m,c,x" + ",1" * 40, "line 2: q is 'x'"),
        ("a.csv", ",".join(COLUMNS) + "\n" + "m,c,1,0" + ",1" * 40, "above 0"),
        ("a.json", "{", "neither a list"),
        ("a.json", '[{"clip": "m"}]', "point 0: lacks codec"),
    ],
)
def test_points_that_cannot_be_used(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_points(path)


def test_stored_points_beside_measured_ones(measured: tuple[Any, list[Encode], Path]) -> None:
    clips, encodes, out = measured
    path = out / "points.csv"
    write_csv(path, encodes)
    lines = path.read_text().splitlines()
    row = lines[2].split(",")
    row[1] = "hm"
    shorter = row.copy()
    shorter[1], shorter[3] = "vtm", "4"
    path.write_text("\n".join([*lines, ",".join(row), ",".join(shorter)]) + "\n")
    used, messages = usable_points(read_points(path), clips, encodes)
    assert [p.codec for p in used] == ["hm"]
    assert len(messages) == 1
    assert "vtm" in messages[0]
    assert "4 frames" in messages[0]


def test_tables_know_what_they_do_not_know(measured: tuple[Any, list[Encode], Path]) -> None:
    _, encodes, _ = measured
    found = compare_all(encodes, "x264_medium_ld")
    given = mean_comparison(found, "x264_medium_ld+roi6", "psnr_roi_y")
    assert given.clips == 1
    assert given.percent < -10
    own = mean_comparison(found, "roicodec_ld+roi", "psnr_y")
    assert (own.clips, own.problems) == (0, 1)
    assert "1 points" in next(c.problem for c in found if c.codec == "roicodec_ld+roi")
    assert len(measures_of(encodes)) == 10
    with pytest.raises(InputError, match="there are roicodec_ld"):
        compare_all(encodes, "vtm")


# --- the command ---------------------------------------------------------------------------


def call(*arguments: object) -> Result:
    return CliRunner().invoke(eval_command, [str(a) for a in arguments], obj=FakeFactory())


def test_the_command_writes_everything(clip: Path, masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [clip, "--against", "x264,svtav1", "--anchor-qualities", "20,38",
                 "--qualities", "3", "--frames", 3, "--roi", masks, "--out", out]  # fmt: skip
    result = call(*arguments)
    assert result.exception is None, result.output
    for text in ("roicodec_ld+roi", "x264_medium_ld_psnr+roi6", "svtav1_p4_ld", "[1/12]"):
        assert text in result.output
    results = json.loads((out / "results.json").read_text())
    assert len(results["encodes"]) == 12
    assert results["reference"] == "x264_medium_ld"
    assert any("svtav1" in message for message in results["messages"])
    for e in results["encodes"]:
        assert e["command"]
        assert e["version"]
        assert e["encoding"]["wall_s"] > 0
        assert (out / e["stream"]).stat().st_size == e["bytes"]
    assert len((out / "results.csv").read_text().splitlines()) == 13
    own = [e for e in results["encodes"] if e["codec"].startswith("roicodec")]
    with (out / "regions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(own)
    for row in rows:
        assert row["type"] == ("inter" if int(row["frame"]) else "intra")
        assert int(row["b_bg"]) in (4, 8, 16)
        with_roi = row["codec"].endswith("+roi")
        assert (float(row["roi_share"]) > 0) == (float(row["roi_sigma_y"]) > 0) == with_roi
        assert int(row["bit_ops"]) > 0
        assert float(row["bg_gradient_y"]) > 0
    plots = sorted(p.name for p in (out / "plots").iterdir())
    assert "moving_psnr_y.png" in plots
    assert "moving_wpsnr_y.svg" in plots
    kept = {p: (out / "plots" / p).read_bytes() for p in plots}
    again = call(*arguments, "--quiet")
    assert again.exception is None
    assert "[1/12]" not in again.output
    assert {p: (out / "plots" / p).read_bytes() for p in plots} == kept


def test_wrong_use_is_told(clip: Path, tmp_path: Path) -> None:
    def error(*arguments: object) -> str:
        result = call(*arguments, "--out", tmp_path / "out")
        assert result.exit_code != 0
        return f"{result.output} {result.exception}"

    assert "no such file" in error(tmp_path / "none.mkv")
    (tmp_path / "empty").mkdir()
    assert "no videos" in error(tmp_path / "empty")
    assert "known are x264" in error(clip, "--against", "x266")
    assert "0..63" in error(clip, "--qualities", "70")
    assert "x264: quality 60 is not in 0..51" in error(clip, "--anchor-qualities", "30,60")
    assert "there are roicodec_ld, x264" in error(clip, "--reference", "x264")
    assert "whole numbers" in error(clip, "--qualities", "a,b")
    assert "cannot be read" in error(clip, "--points", tmp_path / "none.csv")
    (tmp_path / "b").mkdir()
    shutil.copy(clip, tmp_path / "b" / clip.name)
    assert "both called moving" in error(clip, tmp_path / "b")
    text = tmp_path / "text.mkv"
    text.write_text("not a video")
    assert "text.mkv" in error(text)


def test_a_failed_encode_fails_the_command(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NO_MODEL", "1")
    out = tmp_path / "out"
    result = call(clip, "--against", "x264", "--anchor-qualities", 30, "--qualities", 3,
                  "--out", out)  # fmt: skip
    assert isinstance(result.exception, InputError)
    assert "1 encodes failed" in str(result.exception)
    assert "released weights are missing" in result.output
    assert len(json.loads((out / "results.json").read_text())["encodes"]) == 2


def test_results_as_markdown(measured: tuple[Any, list[Encode], Path], tmp_path: Path) -> None:
    clips, encodes, out = measured
    about = dict.fromkeys(("Date", "Versions", "Machine", "Command"), "told")
    found = write_results(out, clips, encodes, "x264_medium_ld", about, [])
    part = report.Part("ld", "Low delay", "ld", FRAMES, "x264_medium_ld")
    lines = list(report.section(part, out, tmp_path))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    heads = {row[0]: row for row, rule in itertools.pairwise(rows) if rule[0] == "---"}
    assert list(heads) == ["mean", "PSNR-Y", "ROI-weighted PSNR-Y", "codec", "clip"]
    mean = next(row for row in rows if row[0] == "x264_medium_ld+roi6")
    given = mean_comparison(found, "x264_medium_ld+roi6", "wpsnr_y")
    assert f"{given.percent:+.1f}" in mean[heads["mean"].index("ROI-weighted PSNR-Y")]
    (own,) = [row for row in rows if row[:2] == ["moving", "roicodec_ld+roi"]]
    assert own[2:4] == ["7", str(encodes[0].bytes)]
    assert "- Date: told" in lines
    for name in ("ld_psnr_y.svg", "ld_wpsnr_y.svg"):
        assert "<path" in (tmp_path / name).read_text()
        assert any(f"({tmp_path.name}/{name})" in line for line in lines)


# --- the page ------------------------------------------------------------------------------

# What a reader does: hover over a point, look at another measure, drag the slider, hide the ROI.
ACTIONS = """
const out = {};
const svg = document.querySelector("#chart svg");
out.circles = svg.querySelectorAll("circle").length;
out.curves = svg.querySelectorAll("path.curve").length;
out.tipHiddenAtFirst = at("tip").hidden;
svg.querySelector("circle").dispatchEvent(new PointerEvent("pointerenter"));
out.tip = at("tip").hidden ? "" : at("tip").textContent;
svg.querySelector("circle").dispatchEvent(new PointerEvent("pointerleave"));
out.tipHiddenAgain = at("tip").hidden;
at("measure").value = "psnr_roi_y";
at("measure").dispatchEvent(new Event("change"));
out.optionRows = [...at("options").querySelectorAll("tbody tr")].map(r => r.cells[2].textContent);
out.bdRows = at("bd").querySelectorAll("tbody tr").length;
out.axis = [...svg.querySelectorAll("text")].map(t => t.textContent).find(t => t.includes("dB"));
at("slider").value = 25;
at("slider").dispatchEvent(new Event("input"));
out.clip = at("over").style.clipPath;
out.bits = [...document.querySelectorAll("#regions text")].map(t => t.textContent);
const box = document.querySelector("#regions .cells").getBBox();
out.box = [box.x, box.y, box.width, box.height];
at("overlay").click();
out.bitsHidden = document.querySelectorAll("#regions text").length === 0;
document.querySelector("#legend input").click();
out.curvesLeft = svg.querySelectorAll("path.curve").length;
const pictures = ["under", "over"].map(id => at(id));
window.addEventListener("load", () => {
  out.sizes = pictures.map(p => [p.naturalWidth, p.naturalHeight]);
  const node = document.createElement("pre");
  node.id = "observed";
  node.textContent = JSON.stringify(out);
  document.body.append(node);
});
"""


class Observed(html.parser.HTMLParser):
    """The text of the element that the actions leave behind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._inside, self._text = False, ""
        self.feed(text)
        self.values: dict[str, Any] = json.loads(self._text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._inside = ("id", "observed") in attributes

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        self._text += data if self._inside else ""


def test_the_page_in_a_browser(measured: tuple[Any, list[Encode], Path], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    if browser is None:
        pytest.skip("no Chromium here: install the package chromium to test the page")
    clips, encodes, out = measured
    page.write_page(
        out / "report.html",
        clips,
        encodes,
        compare_all(encodes, "x264_medium_ld"),
        "x264_medium_ld",
        {"Date": "today"},
    )
    text = (out / "report.html").read_text()
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    acting = out / "acting.html"
    acting.write_text(text.replace("</body>", f"<script>{ACTIONS}</script></body>"))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", "--dump-dom",
         acting.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = Observed(done.stdout).values
    assert seen["circles"] == len(encodes) == 9
    assert seen["curves"] == 3
    assert seen["tipHiddenAtFirst"]
    assert seen["tipHiddenAgain"]
    assert seen["tip"].startswith("roicodec_ld+roi at 7\n100.000 dB")
    assert f"{encodes[0].bytes} bytes" in seen["tip"]
    assert seen["bdRows"] == 2
    assert seen["optionRows"][1].endswith("scenecut=0 -crf Q -threads 1")
    assert seen["axis"] == "PSNR-Y in the ROI [dB]"
    assert seen["clip"] == "inset(0px 75% 0px 0px)"
    assert seen["bits"] == ["ROI 16 bit", "non-ROI 4 bit"]
    assert seen["box"] == [16, 16, 48, 32]  # the cells that the mask touches
    assert seen["bitsHidden"]
    assert seen["curvesLeft"] == 2
    assert seen["sizes"] == [[WIDTH, HEIGHT]] * 2


def test_names_cannot_break_out_of_the_page(
    measured: tuple[Any, list[Encode], Path], tmp_path: Path
) -> None:
    clips, encodes, out = measured
    about = {"Command": "</script><script>alert(1)</script>"}
    page.write_page(out / "evil.html", clips, encodes, [], "x264_medium_ld", about)
    assert "</script><script>alert" not in (out / "evil.html").read_text()
