from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from buildfile.cachenames import OTHERS, CacheNames, Standing, stage_mark
from translator.reference import Reference
from translator.stage import StageRef
from translator.target import CacheEntry

POOL = CacheNames(daemon="a", pool=("a", "b", "c"), salt="project")
ALONE = CacheNames()
LONG = "x" * 128


def entry(type_: str, attrs: Mapping[str, str], **more: Any) -> CacheEntry:
    return CacheEntry(type=type_, attrs=attrs, **more)


def exported(names: CacheNames, given: CacheEntry, stage: str = "") -> dict[str, str]:
    (made,) = names.exported([given], stage)
    return dict(made.attrs)


def imported(
    names: CacheNames, given: CacheEntry, key: str, stage: str = ""
) -> dict[str, Standing]:
    found = list(names.imported([given], "t", stage))
    made = {each.entry.attrs.get(key, ""): each.standing for each in found}
    assert len(made) == len(found)
    return made


@pytest.mark.parametrize(
    ("type_", "attrs", "expected"),
    [
        ("registry", {"ref": "r.example/c"}, {"ref": "r.example/c:latest-a"}),
        ("registry", {"ref": "localhost:5000/c"}, {"ref": "localhost:5000/c:latest-a"}),
        ("registry", {"ref": "r.example/c:t", "mode": "max"}, {"ref": "r.example/c:t-a"}),
        ("local", {}, {"tag": "latest-a"}),
        ("local", {"tag": "main"}, {"tag": "main-a"}),
        ("gha", {}, {"scope": "buildkit-a"}),
        ("gha", {"scope": "s"}, {"scope": "s-a"}),
        ("s3", {"bucket": "b"}, {"name": "buildkit-a"}),
        ("s3", {"bucket": "b", "name": "m;n"}, {"name": "m-a;n-a"}),
        ("azblob", {"name": "n"}, {"name": "n-a"}),
    ],
)
def test_a_cache_has_a_name_for_each_daemon(
    type_: str, attrs: dict[str, str], expected: dict[str, str]
) -> None:
    given = entry(type_, attrs, folder="/c" if type_ == "local" else "")
    assert exported(POOL, given) == {**attrs, **expected}
    assert exported(ALONE, given) == attrs
    assert exported(POOL, entry(type_, attrs, by_daemon=False)) == attrs


@pytest.mark.parametrize(
    "given",
    [
        entry("inline", {}),
        entry("registry", {"ref": "r"}, free=True),
        entry("odd", {"ref": "r"}, free=True),
        entry("registry", {"ref": f"r@sha256:{'0' * 64}"}),
        entry("local", {"digest": f"sha256:{'0' * 64}"}, folder="/c"),
    ],
)
def test_what_has_no_name_of_its_own_stays_as_it_is(given: CacheEntry) -> None:
    for stage in ("", "s-1"):
        assert list(POOL.exported([given], stage)) == [given]
        (made,) = POOL.imported([given], "t", stage)
        assert (made.entry, made.standing) == (given, Standing.ONLY)


def test_a_name_stays_a_tag_however_long_its_parts_are() -> None:
    refs = {
        exported(
            CacheNames(daemon=f"{LONG}{end}", pool=("x", "y")), entry("registry", {"ref": ref})
        )["ref"]
        for end in "12"
        for ref in ("r.example/c", f"r.example/c:{LONG[:-1]}")
    }
    assert len(refs) == 4
    assert {len(Reference.parse(ref).tag) for ref in refs} == {128}


def test_an_import_means_the_daemons_own_the_written_and_the_others_names() -> None:
    made = imported(POOL, entry("local", {"tag": "t"}, folder="/c"), "tag")
    assert [*made][:2] == ["t-a", "t"]
    assert made == {
        "t-a": Standing.USUAL,
        "t": Standing.USUAL,
        "t-b": Standing.OTHER,
        "t-c": Standing.OTHER,
    }
    refs = imported(POOL, entry("registry", {"ref": "r.example/c"}), "ref")
    assert [*refs][:2] == ["r.example/c:latest-a", "r.example/c"] and len(refs) == 4


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (ALONE, entry("registry", {"ref": "r"})),
        (POOL, entry("registry", {"ref": "r"}, by_daemon=False)),
    ],
)
def test_an_import_of_one_name_is_as_written(names: CacheNames, given: CacheEntry) -> None:
    assert imported(names, given, "ref") == {"r": Standing.ONLY}


def test_what_cannot_be_looked_up_has_two_names() -> None:
    assert imported(POOL, entry("gha", {"scope": "s"}), "scope") == {
        "s-a": Standing.USUAL,
        "s": Standing.USUAL,
    }


def test_of_many_daemons_the_first_in_the_owners_order_are_looked_for() -> None:
    pool = tuple(f"d{number}" for number in range(300))
    given = entry("local", {}, folder="/c")

    def others(daemon: str, owner: str) -> list[str]:
        names = CacheNames(daemon=daemon, pool=pool).imported([given], owner)
        return [each.entry.attrs["tag"] for each in names if each.standing is Standing.OTHER]

    assert len(others("d7", "t")) == OTHERS
    assert others("d7", "t") == others("d8", "t") != others("d7", "u")
    first = others("d7", "t")[0].removeprefix("latest-")
    assert f"latest-{first}" not in others(first, "t")  # its own is no other's


def test_a_stage_has_names_beside_those_of_its_target() -> None:
    mark = stage_mark(StageRef("s", "linux-amd64"))
    given = entry("local", {"tag": "t"}, folder="/c")
    assert exported(POOL, given, mark) == {"tag": f"t-a-{mark}"}
    made = imported(POOL, given, "tag", mark)
    assert [*made][:3] == [f"t-a-{mark}", "t-a", "t"]
    assert {f"t-b-{mark}", "t-b", f"t-c-{mark}", "t-c"} == {*[*made][3:]}
    together = entry("local", {"tag": "t"}, folder="/c", by_daemon=False)
    assert exported(POOL, together, mark) == {"tag": f"t-{mark}"}
    assert imported(POOL, together, "tag", mark) == {
        f"t-{mark}": Standing.USUAL,
        "t": Standing.USUAL,
    }


def test_marks_of_stages_tell_variants_and_daemons_apart() -> None:
    marks = {
        stage_mark(StageRef(name, variant))
        for name in ("s", "s-a")
        for variant in ("linux-amd64", "linux-arm64", "linux-amd64,target=t")
    }
    assert len(marks) == 6
    assert all(re.fullmatch(r"s(-a)?-[0-9a-f]{8}", each) for each in marks)
