"""The documentation site: every command, option and public name is in it, and nothing warns."""

from __future__ import annotations

import html
import re
import warnings
from pathlib import Path

import click
import pytest

import roicodec
from docs.site.__main__ import build_site, main
from docs.site.commands import Command, Option, Paragraph, documented_commands
from docs.site.pages import ROOT, api_page, command_page
from roicodec.cli.commands import all_commands, cli

COMMANDS: dict[str, click.Command] = {
    "roicodec": cli,
    **{f"roicodec {name}": command for name, command in all_commands().items()},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    pytest.importorskip("sphinx", reason="the site needs roicodec[docs]")
    folder = tmp_path_factory.mktemp("site")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # Sphinx
        assert build_site(folder) == 0
    return folder / "html"


def text_of(page: Path) -> str:
    """What a page shows, with single spaces."""
    body = re.sub(r"<(script|style).*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", body)).split())


def test_every_command_has_a_page() -> None:
    assert [command.name for command in documented_commands()] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_s_page_has_every_option_with_its_help(name: str, site: Path) -> None:
    page = site / f"cli/{name.replace(' ', '-')}.html"
    shown, source = text_of(page), page.read_text("utf-8")
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            for form in (*option.opts, *option.secondary_opts):
                anchor = f"cmdoption-{name}-{form.lstrip('-')}".replace(" ", "-")
                assert f'id="{anchor}"' in source, f"{name} {form}"
            words = " ".join((option.help or "").split())
            assert words in shown, option.opts
    for line in (COMMANDS[name].epilog or "").splitlines():
        if line.startswith("  roicodec"):
            assert " ".join(line.split()) in shown


def test_help_with_marks_of_the_page_s_language_is_shown_as_it_is() -> None:
    help_text = Paragraph("Of *all* in `a_`, with --roi | \\b", literal=False)
    page = command_page(Command("x", "IN", "", (help_text,), (Option(("-f",), "", "f_"),), ()))
    assert r"Of \*all\* in \`a\_\`, with \--roi \| \\b" in page
    assert ".. option:: -f\n\n   f\\_" in page


def test_every_public_name_has_its_reference(site: Path) -> None:
    source = (site / "api.html").read_text("utf-8")
    for name in set(roicodec.__all__) - {"__version__"}:
        assert f"roicodec.{name}\n" in api_page()
        assert f'id="roicodec.{name}"' in source, name
    assert 'id="roicodec.Video.seek"' in source


def test_every_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    front = (site / "index.html").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / name).exists(), name
        assert name == "index.html" or f'href="{name}"' in front, f"{name} is not in the sidebar"


def test_looking_at_the_site_needs_no_other_server(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="([^"]+)"', page.read_text("utf-8")
        )
        assert not [url for url in loaded if re.match(r"https?:|//", url)], page
        for url in loaded:
            target = url.split("?")[0].split("#")[0]
            assert not target or target.startswith("data:") or (page.parent / target).exists(), url


def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pdf"]) == 2
    assert "python -m docs.site html" in capsys.readouterr().err
