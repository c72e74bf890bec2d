"""Pages in a headless Chromium."""

from __future__ import annotations

import html.parser
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

__all__ = ["chromium", "observed", "with_browser"]


def chromium() -> str | None:
    """Path of Chromium; None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def with_browser(page: Path, folder: Path, *arguments: str) -> str:
    """The document of a page after its scripts have run; skips the test without a browser.

    Args:
        page: file to open.
        folder: for the browser's profile.
        arguments: more options of the browser.
    """
    browser = chromium()
    if browser is None:
        pytest.skip("no Chromium here: install the package chromium to test the page")
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=10000", "--dump-dom",
         *arguments, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout


def observed(text: str, actions: str, folder: Path) -> dict[str, Any]:
    """What a reader sees of a page that needs nothing else.

    Args:
        text: the page.
        actions: JavaScript that acts as a reader does and fills an object ``out``; functions of
            the list ``late`` do so when all pictures are loaded.
        folder: for files.
    """
    for outside in ("http://", "https://"):
        assert outside not in text.replace("http://www.w3.org/", "")
    acting = folder / "acting.html"
    acting.write_text(
        text.replace("</body>", f"<script>{_BEFORE}{actions}{_AFTER}</script></body>")
    )
    return _Observed(with_browser(acting, folder)).values


_BEFORE = "const out = {}, late = [];"
_AFTER = """
window.addEventListener("load", () => {
  for (const action of late) action();
  const node = document.createElement("pre");
  node.id = "observed";
  node.textContent = JSON.stringify(out);
  document.body.append(node);
});
"""


class _Observed(html.parser.HTMLParser):
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
