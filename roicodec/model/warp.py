"""Motion compensation with block-constant quarter-sample vectors, exact in integers.

The interpolation filters are those of HEVC (ITU-T H.265, 8.5.3.3.3, tables 8-11 and 8-12): 8 taps
in quarter samples for luma, 4 taps in eighth samples for chroma. Unlike HEVC both passes keep full
precision and round once. Every intermediate is an integer below 2**24, so float32 tensors hold it
exactly and the same code serves training (with gradients) and decoding (bit-exact).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["BLOCK", "compensate", "compensate_features"]

BLOCK = 8
"""Side of a motion block in luma samples."""

_LUMA = ((0, 0, 0, 64, 0, 0, 0, 0), (-1, 4, -10, 58, 17, -5, 1, 0),
         (-1, 4, -11, 40, 40, -11, 4, -1), (0, 1, -5, 17, 58, -10, 4, -1))  # fmt: skip
_CHROMA = ((0, 64, 0, 0), (-2, 58, 10, -2), (-4, 54, 16, -2), (-6, 46, 28, -4),
           (-4, 36, 36, -4), (-4, 28, 46, -6), (-2, 16, 54, -4), (-2, 10, 58, -2))  # fmt: skip


def _filtered(patch: Tensor, taps: Tensor, size: int) -> Tensor:
    """Weighted sum by ``taps`` ``[T, N]`` along the first axis of ``[size + T - 1, …, N]``."""
    out = patch[:size] * taps[0]
    for k in range(1, len(taps)):
        out = out.addcmul(patch[k : k + size], taps[k])
    return out


def _compensate_plane(
    plane: Tensor, vectors: Tensor, size: int, unit: int, table: tuple[tuple[int, ...], ...]
) -> Tensor:
    # Blocks are the last axis, N of them: all that follows runs along it.
    batch, height, width = plane.shape
    rows, columns = height // size, width // size
    taps = len(table[0])
    dx, dy = vectors.reshape(-1, 2).to(torch.int32).unbind(1)
    span = torch.arange(size + taps - 1, dtype=torch.int32, device=plane.device)[:, None]
    span = span - (taps // 2 - 1)
    block = torch.arange(len(dx), dtype=torch.int32, device=plane.device)
    left = block.remainder(columns) * size + dx.div(unit, rounding_mode="floor")
    row = block.div(columns, rounding_mode="floor")
    top = row.remainder(rows) * size + dy.div(unit, rounding_mode="floor")
    image = row.div(rows, rounding_mode="floor")
    y = (top + span).clamp(0, height - 1) + image * height
    x = (left + span).clamp(0, width - 1)
    index = x[:, None] + y * width
    patch = plane.reshape(-1).index_select(0, index.view(-1)).view(index.shape)
    filters = torch.tensor(table, dtype=plane.dtype, device=plane.device).t()
    across = _filtered(patch, filters[:, dx.remainder(unit)], size).transpose(0, 1)
    both = _filtered(across, filters[:, dy.remainder(unit)], size)
    out = both.view(size, size, batch, rows, columns).permute(2, 3, 0, 4, 1)
    return out.reshape(batch, height, width) / 4096


def compensate(
    y: Tensor, u: Tensor, v: Tensor, vectors: Tensor, *, exact: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Predict a frame from its reference.

    Args:
        y, u, v: reference planes, float32 holding integers 0..255, ``[B, H, W]`` and twice
            ``[B, H / 2, W / 2]``; H and W multiples of 8.
        vectors: int64 ``[B, H / 8, W / 8, 2]``, (dx, dy) in quarter luma samples: the prediction
            of sample (x, y) is the reference at (x + dx / 4, y + dy / 4), edges repeated.
        exact: round half up and clip to 0..255, as the decoder does; False leaves the real value
            through which gradients flow.

    Returns:
        The predicted planes, of the same shapes and dtype.
    """
    luma = _compensate_plane(y, vectors, BLOCK, 4, _LUMA)
    chroma = [_compensate_plane(p, vectors, BLOCK // 2, 8, _CHROMA) for p in (u, v)]
    planes = (luma, *chroma)
    if exact:
        return tuple((p + 0.5).floor().clamp(0, 255) for p in planes)  # type: ignore[return-value]
    return planes  # type: ignore[return-value]


def compensate_features(features: Tensor, vectors: Tensor) -> Tensor:
    """Fetch each 1/8-resolution position's features from the nearest position its vector names.

    Args:
        features: any dtype, ``[B, H / 8, W / 8, C]``.
        vectors: int64 ``[B, H / 8, W / 8, 2]`` in quarter luma samples.
    """
    batch, height, width, channels = features.shape
    unit = 4 * BLOCK
    shift = (vectors + unit // 2).div(unit, rounding_mode="floor")
    y = torch.arange(height, device=features.device)[None, :, None] + shift[..., 1]
    x = torch.arange(width, device=features.device)[None, None, :] + shift[..., 0]
    image = torch.arange(batch, device=features.device)[:, None, None]
    index = (image * height + y.clamp(0, height - 1)) * width + x.clamp(0, width - 1)
    return features.reshape(-1, channels)[index]
