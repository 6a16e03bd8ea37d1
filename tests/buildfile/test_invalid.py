"""Invalid build files beside the exact text that ``buildfile check`` prints for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from buildfile.files import load_project
from buildfile.render import to_text
from translator.diagnostic import InvalidFileError

CASES = Path(__file__).parents[1] / "cases" / "invalid"


@pytest.mark.parametrize("case", sorted(each.name for each in CASES.iterdir()))
def test_faults_are_told_as_expected(
    case: str, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CASES / case)
    with pytest.raises(InvalidFileError) as raised:
        load_project(["buildfile.yaml"])
    text = "".join(f"{to_text(each)}\n" for each in raised.value.diagnostics)
    golden(CASES / case / "stderr.txt", text)
