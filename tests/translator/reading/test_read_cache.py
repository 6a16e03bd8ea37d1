from __future__ import annotations

from typing import Any

import pytest

from tests.translator.loading import ROOT, faults, project

CACHE = """version: 1
stages: {{s: {{from: scratch}}}}
cache: {{import: ["x/${{target}}:top"], export: [type=inline]}}
targets:
  t: {{stage: s, cache: {{{cache}}}}}
  u: {{stage: s}}
"""


def caches(cache: str, target: str = "t") -> Any:
    made = project(CACHE.format(cache=cache)).targets[target][0]
    return (
        [(each.type, dict(each.attrs)) for each in made.cache_imports],
        [(each.type, dict(each.attrs)) for each in made.cache_exports],
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("localhost:5000/x:cache", ("registry", {"ref": "localhost:5000/x:cache"})),
        (
            "'localhost:5000/x:cache,mode=max'",
            ("registry", {"ref": "localhost:5000/x:cache", "mode": "max"}),
        ),
        ("{ref: x, mode: min}", ("registry", {"ref": "x", "mode": "min"})),
        (
            "{type: registry, ref: x, ignore-error: true}",
            ("registry", {"ref": "x", "ignore-error": "true"}),
        ),
        (
            "'type=registry,ref=x,compression=zstd'",
            ("registry", {"ref": "x", "compression": "zstd"}),
        ),
        ("{type: inline}", ("inline", {})),
        ("'type=x-gha,scope=a'", ("gha", {"scope": "a"})),
        (
            "{type: gha, scope: '${target}', timeout: 1m30s, version: 2}",
            ("gha", {"scope": "t", "timeout": "1m30s", "version": "2"}),
        ),
        (
            "{type: s3, bucket: b, name: [a, b], use_path_style: true, upload_parallelism: 8}",
            (
                "s3",
                {
                    "bucket": "b",
                    "name": "a;b",
                    "use_path_style": "true",
                    "upload_parallelism": "8",
                },
            ),
        ),
        ("'type=s3,bucket=b,name=a;b'", ("s3", {"bucket": "b", "name": "a;b"})),
        (
            "{type: azblob, account_url: 'https://a.example', prefix: p, mode: max}",
            ("azblob", {"account_url": "https://a.example", "prefix": "p", "mode": "max"}),
        ),
        ("{type: local, dest: c, tag: v1, reset: true}", ("local", {"tag": "v1", "reset": "true"})),
    ],
)
def test_cache_exports(entry: str, expected: tuple[str, dict[str, str]]) -> None:
    imports, exports = caches(f"export: [{entry}]")
    assert exports == [expected]
    assert imports == [("registry", {"ref": "x/t:top"})]


def test_the_cache_at_the_top_is_every_targets() -> None:
    assert caches("import: []", target="u") == (
        [("registry", {"ref": "x/u:top"})],
        [("inline", {})],
    )
    assert caches("import: [y]") == ([("registry", {"ref": "y"})], [("inline", {})])


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ("import: ['type=local']", "missing-key this cache import of type local has no src"),
        ("export: ['type=local,mode=max']", "missing-key this cache export of type local has no"),
        ("export: ['type=local,dest=x,store=y']", "exactly-one-of dest and store are names of"),
        ("import: ['type=local,src=x,digest=sha256:1']", "it must be a digest"),
        ("import: ['type=local,src=x,tag=']", "tag cannot be '', it must be a text that is not"),
        ("import: ['type=local,src=']", "src cannot be ''"),
        ("import: [./x]", "bad-value ref cannot be './x': '.' is not a registry's host"),
        ("export: ['type=gha,compression=zstd']", "of type gha have no attribute compression"),
        ("import: ['type=gha,mode=max']", "cache imports of type gha have no attribute mode"),
        ("export: ['type=s3,touch_refresh=daily']", "it must be a time such as 30s or 1m30s"),
        ("export: ['type=s3,name=']", "name cannot be ''"),
        ("export: ['type=azblob,bucket=x']", "of type azblob have no attribute bucket"),
        ("export: ['type=inline,by-daemon=false']", "type inline have no attribute by-daemon"),
        ("export: ['r,by-daemon=maybe']", "it must be true or false"),
        ("export: ['type=regstry,ref=x']", "unknown-type there is no cache export of type regstry"),
        ("export: ['type=registry']", "missing-key the key ref is missing"),
        (
            "import: ['type=registry,ref=x,mode=max']",
            "cache imports of type registry have no attribute mode",
        ),
        ("export: ['type=registry,ref=x,mode=full']", "it must be one of min, max"),
        ("import: ['type=inline']", "unknown-type an inline cache is imported with the image"),
    ],
)
def test_cache_faults(cache: str, expected: str) -> None:
    assert any(expected in fault for fault in faults(CACHE.format(cache=cache)))


def folder(entry: str, key: str) -> str:
    made = project(
        CACHE.format(cache=f"{key}: [{entry}]"), environment={"HOME": "/home/me"}
    ).targets["t"][0]
    caches = made.cache_imports if key == "import" else made.cache_exports
    assert not caches[0].attrs.keys() & {"dest", "src", "store"}
    return caches[0].folder


@pytest.mark.parametrize("key", ["import", "export"])
@pytest.mark.parametrize("name", ["src", "dest", "store"])
def test_all_names_of_a_folder_mean_the_same(key: str, name: str) -> None:
    assert folder(f"'type=local,{name}=.cache'", key) == f"{ROOT}/.cache"
    assert folder(f"{{type: local, {name}: '~/c'}}", key) == "/home/me/c"
    assert folder(f"'type=local,{name}=../${{target}},src=/t'", key) == "/t"


def test_a_folder_of_an_option_starts_from_the_working_folder() -> None:
    text = CACHE.format(cache="import: []")
    overrides = ("t.cache.export=type=local,dest=c",)
    (cache,) = project(text, overrides=overrides, folder="/elsewhere").targets["t"][0].cache_exports
    assert cache.folder == "/elsewhere/c"


@pytest.mark.parametrize("type_", ["registry", "local", "gha", "s3", "azblob"])
@pytest.mark.parametrize("key", ["import", "export"])
def test_one_name_for_all_daemons_is_said_to_this_side_alone(type_: str, key: str) -> None:
    places = {"registry": ",ref=r", "local": ",dest=c"}
    entry = f"type={type_}{places.get(type_, '')}"
    text = CACHE.format(cache=f"{key}: ['{entry},by-daemon=false', '{entry}']")
    made = project(text).targets["t"][0]
    one, each = made.cache_imports if key == "import" else made.cache_exports
    assert (one.by_daemon, each.by_daemon) == (False, True)
    assert one.attrs == each.attrs


def test_a_type_with_x_is_the_daemons_affair() -> None:
    made = project(CACHE.format(cache="import: ['type=x-local,src=a']")).targets["t"][0]
    (cache,) = made.cache_imports
    assert cache.free and not cache.folder and dict(cache.attrs) == {"src": "a"}


def test_tokens_are_not_told_by_accident() -> None:
    made = project(CACHE.format(cache="import: ['type=gha,token=s3cret']")).targets["t"][0]
    assert "s3cret" not in repr(made)
