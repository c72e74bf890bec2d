"""``python -m tests.make_golden``: the golden stream anew, after new weights or a new format."""

from __future__ import annotations

from pathlib import Path

from examples.clips import find_clip
from roicodec.encoder.options import EncoderOptions
from roicodec.transcode import encode_video

OPTIONS = EncoderOptions(quality=20, candidates=(4, 8, 16), gop=3)


def main() -> None:
    target = Path(__file__).parent / "golden" / "carphone.rq"
    target.parent.mkdir(exist_ok=True)
    with target.open("wb") as out:
        source = str(find_clip("carphone"))
        encode_video(source, out, OPTIONS, ("48,32,64,64",), frames=slice(0, 4))
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
