"""The table of layers against the released weights and against itself."""

from __future__ import annotations

import numpy as np
import pytest

from roicodec.bitstream.constants import CELL, QUALITIES
from roicodec.decoder.architecture import ARCHITECTURES, architecture_of
from roicodec.decoder.layers import NetworkArrays
from roicodec.decoder.weights import NAMES, Arrays, load_arrays
from roicodec.errors import ModelError
from roicodec.networks.frame_net import FrameNet

OTHER_ARRAYS = {"spread", "step", "hyper_step", "tables.hyper", "tables.latents"} | {
    "tables.stand_ins"
}
"""Stored arrays that belong to no layer."""


def released(inter: bool) -> Arrays:
    return load_arrays()[NAMES[inter]]


@pytest.mark.parametrize("inter", [False, True])
def test_the_table_names_every_stored_array_and_its_shape(inter: bool) -> None:
    arrays, table = released(inter), ARCHITECTURES[inter]
    assert architecture_of(arrays) is table
    layers = set()
    for layer in table.projections:
        assert arrays[f"{layer.name}.weight"].shape == (layer.outputs, layer.inputs)
        layers.add(layer.name)
    for block in table.blocks:
        widths = [arrays[f"{name}.weight"].shape for name in block.projections]
        assert widths[0][1] == block.inputs
        assert widths[1][0] == widths[2][1] == widths[3][0] == block.stream.channels
        layers |= {*block.projections, block.depthwise}
    named = {tensor.array for tensor, _ in table.measured()} | OTHER_ARRAYS
    for vectors in table.quality_vectors:
        assert arrays[vectors.name].shape == (QUALITIES, vectors.target.channels)
        named.add(vectors.name)
    assert {n for n in arrays if n.rpartition(".")[0] not in layers} == named


@pytest.mark.parametrize("inter", [False, True])
def test_the_float_network_has_the_tables_layers(inter: bool) -> None:
    table = ARCHITECTURES[inter]
    modules = dict(FrameNet(inter).named_modules())
    convolutions = {n for n, m in modules.items() if type(m).__name__ in ("Pointwise", "Depthwise")}
    listed = {layer.name for layer in table.projections}
    listed |= {name for block in table.blocks for name in (*block.projections, block.depthwise)}
    assert convolutions == listed


@pytest.mark.parametrize("inter", [False, True])
def test_maps_meet_where_they_should(inter: bool) -> None:
    """What one layer writes, another reads, at strides that divide a cell or are multiples."""
    table = ARCHITECTURES[inter]
    written = {target for layer in table.projections for target in layer.targets}
    read = {layer.source for layer in table.projections} | {b.stream for b in table.blocks}
    names = {tensor.name for tensor in written - read}
    assert names == {"means", "divided_indices"}
    for tensor in written | read:
        assert CELL % tensor.stride == 0 or tensor.stride % CELL == 0


def test_weights_of_another_shape_are_refused_by_name() -> None:
    arrays = dict(released(False))
    arrays["inject.2.weight"] = np.ascontiguousarray(arrays["inject.2.weight"][:, 1:])
    network = NetworkArrays(arrays)
    with pytest.raises(ModelError, match=r"inject\.2: weights of shape .*, this version has 96"):
        network.projection(network.architecture.inject[2])
