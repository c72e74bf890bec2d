"""Coders that can be compared, each as the two commands that encode and decode one file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import av

import roicodec
from roicodec.encoder.gop import AUTO
from roicodec.errors import InputError
from roicodec.evaluate import anchors
from roicodec.evaluate.program_coders import PROGRAM_FAMILIES, ProgramCoder, program_coders
from roicodec.evaluate.worker import COMMAND
from roicodec.factory import NetworkFactory
from roicodec.media import VideoInfo

__all__ = ["AGAINST", "CONFIGS", "Coder", "anchor_coders", "own_coder", "refusal"]

AGAINST = (*anchors.FAMILIES, *PROGRAM_FAMILIES)
CONFIGS = anchors.CONFIGS
OWN_QUALITIES = (22, 31, 40, 49, 58)

_MAX_QUALITY = {"x264": 51, "x265": 51, "svtav1": 63}
_VVC_QP = (22, 27, 32, 37, 42)
_NOT_CODING = ("cli", "evaluate", "train")


class Coder(Protocol):
    """A codec with its settings, but for quality."""

    @property
    def name(self) -> str:
        """Name in tables, and of the folder of its files."""

    @property
    def suffix(self) -> str:
        """File name suffix of a coded file."""

    @property
    def qualities(self) -> tuple[int, ...]:
        """Quality settings of the curve, in the codec's unit."""

    @property
    def with_masks(self) -> bool:
        """Whether the encoder is given the ROI masks."""

    @property
    def version(self) -> str:
        """Key of everything that the coded bytes depend on."""

    def settings(self, quality: int) -> str:
        """Settings of the encoder, for people."""

    def encode(
        self, quality: int, source: Path, stream: Path, frames: int, masks: Path | None
    ) -> list[str]:
        """Command that encodes ``source`` (Y4M) into ``stream``."""

    def decode(self, stream: Path, target: Path) -> list[str]:
        """Command that decodes ``stream`` into ``target`` (Y4M)."""


def refusal(coder: Coder, info: VideoInfo) -> str:
    """Why a coder cannot encode pictures of this size, in one line; empty if it can."""
    step = PROGRAM_FAMILIES[coder.family].step if isinstance(coder, ProgramCoder) else 1
    if info.width % step == 0 and info.height % step == 0:
        return ""
    return f"{coder.name} is left out: it takes multiples of {step}, not {info.width}x{info.height}"


@cache
def _own_version() -> str:
    """The version and a digest of code, tables and weights, without what only measures."""
    root = Path(roicodec.__file__).parent
    digest = hashlib.sha256()
    inside = [p for p in root.rglob("*") if p.relative_to(root).parts[0] not in _NOT_CODING]
    chosen = Path(named).glob("*") if (named := os.environ.get("ROICODEC_WEIGHTS")) else ()
    for path in [*sorted(inside), *sorted(chosen)]:
        if path.suffix in (".py", ".json", ".safetensors"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"roicodec {roicodec.__version__} ({digest.hexdigest()[:12]})"


@dataclass(frozen=True, slots=True)
class OwnCoder:
    """roicodec, through its command line.

    Attributes:
        config: ``ld`` makes one GOP of the clip, in low delay unless another structure is named,
            ``intra`` a GOP of every frame.
        roi: ``none``, ``auto``, or ``masks``: the masks that the anchors get.
        program: words that start the command line.
        structure: coding structure; empty for that of the configuration.
    """

    config: str
    roi: str
    qualities: tuple[int, ...]
    threads: int = 1
    options: tuple[str, ...] = ()
    suffix: str = ".rq"
    program: tuple[str, ...] = NetworkFactory.command
    structure: str = ""

    @property
    def name(self) -> str:
        config = "" if self.config == "default" else f"_{self.config}"
        structure = f"_{self.structure}" if self.structure else ""
        roi = {"none": "", "auto": "+auto", "masks": "+roi"}[self.roi]
        return f"roicodec{config}{structure}{roi}"

    @property
    def with_masks(self) -> bool:
        return self.roi == "masks"

    @property
    def version(self) -> str:
        return _own_version()

    def settings(self, quality: int) -> str:
        words = self._words(quality, "FRAMES", "MASKS")
        return " ".join(["roicodec encode", *words])

    def encode(
        self, quality: int, source: Path, stream: Path, frames: int, masks: Path | None
    ) -> list[str]:
        words = self._words(quality, str(min(frames, 65535)), str(masks))
        return [*self.program, "encode", *words, "--json", "-f", str(source), str(stream)]

    def decode(self, stream: Path, target: Path) -> list[str]:
        threads = ["--threads", str(self.threads)]
        return [*self.program, "decode", *threads, "--json", "-f", str(stream), str(target)]

    def _words(self, quality: int, frames: str, masks: str) -> list[str]:
        gop = {"ld": ["--gop", frames], "intra": ["--gop", "1"], "default": []}[self.config]
        roi = ["--roi", masks if self.roi == "masks" else self.roi]
        named = self.structure or {"ld": "low-delay"}.get(self.config, AUTO)
        structure = ["--structure", named]
        threads = ["--threads", str(self.threads)]
        return ["-q", str(quality), *roi, *gop, *structure, *threads, *self.options]


@dataclass(frozen=True, slots=True)
class FfmpegCoder:
    """An anchor through PyAV."""

    anchor: anchors.Anchor
    qualities: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.anchor.name

    @property
    def suffix(self) -> str:
        return self.anchor.suffix

    @property
    def with_masks(self) -> bool:
        return self.anchor.delta_qp > 0

    @property
    def version(self) -> str:
        return f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"

    def settings(self, quality: int) -> str:
        return self.anchor.command(quality)

    def encode(
        self, quality: int, source: Path, stream: Path, frames: int, masks: Path | None
    ) -> list[str]:
        given = [str(masks)] if self.with_masks else []
        return [*COMMAND, "encode", self.name, str(quality), str(source), str(stream), *given]

    def decode(self, stream: Path, target: Path) -> list[str]:
        return [*COMMAND, "decode", str(stream), str(target)]


_VVENC_PRESETS = {
    "ld": ("vvenc_faster_ld", ["--preset", "faster", "--additional",
                               "IntraPeriod=-1 GOPSize=8 PicReordering=0 DecodingRefreshType=0"]),
    "default": ("vvenc_medium", ["--preset", "medium"]),
    "intra": ("vvenc_medium_intra", ["--preset", "medium", "--additional",
                                     "IntraPeriod=1 GOPSize=1"]),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class VvencCoder:
    """vvenc and vvdec, through their own programs; not VTM, and not to be called so."""

    config: str
    qualities: tuple[int, ...]
    version: str
    suffix: str = ".266"
    with_masks: bool = False

    @property
    def name(self) -> str:
        return _VVENC_PRESETS[self.config][0]

    def settings(self, quality: int) -> str:
        return " ".join(["vvencapp", *self._words(quality)])

    def encode(
        self, quality: int, source: Path, stream: Path, frames: int, masks: Path | None
    ) -> list[str]:
        return ["vvencapp", *self._words(quality), "-i", str(source), "-o", str(stream)]

    def decode(self, stream: Path, target: Path) -> list[str]:
        return ["vvdecapp", "-t", "1", "-b", str(stream), "-o", str(target)]

    def _words(self, quality: int) -> list[str]:
        preset = _VVENC_PRESETS[self.config][1]
        return [*preset, "--qp", str(quality), "--qpa", "0", "--threads", "1"]


def _vvenc_version() -> str:
    """Version of ``vvencapp``; empty when it or ``vvdecapp`` is not there."""
    if not (shutil.which("vvencapp") and shutil.which("vvdecapp")):
        return ""
    said = subprocess.run(["vvencapp", "--version"], capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).strip().splitlines()[0] if said.stdout else "vvencapp"


def own_coder(
    config: str,
    roi: str,
    qualities: tuple[int, ...] | None = None,
    threads: int = 1,
    options: tuple[str, ...] = (),
    program: tuple[str, ...] = NetworkFactory.command,
    structure: str = "",
) -> Coder:
    """roicodec in a configuration, its ROI ``none``, ``auto`` or ``masks``.

    Args:
        qualities: quality indices 0..63.
        options: more of ``roicodec encode``'s options.
        program: words that start the command line.
        structure: one of :data:`~roicodec.encoder.gop.STRUCTURES`; empty for that of the
            configuration: low delay for ``ld``, else ``auto``.
    """
    chosen = OWN_QUALITIES if qualities is None else qualities
    for q in chosen:
        if not 0 <= q <= 63:
            raise InputError(f"quality {q} is not in 0..63")
    return OwnCoder(config, roi, chosen, threads, options, program=program, structure=structure)


def anchor_coders(
    family: str, config: str, qualities: tuple[int, ...] | None, *, roi: bool
) -> tuple[list[Coder], list[str]]:
    """The anchors of a codec, and messages about what it cannot do here.

    Args:
        family: one of :data:`AGAINST`.
        config: one of :data:`CONFIGS`.
        qualities: values of crf (x264, x265, svtav1, aom) or QP (kvazaar, vvc); None for the usual
            ones.
        roi: whether to add the anchors that are given the ROI masks.

    Raises:
        InputError: if the codec or configuration is not known, or a quality out of range.
    """
    program = PROGRAM_FAMILIES.get(family)
    highest = program.highest if program else _MAX_QUALITY.get(family, 0)
    for q in qualities or ():
        if not 0 <= q <= highest:
            raise InputError(f"{family}: quality {q} is not in 0..{highest}")
    if family == "vvc" and (version := _vvenc_version()):
        messages = ["vvc takes no ROI masks: it is compared without"] if roi else []
        return [VvencCoder(config, qualities or _VVC_QP, version)], messages
    if program:
        others, messages = program_coders(family, config, qualities, roi=roi)
        return list(others), messages
    found: list[Coder] = []
    messages = []
    for anchor in anchors.anchors(family, config):
        found.append(FfmpegCoder(anchor, qualities or anchor.qualities))
        if roi:
            given = anchors.with_roi(anchor)
            if given is None:
                messages.append(f"{anchor.name} ignores ROI masks: it is compared without")
            else:
                found.append(FfmpegCoder(given, qualities or given.qualities))
    return found, messages
