"""Tags as containers hold them: in UTF-8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from roicodec.media.extras import Extras
from roicodec.text import in_utf8

__all__ = ["utf8_extras"]


def utf8_extras(extras: Extras, warnings: list[str]) -> Extras:
    """Extras whose tags are UTF-8: what is not would make the file unreadable for some programs.

    Args:
        extras: of a source that has kept its bytes as they were.
        warnings: takes a line for each owner of a tag that had to be escaped. Attachments stay as
            they are: their names are looked at when they are written.
    """

    def escaped(owner: str, metadata: Mapping[str, str]) -> dict[str, str]:
        found = {in_utf8(key): in_utf8(value) for key, value in metadata.items()}
        if strange := [key for key in found if metadata.get(key) != found[key]]:
            warnings.append(f"tag {strange[0]} of {owner} is not UTF-8: escaped")
        return found

    tracks = [
        track
        if track.kind == "attachment"
        else replace(track, metadata=escaped(f"the {track.kind} track", track.metadata))
        for track in extras.tracks
    ]
    chapters = [
        replace(chapter, metadata=escaped(f"chapter {chapter.id}", chapter.metadata))
        for chapter in extras.chapters
    ]
    return replace(
        extras,
        tracks=tuple(tracks),
        metadata=escaped("the file", extras.metadata),
        video_metadata=escaped("the video", extras.video_metadata),
        chapters=tuple(chapters),
    )
