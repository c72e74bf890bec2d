"""Every encode of a comparison: coded to a file, decoded from it, measured; once.

A finished encode leaves three files in ``OUT/streams/CLIP/CODEC/``: the coded file, a picture of
the middle frame, and a record that names everything the result depends on. While that holds, the
encode is not repeated.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from math import nan
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from roicodec.bitstream.masks import Mask
from roicodec.errors import InputError, RoicodecError
from roicodec.evaluate import ffmpeg_program
from roicodec.evaluate.coders import Coder, refusal
from roicodec.evaluate.metrics import Quality, mean_quality, quality
from roicodec.evaluate.names import folder_name
from roicodec.evaluate.process import Usage, run, stop_all
from roicodec.evaluate.regions import find_masks, store_masks
from roicodec.evaluate.streams import Cost, installed_networks, network_costs
from roicodec.media import Reader, VideoInfo, Writer
from roicodec.media.convert import picture_frame
from roicodec.picture import Picture

__all__ = ["Clip", "Encode", "Listener", "Plan", "jsonable", "run_plan"]

_RECORD_VERSION = 3
_ASSUMED_RATE = 25.0
_PARTS: dict[type, tuple[str, str]] = {
    Usage: ("encoding", "decoding"),
    Cost: ("encode_cost", "decode_cost"),
}


@dataclass(frozen=True, slots=True)
class Encode:
    """One file of one codec, and what was measured of it.

    Attributes:
        clip: name of the clip.
        codec: name of the codec with its settings.
        setting: quality index, crf or QP.
        frames, width, height, fps: of the clip, as far as it was used.
        bytes: size of the file.
        quality: means over frames.
        command: the command line of the encoder.
        version: of the encoder.
        encoding, decoding: the processes; None for points of another program's run.
        encode_cost, decode_cost: of roicodec's networks; None for other codecs.
        frame_psnr: (6 Y + U + V) / 8 of each frame in dB, in the order of presentation; empty for
            points of another program's run.
        stream: path of the file within the output folder; empty for such points.
    """

    clip: str
    codec: str
    setting: int
    frames: int
    width: int
    height: int
    fps: float
    bytes: int
    quality: Quality
    command: str = ""
    version: str = ""
    encoding: Usage | None = None
    decoding: Usage | None = None
    stream: str = ""
    encode_cost: Cost | None = None
    decode_cost: Cost | None = None
    frame_psnr: tuple[float, ...] = ()

    @property
    def bpp(self) -> float:
        """Bits per luma sample."""
        return 8 * self.bytes / (self.frames * self.width * self.height)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "bpp": self.bpp}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Encode:
        """The inverse of :meth:`as_dict`."""
        fields = {k: v for k, v in values.items() if k != "bpp"}
        for kind, names in _PARTS.items():
            for name in names:
                if fields.get(name) is not None:
                    part = fields[name]
                    unknown = {k: nan for k in ("wall_s", "cpu_s") if part.get(k, 0) is None}
                    fields[name] = kind(**part | unknown)
        fields["frame_psnr"] = tuple(fields.get("frame_psnr", ()))
        known = {k: nan if v is None else v for k, v in fields["quality"].items()}
        return Encode(**{**fields, "quality": Quality(**known)})


@dataclass(frozen=True, slots=True)
class Plan:
    """Specification of a comparison.

    Attributes:
        clips: paths of the clips.
        coders: the codecs.
        frames: how many frames of each clip, from its start; None for all.
        roi: masks that encoders are given (``auto``, a rectangle, a file, a folder), or empty.
        masks: masks that regions are scored on, in the same notation, or empty.
        out: folder of the results.
        jobs: how many clips are worked on at a time.
    """

    clips: tuple[Path, ...]
    coders: tuple[Coder, ...]
    frames: int | None
    roi: str
    masks: str
    out: Path
    jobs: int = 1


class Listener:
    """Receiver of progress and warnings, from several threads; this one ignores them."""

    def done(self, encode: Encode, *, fresh: bool) -> None:
        """An encode is finished, now (``fresh``) or in an earlier run."""

    def failed(self, clip: str, codec: str, setting: int, message: str) -> None:
        """An encode could not be finished."""

    def warn(self, message: str) -> None:
        """One line about something that the user may not expect."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip prepared for encoding.

    Attributes:
        name, path: of the clip.
        info: of its pictures.
        frames: how many are used.
        digest: of their samples.
        original: path of a picture of the middle frame within the output folder.
        given, scored: digests of the masks that encoders get and that regions are scored on;
            empty without.
    """

    name: str
    path: Path
    info: VideoInfo
    frames: int
    digest: str
    original: str
    given: str
    scored: str

    @property
    def middle(self) -> int:
        """Number of the frame that is shown."""
        return self.frames // 2


def run_plan(plan: Plan, listener: Listener) -> tuple[list[Clip], list[Encode]]:
    """Clips and encodes of a plan, in its order; encodes without a stored result are done.

    Encodes that fail are reported to the listener and left out.

    Raises:
        InputError: if a clip or its masks cannot be read.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(plan.jobs) as pool:
        work = [pool.submit(_ClipRun(plan, path, listener, stop).run) for path in plan.clips]
        try:
            results = [future.result() for future in work]
        except BaseException:
            stop.set()
            stop_all()
            pool.shutdown(cancel_futures=True)
            raise
    return [clip for clip, _ in results], [e for _, encodes in results for e in encodes]


class _ClipRun:
    """Everything about one clip."""

    def __init__(self, plan: Plan, path: Path, listener: Listener, stop: threading.Event) -> None:
        self._plan, self._path, self._listener, self._stop = plan, path, listener, stop
        self._name = folder_name(path.stem)
        self._networks = installed_networks()
        self._work = plan.out / "work" / self._name
        self._source = self._work / "source.y4m"
        self._given = self._work / "roi.npy"
        self._scored = self._work / "masks.npy"

    def run(self) -> tuple[Clip, list[Encode]]:
        self._work.mkdir(parents=True, exist_ok=True)
        try:
            clip = self._prepare()
            encodes: list[Encode] = []
            for coder in self._plan.coders:
                if message := refusal(coder, clip.info):
                    self._listener.warn(f"{self._name}: {message}")
                if message or (coder.with_masks and not clip.given):
                    continue
                for setting in coder.qualities:
                    if self._stop.is_set():
                        return clip, encodes
                    encodes += self._encode(clip, coder, setting)
            return clip, encodes
        finally:
            shutil.rmtree(self._work, ignore_errors=True)
            with suppress(OSError):
                self._work.parent.rmdir()

    def _reader(self) -> Reader:
        cut = None if self._plan.frames is None else slice(0, self._plan.frames)
        return Reader(str(self._path), cut, threads=1)

    def _prepare(self) -> Clip:
        digest, frames = hashlib.sha256(), 0
        with self._reader() as reader:
            info = reader.info
            digest.update(f"{info.width} {info.height} {info.frame_rate}".encode())
            for picture in reader:
                frames += 1
                for plane in picture.planes:
                    digest.update(plane.tobytes())
            for message in reader.warnings:
                self._listener.warn(f"{self._name}: {message}")
        if self._plan.frames is not None and frames < self._plan.frames:
            self._listener.warn(f"{self._name}: has only {frames} frames, all are used")
        given = self._masks(self._plan.roi, frames, self._given)
        scored = self._masks(self._plan.masks, frames, self._scored)
        original = Path("streams", self._name, "original.png")
        clip = Clip(
            self._name, self._path, info, frames, digest.hexdigest(), str(original), given, scored
        )
        shown = self._plan.out / original
        shown.parent.mkdir(parents=True, exist_ok=True)
        with self._reader() as reader:
            middle = next(p for number, p in enumerate(reader) if number == clip.middle)
        _save_picture(middle, info, shown)
        return clip

    def _masks(self, spec: str, frames: int, target: Path) -> str:
        found = find_masks(spec, self._path) if spec else None
        if found is None:
            if spec:
                self._listener.warn(f"{self._name}: {spec} has no masks for it")
            return ""
        with self._reader() as reader:
            return store_masks(found, reader, frames, target)

    def _need_source(self) -> Path:
        if not self._source.exists():
            with self._reader() as reader, Writer(self._source, reader.info) as writer:
                for picture in reader:
                    writer.write(picture)
        return self._source

    def _encode(self, clip: Clip, coder: Coder, setting: int) -> Iterator[Encode]:
        folder = self._plan.out / "streams" / clip.name / coder.name
        record, stream = folder / f"{setting}.json", folder / f"{setting}{coder.suffix}"
        key = {
            "record": _RECORD_VERSION,
            "clip": clip.digest,
            "frames": clip.frames,
            "codec": coder.name,
            "version": coder.version,
            "settings": coder.settings(setting),
            "given": clip.given if coder.with_masks else "",
            "scored": clip.scored,
            "vmaf": ffmpeg_program.version() if ffmpeg_program.has_vmaf() else "",
        }
        found = _recorded(record, stream, key)
        if found is not None:
            self._listener.done(found, fresh=False)
            yield found
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            record.unlink(missing_ok=True)
            encode = self._measure(clip, coder, setting, stream)
        except RoicodecError as error:
            if not self._stop.is_set():
                self._listener.failed(clip.name, coder.name, setting, str(error))
            return
        text = json.dumps({"key": key, "encode": jsonable(encode.as_dict())}, indent=1)
        temporary = record.with_suffix(".part")
        temporary.write_text(text)
        temporary.replace(record)
        self._listener.done(encode, fresh=True)
        yield encode

    def _measure(self, clip: Clip, coder: Coder, setting: int, stream: Path) -> Encode:
        source, decoded = self._need_source(), self._work / "decoded.y4m"
        masks = self._given if coder.with_masks else None
        encoding = run(coder.encode(setting, source, stream, clip.frames, masks))
        try:
            decoding = run(coder.decode(stream, decoded))
            measured = self._compare(clip, decoded, stream.with_suffix(".png"))
            measured = self._with_vmaf(measured, decoded)
        finally:
            decoded.unlink(missing_ok=True)
        own = stream.suffix == ".rq"
        costs = (network_costs(stream, self._networks) if own else None) or (None, None)
        rate = clip.info.frame_rate
        return Encode(
            clip.name,
            coder.name,
            setting,
            clip.frames,
            clip.info.width,
            clip.info.height,
            float(rate) if rate else _ASSUMED_RATE,
            stream.stat().st_size,
            mean_quality(measured),
            coder.settings(setting),
            coder.version,
            encoding,
            decoding,
            str(stream.relative_to(self._plan.out)),
            encode_cost=costs[0],
            decode_cost=costs[1],
            frame_psnr=tuple(round(frame.psnr_yuv, 4) for frame in measured),
        )

    def _with_vmaf(self, measured: list[Quality], decoded: Path) -> list[Quality]:
        """Quality of every frame, with VMAF where it can be measured."""
        if not ffmpeg_program.has_vmaf():
            return measured
        try:
            found = ffmpeg_program.vmaf(self._source, decoded)
        except InputError as error:
            self._listener.warn(f"{self._name}: {error}")
            return measured
        return [replace(frame, vmaf=v) for frame, v in zip(measured, found, strict=True)]

    def _compare(self, clip: Clip, decoded: Path, shown: Path) -> list[Quality]:
        """Quality of every frame."""
        scored: Sequence[Mask] | None = None
        if clip.scored:
            scored = np.load(self._scored, mmap_mode="r")
        measured: list[Quality] = []
        with (
            Reader(str(self._source), threads=1) as before,
            Reader(str(decoded), threads=1) as after,
        ):
            for number, (a, b) in enumerate(zip_longest(before, after)):
                if a is None or b is None:
                    got = "more" if a is None else number
                    raise InputError(f"decodes to {got} frames of {clip.frames}")
                mask = None if scored is None else np.asarray(scored[number])
                measured.append(quality(a, b, mask))
                if number == clip.middle:
                    _save_picture(b, clip.info, shown)
        return measured


def _recorded(record: Path, stream: Path, key: dict[str, Any]) -> Encode | None:
    try:
        stored = json.loads(record.read_text())
        found = Encode.from_dict(stored["encode"]) if stored["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = found and stream.exists() and stream.stat().st_size == found.bytes
    return found if whole and stream.with_suffix(".png").exists() else None


def jsonable(value: Any) -> Any:
    """The value with NaN, which JSON does not have, as None."""
    if isinstance(value, dict):
        return {k: jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _save_picture(picture: Picture, info: VideoInfo, path: Path) -> None:
    frame = picture_frame(picture)
    frame.colorspace, frame.color_range = info.color_matrix, info.color_range
    rgb = frame.to_ndarray(format="rgb24")
    done, data = cv2.imencode(".png", np.ascontiguousarray(rgb[:, :, ::-1]))
    assert done
    path.write_bytes(data.tobytes())
