"""A container that forgets what it is given, in which a track's packets are tried."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from roicodec.media.containers import REFUSALS, nowhere, open_output

__all__ = ["Rehearsal"]


class Rehearsal:
    """Trial muxing of one track alone.

    What a muxer refuses is noticed here, before it can hurt the output, where the refusal would
    meet another packet.

    Args:
        add: adds the track's stream to a container.
        format: FFmpeg's name of the muxer.

    Attributes:
        stream: the track's.

    Raises:
        ValueError, av.FFmpegError: if the container cannot hold the track.
    """

    def __init__(self, add: Callable[[OutputContainer], Stream], format: str) -> None:
        self._out = open_output(nowhere(), format, {"strict": "-2"})
        try:
            self.stream = add(self._out)
            self._out.start_encoding()
        except BaseException:
            self.close()
            raise

    def refusal(self, packet: Packet[Any]) -> BaseException | None:
        """The muxer's objection to a packet, whose time stamps get the unit of the output."""
        packet.stream = self.stream
        try:
            self._out.mux(packet)
        except REFUSALS as error:
            return error
        return None

    def close(self) -> None:
        """Release of the container."""
        with suppress(Exception):
            self._out.close()
