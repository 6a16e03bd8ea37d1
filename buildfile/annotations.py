"""Diagnostics as workflow commands, which GitHub Actions shows at the lines of a change.

The form is that of its documentation (workflow commands, ``error`` and ``warning``): properties,
and a message in one line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from translator.diagnostic import Diagnostic

_IN_MESSAGE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTY = {**_IN_MESSAGE, **str.maketrans({":": "%3A", ",": "%2C"})}


def annotation(diagnostic: Diagnostic, environment: Mapping[str, str]) -> str:
    """The command for a diagnostic, '' for one that is at no line of a file, or elsewhere."""
    span = diagnostic.span
    if environment.get("GITHUB_ACTIONS") != "true" or not (span and Path(span.file.name).is_file()):
        return ""
    properties = {
        "file": os.path.relpath(span.file.name, environment.get("GITHUB_WORKSPACE") or "."),
        "line": span.start.line,
        "endLine": span.end.line,
        "col": span.start.column,
        "endColumn": span.end.column,
        "title": f"buildfile: {diagnostic.code}",
    }
    told = ",".join(f"{key}={str(v).translate(_IN_PROPERTY)}" for key, v in properties.items())
    text = ". ".join(filter(None, (diagnostic.message, diagnostic.hint)))
    return f"::{diagnostic.severity} {told}::{text.translate(_IN_MESSAGE)}"
