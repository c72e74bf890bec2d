"""Names of clips as names of folders and files."""

from __future__ import annotations

import hashlib
import os
import re

__all__ = ["folder_name"]

_LONGEST = 100
"""Bytes of a name up to which it stays as it is; suffixes of plots and streams follow it."""
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\\\ud800-\udfff\u2028\u2029]")


def folder_name(stem: str) -> str:
    """A name for a clip's folder, its own one where that is possible.

    Dots at the start (``..`` is another folder), control characters, separators, and bytes that
    are no UTF-8 become ``_``; a name in which that changes something, or that is long, ends in a
    hash of itself, so that different clips have different folders.
    """
    safe = _UNUSABLE.sub("_", re.sub(r"^\.+", lambda dots: "_" * len(dots.group()), stem)) or "_"
    if safe == stem and len(os.fsencode(safe)) <= _LONGEST:
        return safe
    digest = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    return os.fsencode(safe)[:_LONGEST].decode("utf-8", "ignore") + f"-{digest}"
