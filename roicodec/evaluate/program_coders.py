"""Codecs through the program ``ffmpeg``: libaom, Kvazaar with its ROI, vvenc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roicodec.evaluate import ffmpeg_program
from roicodec.evaluate.worker import COMMAND

__all__ = ["PROGRAM_FAMILIES", "ProgramCoder", "program_coders"]

ROI_DELTA_QP = 6
"""Difference in QP between the ROI and the rest: half down inside, half up outside."""

_QP = (22, 27, 32, 37, 42)


@dataclass(frozen=True, slots=True)
class _Family:
    """Settings of an encoder.

    Attributes:
        encoder: FFmpeg's name of it.
        form, suffix: of its bare streams.
        highest: largest quality setting.
        qualities: usual ones.
        configs: name and options by configuration; ``{}`` stands for the quality.
        step: what width and height must be multiples of, in samples.
    """

    encoder: str
    form: str
    suffix: str
    highest: int
    qualities: tuple[int, ...]
    configs: dict[str, tuple[str, str]]
    step: int = 1


_AOM = "-cpu-used 4 -crf {} -b:v 0 -row-mt 0"
_KVAZAAR = "-kvazaar-params preset=medium,qp={},threads=0,owf=0,info=0"
_VVENC = "-preset medium -qp {} -qpa 0"

PROGRAM_FAMILIES = {
    "aom": _Family("libaom-av1", "obu", ".obu", 63, (20, 30, 40, 50, 60), {
        "ld": ("aom_cpu4_ld", f"{_AOM} -lag-in-frames 0 -g 9999"),
        "default": ("aom_cpu4", _AOM),
        "intra": ("aom_cpu4_intra", f"{_AOM} -usage allintra -g 1"),
    }),
    "kvazaar": _Family("libkvazaar", "hevc", ".hevc", 51, _QP, {
        "ld": ("kvazaar_medium_ld", f"{_KVAZAAR},gop=0,period=0"),
        "default": ("kvazaar_medium", _KVAZAAR),
        "intra": ("kvazaar_medium_intra", f"{_KVAZAAR},gop=0,period=1"),
    }, step=8),
    "vvc": _Family("libvvenc", "vvc", ".266", 63, _QP, {
        "ld": ("vvenc_medium_ld", f"{_VVENC} -g 9999 -vvenc-params picreordering=0"),
        "default": ("vvenc_medium", _VVENC),
        "intra": ("vvenc_medium_intra", f"{_VVENC} -g 1"),
    }),
}  # fmt: skip
"""Codecs that the program may have."""


@dataclass(frozen=True, slots=True)
class ProgramCoder:
    """An encoder of the program, and the program's decoder.

    Attributes:
        family: one of :data:`PROGRAM_FAMILIES`.
        config: ``ld``, ``default`` or ``intra``.
        qualities: crf of libaom, QP of the others.
        with_masks: whether the encoder, which is Kvazaar then, is given the ROI masks.
    """

    family: str
    config: str
    qualities: tuple[int, ...]
    with_masks: bool = False

    @property
    def name(self) -> str:
        plain = PROGRAM_FAMILIES[self.family].configs[self.config][0]
        return f"{plain}+roi{ROI_DELTA_QP}" if self.with_masks else plain

    @property
    def suffix(self) -> str:
        return PROGRAM_FAMILIES[self.family].suffix

    @property
    def version(self) -> str:
        return ffmpeg_program.version()

    def settings(self, quality: int) -> str:
        return " ".join(["ffmpeg", *self._words(quality, "MASKS")])

    def encode(
        self, quality: int, source: Path, stream: Path, frames: int, masks: Path | None
    ) -> list[str]:
        words = ["-y", "-v", "error", "-nostdin", "-i", str(source), *self._words(quality, "{}")]
        command = [ffmpeg_program.program(), *words, str(stream)]
        if self.with_masks:
            return [*COMMAND, "with-map", str(ROI_DELTA_QP), str(masks), *command]
        return command

    def decode(self, stream: Path, target: Path) -> list[str]:
        return [
            *(ffmpeg_program.program(), "-y", "-v", "error", "-nostdin", "-threads", "1"),
            *("-i", str(stream), "-fps_mode", "passthrough", "-pix_fmt", "yuv420p"),
            *("-f", "yuv4mpegpipe", "-strict", "-1", str(target)),
        ]

    def _words(self, quality: int, roi: str) -> list[str]:
        family = PROGRAM_FAMILIES[self.family]
        options = family.configs[self.config][1].replace("{}", str(quality)).split()
        if self.with_masks:
            options[-1] += f",roi={roi}"
        return ["-c:v", family.encoder, *options, "-threads", "1", "-f", family.form]


def program_coders(
    family: str, config: str, qualities: tuple[int, ...] | None, *, roi: bool
) -> tuple[list[ProgramCoder], list[str]]:
    """The coders of a codec, and messages about what it cannot do here.

    Args:
        family: one of :data:`PROGRAM_FAMILIES`.
        config: ``ld``, ``default`` or ``intra``.
        qualities: values of crf or QP; None for the usual ones.
        roi: whether to add those that are given the ROI masks.
    """
    own = PROGRAM_FAMILIES[family]
    if not ffmpeg_program.has_encoder(own.encoder):
        return [], [f"{family} is left out: no ffmpeg with {own.encoder}; {ffmpeg_program.MISSING}"]
    chosen = qualities or own.qualities
    found = [ProgramCoder(family, config, chosen)]
    if not roi:
        return found, []
    if family == "kvazaar":
        return [*found, ProgramCoder(family, config, chosen, with_masks=True)], []
    return found, [f"{family} takes no ROI masks: it is compared without"]
