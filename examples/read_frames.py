"""Pictures, masks and bit-widths of a stream in numpy: ``python -m examples.read_frames A.rq``."""

import sys

import roicodec

with roicodec.open(sys.argv[1]) as video:
    print(f"{len(video)} pictures of {video.width}x{video.height}")
    for picture in video:
        rgb = picture.to_rgb()
        where = f"ROI {picture.mask.mean():.0%} at {picture.b_roi} bits"
        print(f"{picture.time:.3f} s: mean {rgb.mean():.1f}, {where}")
