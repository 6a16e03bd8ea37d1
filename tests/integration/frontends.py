"""An image whose entrypoint is a builder of this repository, for daemons to run as a frontend."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import hpack

from tests.real import bases, image
from tests.real.errors import UnavailableError

_REPOSITORY = Path(__file__).parents[2]
_PACKAGES = ("buildfile", "daemon_shim", "schemas", "translator")
_LIBRARIES = ("google", "hpack")
_MODULES = ("tests/integration/frontend_cases.py", "tests/daemon_shim/definitions.py")
CASES = "tests.integration.frontend_cases:build"
"""The builder of ``frontend_cases``."""
_PLACE = "usr/lib/python3/dist-packages"


def push(registry: str, builder: str = CASES, *modules: Path) -> str:
    """Push an image whose builder is MODULE:FUNCTION, in one of the ``modules``.

    Raises UnavailableError where Debian's packages cannot be had.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    base = bases.pythons().get(version)
    if not base:
        raise UnavailableError(f"no Debian at hand has Python {version}")
    config = {
        "Entrypoint": ["/usr/bin/python3", "-m", "buildfile.frontend", builder],
        "Labels": {"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs"},
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, name in (*_files(), *((each, each.name) for each in modules)):
            entry = tarfile.TarInfo(f"{_PLACE}/{name}")
            entry.size = path.stat().st_size
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    layout = bases.layout(base, [data.getvalue()], config)
    return bases.push_layout(layout, f"{registry}/frontend/{builder.partition(':')[0]}:{image.TAG}")


def _files() -> Iterator[tuple[Path, str]]:
    libraries = Path(hpack.__file__).parents[1]
    for root, names in ((_REPOSITORY, (*_PACKAGES, *_MODULES)), (libraries, _LIBRARIES)):
        for name in names:
            top = root / name
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if path.suffix in (".py", ".so", ".json"):
                    yield path, str(path.relative_to(root))
