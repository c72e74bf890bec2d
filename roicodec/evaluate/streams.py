"""ROI, bit-widths and arithmetic of a coded ``.rq`` file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from roicodec.bitstream.chunks import Chunk
from roicodec.bitstream.constants import BLOCK, INTRA, PAD
from roicodec.bitstream.frame_chunk import FrameChunk
from roicodec.bitstream.header import Header
from roicodec.bitstream.mask_coding import decode_mask
from roicodec.bitstream.masks import Mask, grid_shape
from roicodec.bitstream.motion_section import MotionReader
from roicodec.bitstream.reader import StreamReader
from roicodec.bitstream.reference_buffer import ReferenceBuffer
from roicodec.decoder.complexity import complexity
from roicodec.decoder.references import Motion, read_motion
from roicodec.decoder.shapes import FrameShape, decoder_layers, encoder_layers
from roicodec.decoder.weights import Arrays, load_arrays, model_id
from roicodec.errors import ModelError

__all__ = [
    "Cost",
    "FrameRegions",
    "StreamFrame",
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
    for frame in stream_frames(path):
        if frame.number == number:
            return FrameRegions(frame.mask, frame.chunk.b_roi, frame.chunk.b_bg)
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
    for frame in stream_frames(path):
        header, chunk = frame.header, frame.chunk
        if networks is None or (not samples and model_id(networks) != header.model_id):
            return None
        samples += header.width * header.height
        shape = FrameShape.of(frame.mask, frame.skip, chunk.b_roi, chunk.b_bg)
        network = networks["intra" if chunk.kind == INTRA else "inter"]
        for layers, total in sums.items():
            count = complexity(layers(network, shape))
            total[0] += count.macs
            total[1] += count.bit_ops
    if not samples:
        return None
    encode, decode = (Cost(macs / samples, ops / samples) for macs, ops in sums.values())
    return encode, decode


@dataclass(frozen=True, eq=False)
class StreamFrame:
    """A frame as its chunk tells it, without the networks.

    Attributes:
        header: of the stream.
        chunk: of the frame.
        size: of the chunk in the file, bytes, framing included.
        number: in the order of presentation.
        mask: ROI, bool ``[ceil(H/16), ceil(W/16)]``.
        skip: skip map, of the same shape; None of intra frames.
        motion: of the frame; None of intra frames.
    """

    header: Header
    chunk: FrameChunk
    size: int
    number: int
    mask: Mask
    skip: Mask | None
    motion: Motion | None


def stream_frames(path: Path) -> Iterator[StreamFrame]:
    """Every frame of a file, in the order of coding.

    Raises:
        StreamError: if the file is damaged.
    """
    with path.open("rb") as file:
        reader = StreamReader(file)
        header = reader.header
        shape = grid_shape(header.width, header.height)
        rows, columns = (-(-side // PAD) * PAD // BLOCK for side in (header.height, header.width))
        buffer: ReferenceBuffer[StreamFrame] = ReferenceBuffer(header.references)
        for item in reader:
            if not isinstance(item, Chunk) or item.frame is None:
                continue
            chunk = item.frame
            shown = item.number + chunk.place.shift
            references = buffer.references(chunk.kind, chunk.place, shown)
            before = references[0] if references else None
            mask = decode_mask(chunk.mask, shape, before.mask if before else None)
            skip = motion = None
            if before is not None:
                section = MotionReader(chunk.motion, shape, before.skip)
                skip = section.skip
                motion = read_motion(section, chunk.place, references, (rows, columns))
            frame = StreamFrame(header, chunk, item.size, shown, mask, skip, motion)
            if chunk.place.kept:
                buffer.keep(shown, frame)
            yield frame
