"""``roicodec doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from roicodec.cli.console import say
from roicodec.cli.options import backend_option, threads_option

__all__ = ["doctor"]


@click.command()
@backend_option
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(backend: str, threads: int, as_json: bool) -> None:
    """Tell what the networks run with here.

    Which arithmetic backend is chosen and why, the measured rate of each, instruction sets,
    threads and versions. Takes some seconds.
    """
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.decoder.model import tried_layers
    from roicodec.decoder.weights import load_arrays
    from roicodec.doctor import report, text_lines

    found = report(backend, tried_layers(load_arrays()))
    if as_json:
        say(json.dumps(asdict(found)))
    else:
        for line in text_lines(found):
            say(line)
