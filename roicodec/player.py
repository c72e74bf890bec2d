"""Streams shown in a window by a player that is installed."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from roicodec.bitstream.constants import MAX_AREA, MAX_FRAMES
from roicodec.errors import InputError
from roicodec.factory import CodecFactory
from roicodec.media.part import WHOLE, Part
from roicodec.transcode import DecodeReport, Listener, decode_stream

if TYPE_CHECKING:
    from roicodec.media.part import Time

__all__ = ["PLAYERS", "find_player", "play", "play_stream"]

PLAYERS = ("ffplay", "mpv")
"""Players that are looked for, in this order."""
_ARGUMENTS = {
    "ffplay": ("-hide_banner", "-loglevel", "error", "-autoexit", "-f", "nut", "-i", "-"),
    "mpv": ("--really-quiet", "-"),
}
_TITLES = {"ffplay": ("-window_title", "{}"), "mpv": ("--title={}",)}


def find_player(name: str | None = None) -> tuple[str, str]:
    """Name and path of a player.

    Args:
        name: one of :data:`PLAYERS`; None for the first that is there.

    Raises:
        InputError: if it is not on ``PATH``.
    """
    if name is not None and name not in PLAYERS:
        raise InputError(f"player {name!r}: use one of {', '.join(PLAYERS)}", parameter="player")
    for candidate in (name,) if name else PLAYERS:
        if (path := shutil.which(candidate)) is not None:
            return candidate, path
    wanted = name or " nor ".join(PLAYERS)
    no = "no" if name else "neither"
    raise InputError(
        f"{no} {wanted} is on PATH; install FFmpeg or mpv, or give a player the output"
        " of 'roicodec decode --format matroska IN.rq -'",
        parameter="player" if name else None,
    )


def play(
    source: str | PathLike[str],
    *,
    player: str | None = None,
    frames: slice | None = None,
    start: Time | None = None,
    duration: Time | None = None,
    end: Time | None = None,
    overlay: bool = False,
    backend: str | None = None,
    listener: Listener | None = None,
) -> DecodeReport | None:
    """A stream in a window, until it ends or is closed.

    Args:
        source: path of the stream.
        player: ``ffplay`` or ``mpv``; None for the first that is on ``PATH``.
        frames, start, duration, end, overlay, backend, listener: as :func:`roicodec.decode` takes
            them.

    Returns:
        what was decoded; None if the player was closed before.

    Raises:
        InputError: if there is no player, or the source or the part is not there.
        StreamError: if no frame at all can be decoded.
        ModelError: if the stream's networks are not there.
    """
    path = Path(source)
    try:
        file = path.open("rb")
    except OSError as error:
        message = f"{path}: cannot be opened ({error.strerror})"
        raise InputError(message, parameter="source").at(path) from error
    part = Part.of(frames, start, duration, end)
    with file:
        return play_stream(
            file, path.name, player=player, part=part, overlay=overlay, backend=backend,
            listener=listener,
        )  # fmt: skip


def play_stream(
    stream: BinaryIO,
    title: str,
    *,
    player: str | None = None,
    part: Part = WHOLE,
    overlay: bool = False,
    backend: str | None = None,
    max_pixels: int = MAX_AREA,
    max_frames: int = MAX_FRAMES,
    listener: Listener | None = None,
    factory: CodecFactory | None = None,
) -> DecodeReport | None:
    """Decoding of a stream into a player, until it or the user ends.

    Args:
        stream: at its start.
        title: of the window.
        player: as :func:`find_player` takes it.
        part, overlay, backend, max_pixels, max_frames, listener, factory: as
            :func:`roicodec.transcode.decode_stream` takes them.

    Returns:
        what was decoded; None if the player was closed before.

    Raises:
        InputError: if there is no player, or the part is not there.
        StreamError: if no frame at all can be decoded.
    """
    name, path = find_player(player)
    titled = [text.format(title) for text in _TITLES[name]]
    with subprocess.Popen([path, *titled, *_ARGUMENTS[name]], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            done = decode_stream(
                stream, process.stdin, codec="rawvideo", format="nut", part=part,  # type: ignore[arg-type]
                overlay=overlay, backend=backend, max_pixels=max_pixels, max_frames=max_frames,
                listener=listener, factory=factory,
            )  # fmt: skip
            process.stdin.close()
            process.wait()
        except BrokenPipeError:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
            return None
        except BaseException:
            process.terminate()
            with suppress(BrokenPipeError):
                process.stdin.close()
            raise
    return done
