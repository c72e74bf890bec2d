"""What an encoder can be tuned for."""

from __future__ import annotations

__all__ = ["MAX_TREE", "TREE", "TUNES"]

TUNES = "psnr", "ssim"
"""Least squared error, or structure as eyes see it."""

TREE, MAX_TREE = 2.0, 4.0
"""Strength of the propagation tree: of the default, and the most."""
