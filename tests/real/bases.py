"""Base images with a C compiler or a Python, made of Debian's packages and the base image.

Each is the base image (``image``) with one layer more. Layouts are kept in the cache.
"""

from __future__ import annotations

import io
import platform
import re
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.real import debian, fleet, image
from tests.real.cache import cache_folder

_UNUSED = re.compile(
    r"usr/share/(doc|man|locale|lintian|i18n|gdb|binfmts|applications|pixmaps|bash-completion)/"
    r"|usr/lib/[^/]+/(gconv|audit)/|.*/(test|idle_test|tests)/|etc/(init|cron)"
)


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base image: Debian packages, and where in it their files go.

    ``place`` maps a path of a package to one in the image; '' leaves it out. ``links`` are
    symbolic links, by where they stand.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    links: dict[str, str]
    place: Callable[[str], str] = lambda path: path


def toolchain() -> Base:
    """make, and tcc as ``cc`` with musl where the C library is looked for.

    A tenth of gcc's size, and what it links can be static.
    """
    machine = platform.machine()

    def place(path: str) -> str:
        return path.replace(f"{machine}-linux-musl", f"{machine}-linux-gnu")

    return Base(
        name="toolchain",
        suite=debian.host_suite(),
        packages=("tcc", "make", "libc6", "musl-dev"),
        links={"usr/bin/cc": "tcc"},
        place=place,
    )


_PYTHON_PARTS = ("python{}-minimal", "libpython{}-minimal", "libpython{}-stdlib")
_PYTHON_NEEDS = ("libc6", "libexpat1", "libffi8", "libgcc-s1", "zlib1g", "python3-pip")
_PYTHON_OF = {"bookworm": ("3.11", "libssl3"), "trixie": ("3.13", "libssl3t64")}


def pythons() -> dict[str, Base]:
    """Pythons with pip, by their versions."""
    return {row[0]: _python(suite, *row) for suite, row in _PYTHON_OF.items()}


def _python(suite: str, version: str, *more: str) -> Base:
    parts = tuple(part.format(version) for part in _PYTHON_PARTS)
    return Base(
        name=f"python-{version}",
        suite=suite,
        packages=(*parts, *_PYTHON_NEEDS, *more),
        links={"usr/bin/python3": f"python{version}", "usr/bin/python": "python3"},
    )


def layout(
    base: Base, upper: Sequence[bytes] = (), config: Mapping[str, Any] = MappingProxyType({})
) -> Path:
    """Return the OCI layout of a base image, tagged ``image.TAG``.

    ``upper`` are layers above it, as tar archives, and ``config`` is laid over its config. Raises
    UnavailableError if its packages cannot be had.
    """
    recipe = zlib.crc32(Path(__file__).read_bytes() + repr(dict(config)).encode())
    for layer in upper:
        recipe = zlib.crc32(layer, recipe)
    folder = cache_folder() / "bases" / f"{base.name}-{recipe:08x}"
    if folder.is_dir():
        return folder
    busybox = fleet.fetch(fleet.REGISTRY) / "bin/busybox"
    files = debian.unpack(base.suite, *base.packages)
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as work:
        layers = [_layer(base, files), *upper]
        image.write_layout(Path(work, "layout"), busybox, upper=layers, config=config)
        try:
            Path(work, "layout").rename(folder)
        except OSError:  # another run was first; its layout is as good
            if not folder.is_dir():
                raise
    return folder


def push(base: Base, registry: str) -> str:
    """Push a base image to a registry without TLS; return its name there."""
    return push_layout(layout(base), f"{registry}/{base.name}:{image.TAG}")


def push_layout(folder: Path, name: str) -> str:
    """Push the image of a layout under a name, which is returned."""
    copy = ["skopeo", "copy", "-q", "--dest-tls-verify=false"]
    places = [f"oci:{folder}:{image.TAG}", f"docker://{name}"]
    subprocess.run([*copy, *places], check=True, capture_output=True)
    return name


def _layer(base: Base, files: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, name in _members(base, files):
            entry = tar.gettarinfo(path, name)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            with path.open("rb") if entry.isreg() else io.BytesIO() as content:
                tar.addfile(entry, content)
        for name, target in (base.links | _merged_usr(files)).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return data.getvalue()


def _merged_usr(files: Path) -> dict[str, str]:
    """Links for the C library of newer releases, whose loader is only below usr."""
    if (files / "lib64").exists() or not (files / "usr/lib64").exists():
        return {}
    return {"lib": "usr/lib", "lib64": "usr/lib64"}


def _members(base: Base, files: Path) -> Iterator[tuple[Path, str]]:
    """Files and links only: their folders come with them, and those of the base keep theirs."""
    for path in sorted(files.rglob("*")):
        name = base.place(str(path.relative_to(files)))
        if name and not _UNUSED.match(name) and (path.is_symlink() or path.is_file()):
            yield path, name
