"""Damage of a source: counted while it is read, one line for each kind."""

from __future__ import annotations

from roicodec.errors import InputError

__all__ = ["DamageLog"]


class DamageLog:
    """Counts of damages by kind.

    Args:
        name: of the source, for messages.
        strict: whether the first damage is an error.

    Attributes:
        frame: number of the picture that comes next.
        time: of the last picture, in seconds; None before the first.
    """

    def __init__(self, name: str, strict: bool) -> None:
        self._name, self._strict = name, strict
        self._kinds: dict[str, tuple[int, str]] = {}
        self.frame = 0
        self.time: float | None = None

    def __len__(self) -> int:
        return sum(count for count, _ in self._kinds.values())

    def add(self, one: str, many: str = "", *, place: str | None = None) -> None:
        """One more damage here.

        Args:
            one: what it is, if there is one.
            many: what ``{}`` of them are; the same as ``one`` by default.
            place: where it is; by default, at the picture that comes next.

        Raises:
            InputError: if every damage is one.
        """
        where = self._here() if place is None else place
        if self._strict:
            raise InputError(f"{self._name}: damaged{where}: {one}")
        key = many or one
        count, first = self._kinds.get(key, (0, f"{one}{where}"))
        self._kinds[key] = count + 1, first

    def lines(self) -> list[str]:
        """A line for each kind, with the number of its damages and the place of the first."""
        return [
            first if count == 1 else f"{kind.format(count)}; the first: {first}"
            for kind, (count, first) in self._kinds.items()
        ]

    def _here(self) -> str:
        time = "" if self.time is None else f", {self.time:.2f} s"
        return f" at frame {self.frame}{time}"
