"""A real clip encoded and decoded, with the stream's contents and the PSNR: ``make demo``."""

from __future__ import annotations

import shlex
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

from examples.clips import find_clip
from roicodec.media import Reader
from roicodec.psnr import psnr

FOLDER = Path("demo")
FRAMES = 60


def roicodec(*arguments: object) -> None:
    """One command of roicodec, printed before it is run."""
    words = [str(a) for a in arguments]
    print("\n$ roicodec", shlex.join(words), flush=True)
    subprocess.run([sys.executable, "-m", "roicodec", *words], check=True)


def mean_psnr(original: Path, decoded: Path) -> tuple[int, float]:
    """Number of frames and mean PSNR of luma in dB."""
    with Reader(str(original), slice(0, FRAMES)) as a, Reader(str(decoded)) as b:
        values = []
        for picture, result in zip_longest(a, b):
            if picture is None or result is None:
                raise SystemExit("original and decoded video differ in length")
            values.append(psnr(picture, result)[0])
    return len(values), sum(values) / len(values)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    clip = find_clip("carphone")
    stream, exact, video = (FOLDER / f"carphone.{s}" for s in ("rq", "y4m", "mp4"))
    roicodec("encode", "-f", "--frames", f"0:{FRAMES}", clip, stream)
    roicodec("decode", "-f", stream, exact)
    roicodec("decode", "-f", stream, video)
    roicodec("info", stream)
    frames, quality = mean_psnr(clip, exact)
    print(f"\n{frames} frames, mean PSNR-Y {quality:.2f} dB; look at {video}")


if __name__ == "__main__":
    main()
