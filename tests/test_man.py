"""Manual pages: complete, and without anything that roff does not know."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from docs.site.commands import Command, Option, Paragraph
from docs.site.man import man_page
from roicodec.cli.commands import all_commands


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    # In a process of its own: click keeps a command's help option from its first use on.
    subprocess.run([sys.executable, "-m", "docs.site", "man", str(folder)], check=True)
    return folder


def test_every_option_of_every_command_is_there(pages: Path) -> None:
    assert {p.stem for p in pages.iterdir()} == {
        "roicodec",
        *(f"roicodec-{c}" for c in all_commands()),
    }
    for name, command in all_commands().items():
        text = (pages / f"roicodec-{name}.1").read_text().replace("\\-", "-")
        for option in command.params:
            if isinstance(option, click.Option):
                for form in option.opts:
                    assert f"\\fB{form}\\fR" in text, f"{name} {form}"
        assert "\\fB-h\\fR, \\fB--help\\fR" in text
        assert ".SH EXIT STATUS" in text


def test_roff_takes_the_pages_without_a_warning(pages: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff here")
    for page in pages.iterdir():
        done = subprocess.run(
            [groff, "-man", "-Tascii", "-ww", str(page)], capture_output=True, text=True, check=True
        )
        assert not done.stderr
        shown = re.sub(".\b", "", done.stdout)  # bold by typing twice
        assert "SEE ALSO" in shown


def test_marks_of_roff_in_a_help_text_are_shown_as_they_are() -> None:
    help_text = (Paragraph(".TH isn't a request, nor is \\b", literal=False),)
    command = Command("x y", "IN", "Short.", help_text, (Option(("-f",), "", "It's."),), ())
    page = man_page(command, [command])
    assert "\n\\&.TH isn\\(aqt a request, nor is \\eb\n" in page
    assert "\nIt\\(aqs.\n" in page
    assert "x\\-y \\- Short\n" in page
