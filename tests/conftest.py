"""What all tests share."""

from __future__ import annotations

import difflib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# How fast a machine is must not decide whether a test passes.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

pytest_plugins = ["tests.real.plugin"]


def pytest_configure() -> None:
    """Hear Ctrl-C, and let what is started hear it: a script's ``&`` has it ignored by all.

    What is printed is the same on GitHub Actions.
    """
    os.environ.pop("GITHUB_ACTIONS", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "write the expected files of golden tests instead of comparing with them"
    parser.addoption("--rewrite-golden", action="store_true", help=help_text)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """``golden(file, text)``: fail unless the checked-in file holds the text (``make golden``)."""

    def compare(file: Path, text: str) -> None:
        if request.config.getoption("--rewrite-golden"):
            file.write_text(text)
            return
        expected = file.read_text() if file.exists() else ""
        difference = difflib.unified_diff(
            expected.splitlines(), text.splitlines(), str(file), "now", lineterm=""
        )
        assert text == expected, "\n".join(difference)

    return compare
