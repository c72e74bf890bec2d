"""``roicodec --version``: the program, formats, model and kernels."""

from __future__ import annotations

from collections.abc import Iterator

import click

from roicodec import __version__

__all__ = ["show_version", "version_lines"]


def version_lines() -> Iterator[str]:
    """What tells one installation from another, a line each; the first is name and version."""
    yield f"roicodec {__version__}"
    from roicodec.bitstream.constants import READABLE, VERSION
    from roicodec.decoder.weights import load_arrays, model_id
    from roicodec.errors import InputError, ModelError
    from roicodec.kernels import native

    older = ", ".join(str(version) for version in READABLE if version != VERSION)
    yield f"format      {VERSION}" + (f", reads {older}, too" if older else "")
    try:
        yield f"model       {model_id(load_arrays()).hex()}"
    except ModelError as error:
        yield f"model       none: {error}"
    try:
        there = native.library() is not None
        yield f"kernels     {'native' if there else 'reference, in numpy'}: {native.reason()}"
    except InputError as error:
        yield f"kernels     none: {error}"


def show_version(context: click.Context, option: click.Parameter, asked: bool) -> None:
    """The lines printed, and the end, if they are asked for."""
    if asked and not context.resilient_parsing:
        for line in version_lines():
            click.echo(line)
        context.exit()
