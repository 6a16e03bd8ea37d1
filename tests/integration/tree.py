"""What lies in a folder or an archive, in one line for each entry."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path


def tree(folder: Path) -> dict[str, str]:
    """Files with their text, links with their target (``-> target``), folders with ``/``."""
    return {str(path.relative_to(folder)): _entry(path) for path in sorted(folder.rglob("*"))}


def _entry(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return "/" if path.is_dir() else path.read_text(errors="replace")


def files(folder: Path) -> dict[str, str]:
    """As ``tree``, without folders."""
    return {name: entry for name, entry in tree(folder).items() if entry != "/"}


def archive(data: bytes) -> dict[str, str]:
    """Files of a tar archive with their text; its links and folders as in ``tree``."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name.strip("/"): _member(tar, member) for member in tar}


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    if member.issym():
        return f"-> {member.linkname}"
    content = tar.extractfile(member)
    return "/" if content is None else content.read().decode(errors="replace")
