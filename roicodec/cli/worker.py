"""``roicodec worker``: a process that ``--jobs`` starts; not for people."""

from __future__ import annotations

import click

from roicodec.factory import CodecFactory

__all__ = ["worker"]


@click.command(hidden=True)
@click.argument("channel", type=click.IntRange(min=3))
@click.option("--threads", type=click.IntRange(1, 256), required=True)
@click.pass_obj
def worker(factory: CodecFactory, channel: int, threads: int) -> None:
    """Work for the process at the other end of CHANNEL."""
    from roicodec.cli.threads import limit_threads

    limit_threads(threads)
    from roicodec.segments.pool import channel_of
    from roicodec.segments.worker import serve

    with channel_of(channel) as connection:
        serve(connection, factory)
