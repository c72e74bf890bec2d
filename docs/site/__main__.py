"""Builder of the site and the man pages.

python -m docs.site html [FOLDER]   the site; build/docs by default
python -m docs.site man [FOLDER]    man pages; dist/man by default
"""

from __future__ import annotations

import sys
from pathlib import Path

from docs.site.man import write_man_pages
from docs.site.pages import ROOT, write_sources

__all__ = ["build_site", "main"]


def build_site(folder: Path) -> int:
    """The site as files, in ``folder/html``; any warning is an error.

    Returns:
        Sphinx's exit status.
    """
    from sphinx.cmd.build import build_main

    sources = folder / "sources"
    write_sources(sources)
    settings = str(Path(__file__).parent)
    return build_main(
        ["-q", "-W", "--keep-going", "-E", "-d", str(folder / "cache"), "-c", settings,
         str(sources), str(folder / "html")]
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    """The program; returns its exit status."""
    match arguments:
        case ["html", *rest] if len(rest) <= 1:
            folder = Path(rest[0]) if rest else ROOT / "build/docs"
            status = build_site(folder)
            if not status:
                print(f"open {folder / 'html/index.html'}")
            return status
        case ["man", *rest] if len(rest) <= 1:
            pages = write_man_pages(Path(rest[0]) if rest else ROOT / "dist/man")
            print(f"man {pages[0]}")
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
