"""Differentiable motion compensation for training (:mod:`roicodec.kernels.compensation`).

Every intermediate is a multiple of 2**-16 below 2**8, so float32 tensors hold it exactly, and the
rounded results are those of the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from roicodec.bitstream.constants import BLOCK
from roicodec.kernels.compensation import CHROMA_FILTERS, LUMA_FILTERS, WINDOWS

__all__ = ["compensate", "compensate_features"]


def _filtered(patch: Tensor, taps: Tensor, size: int) -> Tensor:
    """Weighted sum by ``taps`` ``[T, N]`` along the first axis of ``[size + T - 1, …, N]``."""
    out = patch[:size] * taps[0]
    for k in range(1, len(taps)):
        out = out.addcmul(patch[k : k + size], taps[k])
    return out


def _predicted(
    plane: Tensor, size: int, filters: Tensor, blocks: Tensor, vectors: Tensor,
    rows: slice, columns: slice,
) -> Tensor:  # fmt: skip
    """Prediction of some rows and columns of blocks, ``[rows, columns, N]`` in 0..255.

    Args:
        plane: reference, ``[B, H, W]``.
        size: side of a block.
        filters: taps of each fraction, ``[T, F]``.
        blocks: numbers of the blocks in raster order, image by image, int32 ``[N]``.
        vectors: one for each block, in 1 / F samples, int32 ``[N, 2]``.
        rows, columns: within a block.
    """
    # Blocks are the last, contiguous axis.
    _, height, width = plane.shape
    taps, unit = filters.shape
    dx, dy = vectors.unbind(1)
    line, column = blocks // (width // size), blocks.remainder(width // size)
    image, line = line // (height // size), line.remainder(height // size)

    def span(part: slice) -> Tensor:
        return torch.arange(
            part.start - (taps // 2 - 1), part.stop + taps // 2,
            dtype=torch.int32, device=plane.device,
        )[:, None]  # fmt: skip

    y = line * size + dy.div(unit, rounding_mode="floor") + span(rows)
    x = column * size + dx.div(unit, rounding_mode="floor") + span(columns)
    index = x.clamp(0, width - 1)[:, None] + (y.clamp(0, height - 1) + image * height) * width
    patch = plane.reshape(-1).index_select(0, index.view(-1)).view(index.shape)
    across = _filtered(patch, filters[:, dx.remainder(unit)], columns.stop - columns.start)
    both = _filtered(across.transpose(0, 1), filters[:, dy.remainder(unit)], rows.stop - rows.start)
    return (both / 4096).clamp(0, 255)


def _beside(vectors: Tensor, axis: int, *, after: bool) -> Tensor:
    """Vectors of the neighbours along an axis; at the edge those of the blocks themselves."""
    length = vectors.shape[axis]
    edge = vectors.narrow(axis, length - 1 if after else 0, 1)
    inner = vectors.narrow(axis, 1 if after else 0, length - 1)
    return torch.cat([inner, edge] if after else [edge, inner], axis)


def _compensate_plane(
    plane: Tensor, vectors: Tensor, size: int, table: tuple[tuple[int, ...], ...]
) -> Tensor:
    vectors = vectors.to(torch.int32)
    flat = vectors.reshape(-1, 2)
    blocks = torch.arange(len(flat), dtype=torch.int32, device=plane.device)
    filters = torch.tensor(table, dtype=plane.dtype, device=plane.device).t()
    whole, half = slice(0, size), size // 2
    own = _predicted(plane, size, filters, blocks, flat, whole, whole)
    total = own.clone()
    weights = torch.tensor(WINDOWS[size], dtype=plane.dtype, device=plane.device) / 16
    for axis, after in (1, False), (1, True), (2, False), (2, True):
        beside = _beside(vectors, axis, after=after).reshape(-1, 2)
        at = (beside != flat).any(1).nonzero()[:, 0]
        if not len(at):
            continue
        part = slice(half, size) if after else slice(0, half)
        rows, columns = (part, whole) if axis == 1 else (whole, part)
        other = _predicted(plane, size, filters, blocks[at], beside[at], rows, columns)
        change = other - own[rows, columns].index_select(2, at)
        weight = weights.flip(0) if after else weights
        change = change * (weight[:, None, None] if axis == 1 else weight[:, None])
        total[rows, columns].index_add_(2, at, change)
    batch, lines, per_line, _ = vectors.shape
    out = total.view(size, size, batch, lines, per_line).permute(2, 3, 0, 4, 1)
    return out.reshape(plane.shape)


def compensate(
    y: Tensor, u: Tensor, v: Tensor, vectors: Tensor, *, exact: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction of a frame by overlapped block motion compensation of its reference.

    Args:
        y, u, v: reference planes, float32 holding integers 0..255, ``[B, H, W]`` and twice
            ``[B, H / 2, W / 2]``; H and W multiples of 8.
        vectors: int64 ``[B, H / 8, W / 8, 2]``, (dx, dy) in quarter luma samples: each of a
            sample's three vectors predicts (x, y) by the reference at (x + dx / 4, y + dy / 4),
            edges repeated.
        exact: whether to round half up, as the decoder does; the unrounded values have gradients.

    Returns:
        the predicted planes, of the same shapes and dtype.
    """
    luma = _compensate_plane(y, vectors, BLOCK, LUMA_FILTERS)
    chroma = [_compensate_plane(p, vectors, BLOCK // 2, CHROMA_FILTERS) for p in (u, v)]
    planes = (luma, *chroma)
    if exact:
        return tuple((p + 0.5).floor() for p in planes)  # type: ignore[return-value]
    return planes  # type: ignore[return-value]


def compensate_features(features: Tensor, vectors: Tensor) -> Tensor:
    """Features of the position nearest to where each position's vector points, of the same shape.

    Args:
        features: of the reference, ``[B, H / 8, W / 8, C]``.
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
