"""Size, PSNR and speed of the command line on real clips at four qualities: ``make bench``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from examples.clips import CLIPS, find_clip
from roicodec.media import Reader
from roicodec.psnr import psnr

QUALITIES = (22, 34, 46, 58)


def roicodec(*arguments: object) -> dict[str, float]:
    """JSON result of a command."""
    command = [sys.executable, "-m", "roicodec", *map(str, arguments), "--json", "--quiet", "-f"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=32, help="frames of each clip (default 32)")
    parser.add_argument("--roi", default="auto", help="ROI, as for roicodec encode (default auto)")
    choice = parser.parse_args()
    print(
        f"{choice.frames} frames of each clip, --roi {choice.roi}, encoded and decoded by the"
        " command line; fps with reading and writing, without the program's start"
    )
    print(f"{'clip':14}quality   bytes    kbit/s  PSNR-Y  encode fps  decode fps")
    with tempfile.TemporaryDirectory() as folder:
        stream, video = Path(folder) / "a.rq", Path(folder) / "a.y4m"
        for name in CLIPS:
            clip = find_clip(name)
            for quality in QUALITIES:
                coded = roicodec(
                    "encode", clip, stream, "-q", quality, "--roi", choice.roi,
                    "--frames", f"0:{choice.frames}",
                )  # fmt: skip
                decoded = roicodec("decode", stream, video)
                with Reader(str(clip), slice(0, choice.frames)) as a, Reader(str(video)) as b:
                    values = [psnr(p, q)[0] for p, q in zip(a, b, strict=True)]
                print(
                    f"{name:14}{quality:7}{coded['bytes']:8}{coded['bit_rate'] / 1000:10.1f}"
                    f"{sum(values) / len(values):8.2f}{coded['fps']:12.2f}{decoded['fps']:12.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
