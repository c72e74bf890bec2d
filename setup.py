"""Build of the native kernels: one shared library of plain C functions, loaded with ctypes.

It is optional: without a compiler the package installs and works on its reference kernels. It
links to no Python, so one file serves every version; only the platform is in the wheel's tag.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
NATIVE = ROOT / "native"


def checksum() -> str:
    """CRC-32 of all sources; `roicodec.kernels.native` compares it in a checkout."""
    crc = 0
    for path in sorted(NATIVE.iterdir()):
        if path.suffix in (".cpp", ".h"):
            crc = zlib.crc32(path.read_bytes(), crc)
    return f"{crc:08x}"


class Build(build_ext):
    """The library under a name without Python's version, built with the compiler's own options."""

    def finalize_options(self) -> None:
        super().finalize_options()
        # Times of files do not tell whether a library is of these sources; its checksum does.
        self.force = True

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extensions(self) -> None:
        options: dict[str, list[str]] = {
            "msvc": ["/std:c++17", "/O2", "/fp:precise"],
            "unix": [
                *("-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-pthread"),
                "-fno-math-errno",
                *("-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra"),
            ],
        }
        kind = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        for extension in self.extensions:
            extension.extra_compile_args = options[kind]
            extension.extra_link_args = ["-pthread"] if kind == "unix" else []
        super().build_extensions()


class Wheel(bdist_wheel):
    """A wheel for every Python 3 on this platform."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        return "py3", "none", platform


def main(**options: Any) -> None:
    library = Extension(
        "roicodec.kernels._native",
        sources=sorted(f"native/{p.name}" for p in NATIVE.glob("*.cpp")),
        depends=sorted(f"native/{p.name}" for p in NATIVE.glob("*.h")),
        define_macros=[("RQ_SOURCES", f'"{checksum()}"')],
        language="c++",
        optional=True,
    )
    # Where `make man` has written them: pip puts them under share/man, where pipx links them from.
    pages = sorted(f"dist/man/{page.name}" for page in (ROOT / "dist/man").glob("*.1"))
    options.setdefault("data_files", [("share/man/man1", pages)] if pages else [])
    setup(ext_modules=[library], cmdclass={"build_ext": Build, "bdist_wheel": Wheel}, **options)


if __name__ == "__main__":
    main()
