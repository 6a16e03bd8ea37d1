from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from buildfile.daemons import read_daemons
from schemas import buildfile_schema_text, daemons_schema_text, reference


@pytest.mark.parametrize(
    ("path", "made"),
    [(reference.PAGE, reference.page), (reference.DAEMONS_PAGE, reference.daemons_page)],
)
def test_the_pages_are_current(path: Path, made: Callable[[], str]) -> None:
    assert path.read_text(encoding="utf-8") == made(), "run python -m schemas.reference"


def test_check_tells_a_current_page_from_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "PAGE", tmp_path / "docs" / "page.md")
    monkeypatch.setattr(reference, "DAEMONS_PAGE", tmp_path / "docs" / "daemons.md")
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


def test_every_example_of_daemons_toml_is_valid(tmp_path: Path) -> None:
    page = reference.daemons_page()
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)):
        daemon = "" if "address" in block else '[daemons.ci]\naddress = "/a"\n'
        text = block.replace("[daemons.ci]\n", daemon) if daemon else block
        file = tmp_path / f"{number}.toml"
        file.write_text(text if daemon in text else text + daemon)
        assert read_daemons([file], {})
    schema = json.loads(daemons_schema_text())
    keys = [
        key for each in (schema, *schema["$defs"].values()) for key in each.get("properties", {})
    ]
    assert len(re.findall("^### ", page, re.MULTILINE)) == len(keys)
