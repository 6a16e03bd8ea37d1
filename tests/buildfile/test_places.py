from __future__ import annotations

import io
from pathlib import Path

import pytest

from buildfile.draft import draft
from buildfile.exits import UsageError
from buildfile.failure import RefusedError
from buildfile.files import LoadOptions
from buildfile.loopback import Loopback
from buildfile.places import check_held, check_places
from buildfile.plan import Job, plan
from tests.buildfile.projects import project
from tests.daemon_shim.infos import info
from translator.diagnostic import InvalidCommandError, InvalidFileError
from translator.inputs import FieldOption

HEAD = "version: 1\nstages: {s: {from: scratch}}\ntargets:\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def check(folder: Path, targets: str, *options: str, stdout: io.StringIO | None = None) -> None:
    check_places(jobs(folder, targets, *options), stdout or io.StringIO())


def jobs(folder: Path, targets: str, *options: str) -> tuple[Job, ...]:
    fields = [FieldOption(option="--output", key="outputs", value=each) for each in options]
    made = project(folder, HEAD + targets, LoadOptions(fields=fields, environment={}))
    drafts = draft(made, made.select(["*"]), info((0, 13, 0)))
    return plan(drafts, info((0, 13, 0)), {}, loopback=Loopback(None), environment={}).jobs


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


DELETES = "  a: {stage: s, outputs: ['type=local,dest=DEST,mode=delete']CACHE}\n"


@pytest.mark.parametrize(
    ("dest", "cache", "what"),
    [
        (".", "", "the build file"),
        ("..", "", "the build file"),
        ("out", ", cache: {export: [{type: local, dest: out/cache}]}", "a local cache"),
        ("out", ", cache: {import: [{type: local, src: out}]}", "a local cache"),
        ("out/../out", ", cache: {export: [{type: local, dest: out/x/cache}]}", "a local cache"),
    ],
)
def test_a_folder_is_not_cleared_of_what_is_wanted(
    tmp_path: Path, dest: str, cache: str, what: str
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    text = DELETES.replace("DEST", dest).replace("CACHE", cache)
    with pytest.raises(InvalidFileError, match=f"mode=delete would remove {what}") as error:
        check(folder, text)
    assert {each.code for each in error.value.diagnostics} == {"would-be-cleared"}
    check(folder, text.replace(",mode=delete", ""))


def test_a_folder_is_not_cleared_of_another_output(tmp_path: Path) -> None:
    targets = DELETES.replace("DEST", "out").replace("CACHE", "")
    other = "  b: {stage: s, outputs: ['type=tar,dest=out/b.tar']}\n"
    with pytest.raises(InvalidFileError, match=r"remove an output of b \(.*out/b.tar\)"):
        check(tmp_path, targets + other)
    check(tmp_path, targets + other.replace("out/b.tar", "output/b.tar"))


def test_two_images_for_one_layout_are_told_how_to_come_there(tmp_path: Path) -> None:
    layouts = "  a: {stage: s, outputs: [L, L]}\n".replace("L", "'type=oci,dest=x,tar=false'")
    with pytest.raises(InvalidFileError, match="x would be written twice") as error:
        check(tmp_path, layouts)
    assert "by a run of its own" in (error.value.diagnostics[0].hint or "")


@pytest.mark.parametrize(
    "output", ["type=none", "type=local,dest=a", "type=tar,dest=a", "'type=oci,dest=a,tar=false'"]
)
def test_what_this_machine_writes_can_be_held(tmp_path: Path, output: str) -> None:
    check_held(jobs(tmp_path, f"  a: {{stage: s, outputs: [{output!r}]}}\n".replace('"', "")))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{type: image, name: a, push: true}", "the image output of a cannot .* holds an image"),
        ("{type: image, name: a}", "no daemon holds an image back"),
        ("{type: tar, dest: '-'}", "the tar output of a cannot .* standard output has it"),
    ],
)
def test_what_others_see_at_once_is_refused(tmp_path: Path, output: str, message: str) -> None:
    both = f"  a: {{stage: s, outputs: [{output}]}}\n  b: {{stage: s}}\n"
    with pytest.raises(RefusedError, match=message) as error:
        check_held(jobs(tmp_path, both))
    (fault,) = error.value.diagnostics
    assert fault.span and fault.span.start.line == 4
