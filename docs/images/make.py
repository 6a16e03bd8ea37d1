"""Makes progress.svg, the live display in the middle of a build: ``python docs/images/make.py``.

The build is a script, so the picture is the same each time; the drawing is the display's own.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from buildfile.display.tty import TtyDisplay
from buildfile.progress import Progress
from daemon_shim.events import Event, LogEvent, StatusEvent, VertexEvent

COLUMNS, LINES = 92, 24
CELL = 12.2  # rich's width of a character
SPACE = "&#160;"
_TEXT = re.compile(
    r'<text class="(?P<class>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)"'
    r' textLength="(?P<length>[^"]*)"(?P<rest>[^>]*)>(?P<text>[^<]*)</text>'
)
NOW = 14.3
MEGABYTE = 1_000_000

STEPS = {
    # name: (targets, start, end, or cached)
    "[internal] load src": ("app tools docs", 0.2, 0.6, False),
    "image docker.io/library/debian:bookworm": ("app tools", 0.3, 0.9, True),
    "[deps 1/2] run apt-get install -y gcc make": ("app tools", 1.0, 1.0, True),
    "[deps 2/2] copy vendor": ("app tools", 1.0, 1.0, True),
    "[compile 1/3] copy src": ("app tools", 1.1, 1.4, False),
    "[compile 2/3] run ./configure --prefix=/usr": ("app tools", 1.5, 5.2, False),
    "[tools 1/1] write /etc/tools.conf": ("tools", 5.3, 5.4, False),
    "[compile 3/3] run make -j4": ("app", 5.3, None, False),
    "image docker.io/library/python:3.12-slim": ("docs", 0.3, None, False),
    "[docs 1/2] run pip install -r requirements.txt": ("docs", None, None, False),
    "[docs 2/2] run mkdocs build": ("docs", None, None, False),
    "[app 1/1] copy /out/shop": ("app", None, None, False),
    "export to image localhost:5000/shop:dev": ("app", None, None, False),
}
OUTPUT = {
    "[compile 3/3] run make -j4": (
        "cc -O2 -Wall -c src/catalogue.c -o obj/catalogue.o",
        "cc -O2 -Wall -c src/checkout.c -o obj/checkout.o",
        "cc -O2 -Wall -c src/main.c -o obj/main.o",
        "\x1b[1mcc -o out/shop obj/catalogue.o obj/checkout.o obj/main.o -lsqlite3\x1b[0m",
    )
}
LAYERS = {
    "sha256:3b1e6a0c5f27": (28.2, 28.2, 3.1),
    "sha256:9c40d8f2be61": (31.6, 45.5, None),
    "sha256:e5a7720b4d13": (6.9, 12.1, None),
}
PULL = "image docker.io/library/python:3.12-slim"

SVG = """<svg class="b" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font: bold 18px system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})"
  clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def events() -> Iterator[tuple[float, str, Event]]:
    """When, for which target, what: vertices that wait first, then what happened to them."""
    for name, (targets, *_) in STEPS.items():
        yield from ((0.0, job, VertexEvent(digest=name, name=name)) for job in targets.split())
    for name, (targets, started, completed, cached) in STEPS.items():
        for job in targets.split() if started else ():
            at = NOW if completed is None else completed
            yield started or at, job, VertexEvent(digest=name, name=name, started=started)
            if completed:
                yield (
                    completed,
                    job,
                    VertexEvent(
                        digest=name, name=name, started=started, completed=completed, cached=cached
                    ),
                )
    for name, lines in OUTPUT.items():
        data = "".join(f"{line}\n" for line in lines).encode()
        yield NOW, STEPS[name][0].split()[0], LogEvent(vertex=name, stream=1, data=data)
    for layer, (current, total, completed) in LAYERS.items():
        yield NOW, "docs", _layer(layer, int(current * MEGABYTE), int(total * MEGABYTE), completed)


def _layer(layer: str, current: int, total: int, completed: float | None) -> StatusEvent:
    return StatusEvent(
        id=layer.ljust(71, "0"),
        vertex=PULL,
        name="downloading",
        current=current,
        total=total,
        started=10.0,
        timestamp=NOW,
        completed=completed,
    )


def picture() -> str:
    """The SVG."""
    progress = Progress(began=0.0)
    size = os.terminal_size((COLUMNS, LINES))
    display = TtyDisplay(io.StringIO(), {"TERM": "xterm-256color"}, lambda: size)
    for at, job, event in sorted(events(), key=lambda each: each[0]):
        if change := progress.apply(job, event, at):
            display.update(change)
    frame = display.frame(NOW, COLUMNS, LINES)
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, _environ={})
    prompt = Text.assemble((" $ ", "green"), ("buildfile build", "bold"))
    for line in (prompt, *display.take_scrolled(COLUMNS), *frame):
        console.print(line, soft_wrap=True, highlight=False)
    svg = console.export_svg(title="buildfile build", code_format=SVG, unique_id="progress")
    return "\n".join(line.rstrip() for line in _TEXT.sub(_without_margin, svg).splitlines()) + "\n"


def _without_margin(match: re.Match[str]) -> str:
    """A text that starts at its first letter: some viewers drop no-break spaces at its ends."""
    text = match["text"]
    letters = re.sub(f"^(?:{SPACE})+|(?:{SPACE})+$", "", text.removesuffix("\n"))
    left = (len(text) - len(re.sub(f"^(?:{SPACE})+", "", text))) // len(SPACE)
    right = (len(text) - len(letters)) // len(SPACE) - left
    x = float(match["x"]) + left * CELL
    length = float(match["length"]) - (left + right) * CELL
    head = f'<text class="{match["class"]}" x="{x:.1f}" y="{match["y"]}"'
    return f'{head} textLength="{length:.1f}"{match["rest"]}>{letters}</text>' if letters else ""


if __name__ == "__main__":
    Path(__file__).with_name("progress.svg").write_text(picture(), encoding="utf-8")
