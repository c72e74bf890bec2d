"""Measuring roicodec against other codecs: real files, decoded and compared."""

from __future__ import annotations

__all__: list[str] = []
