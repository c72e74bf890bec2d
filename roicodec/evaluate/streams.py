"""ROI, bit-widths and arithmetic of a coded ``.rq`` file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.constants import INTRA
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.decoder.complexity import complexity
from roicodec.decoder.shapes import FrameShape, decoder_layers, encoder_layers
from roicodec.decoder.weights import Arrays, load_arrays, model_id
from roicodec.errors import ModelError

__all__ = [
    "Cost",
    "FrameRegions",
    "frame_regions",
    "installed_networks",
    "network_costs",
    "stream_frames",
]


@dataclass(frozen=True, slots=True)
class FrameRegions:
    """ROI mask on the 16x16 grid and the two bit-widths of a frame."""

    mask: Mask
    b_roi: int
    b_bg: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Arithmetic of the codec's networks per luma sample of the picture, mean over frames.

    Attributes:
        macs: multiply-accumulate operations.
        bit_ops: BitOPs, as ``docs/complexity.md`` defines them.
    """

    macs: float
    bit_ops: float


def frame_regions(path: Path, number: int) -> FrameRegions | None:
    """The regions of frame ``number`` of a ``.rq`` file; None if it has no such frame.

    Raises:
        StreamError: if the file is damaged.
    """
    for _, frame, mask, _motion in islice(stream_frames(path), number, number + 1):
        return FrameRegions(mask, frame.b_roi, frame.b_bg)
    return None


def installed_networks() -> Mapping[str, Arrays] | None:
    """The arrays of the installed model, None if there is none."""
    try:
        return load_arrays()
    except ModelError:
        return None


def network_costs(path: Path, networks: Mapping[str, Arrays] | None) -> tuple[Cost, Cost] | None:
    """Operations of coding a ``.rq`` file, both ways; None unless the networks are the stream's.

    The saliency network and the search for motion, which only encoders have, are not counted.

    Raises:
        StreamError: if the file is damaged.
    """
    sums = {encoder_layers: [0, 0], decoder_layers: [0, 0]}
    samples = 0
    for header, frame, mask, motion in stream_frames(path):
        if networks is None or (not samples and model_id(networks) != header.model_id):
            return None
        samples += header.width * header.height
        skip = motion.skip if motion else None
        shape = FrameShape.of(mask, skip, frame.b_roi, frame.b_bg)
        network = networks["intra" if frame.kind == INTRA else "inter"]
        for layers, total in sums.items():
            count = complexity(layers(network, shape))
            total[0] += count.macs
            total[1] += count.bit_ops
    if not samples:
        return None
    encode, decode = (Cost(macs / samples, ops / samples) for macs, ops in sums.values())
    return encode, decode


def stream_frames(
    path: Path,
) -> Iterator[tuple[Header, FrameChunk, Mask, MotionReader | None]]:
    """Header, frame, ROI mask and motion section (None in intra frames) of every frame of a file.

    Raises:
        StreamError: if the file is damaged.
    """
    with path.open("rb") as file:
        reader = StreamReader(file)
        shape = grid_shape(reader.header.width, reader.header.height)
        buffer: ReferenceBuffer[tuple[Mask, Mask | None]] = ReferenceBuffer(
            reader.header.references
        )
        for item in reader:
            if not isinstance(item, Chunk) or item.frame is None:
                continue
            frame = item.frame
            shown = item.number + frame.place.shift
            references = buffer.references(frame.kind, frame.place, shown)
            before, skipped = references[0] if references else (None, None)
            mask = decode_mask(frame.mask, shape, before)
            motion = MotionReader(frame.motion, shape, skipped) if references else None
            if frame.place.kept:
                buffer.keep(shown, (mask, motion.skip if motion else None))
            yield reader.header, frame, mask, motion
