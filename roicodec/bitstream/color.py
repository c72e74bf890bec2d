"""Names of the numbers by which a stream describes colour: FFmpeg's, of ITU-T H.273."""

from __future__ import annotations

__all__ = ["LOCATIONS", "MATRICES", "PRIMARIES", "RANGES", "TRANSFERS", "name_of"]

RANGES = {0: "unspecified", 1: "limited", 2: "full"}
MATRICES = {
    0: "gbr", 1: "bt709", 2: "unspecified", 4: "fcc", 5: "bt470bg", 6: "smpte170m",
    7: "smpte240m", 8: "ycgco", 9: "bt2020nc", 10: "bt2020c", 11: "smpte2085",
    12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp",
}  # fmt: skip
PRIMARIES = {
    1: "bt709", 2: "unspecified", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m",
    8: "film", 9: "bt2020", 10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 2: "unspecified", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m",
    8: "linear", 9: "log100", 10: "log316", 11: "iec61966-2-4", 12: "bt1361e",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428",
    18: "arib-std-b67",
}  # fmt: skip
LOCATIONS = ("unspecified", "left", "center", "topleft", "top", "bottomleft", "bottom")
"""Places of chroma samples, by number."""


def name_of(number: int, names: dict[int, str]) -> str:
    """A name, or the number itself where H.273 has none for it."""
    return names.get(number, str(number))
