from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from schemas import buildfile_schema_text, reference


def test_the_page_is_current() -> None:
    text = reference.PAGE.read_text(encoding="utf-8")
    assert text == reference.page(), "run python -m schemas.reference"


def test_check_tells_a_current_page_from_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "PAGE", tmp_path / "docs" / "page.md")
    assert reference.main(["--check"]) == 1
    assert "python -m schemas.reference" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0


def test_every_key_of_the_schema_is_on_the_page() -> None:
    schema = json.loads(buildfile_schema_text())
    definitions = [schema, *schema["$defs"].values()]
    keys = [key for each in definitions for key in each.get("properties", {})]
    headings = re.findall(r"^### `(?:.*\]?\.)?([^`]+)`$", reference.page(), re.MULTILINE)
    assert {key.split(".")[-1] for key in keys} == {key.split(".")[-1] for key in headings}
    assert len(re.findall("^### ", reference.page(), re.MULTILINE)) == len(keys)


def test_examples_of_the_page_are_yaml() -> None:
    for block in re.findall(r"```yaml\n(.*?)```", reference.page(), re.DOTALL):
        for example in block.split("# or\n"):
            assert yaml.safe_load(example) is None or isinstance(yaml.safe_load(example), dict)


def test_links_of_the_page_lead_somewhere() -> None:
    text = reference.page()
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}
    links = re.findall(r"\(#([^)]+)\)", text)
    assert links
    assert set(links) <= anchors
