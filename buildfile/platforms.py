"""Which platforms' images run on a platform, as daemons see it.

The order is that of containerd's platforms.Only, which daemons choose manifests by; so what is
chosen here is what a daemon takes. Old daemons know fewer of the fallbacks (v0.32 is read here).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from translator.platform import Platform


def runs_on(platform: Platform) -> Iterator[Platform]:
    """The platforms whose images run on ``platform``: itself, then the lesser ones, best first."""
    yield platform
    lesser = _LESSER.get(platform.architecture)
    if lesser:
        for architecture, variant in lesser(platform.variant):
            yield Platform(platform.os, architecture, variant)


def _amd64(variant: str) -> Iterator[tuple[str, str]]:
    for number in range(_number(variant) - 1, 0, -1):
        yield "amd64", f"v{number}" if number > 1 else ""
    yield "386", ""


def _arm(variant: str) -> Iterator[tuple[str, str]]:
    for number in range(_number(variant) - 1, 4, -1):
        yield "arm", f"v{number}"


def _arm64(variant: str) -> Iterator[tuple[str, str]]:
    """v9.N runs also v8.(N+5), as Arm numbers them; v8 goes without a number here."""
    major, _, minor = variant.partition(".")
    top = _number(minor)
    if major == "v9":
        for number in range(top - 1, -1, -1):
            yield "arm64", f"v9.{number}" if number else "v9"
        top = min(top + 5, 9) + 1
    for number in range(top - 1, -1, -1):
        yield "arm64", f"v8.{number}" if number else ""
    yield "arm", "v8"
    yield from _arm("v8")


def _number(text: str) -> int:
    digits = text.removeprefix("v")
    return int(digits) if digits.isdecimal() else 0


_LESSER: dict[str, Callable[[str], Iterator[tuple[str, str]]]] = {
    "amd64": _amd64,
    "arm": _arm,
    "arm64": _arm64,
}
