"""Decoded pictures with what their stream says of them drawn over."""

from __future__ import annotations

from dataclasses import replace

from roicodec.encoder.roi.overlay import draw, overlay_size
from roicodec.factory import Decoded
from roicodec.media import VideoInfo
from roicodec.picture import Picture

__all__ = ["draw_decoded", "overlaid"]


def overlaid(info: VideoInfo) -> VideoInfo:
    """Description of the pictures that :func:`draw_decoded` gives of a video."""
    width, height = overlay_size(info.width, info.height, with_map=False)
    return replace(info, width=width, height=height)


def draw_decoded(decoded: Decoded) -> Picture:
    """The decoded picture with all but its ROI dimmed, under a line that tells number, share of the
    ROI, bit-widths of ROI and rest, and quality index."""
    setting = decoded.setting
    text = (
        f"frame {decoded.number}  ROI {setting.mask.mean():.1%}"
        f"  bits {setting.b_roi}/{setting.b_bg}  quality {setting.quality}"
    )
    return draw(decoded.picture, setting.mask, None, text)
