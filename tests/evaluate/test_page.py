"""The page of results: in a browser, and with names that try to break out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roicodec.evaluate import page
from roicodec.evaluate.run import Encode
from roicodec.evaluate.tables import compare_all
from tests.browser import observed
from tests.evaluate.small_run import HEIGHT, WIDTH

# What a reader does: hover over a point, look at another measure, drag the slider, hide the ROI.
ACTIONS = """
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
late.push(() => { out.sizes = pictures.map(p => [p.naturalWidth, p.naturalHeight]); });
"""


def test_the_page_in_a_browser(measured: tuple[Any, list[Encode], Path], tmp_path: Path) -> None:
    clips, encodes, out = measured
    page.write_page(
        out / "report.html",
        clips,
        encodes,
        compare_all(encodes, "x264_medium_ld"),
        "x264_medium_ld",
        {"Date": "today"},
    )
    seen = observed((out / "report.html").read_text(), ACTIONS, tmp_path)
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
