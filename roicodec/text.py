"""Text from files and streams, made safe to print."""

from __future__ import annotations

import re

__all__ = ["in_utf8", "printable"]

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: line ends, escape sequences
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff]"  # surrogates: bytes that are no UTF-8
)
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: str) -> str:
    r"""One line that can neither steer a terminal nor look like two lines.

    Control characters, surrogates, and the characters that change the direction of writing become
    escapes as Python writes them; a byte that was no UTF-8 becomes ``\x`` and two digits. All
    other characters stay.
    """
    return _UNSAFE.sub(_escape, text)


def in_utf8(text: str) -> str:
    r"""The text with bytes that are no UTF-8, by :pep:`383`, as ``\x`` and two digits."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
