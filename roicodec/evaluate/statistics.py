"""Choices of roicodec for every frame, and the features behind them: ``regions.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isnan, nan
from pathlib import Path
from statistics import fmean

from roicodec.bitstream.constants import (
    AVERAGE,
    CELL,
    DIRECT,
    FRAME_TYPES,
    FUTURE,
    INTRA,
    PAD,
    PAST,
)
from roicodec.decoder.complexity import complexity
from roicodec.decoder.references import Motion
from roicodec.decoder.shapes import FrameShape, decoder_layers
from roicodec.decoder.weights import Arrays
from roicodec.encoder.roi.features import FEATURES, Features, region_features
from roicodec.evaluate.run import Clip, Encode
from roicodec.evaluate.streams import installed_networks, stream_frames
from roicodec.media import Reader
from roicodec.picture import Picture

__all__ = ["FrameStatistics", "LayerStatistics", "by_layer", "write_statistics"]


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """One frame of a stream.

    Attributes:
        frame: its number.
        type: ``"intra"``, ``"inter"`` or ``"bidirectional"``.
        layer: temporal layer, 0..7.
        bytes: of its chunk.
        quality: quality index.
        psnr: (6 Y + U + V) / 8 in dB; NaN if unknown.
        b_roi, b_bg: bit-widths.
        roi_share, skip_share: shares of the 16x16 grid, 0..1.
        bit_ops: BitOPs of decoding it.
        plain_bit_ops: the same, if all of it were decoded at 8 bits.
        average, past, future, direct: shares of the cells by their prediction modes, 0..1; NaN of
            frames that have none.
        features: of ROI and rest, ``[2, 10]``.
    """

    frame: int
    type: str
    layer: int
    bytes: int
    quality: int
    psnr: float
    b_roi: int
    b_bg: int
    roi_share: float
    skip_share: float
    bit_ops: int
    plain_bit_ops: int
    average: float
    past: float
    future: float
    direct: float
    features: Features


def _frame_statistics(
    stream: Path,
    pictures: Iterator[Picture],
    networks: Mapping[str, Arrays],
    psnr: Sequence[float] = (),
) -> Iterator[FrameStatistics]:
    """Statistics of every frame of a ``.rq`` file, of which ``pictures`` are the source and
    ``psnr`` the quality.

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
            layer=chunk.place.layer,
            bytes=frame.size,
            quality=chunk.quality,
            psnr=psnr[frame.number] if frame.number < len(psnr) else nan,
            b_roi=chunk.b_roi,
            b_bg=chunk.b_bg,
            roi_share=float(frame.mask.mean()),
            skip_share=0.0 if frame.skip is None else float(frame.skip.mean()),
            bit_ops=complexity(decoder_layers(arrays, shape)).bit_ops,
            plain_bit_ops=complexity(decoder_layers(arrays, plain)).bit_ops,
            **_mode_shares(frame.motion),
            features=region_features(
                waiting.pop(frame.number),
                frame.motion.vectors if frame.motion else None,
                frame.mask,
            ),
        )


def _mode_shares(motion: Motion | None) -> dict[str, float]:
    modes = None if motion is None else motion.modes
    numbers = {"average": AVERAGE, "past": PAST, "future": FUTURE, "direct": DIRECT}
    return {
        name: nan if modes is None else float((modes == number).mean())
        for name, number in numbers.items()
    }


def _text(value: str | float) -> str:
    return "" if isinstance(value, float) and isnan(value) else str(value)


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What the frames of a temporal layer have in common, over all streams of a codec.

    Attributes:
        codec: name.
        layer: ``"intra"``, or the number of the layer.
        frames: number of frames.
        byte_share: of all bytes of the codec's frames, 0..1.
        quality: mean quality index.
        psnr: mean PSNR (6 Y + U + V) / 8 in dB; NaN if unknown.
        skip_share: mean share of skipped cells, 0..1.
        modes: mean shares of the modes average, past, future and direct in its bidirectional
            frames, 0..1; NaN if there are none.
    """

    codec: str
    layer: str
    frames: int
    byte_share: float
    quality: float
    psnr: float
    skip_share: float
    modes: tuple[float, float, float, float]


def by_layer(statistics: Mapping[str, Sequence[FrameStatistics]]) -> list[LayerStatistics]:
    """Statistics of each codec's frames by layer, intra frames first.

    Args:
        statistics: of the frames, by the codec's name.
    """
    found = []
    for codec, frames in statistics.items():
        groups: dict[int, list[FrameStatistics]] = {}
        for frame in frames:
            groups.setdefault(-1 if frame.type == "intra" else frame.layer, []).append(frame)
        total = sum(frame.bytes for frame in frames)
        for layer, group in sorted(groups.items()):
            shares = [(f.average, f.past, f.future, f.direct) for f in group]
            known = [row for row in shares if not isnan(row[0])]
            average, past, future, direct = (
                (fmean(column) for column in zip(*known, strict=True)) if known else [nan] * 4
            )
            found.append(
                LayerStatistics(
                    codec=codec,
                    layer="intra" if layer < 0 else str(layer),
                    frames=len(group),
                    byte_share=sum(f.bytes for f in group) / total,
                    quality=fmean(f.quality for f in group),
                    psnr=fmean(f.psnr for f in group),
                    skip_share=fmean(f.skip_share for f in group),
                    modes=(average, past, future, direct),
                )
            )
    return found


def _rows(path: Path, head: Sequence[str]) -> list[list[str]]:
    """Lines of a CSV file; none if it is not there or has other columns."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            first, *rows = list(csv.reader(file)) or [[]]
    except OSError:
        return []
    return rows if first == list(head) else []


def write_statistics(
    out: Path, clips: Sequence[Clip], encodes: Sequence[Encode]
) -> list[LayerStatistics]:
    """File ``regions.csv``: a line for every frame of every stream of roicodec in ``out``; lines of
    streams that this run has not made stay.

    Returns:
        The same by codec and layer; nothing if no model is installed.
    """
    networks = installed_networks()
    if networks is None:
        return []
    statistics: dict[str, list[FrameStatistics]] = {}
    plain = [f.name for f in fields(FrameStatistics) if f.name != "features"]
    described = [f"{where}_{name}" for where in ("roi", "bg") for name in FEATURES]
    head = ["clip", "codec", "setting", *plain, *described]
    made = {(e.clip, e.codec, str(e.setting)) for e in encodes}
    kept = [row for row in _rows(out / "regions.csv", head) if tuple(row[:3]) not in made]
    with (out / "regions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(kept)
        for clip in clips:
            for encode in (e for e in encodes if e.clip == clip.name and e.stream.endswith(".rq")):
                with Reader(str(clip.path), slice(0, clip.frames), threads=1) as reader:
                    pictures = (p for p in reader.items() if isinstance(p, Picture))
                    for frame in _frame_statistics(
                        out / encode.stream, pictures, networks, encode.frame_psnr
                    ):
                        statistics.setdefault(encode.codec, []).append(frame)
                        values = [_text(getattr(frame, name)) for name in plain]
                        numbers = frame.features.round(3).ravel().tolist()
                        writer.writerow(
                            [clip.name, encode.codec, encode.setting, *values, *numbers]
                        )
    return by_layer(statistics)
