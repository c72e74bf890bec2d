"""The list of layers that complexity counts from, against what the networks really compute."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.decoder.complexity import complexity
from roicodec.decoder.frame import FrameCodec, FrameSetting
from roicodec.decoder.model import Model
from roicodec.decoder.references import Motion, Reference
from roicodec.decoder.shapes import FrameShape, box_around, decoder_layers
from roicodec.decoder.weights import load_arrays
from roicodec.kernels.integer import Depthwise, Pointwise
from roicodec.kernels.interface import PointwiseOp, TensorOp
from roicodec.kernels.reference import ReferenceBackend


class CountingOp:
    """A pointwise operation that adds its multiply-accumulates to a backend's count."""

    def __init__(self, backend: CountingBackend, op: PointwiseOp, weights: int) -> None:
        self.backend, self.op, self.weights = backend, op, weights

    def __call__(self, codes: Tensor) -> Tensor:
        self.backend.macs += len(codes) * self.weights
        return self.op(codes)

    def accumulate(self, skeleton: Tensor, codes: Tensor) -> Tensor:
        self.backend.macs += len(codes) * self.weights
        return self.op.accumulate(skeleton, codes)


class CountingBackend(ReferenceBackend):
    """The reference, with a count of the multiply-accumulates of its products."""

    macs = 0

    def pointwise(self, layer: Pointwise) -> PointwiseOp:
        return CountingOp(self, super().pointwise(layer), layer.weight.size)

    def depthwise(self, layer: Depthwise) -> TensorOp:
        run = super().depthwise(layer)

        def counted(codes: Tensor) -> Tensor:
            self.macs += codes.shape[0] * codes.shape[1] * layer.weight.size
            return run(codes)

        return counted


@pytest.mark.parametrize("seed", range(20))
def test_a_box_holds_the_cells_and_their_neighbours_and_no_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.random((5, 7)) < rng.choice([0.03, 0.1, 0.5])
    positions = np.pad(cells.repeat(2, 0).repeat(2, 1), 1)
    near = np.zeros((10, 14), bool)
    for dy, dx in np.ndindex(3, 3):
        near |= positions[dy : dy + 10, dx : dx + 14]
    box = np.zeros_like(near)
    box[box_around(cells)] = True
    assert (box >= near).all()
    assert box.sum() == _extent(near)


def _extent(found: NDArray[np.bool_]) -> int:
    spans = [np.flatnonzero(found.any(axis)) for axis in (0, 1)]
    return int(np.prod([s[-1] - s[0] + 1 if len(s) else 0 for s in spans]))


@pytest.mark.parametrize(("b_roi", "b_bg"), [(8, 8), (16, 4), (8, 0)])
def test_layers_listed_are_layers_run(b_roi: int, b_bg: int) -> None:
    arrays = load_arrays()
    backend = CountingBackend()
    model = Model(arrays, backend)
    codec = FrameCodec(128, 64, model, {b_roi: 0, b_bg: 0, 8: 0})
    mask = np.zeros((4, 8), bool)
    mask[1:3, 2:5] = True
    motion = Motion(np.zeros((8, 16, 2), np.int16))

    def decode(setting: FrameSetting, *references: Reference) -> tuple[int, Reference]:
        backend.macs = 0
        frame = codec.prepare(setting, references)
        hyper = np.zeros(codec.hyper_shape, np.int32)
        coded = codec.code_latents(frame, hyper, lambda m: np.zeros(len(m.mean), np.int32))
        decoded = codec.reconstruct(frame, coded)
        return backend.macs, decoded

    intra, first = decode(FrameSetting(INTRA, 30, 8, 8, mask, None))
    inter, second = decode(FrameSetting(INTER, 30, b_roi, b_bg, mask, motion), first)
    skip = np.zeros_like(mask)
    skip[2:] = True
    less, _ = decode(FrameSetting(INTER, 30, b_roi, b_bg, mask, motion, skip), second)
    roi, rest = int(mask.sum()), int((~mask).sum())
    # Both regions at 8 bits: two parts. The ROI and its neighbours are 6 x 8 positions.
    boxes = {"box_roi": 6 * 8, "box_bg": 8 * 16}
    listed = complexity(decoder_layers(arrays["intra"], FrameShape(roi, rest, 8, 8, **boxes)))
    assert intra == listed.macs
    shape = FrameShape(roi, rest, b_roi, b_bg, **boxes)
    assert inter == complexity(decoder_layers(arrays["inter"], shape)).macs
    assert (
        inter < complexity(decoder_layers(arrays["inter"], FrameShape(roi, rest, b_roi, b_bg))).macs
    )
    listed = complexity(decoder_layers(arrays["inter"], FrameShape.of(mask, skip, b_roi, b_bg)))
    assert less == listed.macs < inter
