from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.translator.stages import HERE, copy, instance, local, run, stage
from translator.compiled import LocalUse
from translator.llb.locals import local_uses
from translator.stage import BindMount, Copy, LocalSource, Origin


def use_of(*steps: Any, origin: Origin | None = None, **options: Any) -> LocalUse:
    (use,) = local_uses(
        [instance(stage("a", origin or local(), *steps))], options.get("ignores", {})
    ).values()
    return use


def copied(source: LocalSource, *paths: str, **more: Any) -> Copy:
    return copy(source, "/x/", paths=paths or (".",), **more)


def patterns(source: LocalSource, *steps: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    uses = local_uses([instance(stage("a", local("other"), *steps))], {})
    (use,) = (each for each in uses.values() if each.name == source.name)
    return use.include, use.follow


def test_only_the_paths_that_steps_use_are_sent() -> None:
    src = local()
    steps = [copied(src, "go.mod", "go.sum"), copied(src, "/cmd/./app/")]
    assert patterns(src, *steps) == ((), ("cmd/app", "go.mod", "go.sum"))


def test_a_copy_of_all_sends_all() -> None:
    src = local()
    assert patterns(src, copied(src, "go.mod"), copied(src)) == ((), ())
    assert patterns(src, copied(src, "/")) == ((), ())


def test_a_stage_that_begins_with_a_folder_sends_all() -> None:
    assert use_of().include == () and use_of().follow == ()


def test_wildcards_stay_as_they_are() -> None:
    src = local()
    assert patterns(src, copied(src, "*.go", "cmd/*/main.go")) == ((), ("*.go", "cmd/*/main.go"))


def test_a_mount_sends_its_source_as_a_plain_path() -> None:
    src = local()
    mount = BindMount(target="/m", origin=src, source="/a[1]/b", span=HERE)
    assert patterns(src, run(mounts=(mount,))) == ((), ("a\\[1]/b",))


def test_include_patterns_of_a_copy_narrow_it() -> None:
    src = local()
    narrow = copied(src, "cmd", include=("**/*.go", "/app"))
    assert patterns(src, narrow) == (("cmd/**/*.go", "cmd/app"), ())
    negated = copied(src, "cmd", include=("**", "!x"))
    assert patterns(src, negated) == ((), ("cmd",))
    behind_a_wildcard = copied(src, "c*", include=("a",))
    assert patterns(src, behind_a_wildcard) == ((), ("c*",))


def test_the_sources_own_patterns_are_a_bound() -> None:
    src = local(include=("cmd", "go.*"))
    assert patterns(src, copied(src)) == (("cmd", "go.*"), ())
    assert patterns(src, copied(src, "cmd/app")) == (("cmd/app", "go.*"), ())
    assert patterns(src, copied(src, "cmd/app", "."))[0] == ("cmd", "go.*")


def test_nothing_in_common_never_becomes_everything() -> None:
    src = local(include=("cmd",))
    assert patterns(src, copied(src, "docs")) == (("cmd",), ())


def test_followed_paths_of_the_source_stay() -> None:
    src = local(follow=("link",))
    assert patterns(src, copied(src, "a")) == ((), ("link",))


def test_ignore_files_come_before_the_sources_own_patterns() -> None:
    src = local(exclude=("*.tmp",))
    ignores = {src.path: ("node_modules", "!keep")}
    assert use_of(origin=src, ignores=ignores).exclude == ("node_modules", "!keep", "*.tmp")
    deaf = local(exclude=("*.tmp",), ignore_file=False)
    assert use_of(origin=deaf, ignores=ignores).exclude == ("*.tmp",)


def test_instances_share_what_they_send() -> None:
    src = local()
    first = instance(stage("a", local("other"), copied(src, "a")))
    second = instance(stage("b", local("other"), copied(src, "b")))
    uses = local_uses([first, second], {})
    assert {use.name: use.follow for use in uses.values()} == {"other": (), "src": ("a", "b")}


def test_different_folders_of_one_name_are_told_apart() -> None:
    one, two = local(path="/one"), local(path="/two")
    uses = local_uses([instance(stage("a", one, copied(two)))], {})
    assert {use.name: use.path for use in uses.values()} == {"src": "/one", "src-2": "/two"}


PARTS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


def matches(pattern: str, path: str) -> bool:
    return path == pattern or path.startswith(pattern + "/")


@given(st.lists(PARTS, min_size=1), st.lists(PARTS, min_size=1), PARTS)
def test_what_is_used_and_allowed_is_sent_and_nothing_else(
    bound: list[str], used: list[str], path: str
) -> None:
    src = local(include=tuple(bound))
    include, _ = patterns(src, copied(src, *used))
    allowed = any(matches(pattern, path) for pattern in bound)
    wanted = any(matches(pattern, path) for pattern in used)
    sent = any(matches(pattern, path) for pattern in include)
    assert not sent or allowed
    assert sent or not (allowed and wanted)
