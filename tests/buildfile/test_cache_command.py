"""``buildfile cache``: what it prints, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildfile.cachefolder import CacheFolder
from buildfile.cli import main
from buildfile.exits import Exit
from tests.buildfile.layouts import Layout, named

DAY = 86400.0


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """In ``caches``: two caches with a common layer, an unused blob and an unfinished file."""
    monkeypatch.chdir(tmp_path)
    layout = Layout(tmp_path / "caches")
    common = layout.layer(1_000_000, "c")
    main_, feature = layout.cache(common), layout.cache(common, layout.layer(500_000, "f"))
    layout.finish(named(main_, "main"), named(feature, "feature"))
    layout.layer(20_000, "u")
    layout.age(3 * DAY + 60)
    layout.age(2 * 3600 + 60, feature["digest"])
    (layout.folder / "ingest").mkdir()
    (layout.folder / "ingest" / "x.partial").write_bytes(b"x" * 1000)
    return layout


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["cache", *arguments])
    captured = capsys.readouterr()
    return code, captured.out or captured.err


def data(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, text = run(capsys, *arguments, "--format", "json")
    (one,) = json.loads(text)["folders"]
    return code, one


def digest(layout: Layout, tag: str) -> str:
    return CacheFolder(layout.folder).tags()[tag].digest


def test_ls(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "ls", "caches")
    assert (code, text.splitlines()) == (
        Exit.DONE,
        [
            "caches: 2 caches, 7 blobs, 1.52MB",
            "TAG      SIZE    SHARED  AGE      DIGEST",
            f"main     1.00MB  1.00MB  3 days   {digest(layout, 'main')[:19]}",
            f"feature  1.50MB  1.00MB  2 hours  {digest(layout, 'feature')[:19]}",
            "not needed: 1 blob, 20.00kB",
            "unfinished: 1 file, 1.00kB",
        ],
    )


def test_ls_as_json(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    code, folder = data(capsys, "ls", "caches")
    assert code == Exit.DONE
    feature = folder["caches"][1]
    assert feature.pop("exported").endswith("+00:00")
    assert feature.pop("age") >= 2 * 3600
    assert feature.pop("size") > 1_500_000
    assert feature == {
        "tag": "feature",
        "image": "",
        "digest": digest(layout, "feature"),
        "media-type": "application/vnd.oci.image.manifest.v1+json",
        "shared": 1_000_000,
        "missing": [],
        "broken": "",
    }
    assert folder["path"] == "caches"
    assert folder["blobs"]["count"] == 7
    assert folder["unused"] == {"count": 1, "size": 20_000}
    assert folder["unfinished"] == {"count": 1, "size": 1000}


def test_ls_of_several_and_of_empty_folders(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    _, text = run(capsys, "ls", "empty", "caches")
    first, second = text.split("\n\n")
    assert first == "empty: 0 caches, 0 blobs, 0B"
    assert second.startswith("caches: 2 caches")
    assert list(Path("empty").iterdir()) == []


def test_ls_says_what_is_wrong(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    layout.blob(layout.layer(1_000_000, "c")["digest"]).unlink()
    layout.blob(digest(layout, "main")).unlink()
    _, text = run(capsys, "ls", "caches")
    lines = text.splitlines()
    assert lines[2].startswith("main     0B ")
    assert lines[2].endswith(" is missing")
    assert " - " in lines[2]
    assert lines[3].endswith("  1 blob missing")


def test_entries_without_a_tag_and_images(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    image = layout.image("x")
    layout.finish(image, named(image, "1", "docker.io/library/app:1"))
    _, text = run(capsys, "ls", "caches")
    assert text.splitlines()[2].startswith("(no tag)")
    assert text.splitlines()[3].startswith("docker.io/library/app:1")


def test_verify(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "verify", "caches")
    assert (code, text) == (Exit.DONE, "caches: 2 caches, 7 blobs, 1.52MB: all are whole\n")
    assert data(capsys, "verify", "caches")[1]["faults"] == []


def test_verify_of_damage(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    common, stray = layout.layer(1_000_000, "c")["digest"], layout.layer(20_000, "u")["digest"]
    layout.blob(common).unlink()
    layout.blob(stray).write_bytes(b"x")
    code, text = run(capsys, "verify", "caches")
    assert (code, text.splitlines()) == (
        Exit.FAILED,
        [
            "caches: 2 caches, 6 blobs, 501.07kB: 2 faults",
            f"{stray} is damaged: its content has another digest, needed by no cache",
            f"{common} is missing, needed by main, feature",
        ],
    )
    code, folder = data(capsys, "verify", "caches")
    assert code == Exit.FAILED
    assert folder["faults"][1] == {
        "digest": common,
        "reason": "is missing",
        "caches": ["main", "feature"],
    }


def test_verify_shows_how_far_it_is(
    layout: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["cache", "verify", "caches"]) == Exit.DONE
    shown = capsys.readouterr().err.split("\r")
    assert shown[-2:] == ["checking 100%", "\x1b[K"]
    assert len(shown) == len(set(shown))


def test_prune(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    planned = run(capsys, "prune", "caches", "--keep-tags", "feat*", "--dry-run")
    assert planned == (
        Exit.DONE,
        "caches: would remove 1 cache, 3 files, 20.42kB; 1.50MB left\nwould remove main\n",
    )
    assert run(capsys, "prune", "caches", "--keep-tags", "feat*") == (
        Exit.DONE,
        "caches: removed 1 cache, 3 files, 20.42kB; 1.50MB left\nremoved main\n",
    )
    assert list(CacheFolder("caches").tags()) == ["feature"]
    code, folder = data(capsys, "prune", "caches", "--max-size", "1MB")
    assert (code, folder["path"], folder["dry-run"], folder["left"]) == (0, "caches", False, 0)
    assert [each["tag"] for each in folder["caches"]] == ["feature"]
    assert folder["removed"]["count"] == 4


def test_prune_unused(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = run(capsys, "prune", "caches", "--unused", "--min-age", "0")
    assert (code, text) == (Exit.DONE, "caches: removed 0 caches, 2 files, 21.00kB; 1.50MB left\n")
    assert list((layout.folder / "ingest").iterdir()) == []


def test_prune_of_a_folder_in_use(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with CacheFolder("caches").exporting():
        code, text = run(capsys, "prune", "caches", "--unused")
    assert (code, text) == (Exit.FAILED, "error: caches: a build or a cleaning uses it\n")


def test_a_broken_index_is_a_failure(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    (layout.folder / "index.json").write_text("{")
    for command in (["ls"], ["verify"], ["prune", "--unused"]):
        code, text = run(capsys, *command, "caches")
        assert code == Exit.FAILED
        assert text == "error: caches: index.json is not what an OCI layout has there\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"],
        ["ls", "nowhere"],
        ["prune", "caches"],
        ["prune", "--unused", "--max-size", "1", "caches"],
        ["prune", "--max-size", "much", "caches"],
        ["prune", "--unused", "--min-age", "-1", "caches"],
    ],
)
def test_wrong_usage(
    layout: Layout, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, text = run(capsys, *arguments)
    assert code == Exit.USAGE
    assert "rror: " in text
    assert sorted(CacheFolder("caches").tags()) == ["feature", "main"]


def test_copy(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "copy", "caches", "copy", "--tag", "main") == (
        Exit.DONE,
        "caches to copy: 1 cache, 3 blobs, 1.00MB copied\ncopied main\n",
    )
    assert run(capsys, "copy", "caches", "copy") == (
        Exit.DONE,
        "caches to copy: 2 caches, 3 blobs, 500.65kB copied; 3 were there\n"
        "copied main\ncopied feature\n",
    )
    assert run(capsys, "copy", "caches", "copy", "--tag", "other") == (
        Exit.FAILED,
        "error: caches: no cache other: there are main, feature\n",
    )
