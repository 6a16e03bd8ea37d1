from __future__ import annotations

from collections.abc import Sequence

import pytest

from translator.reading.permission import Permission

LINKS = {"/project/link": "/etc", "/private": "/project/real", "/project/inner": "/project/x"}


def refusal(path: str, folder: str = "/project/sub", allow: Sequence[str] = ()) -> bool:
    permission = Permission("/project", allow, "/work", lambda each: LINKS.get(each, each))
    return permission.refusal(path, folder) is not None


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/project", False),
        ("/project/a/b", False),
        ("/project/sub", False),
        ("/projects", True),
        ("/", True),
        ("/etc", True),
        ("/project/link", True),
        ("/project/inner", False),
        ("/private", False),
    ],
)
def test_the_project_may_be_read_and_links_are_followed(path: str, refused: bool) -> None:
    assert refusal(path) is refused


def test_a_file_outside_of_the_root_may_read_its_own_folder() -> None:
    assert refusal("/lib/src", folder="/lib") is False
    assert refusal("/lib/src", folder="/project") is True


@pytest.mark.parametrize(
    ("allow", "refused"),
    [
        (["fs.read=/lib"], False),
        (["fs=/lib"], False),
        (["fs.read=../lib"], False),
        (["fs.read=*"], False),
        (["fs.write=/lib"], True),
        (["network.host"], True),
        (["fs.read=/li"], True),
    ],
)
def test_the_command_line_allows_more(allow: list[str], refused: bool) -> None:
    assert refusal("/lib/src", allow=allow) is refused


def test_the_refusal_lists_what_may_be_read() -> None:
    permission = Permission("/project", ["fs.read=x"], "/work", lambda each: each)
    assert permission.refusal("/etc", "/lib") == ("/lib", "/project", "/work/x")


def test_the_root_of_the_file_system_holds_everything() -> None:
    permission = Permission("/", [], "/", lambda each: each)
    assert permission.refusal("/etc", "/") is None
