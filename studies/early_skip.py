"""Bits and error of a coded cell by the energy of its prediction error, on training clips.

Efforts without trials decide which cells to skip before analysis, from these two curves
(:mod:`roicodec.encoder.skip`). The study codes every cell of inter frames and prints the means by
octave of energy, in squared quantizer steps::

    python -m studies.early_skip ../shared/data/train/davis_*_long.mkv --frames 6
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from roicodec.bitstream.constants import INTER
from roicodec.decoder.frame import PreparedFrame
from roicodec.decoder.model import Model, load_model
from roicodec.decoder.planes import padded
from roicodec.encoder.effort import Effort
from roicodec.encoder.encoder import FrameEncoder
from roicodec.encoder.gop import prices
from roicodec.encoder.options import EncoderOptions
from roicodec.encoder.roi.sources import NoRoi
from roicodec.encoder.skip import cell_errors, cell_steps, cell_sums
from roicodec.encoder.trials import FrameTrials
from roicodec.kernels.packing import pack
from roicodec.media import Reader
from roicodec.picture import Picture

QUALITIES = (18, 30, 42, 54)
OCTAVES = np.arange(2.0, 15.1, 0.5)
"""Edges of the classes of energy, logarithm to base 2, in squared quantizer steps a cell."""


class Watched(FrameTrials):
    """Trials that keep energy, coded error and bits of every cell of inter frames."""

    def watch(self) -> list[NDArray[np.float64]]:
        """The list that every inter frame's figures, ``[3, cells]``, are added to."""
        self.seen: list[NDArray[np.float64]] = []
        return self.seen

    def observe(self, frame: PreparedFrame, picture: Picture) -> None:
        samples = pack(padded(picture))
        rows, columns = frame.layout.mask.shape
        trial = self.trial(frame, samples, prices(0))
        unit = cell_steps(frame) ** 2
        energy = cell_errors(frame.prediction, samples, rows, columns) / unit
        coded = cell_errors(trial.made, samples, rows, columns) / unit
        bits = cell_sums(trial.bits, rows, columns)
        self.seen.append(np.stack([a.ravel() for a in (energy, coded, bits)]))


def figures(path: Path, model: Model, quality: int, frames: int) -> NDArray[np.float64]:
    """Energy, coded error (squared quantizer steps) and bits of cells, ``[3, cells]``."""
    with Reader(str(path), slice(0, frames)) as reader:
        pictures = list(reader)
    size = pictures[0].width, pictures[0].height
    options = EncoderOptions(quality=quality, frames=len(pictures), structure="low-delay")
    effort = Effort(1, 0, 0, early_skip=False)
    encoder = FrameEncoder(*size, options, NoRoi(*size), model, effort=effort)
    watched = Watched(encoder.codec, effort)
    seen = watched.watch()
    for picture in pictures:
        [coded] = encoder.encode(picture)
        if coded.setting.kind == INTER:
            with torch.inference_mode():
                watched.observe(encoder.codec.prepare(coded.setting, coded.references), picture)
    return np.concatenate(seen, 1) if seen else np.zeros((3, 0))


@click.command(help=__doc__)
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--frames", default=6, help="Number of frames a clip.")
def main(clips: tuple[Path, ...], frames: int) -> None:
    model = load_model()
    found = []
    for n, clip in enumerate(clips):
        found.append(figures(clip, model, QUALITIES[n % len(QUALITIES)], frames))
        energy, coded, bits = np.concatenate(found, 1)
        index = np.digitize(np.log2(np.maximum(energy, 1e-9)), OCTAVES)
        click.echo(f"{n + 1} clips, {energy.size} cells")
    click.echo("octave   cells     bits   coded / energy")
    for k in range(len(OCTAVES) + 1):
        own = index == k
        if own.sum() >= 20:
            low = OCTAVES[k - 1] if k else -np.inf
            ratio = coded[own].sum() / energy[own].sum()
            click.echo(f"{low:6.1f} {own.sum():7d} {bits[own].mean():8.2f} {ratio:10.3f}")


if __name__ == "__main__":
    main()
