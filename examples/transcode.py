"""A video to a stream and back: ``python -m examples.transcode CLIP A.rq OUT.mp4``."""

from __future__ import annotations

import sys
import time

import roicodec


class Progress(roicodec.Listener):
    """Listener that prints frames done, speed and time left, and every warning.

    Args:
        verb: what is being done.
        every: seconds between lines.
    """

    def __init__(self, verb: str, every: float = 1.0) -> None:
        self._verb, self._every = verb, every
        self._total: int | None = None
        self._begin = self._last = time.monotonic()

    def start(self, total: int | None) -> None:
        self._total = total
        self._begin = self._last = time.monotonic()

    def frame(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last < self._every and done != self._total:
            return
        self._last = now
        rate = done / max(now - self._begin, 1e-9)
        left = f", {(self._total - done) / rate:.0f} s left" if self._total else ""
        print(f"{self._verb}: frame {done} of {self._total or '?'}, {rate:.1f} fps{left}")

    def warn(self, message: str) -> None:
        print(f"{self._verb}: {message}", file=sys.stderr)


def main(clip: str, stream: str, out: str) -> None:
    options = roicodec.EncoderOptions(quality=36)
    coded = roicodec.encode(clip, stream, options, listener=Progress("encode"))
    decoded = roicodec.decode(stream, out, listener=Progress("decode"))
    print(f"{coded.bytes} bytes, {coded.frames} frames coded, {decoded.frames} decoded")


if __name__ == "__main__":
    main(*sys.argv[1:])
