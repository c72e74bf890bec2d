"""Comparisons as tables of Markdown, for pages and issues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roicodec.errors import InputError
from roicodec.evaluate.run import Encode
from roicodec.evaluate.tables import (
    MEASURES,
    Comparison,
    Mean,
    Measure,
    codecs_of,
    mean_comparison,
    measures_of,
)

__all__ = ["chosen_measures", "markdown_lines"]


def chosen_measures(keys: Sequence[str]) -> tuple[Measure, ...]:
    """Measures by their keys, all of them for none.

    Raises:
        InputError: if one is unknown.
    """
    known = {measure.key: measure for measure in MEASURES}
    if unknown := [key for key in keys if key not in known]:
        raise InputError(f"metric {unknown[0]}: known are {', '.join(known)}", parameter="metric")
    return tuple(known[key] for key in dict.fromkeys(keys)) or MEASURES


def markdown_lines(
    encodes: Sequence[Encode],
    comparisons: Sequence[Comparison],
    reference: str,
    measures: Sequence[Measure],
) -> Iterator[str]:
    """Mean BD-BR by codec and measure, then by clip with the first measure.

    Args:
        encodes, comparisons: of the run.
        reference: the codec that BD-BR compares with.
        measures: columns; those that no encode has are left out.
    """
    has = {measure.key for measure in measures_of(encodes)}
    shown = [measure for measure in measures if measure.key in has]
    codecs = [codec for codec in codecs_of(encodes) if codec != reference]
    yield f"BD-BR in % against {_cell(reference)}, mean over clips; less is better."
    yield ""
    yield from _head("codec", [measure.title for measure in shown])
    for codec in codecs:
        means = [mean_comparison(comparisons, codec, measure.key) for measure in shown]
        yield _row(codec, [_percent(mean) for mean in means])
    if not shown:
        return
    clips = list(dict.fromkeys(encode.clip for encode in encodes))
    yield ""
    yield from _head(f"{shown[0].title}, by clip", clips)
    for codec in codecs:
        by_clip = ([c for c in comparisons if c.clip == clip] for clip in clips)
        yield _row(codec, [_percent(mean_comparison(x, codec, shown[0].key)) for x in by_clip])
    if any(c.result is None or c.result.warning for c in comparisons if c.measure in has):
        yield ""
        yield "A star marks clips without a BD-BR, or whose curves overlap little."


def _head(first: str, columns: Sequence[str]) -> Iterator[str]:
    yield _row(first, columns)
    yield "| --- |" + " ---: |" * len(columns)


def _row(first: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([_cell(first), *map(_cell, cells)]) + " |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _percent(mean: Mean) -> str:
    star = r"\*" if mean.short or mean.problems else ""
    return f"{mean.percent:+.1f}{star}" if mean.clips else star and f"none{star}"
