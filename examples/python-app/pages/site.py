"""Markdown files to HTML files of the same names, and an index of them."""

import html
from collections.abc import Iterator
from pathlib import Path

import markdown

_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
{body}
"""


def title_of(text: str, default: str) -> str:
    """Return the first heading of a Markdown text."""
    headings = (line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    return next(headings, default)


def render(text: str, name: str) -> str:
    """Return the HTML page of a Markdown text."""
    body = markdown.markdown(text, extensions=["tables", "fenced_code"])
    return _PAGE.format(title=html.escape(title_of(text, name)), body=body)


def write_site(source: Path, target: Path) -> Iterator[Path]:
    """Write a page for each file of ``source`` and an index; yield what was written."""
    target.mkdir(parents=True, exist_ok=True)
    links = []
    for file in sorted(source.glob("*.md")):
        text = file.read_text(encoding="utf-8")
        page = target / f"{file.stem}.html"
        page.write_text(render(text, file.stem), encoding="utf-8")
        links.append(f"- [{title_of(text, file.stem)}]({page.name})")
        yield page
    index = target / "index.html"
    index.write_text(render("\n".join(["# Pages", "", *links]), "index"), encoding="utf-8")
    yield index
