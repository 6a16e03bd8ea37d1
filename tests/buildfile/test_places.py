from __future__ import annotations

import io
from pathlib import Path

import pytest

from buildfile.draft import draft
from buildfile.exits import UsageError
from buildfile.files import LoadOptions
from buildfile.places import check_places
from tests.buildfile.projects import project
from tests.daemon_shim.infos import info
from translator.diagnostic import InvalidCommandError, InvalidFileError
from translator.inputs import FieldOption

HEAD = "version: 1\nstages: {s: {from: scratch}}\ntargets:\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def check(folder: Path, targets: str, *options: str, stdout: io.StringIO | None = None) -> None:
    fields = [FieldOption(option="--output", key="outputs", value=each) for each in options]
    made = project(folder, HEAD + targets, LoadOptions(fields=fields, environment={}))
    drafts = draft(made, made.select(["*"]), info((0, 13, 0)))
    check_places(
        [(each.target, export) for each in drafts for export in each.exports],
        stdout or io.StringIO(),
    )


ONE = "  a: {stage: s}\n"
TWO = ONE + "  b: {stage: s}\n"


def test_places_of_their_own(tmp_path: Path) -> None:
    check(tmp_path, "  a: {stage: s, outputs: [type=tar, 'type=tar,dest=a']}\n")
    check(tmp_path, ONE, "type=local,dest=out")


def test_two_archives_cannot_share_standard_output(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mixed on standard output: a, b"):
        check(tmp_path, TWO, "type=tar")


@pytest.mark.parametrize("output", ["type=tar", "type=oci,dest=-", "type=docker"])
def test_an_archive_does_not_go_to_a_terminal(tmp_path: Path, output: str) -> None:
    with pytest.raises(UsageError, match="the output of a would garble the terminal"):
        check(tmp_path, ONE, output, stdout=Terminal())
    check(tmp_path, ONE, output)


def test_one_folder_of_an_option_is_not_for_two_targets(tmp_path: Path) -> None:
    with pytest.raises(InvalidCommandError) as error:
        check(tmp_path, TWO, "type=local,dest=out")
    (fault,) = error.value.diagnostics
    assert fault.message.endswith("out would be written for a and for b")


def test_one_file_is_not_for_two_outputs(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="x would be written twice") as error:
        check(tmp_path, "  a: {stage: s, outputs: ['type=tar,dest=x', 'type=oci,dest=x']}\n")
    assert not isinstance(error.value, InvalidCommandError)
    assert error.value.diagnostics[0].related[0].message == "first written to here"


def test_folders_of_the_build_file_are_merged_unless_one_is_cleared(tmp_path: Path) -> None:
    targets = (
        "  a: {{stage: s, outputs: ['type=local,dest=out']}}\n"
        "  b: {{stage: s, outputs: ['type=local,dest=out{}']}}\n"
    )
    check(tmp_path, targets.format(""))
    with pytest.raises(InvalidFileError, match="out would be written for a and for b"):
        check(tmp_path, targets.format(",mode=delete"))
