"""Released weights from checkpoints: quantization, export, entropy tables, post-filters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from roicodec.bitstream.constants import INTER, INTRA
from roicodec.decoder.model import Model
from roicodec.decoder.weights import NAMES, POST_FILTER, model_id
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.networks.export import export_network, measured_ranges
from roicodec.networks.frame_net import FrameNet
from roicodec.networks.quantized import QuantizedBlock, calibrate_wide, quantize_network
from roicodec.picture import Picture
from roicodec.train.checkpoints import trained_network
from roicodec.train.data import Clip, load_folder, picture_of
from roicodec.train.postfilter import PostFilterFit, no_post_filter, post_filter
from roicodec.train.stages import WARM_UP, InterStage, IntraStage, Stage
from roicodec.train.tables import Counter, logistic_tables

__all__ = ["Calibration", "release", "write_release"]

_QUALITIES = (5, 16, 26, 36, 46, 56)
_FRAMES = 8
_COUNTS = 2
"""Rounds of counting tables: RDOQ with the tables of one round chooses the symbols of the next."""

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Calibration:
    """Data on which quantizers and exponents are set.

    Attributes:
        intra, inter: batch of frames or sequences, and side of their crops in luma samples.
        length: frames of a sequence.
    """

    intra: tuple[int, int] = (16, 128)
    inter: tuple[int, int] = (32, 192)
    length: int = 16


USUAL_CALIBRATION = Calibration()


@click.command()
@click.option("--intra", "intra_path", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--inter", "inter_path", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--cache", type=click.Path(path_type=Path), default=Path("runs/cache"))
@click.option("--clips", "count", default=60, show_default=True, help="Clips to fit tables on.")
@click.option(
    "--filter-clips",
    "filtered",
    default=160,
    show_default=True,
    help="Clips to fit the post-filters on.",
)
@click.option("--threads", default=1, show_default=True)
def release(
    intra_path: Path,
    inter_path: Path,
    data: Path,
    out: Path,
    cache: Path,
    count: int,
    filtered: int,
    threads: int,
) -> None:
    """Write intra, inter and post_filter.safetensors from two checkpoints.

    A network given as a weights file keeps its integers; its tables are counted again.
    """
    torch.set_num_threads(threads)
    write_release(intra_path, inter_path, data, out, cache, count=count, filtered=filtered)


def write_release(
    intra_path: Path,
    inter_path: Path,
    data: Path,
    out: Path,
    cache: Path,
    *,
    count: int,
    filtered: int,
    calibration: Calibration = USUAL_CALIBRATION,
) -> None:
    """Weights files of a release.

    Args:
        intra_path, inter_path: checkpoints or weights files.
        data: folder of clips and photographs.
        out: folder of the weights files.
        cache: folder of decoded data.
        count, filtered: number of clips on which the tables and the post-filters are fitted.
        calibration: of the quantizers.
    """
    torch.manual_seed(1)
    clips = load_folder(data, cache, motion=True)
    paths = dict(zip(NAMES, (intra_path, inter_path), strict=True))
    nets = {name: trained_network(path, name == "inter").eval() for name, path in paths.items()}
    stages: dict[str, Stage] = {
        "intra": IntraStage(clips, 7, *calibration.intra),
        "inter": InterStage(clips, 7, *calibration.inter, nets["intra"], calibration.length),
    }
    networks: dict[str, Arrays] = {}
    for name, net in reversed(nets.items()):
        kept = paths[name].suffix == ".safetensors"
        networks[name] = load_file(paths[name]) if kept else _integers(net, stages[name])
        click.echo(f"{name}: {sum(a.nbytes for a in networks[name].values())} bytes of integers")
    for _ in range(_COUNTS):
        networks = fit_tables(networks, _spread_over(clips, count))
    files = {**networks, POST_FILTER: fit_post_filters(networks, _spread_over(clips, filtered))}
    out.mkdir(parents=True, exist_ok=True)
    for name, arrays in files.items():
        whole = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
        save_file(whole, out / f"{name}.safetensors")
    click.echo(json.dumps({"model": model_id(files).hex()}))


def _integers(net: FrameNet, stage: Stage) -> Arrays:
    """Integers of a network, quantized first where it is float, with logistic tables."""

    def run(times: int = 1) -> None:
        with torch.no_grad():
            for _ in range(times):
                stage.step(net)

    run(WARM_UP)
    if any(isinstance(m, QuantizedBlock) for m in net.modules()):
        calibrate_wide(net, run)
    else:
        quantize_network(net, run)
    with measured_ranges(net) as ranges:
        run(24)
    return {**export_network(net, ranges), **logistic_tables(net)}


def _spread_over(clips: list[Clip], count: int) -> list[Clip]:
    videos = [c for c in clips if len(c.frames) > _FRAMES]
    return [videos[i * len(videos) // count] for i in range(min(count, len(videos)))]


def fit_tables(networks: dict[str, Arrays], clips: list[Clip]) -> dict[str, Arrays]:
    """Networks with tables that are counted while encoding the first frames of clips."""
    counters = {INTRA: Counter(), INTER: Counter()}
    for encoder, pictures in _encoders(networks, clips):
        for picture in pictures:
            for coded in encoder.encode(picture):
                counters[coded.setting.kind].add(coded.hyper, coded.symbols)
    counted = dict(zip(NAMES, (counters[INTRA], counters[INTER]), strict=True))
    return {
        name: {**arrays, **counted[name].tables(_tables(arrays))}
        for name, arrays in networks.items()
    }


def fit_post_filters(networks: dict[str, Arrays], clips: list[Clip]) -> Arrays:
    """Post-filters fitted to the first frames of clips."""
    fits = {INTRA: PostFilterFit(), INTER: PostFilterFit()}
    for encoder, pictures in _encoders(networks, clips):
        for picture in pictures:
            [coded] = encoder.encode(picture)
            fits[coded.chunk.kind].add(coded.reconstruction, picture, coded.chunk.quality)
    return post_filter(fits[INTRA].weights(), fits[INTER].weights())


def _encoders(
    networks: dict[str, Arrays], clips: list[Clip]
) -> Iterator[tuple[FrameEncoder, list[Picture]]]:
    """Encoders without post-filter, and the pictures to encode, of each clip; qualities in turn."""
    model = Model({**networks, POST_FILTER: no_post_filter()})
    for number, clip in enumerate(clips):
        start = int(clip.cuts[-1]) if len(clip.frames) - clip.cuts[-1] >= _FRAMES else 0
        quality = _QUALITIES[number % len(_QUALITIES)]
        options = EncoderOptions(
            quality=quality, candidates=(8,), gop=_FRAMES, structure="low-delay"
        )
        roi = NoRoi(clip.width, clip.height)
        frames = clip.frames[start : start + _FRAMES]
        pictures = [picture_of(frame, t) for t, frame in enumerate(frames)]
        yield FrameEncoder(clip.width, clip.height, options, roi, model), pictures


def _tables(arrays: Arrays) -> dict[str, NDArray[np.int32]]:
    return {n: np.asarray(a, np.int32) for n, a in arrays.items() if n.startswith("tables.")}
