"""Imports run one way: schemas <- translator, schemas <- daemon_shim, and both <- buildfile."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("buildfile", "daemon_shim", "schemas", "translator")
GENERATED = REPOSITORY / "schemas" / "pb"

FORBIDDEN = {
    ("schemas", "buildfile"): "schemas is what all others stand on",
    ("schemas", "daemon_shim"): "schemas is what all others stand on",
    ("schemas", "translator"): "schemas is what all others stand on",
    ("translator", "buildfile"): "translation is a library of its own, beneath the application",
    ("translator", "daemon_shim"): "a build is translated without knowing how it will be sent",
    ("translator", "grpc"): "translation is pure: it never talks to anybody",
    ("daemon_shim", "buildfile"): "the wire is a library of its own, beneath the application",
    ("daemon_shim", "translator"): "definitions are sent without knowing how they were made",
}


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of every import, late and relative ones too.

    ``package`` is the dotted name of the package that holds the module.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, level=level):
                above = package.split(".")[: -(level - 1) or None] if level else []
                yield node.lineno, ".".join([*above, *([module] if module else [])])


def faults(package: str) -> Iterator[str]:
    for file in sorted((REPOSITORY / package).rglob("*.py")):
        if GENERATED in file.parents:
            continue
        place = file.relative_to(REPOSITORY)
        for line, name in imported(file.read_text(), ".".join(place.parent.parts)):
            if reason := FORBIDDEN.get((package, name.split(".")[0])):
                yield f"{place}:{line} imports {name}, but {reason}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_runs_against_the_order(package: str) -> None:
    assert (REPOSITORY / package).is_dir()
    found = list(faults(package))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import grpc.aio", ["grpc.aio"]),
        ("from grpc import aio", ["grpc"]),
        ("def f():\n    import grpc", ["grpc"]),
        ("if TYPE_CHECKING:\n    from buildfile import load", ["buildfile"]),
        ("from . import span", ["translator.lower"]),
        ("from .. import span", ["translator"]),
        ("from ..span import Span", ["translator.span"]),
    ],
)
def test_the_check_sees_every_way_to_import(source: str, expected: list[str]) -> None:
    assert [name for _, name in imported(source, "translator.lower")] == expected
