"""Colours and signs of the live display, by the terminal and by BUILDKIT_COLORS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_BASIC = ("black", "blue", "cyan", "green", "magenta", "red", "white", "yellow")
_COLOURS = {
    "default": "default",
    **{each: each for each in _BASIC},
    **{f"light-{each}": f"bright_{each}" for each in _BASIC},
}
_KEYS = {
    "run": ("run", "done"),
    "cancel": ("cancel",),
    "error": ("error",),
    "warning": ("warning",),
}
_RGB = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3})")


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Styles in rich's words. ``notes`` say which settings could not be understood."""

    run: str = "cyan"
    done: str = "green"
    cancel: str = "yellow"
    error: str = "red"
    warning: str = "yellow"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What stands for a state at the start of a line, and what a bar is made of."""

    done: str
    failed: str
    cancelled: str
    warning: str
    note: str
    spinner: str
    full: str
    empty: str
    gap: str


UNICODE = Signs(
    done="✔",
    failed="✘",
    cancelled="⊘",
    warning="!",
    note="·",
    spinner="⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏",
    full="━",
    empty="─",
    gap="…",
)
ASCII = Signs(
    done="+",
    failed="x",
    cancelled="-",
    warning="!",
    note="*",
    spinner="|/-\\",
    full="#",
    empty=".",
    gap="...",
)


def palette(environment: Mapping[str, str]) -> Palette:
    """The colours of BUILDKIT_COLORS, ``run=green:warning=yellow:error=255,0,0``, or ours.

    The keys and colours are those of BuildKit (util/progress/progressui/colors.go, v0.10 on).
    """
    chosen: dict[str, str] = {}
    notes = []
    for key, colour, note in _settings(environment.get("BUILDKIT_COLORS", "")):
        if note:
            notes.append(note)
        else:
            chosen |= dict.fromkeys(_KEYS[key], colour)
    return Palette(**chosen, notes=tuple(notes))


def _settings(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield key, colour and what is wrong with them."""
    for item in filter(None, text.lower().split(":")):
        key, _, value = item.strip().partition("=")
        colour = _colour(value.strip("\"' "))
        if key not in _KEYS:
            yield "", "", f"BUILDKIT_COLORS: no key {key!r}; there are {', '.join(_KEYS)}"
        elif colour is None:
            yield "", "", f"BUILDKIT_COLORS: {key}: no colour {value!r}"
        else:
            yield key, colour, ""


def _colour(value: str) -> str | None:
    rgb = _RGB.fullmatch(value)
    if rgb and all(int(part) <= 255 for part in rgb.groups()):
        return f"rgb({','.join(rgb.groups())})"
    return _COLOURS.get(value)
