"""Cases of the operations outside the networks, on a 1280x720 picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.case import Case
from roicodec.bitstream.motion_coding import decode_field, encode_field
from roicodec.bitstream.motion_trees import shipped_contexts
from roicodec.bitstream.range_coder import NativeDecoder, NativeEncoder
from roicodec.bitstream.tables import Ints, Tables, integer_frequencies
from roicodec.decoder.latent_reader import read_latents
from roicodec.decoder.latents import decode_squares, encode_squares
from roicodec.encoder.motion import match, refine
from roicodec.encoder.roi import features
from roicodec.kernels import back_projection, compensation, latents, packing, post_filter
from roicodec.kernels.rows import MEAN, mix_rows

__all__ = ["OPERATION_CASES"]


def post_filter_cases() -> Iterator[Case]:
    """The post-filter on the luma of a 1280x720 picture, padded."""
    rng = np.random.default_rng(0)
    y, x = np.indices((736, 1280))
    waves = 128 + 90 * np.sin(0.03 * x + 0.01 * y) + rng.normal(0, 3, x.shape)
    plane = waves.clip(0, 255).astype(np.uint8)
    shape = post_filter.ACTIVITIES, post_filter.DIRECTIONS, post_filter.WEIGHTS
    table = post_filter.filter_table(rng.integers(-9, 10, shape).astype(np.int32))
    levels = np.arange(60, 960, 60, dtype=np.int32)
    bounds = np.arange(2, 34, 2, dtype=np.int32)
    for name, switches in (("all on", post_filter.ALL_ON), ("classes alone", 0)):
        run = partial(post_filter.filter_plane.native, plane, table, levels, bounds, switches)
        yield Case(f"post-filter, {name}", run, plane.size, "samples")
    after, activity = post_filter.filter_plane.native(
        plane, table, levels, bounds, post_filter.ALL_ON
    )
    planes = plane, after, activity
    gains = partial(post_filter.squared_gains.native, *planes, plane[:720])
    yield Case("post-filter switches", gains, plane.size, "samples")
    merge = partial(post_filter.merge.native, *planes, 0x5A)
    yield Case("post-filter merge", merge, plane.size, "samples")


def prediction_cases() -> Iterator[Case]:
    """Compensation, and what is done with packed rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 256, (736, 1280), np.uint8)
    planes = y, np.ascontiguousarray(y[::2, ::2]), np.ascontiguousarray(y[1::2, 1::2])
    shape = 92, 160
    still = np.zeros((*shape, 2), np.int16)
    smooth = rng.integers(-40, 40, (23, 40, 2)).repeat(4, 0).repeat(4, 1).astype(np.int16)
    rough = rng.integers(-40, 40, (*shape, 2)).astype(np.int16)
    for name, vectors in (("still", still), ("4x4 blocks", smooth), ("every block", rough)):
        run = partial(compensation.compensate.native, planes, vectors)
        yield Case(f"compensation, {name}", run, y.size, "samples")
    features = rng.integers(-99, 99, (shape[0] * shape[1], 32)).astype(np.int16)
    fetch = partial(compensation.compensate_features.native, features, rough)
    yield Case("feature compensation", fetch, features.size, "features")
    rows = packing.pack.native(planes)
    yield Case("packing", partial(packing.pack.native, planes), rows.size, "samples")
    unpack = partial(packing.unpack.native, rows, 1280, 736)
    yield Case("unpacking", unpack, rows.size, "samples")
    means = partial(packing.block_means.native, rows, np.ones(len(rows), np.bool_))
    yield Case("block means", means, rows.size, "samples")
    choice = np.full(len(rows), MEAN, np.uint8)
    mix = partial(mix_rows.native, rows.copy(), rows, choice)
    yield Case("mixed rows", mix, rows.size, "samples")


def entropy_cases() -> Iterator[Case]:
    """The range coder alone, and the syntax of a field of motion."""
    rng = np.random.default_rng(0)
    weights = np.exp(-np.abs(np.arange(-64, 66)) / np.linspace(0.3, 20, 47)[:, None])
    tables = Tables(integer_frequencies(weights), offset=-64, escape=True)
    index = rng.integers(0, 47, 70000).astype(np.int32)
    symbols = np.rint(rng.laplace(0, 2, len(index))).clip(-64, 64).astype(np.int32)
    encoder = NativeEncoder()
    encoder.put(tables, symbols, index)
    section = encoder.finish()
    write = partial(_written, tables, symbols, index)
    yield Case("range encoder", write, len(index), "symbols")
    yield Case("range decoder", lambda: NativeDecoder(section).get(tables, index), 70000, "symbols")
    field = rng.integers(-40, 40, (12, 20, 2)).repeat(8, 0).repeat(8, 1)[:92]
    stray = rng.random(field.shape[:2]) < 0.03
    field[stray] += rng.integers(-8, 9, (stray.sum(), 2))
    vectors, contexts = field.astype(np.int16), shipped_contexts()
    encoder = NativeEncoder()
    encode_field.native(encoder, vectors, None, None, contexts)
    motion = encoder.finish()
    shape = 92, 160

    def read() -> object:
        return decode_field.native(NativeDecoder(motion), shape, None, None, contexts)

    yield Case("motion decoding", read, 92 * 160, "vectors")
    code = partial(encode_field.native, contexts=contexts)
    yield Case(
        "motion encoding", lambda: code(NativeEncoder(), vectors, None, None), 92 * 160, "vectors"
    )


def latent_cases() -> Iterator[Case]:
    """A coding step without its network, of all positions, and the hyper-latents."""
    rng = np.random.default_rng(0)
    positions = np.arange(92 * 160)
    named = rng.integers(0, 48, (len(positions), 24)).astype(np.int32)
    own = rng.integers(100, 400, (2, 96)).astype(np.int32)
    stand_ins = np.tile(np.arange(48, dtype=np.int32), (96, 1))
    level = (positions % 5 == 0).astype(np.uint8)
    arguments = named, positions, 160, 1, level, own, stand_ins
    run = partial(latents.latent_model.native, *arguments)
    yield Case("latent model", run, named.size, "latents")
    model = latents.latent_model.native(*arguments)
    mean = rng.integers(-300, 300, named.size).astype(np.int16)
    target = rng.normal(0, 300, 4 * named.size).astype(np.float32)
    bits = rng.random((48, 130)) * 9
    choose = partial(latents.choose_symbols.native, target, mean, model, bits, -64, 64, 0.09)
    yield Case("choice of symbols", choose, named.size, "latents")
    symbols, values = choose(), np.zeros((len(positions), 96), np.int16)
    expected = np.arange(48, dtype=np.int64)
    put = partial(latents.latent_values.native, symbols, mean, model, expected, values)
    yield Case("latent values", put, named.size, "latents")
    skewed = np.exp(-np.abs(np.arange(-64, 66)) / np.linspace(0.2, 4, 48)[:, None])
    coded = Tables(integer_frequencies(skewed), offset=-64, escape=True)
    writer, step = NativeEncoder(), latents.LatentStep(*arguments)
    steep = np.rint(rng.laplace(0, 0.3, named.size)).clip(-64, 64).astype(np.int32)
    writer.put(coded, steep, model.tables)
    latent_section = writer.finish()

    def read_step() -> object:
        decoder = NativeDecoder(latent_section)
        return read_latents.native(decoder, coded, step, mean, expected, values)

    yield Case("latent reading", read_step, named.size, "latents")
    rows = np.zeros(len(positions))
    add = partial(latents.add_bits.native, symbols, model, 96, bits, -64, 64, rows)
    yield Case("bits of symbols", add, named.size, "latents")
    weights = np.exp(-np.abs(np.arange(-24, 26)) / np.linspace(0.3, 4, 256)[:, None])
    tables = Tables(integer_frequencies(weights), offset=-24, escape=True)
    hyper = np.rint(rng.laplace(0, 1, (23, 40, 32))).clip(-24, 24).astype(np.int32)
    encoder = NativeEncoder()
    encode_squares.native(encoder, hyper, tables)
    section = encoder.finish()

    def read() -> object:
        return decode_squares.native(NativeDecoder(section), (23, 40, 32), tables)

    yield Case("hyper-latent decoding", read, hyper.size, "hyper-latents")


def search_cases() -> Iterator[Case]:
    """The motion search on luma of 1280x736."""
    rng = np.random.default_rng(0)
    y, x = np.indices((736, 1280))
    waves = 128 + 90 * np.sin(0.03 * x + 0.01 * y) + rng.normal(0, 9, x.shape)
    plane = waves.clip(0, 255).astype(np.uint8)
    yield Case("quarter samples", partial(match.interpolate.native, plane), plane.size, "samples")
    phases = match.interpolate(np.roll(plane, (2, 3), (0, 1)))
    matcher = match.Matcher.of(plane, phases, 9.0)
    at = np.arange(46 * 80, dtype=np.int32)
    vectors = rng.integers(-40, 40, (len(at), 2)).astype(np.int32)
    run = partial(match.match_prices.native, matcher, at, vectors)
    yield Case("prices of vectors", run, len(at), "units")
    start = np.zeros((92, 160, 2), np.int16)
    sweep = partial(refine.refine, matcher, start, None, sweeps=1)
    yield Case("a sweep of refinement", sweep, len(at), "units")


def refinement_cases() -> Iterator[Case]:
    """Refinement of latents at all positions of 1280x736."""
    rng = np.random.default_rng(0)
    shape, c = (92, 160), 128
    order = np.arange(shape[0] * shape[1])
    chain = back_projection.probe_chain(c, 2 * c, 96, 3)
    rows = rng.integers(-999, 1000, (len(order), c)).astype(np.int16)
    active = [rng.integers(0, 256, (len(order), c // 2), np.uint8) for _ in chain.blocks]
    run = partial(back_projection.back_projected.native, chain, rows, active, order, shape)
    work = len(order) * c * (3 * (6 * c + 9) + 96)
    yield Case("back-projection", run, work, "MAC")
    error, weight = rows[:, :96].copy(), np.ones(96, np.float32)
    pull = partial(back_projection.pull_rows.native, error, order, weight, 32)
    yield Case("rows of errors", pull, error.size, "samples")
    scale, target = np.ones((2, 96), np.float32), error.astype(np.float32)
    steps = partial(
        back_projection.latent_steps.native,
        *(error, order, order % 5 == 0, scale, error, target, 0.25),
    )
    yield Case("damped steps of latents", steps, error.size, "latents")


def feature_cases() -> Iterator[Case]:
    """Features of regions of 1280x720."""
    rng = np.random.default_rng(0)
    plane, mask = rng.integers(0, 256, (720, 1280), np.uint8), rng.random((45, 80)) < 0.2
    run = partial(features.region_sums.native, plane, mask, 16)
    yield Case("sums of regions", run, plane.size, "samples")


def _written(tables: Tables, symbols: Ints, index: Ints) -> bytes:
    encoder = NativeEncoder()
    encoder.put(tables, symbols, index)
    return encoder.finish()


OPERATION_CASES: list[Callable[[], Iterator[Case]]] = [
    post_filter_cases,
    prediction_cases,
    entropy_cases,
    latent_cases,
    search_cases,
    refinement_cases,
    feature_cases,
]
"""Functions that yield cases, one for each module of operations."""
