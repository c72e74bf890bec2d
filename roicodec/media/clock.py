"""Time stamps as a muxer takes them: in range, those of pictures increasing and without leaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from roicodec.media.containers import MOV
from roicodec.media.info import ASSUMED_RATE
from roicodec.media.tracks import Problems, Track, TrackPacket

__all__ = ["PacketClock", "PictureClock", "SteadyClock"]

_MAX_TICKS = 1 << 29
"""Longest time on show in MP4, in units of the track's time base: times of decoding, which lag
behind those of showing by a few pictures, are stated by their 31-bit distance."""
_MAX_GAP = 10**6
"""Seconds on show, more than eleven days, that are taken for damage."""
_MAX_DURATIONS = {"audio": 600, "subtitle": 10**5}
"""Seconds beyond which a packet's duration is not one."""
_MAX_START = 10**7
"""Seconds, almost four months, at which a clip may start; what is before 0, players cut off."""


class PacketClock:
    """Check of the time stamps and durations of the packets of other tracks.

    Args:
        tracks: the tracks.
        problems: takes a line for each track of which packets are left out or corrected.
    """

    def __init__(self, tracks: Sequence[Track], problems: Problems) -> None:
        self._tracks, self._problems = tracks, problems
        self._told: set[tuple[int, str]] = set()

    def __call__(self, packet: TrackPacket) -> TrackPacket | None:
        """The packet, without a duration that cannot be; None if its time cannot be."""
        track = self._tracks[packet.track]
        times = (packet.pts or 0, packet.dts or 0)
        if any(abs(time * track.time_base) > _MAX_START for time in times):
            self._tell(packet.track, "a packet's time stamp is out of range; left out")
            return None
        seconds = packet.duration * track.time_base
        if seconds > _MAX_DURATIONS.get(track.kind, _MAX_START):
            self._tell(packet.track, f"a packet's duration of {float(seconds):g} s is left out")
            return replace(packet, duration=0)
        return packet

    def _tell(self, number: int, message: str) -> None:
        kind = message.split(" of ")[0]
        if (number, kind) not in self._told:
            self._told.add((number, kind))
            self._problems.add(f"{self._tracks[number]}: {message}")


class PictureClock:
    """Correction of the time stamps and durations of one picture after the other.

    Args:
        time_base: seconds per unit.
        rate: frames per second; None when unknown.
        format: FFmpeg's name of the muxer.
        problems: takes a line for each picture whose time is corrected.
    """

    def __init__(
        self, time_base: Fraction, rate: Fraction | None, format: str, problems: Problems
    ) -> None:
        self._time_base, self._problems = time_base, problems
        longest = int(_MAX_GAP / time_base)
        self._longest = min(longest, _MAX_TICKS) if format in MOV else longest
        steps = (int(1 / (rate * time_base)) for rate in (rate, ASSUMED_RATE) if rate)
        self._step = next((step for step in steps if 0 < step <= self._longest), 1)
        self._last: int | None = None
        self._number = 0

    def __call__(self, pts: int, duration: int) -> tuple[int, int]:
        """Time stamp and duration of the next picture; the duration is 0 when unknown."""
        if self._last is None:
            wrong = not 0 <= pts * self._time_base <= _MAX_START
            due = 0
        else:
            wrong = not self._last < pts <= self._last + self._longest
            due = self._last + self._step
        if wrong:
            self._problems.add(f"picture {self._number}: time stamp {pts} cannot be; {due} taken")
            pts = due
        if duration > self._longest:
            self._problems.add(f"picture {self._number}: duration {duration} cannot be; left out")
            duration = 0
        self._last = pts
        self._number += 1
        return pts, duration or self._step


class SteadyClock:
    """Numbers of pictures for a container without time stamps, in which every picture has a turn.

    Args:
        time_base: seconds per unit of the pictures' time stamps.
        rate: frames per second of the container.
        warnings: takes a line if pictures do not come at that rate.
    """

    def __init__(self, time_base: Fraction, rate: Fraction, warnings: list[str]) -> None:
        self._time_base, self._rate, self._warnings = time_base, rate, warnings
        self._last = -1
        self._told = False

    def __call__(self, pts: int) -> int:
        """Turn of the next picture, by its time stamp."""
        turn = pts * self._time_base * self._rate
        exact = max(round(turn), self._last + 1)
        if abs(exact - turn) > Fraction(1, 2) and not self._told:
            self._told = True
            self._warnings.append(
                "variable frame rate: avi cannot keep the time stamps; use .mkv or .mp4"
            )
        self._last = exact
        return exact
