"""Choices of roicodec for every frame, and the features behind them: ``regions.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from roicodec.bitstream.constants import CELL, FRAME_TYPES, INTRA, PAD
from roicodec.decoder.complexity import complexity
from roicodec.decoder.shapes import FrameShape, decoder_layers
from roicodec.decoder.weights import Arrays
from roicodec.encoder.roi.features import FEATURES, Features, region_features
from roicodec.evaluate.run import Clip, Encode
from roicodec.evaluate.streams import installed_networks, stream_frames
from roicodec.media import Reader
from roicodec.picture import Picture

__all__ = ["FrameStatistics", "write_statistics"]


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """One frame of a stream.

    Attributes:
        frame: its number.
        type: ``"intra"`` or ``"inter"``.
        b_roi, b_bg: bit-widths.
        roi_share, skip_share: shares of the 16x16 grid, 0..1.
        bit_ops: BitOPs of decoding it.
        plain_bit_ops: the same, if all of it were decoded at 8 bits.
        features: of ROI and rest, ``[2, 10]``.
    """

    frame: int
    type: str
    b_roi: int
    b_bg: int
    roi_share: float
    skip_share: float
    bit_ops: int
    plain_bit_ops: int
    features: Features


def _frame_statistics(
    stream: Path, pictures: Iterator[Picture], networks: Mapping[str, Arrays]
) -> Iterator[FrameStatistics]:
    """Statistics of every frame of a ``.rq`` file, of which ``pictures`` are the source.

    Raises:
        StreamError: if the file is damaged.
    """
    waiting: dict[int, Picture] = {}
    numbered = enumerate(pictures)
    for frame in stream_frames(stream):
        header, chunk = frame.header, frame.chunk
        while frame.number not in waiting:
            number, picture = next(numbered)
            waiting[number] = picture
        rows, columns = (-(-side // PAD) * PAD // CELL for side in (header.height, header.width))
        arrays = networks["intra" if chunk.kind == INTRA else "inter"]
        shape = FrameShape.of(frame.mask, frame.skip, chunk.b_roi, chunk.b_bg)
        plain = FrameShape(0, rows * columns, 8, 8)
        yield FrameStatistics(
            frame=frame.number,
            type=FRAME_TYPES[chunk.kind],
            b_roi=chunk.b_roi,
            b_bg=chunk.b_bg,
            roi_share=float(frame.mask.mean()),
            skip_share=0.0 if frame.skip is None else float(frame.skip.mean()),
            bit_ops=complexity(decoder_layers(arrays, shape)).bit_ops,
            plain_bit_ops=complexity(decoder_layers(arrays, plain)).bit_ops,
            features=region_features(
                waiting.pop(frame.number),
                frame.motion.vectors if frame.motion else None,
                frame.mask,
            ),
        )


def write_statistics(out: Path, clips: Sequence[Clip], encodes: Sequence[Encode]) -> None:
    """File ``regions.csv``: a line for every frame of every stream of roicodec in ``out``."""
    networks = installed_networks()
    if networks is None:
        return
    plain = [f.name for f in fields(FrameStatistics) if f.name != "features"]
    described = [f"{where}_{name}" for where in ("roi", "bg") for name in FEATURES]
    with (out / "regions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "codec", "setting", *plain, *described])
        for clip in clips:
            for encode in (e for e in encodes if e.clip == clip.name and e.stream.endswith(".rq")):
                with Reader(str(clip.path), slice(0, clip.frames), threads=1) as reader:
                    pictures = (p for p in reader.items() if isinstance(p, Picture))
                    for frame in _frame_statistics(out / encode.stream, pictures, networks):
                        values = [getattr(frame, name) for name in plain]
                        numbers = frame.features.round(3).ravel().tolist()
                        writer.writerow(
                            [clip.name, encode.codec, encode.setting, *values, *numbers]
                        )
