"""The page about a stream: in a browser, from damaged streams, without networks; the command."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roicodec
from roicodec.bitstream.writer import StreamWriter
from roicodec.stream_report import mask_paths
from tests.browser import observed
from tests.cli.command_line import Run
from tests.conftest import make_frame, make_header

GOLDEN = Path(__file__).parent / "golden"

ACTIONS = """
const figures = [...document.querySelectorAll("#charts figure")];
out.charts = figures.map(f => f.id);
out.areas = figures[0].querySelectorAll("path.area").length;
out.captions = figures.map(f => f.querySelector("figcaption").textContent);
out.strip = at("strip").children.length;
out.first = at("caption").textContent;
out.rest = at("mask").children[0].getAttribute("d").length > 0;
at("forth").click();
out.second = at("caption").textContent;
out.readout = at("readout").textContent;
document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft"}));
out.back = at("caption").textContent === out.first;
at("overlay").click();
out.hidden = getComputedStyle(at("mask")).display === "none";
at("frame").value = 8;
at("frame").dispatchEvent(new Event("input"));
out.dragged = at("readout").textContent;
const box = figures[1].querySelector("svg").getBoundingClientRect();
figures[1].querySelector("svg").dispatchEvent(
  new PointerEvent("pointermove", {clientX: box.left + 0.5 * box.width, clientY: box.top + 9}));
out.pointed = at("readout").textContent;
const rows = [...at("layers").tBodies[0].rows];
out.layers = rows.map(r => [...r.cells].slice(0, 3).map(c => c.textContent));
out.cost = at("costnote").textContent;
out.bars = [...at("ops").children].map(c => c.textContent).filter(Boolean);
out.wide = document.documentElement.scrollWidth <= window.innerWidth;
late.push(() => { out.size = [at("picture").naturalWidth, at("picture").naturalHeight]; });
"""


def page_data(page: Path) -> dict[str, Any]:
    """What a page draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_page_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    info = roicodec.write_report(GOLDEN / "pyramid-8.rq", page, pictures=4)
    seen = observed(page.read_text(), ACTIONS, tmp_path)
    assert seen["charts"] == ["bits", "quality", "widths", "shares", "arithmetic"]
    assert seen["areas"] == 5
    assert seen["captions"][2] == "Bit-widthsROIrest"
    assert seen["strip"] == 4
    assert seen["first"].startswith("1 of 4: frame 0, 0:00:00.00, intra, ROI 8 bits, rest 4 bits")
    assert seen["rest"]
    assert seen["second"].startswith("2 of 4: frame 4, ")
    assert "bidirectional, layer 1; " in seen["readout"]
    assert seen["readout"].startswith("Frame 4 ")
    assert seen["back"]
    assert seen["hidden"]
    assert seen["dragged"].startswith("Frame 8 ")
    (eighth,) = [f for f in info.frame_list if f.number == 8]
    assert f" inter, layer 0; {eighth.bytes} bytes (latents {eighth.latents}, " in seen["dragged"]
    assert seen["pointed"].startswith("Frame 7 ")
    assert seen["layers"][:2] == [["intra", "0", "2"], ["inter", "0", "3"]]
    coded, eight = (
        sum(getattr(f, name) for f in info.frame_list) for name in ("bit_ops", "bit_ops_8")
    )
    pixels = len(info.frame_list) * info.header.width * info.header.height
    assert f"it is {100 - 100 * coded / eight:.1f} % less than in 8 bits" in seen["cost"]
    assert seen["bars"][1] == f"{coded / pixels / 1000:.1f} kBitOPs a pixel"
    assert seen["wide"]
    assert seen["size"] == [info.header.width, info.header.height]


def test_columns_are_in_the_order_of_presentation(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    info = roicodec.write_report(GOLDEN / "pyramid-8.rq", page, pictures=0)
    frames = page_data(page)["frames"]
    assert frames["number"] == list(range(14))
    by_number = {f.number: f for f in info.frame_list}
    assert frames["latents"] == [by_number[n].latents for n in range(14)]
    assert page_data(page)["pictures"] == []


def test_the_cost_in_8_bits(tmp_path: Path) -> None:
    """A frame of 8 and 4 bits would cost more in 8 bits; one in 16 and 8 bits, less."""
    for name, sign in (("low-delay", 1), ("carphone", -1)):
        info = roicodec.write_report(GOLDEN / f"{name}.rq", tmp_path / "a.html", pictures=0)
        for frame in info.frame_list:
            assert frame.bit_ops is not None
            assert frame.bit_ops_8 is not None
            assert sign * (frame.bit_ops_8 - frame.bit_ops) > 0


def test_a_damaged_stream_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    info = roicodec.write_report(GOLDEN / "lost.rq", page, pictures=50)
    data = page_data(page)
    assert info.damages
    assert data["damages"] == info.damages
    assert data["totals"]["frames_lost"] == info.totals.lost > 0
    assert 0 < len(data["pictures"]) < 14


def test_without_the_stream_s_networks_there_are_no_pictures(tmp_path: Path) -> None:
    stream, page = tmp_path / "a.rq", tmp_path / "a.html"
    out = io.BytesIO()
    with StreamWriter(out, make_header(encoder="</script><script>alert(1)")) as writer:
        for number in range(5):
            writer.write_frame(make_frame(number))
    stream.write_bytes(out.getvalue())
    info = roicodec.write_report(stream, page)
    data = page_data(page)
    assert data["note"].startswith("No pictures: ")
    assert data["arithmetic"] is None
    assert info.totals.frames == 5
    assert "</script><script>alert" not in page.read_text()
    seen = observed(page.read_text(), 'out.note = at("costnote").textContent;', tmp_path)
    assert seen["note"].startswith("Unknown: ")


def inside(path: str) -> list[tuple[float, ...]]:
    """Left, top, right and bottom of the rectangles of a path."""
    boxes = []
    for shape in path.split("Z")[:-1]:
        numbers = np.array(re.findall(r"[\d.]+", shape), float).reshape(-1, 2)
        boxes.append((*numbers.min(0).tolist(), *numbers.max(0).tolist()))
    return boxes


def test_paths_of_a_mask() -> None:
    mask = np.array([[False, True, False], [False, False, False]])
    rest, outline = mask_paths(mask, 40, 20, 0)
    assert inside(rest) == [(0, 0, 400, 800), (800, 0, 1000, 800), (0, 800, 1000, 1000)]
    assert outline.count("M") == 4
    turned, _ = mask_paths(mask, 40, 20, 1)  # the right edge is on top then
    assert inside(turned) == [(0, 600, 800, 1000), (0, 0, 800, 200), (800, 0, 1000, 1000)]
    assert mask_paths(np.zeros((2, 3), np.bool_), 40, 20, 0) == ("", "")


def test_arguments_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(roicodec.InputError, match=r"pictures 201: give 0\.\.200"):
        roicodec.write_report(GOLDEN / "lost.rq", tmp_path / "a.html", pictures=201)
    with pytest.raises(roicodec.InputError, match="cannot be read"):
        roicodec.write_report(tmp_path / "none.rq", tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_the_command(run: Run, tmp_path: Path) -> None:
    stream = GOLDEN / "low-delay.rq"
    done = run("info", "--html", "a.html", "--pictures", 1, stream)
    assert done.status == 0, done.err
    assert done.out == "a.html: 6 frames\n"
    assert len(page_data(tmp_path / "a.html")["pictures"]) == 1
    done = run("info", "--html", "a.html", stream)
    assert done.status == 1
    assert "a.html exists" in done.error
    assert run("info", "--html", "a.html", "-f", stream).status == 0
    done = run("info", "--html", "b.html", GOLDEN / "lost.rq")
    assert done.status == 1
    assert "not as it was written" in done.error
    assert (tmp_path / "b.html").exists()
    for wrong in (["--json"], ["--csv"], ["--frames"], ["--roi-map", "m.mkv"]):
        done = run("info", "--html", "c.html", *wrong, stream)
        assert done.status == 2
        assert "--html excludes" in done.error
    assert "give a file" in run("info", "--html", "c.html", "-").error
    assert not (tmp_path / "c.html").exists()
