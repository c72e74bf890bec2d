"""Text that is printed: nothing that steers a terminal, nothing that looks like a second line."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roicodec.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("talk é 動画 👩‍💻.mp4", "talk é 動画 👩‍💻.mp4"),
        ("a\x1b[2J\x9b0mb", r"a\x1b[2J\x9b0mb"),
        ("one\nroicodec: error: two\r\t", r"one\nroicodec: error: two\r\t"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("line\u2028line\u2029\x85", r"line\u2028line\u2029\x85"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), r"caf\xe9"),
        ("\ud800\x7f\0", r"\ud800\x7f\x00"),
        ("C:\\n", "C:\\n"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)))
def test_nothing_is_left_that_steers(text: str) -> None:
    shown = printable(text)
    shown.encode("utf-8")
    assert not {"Cc", "Cs", "Zl", "Zp"} & {unicodedata.category(c) for c in shown}
    assert not {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"} & {
        unicodedata.bidirectional(c) for c in shown
    }
    assert printable(shown) == shown
