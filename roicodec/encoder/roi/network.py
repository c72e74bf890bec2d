"""The saliency network: where people look, and what the main object is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from roicodec.encoder.roi.inference import Inference
from roicodec.encoder.roi.inputs import NetworkInput
from roicodec.encoder.roi.saliency import SaliencyMap
from roicodec.errors import ModelError
from roicodec.picture import Picture

__all__ = ["OUTPUTS", "Aim", "Maps", "NetworkSaliency", "combine",
           "load_saliency", "whole_heads"]  # fmt: skip

Aim = Literal["auto", "faces", "people"]

OUTPUTS = ("fixations", "object", "face", "person")
"""Names of the output maps."""

_FACE_PULL = 0.3
_NO_FACE, _FACE = 0.005, 0.02
"""Shares of the frame: below the first faces do not count, from the second on nothing else does."""
_HEAD = np.ones((7, 5), np.uint8)
"""What a face is widened by: a head reaches further above and below it than to the sides."""
_SURE_FACE = 3
"""Factor on the log odds of a face: a hand is one by a third, and must not be by a tenth."""
_LOOKED_AT, _VIEWERS = 0.5, 1.0
"""What a person adds to the log density of fixations; deviation of viewers from each other, in
samples of the map."""
_LOOKS, _STILL_LOOKS = 0.15, 0.6
_LEAST_DENSITY = 0.05
_PEOPLE = 0.15
_DOUBT = 2.7
"""Bias taken off the object's log odds: trained on pictures with an object, it sees too many."""
_FOREGROUND, _BACKGROUND = 3.0, 0.5
"""What is added to the log odds before a fixed camera where all is foreground, and taken off."""


class Maps(NamedTuple):
    """Output maps for a frame, each float32 ``[h/4, w/4]`` of the small frame.

    Attributes:
        density: of fixations, relative to a uniform one: its mean is 1.
        thing, face, person: chance of being the main object, a face, a person, 0..1.
        foreground: what differs from the background of a fixed camera, 0..1; None where the camera
            moves, or nothing is known of it.
    """

    density: SaliencyMap
    thing: SaliencyMap
    face: SaliencyMap
    person: SaliencyMap
    foreground: SaliencyMap | None = None


class NetworkSaliency:
    """The network as a saliency model, for the frames of one video.

    Args:
        weights: of the folded network.
        aim: what its map is to tell of: of what matters, of faces or of people.

    Raises:
        ModelError: if they do not fit.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.floating]], aim: Aim = "auto") -> None:
        self._aim = aim
        self._net = Inference(weights)
        self._input = NetworkInput()
        self._faces: SaliencyMap | None = None
        self._count = 0

    @property
    def bits(self) -> SaliencyMap | None:
        return self._input.bits

    def outputs(self, picture: Picture, previous: Picture | None) -> Maps:
        """Output maps for a frame; frames as for :class:`NetworkInput`."""
        seen = self._input(picture, previous)
        logits = self._net(seen)
        thing, face, person = _chance(logits[1:])
        fixations = logits[0] + _LOOKED_AT * person
        density = np.exp(fixations - fixations.max())
        density = cv2.GaussianBlur(density, (0, 0), _VIEWERS, borderType=cv2.BORDER_REPLICATE)
        density = np.asarray(density / density.mean(), np.float32)
        foreground = None
        if self._input.fixed_camera:
            size = thing.shape[1], thing.shape[0]
            small = cv2.resize(seen[-1], size, interpolation=cv2.INTER_AREA)
            foreground = np.asarray(small, np.float32)
        return Maps(density, thing, face, person, foreground)

    def map(self, picture: Picture, previous: Picture | None) -> SaliencyMap:
        maps = self.outputs(picture, previous)
        if previous is None or self._faces is None:
            self._count, self._faces = 0, np.zeros_like(maps.face)
        self._count += 1
        pull = np.float32(max(_FACE_PULL, 1 / self._count))
        self._faces = self._faces + pull * (maps.face - self._faces)
        if self._aim == "faces":
            return whole_heads(self._faces)
        if self._aim == "people":
            return maps.person
        return combine(maps, self._faces, still=previous is None)


def combine(maps: Maps, faces: SaliencyMap, *, still: bool) -> SaliencyMap:
    """The chance that a place matters, 0..1: that of the object, of fixations (in a still picture
    they count more), of a person and of foreground together, or that of a face where there is one
    large enough.

    Args:
        maps: of the frame.
        faces: the map of faces, averaged over time.
        still: whether nothing is known of motion.
    """
    looked = _STILL_LOOKS if still else _LOOKS
    odds = _log_odds(maps.thing) + looked * np.log(maps.density + _LEAST_DENSITY) - _DOUBT
    odds += _PEOPLE * _log_odds(maps.person)
    if maps.foreground is not None:
        odds += _FOREGROUND * maps.foreground - _BACKGROUND
    thing = _chance(odds)
    share = float(np.mean(faces > 0.5))
    part = np.float32(np.clip((share - _NO_FACE) / (_FACE - _NO_FACE), 0, 1))
    return np.asarray((1 - part) * thing + part * whole_heads(faces), np.float32)


def whole_heads(faces: SaliencyMap) -> SaliencyMap:
    """A map of faces, doubtful ones weakened, with what is around them, so that no head is cut."""
    return np.asarray(cv2.dilate(_chance(_SURE_FACE * _log_odds(faces)), _HEAD), np.float32)


def _chance(odds: SaliencyMap) -> SaliencyMap:
    return np.asarray(1 / (1 + np.exp(-odds)), np.float32)


def _log_odds(chance: SaliencyMap) -> SaliencyMap:
    inside = np.clip(chance, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(inside / (1 - inside)), np.float32)


@lru_cache(maxsize=1)
def _released() -> Mapping[str, NDArray[np.floating]]:
    path = Path(str(files("roicodec") / "weights" / "saliency.safetensors"))
    if not path.exists():
        raise ModelError(f"{path}: the saliency weights are missing; install roicodec again")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a weights file ({error})") from error


def load_saliency(aim: Aim = "auto") -> NetworkSaliency:
    """The released saliency network, for one video.

    Args:
        aim: as for :class:`NetworkSaliency`.

    Raises:
        ModelError: if its weights are missing or are not what they should be.
    """
    return NetworkSaliency(_released(), aim)
