from __future__ import annotations

from pathlib import Path

from studies.size import Size, public_names, sizes


def test_lines_and_names_by_hand(tmp_path: Path) -> None:
    (tmp_path / "roicodec" / "decoder").mkdir(parents=True)
    (tmp_path / "roicodec" / "decoder" / "a.py").write_text('"""A."""\n\n__all__ = ["x", "y"]\n')
    (tmp_path / "roicodec" / "b.py").write_text("x = 1\n   \n\n# why\n")
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "c.cpp").write_text("int x;\n\n")
    assert dict(sizes(tmp_path)) == {
        "roicodec.decoder": Size(1, 2, 2, 3),
        "roicodec": Size(2, 4, 2, 4),
        "native": Size(1, 1, 0, 2),
    }


def test_only_all_counts() -> None:
    assert public_names("a = 1\n__all__ = []\n") == 0
    assert public_names("__all__ = ['a', *['b']]\n") == 2
    assert public_names("names = ['a']\n") == 0
