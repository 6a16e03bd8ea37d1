from __future__ import annotations

import base64
import json

from buildfile.results import BuildResult, TargetResult, target_result

DIGEST, CONFIG = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def lines(*responses: dict[str, str], files: tuple[str, ...] = ()) -> list[str]:
    return list(target_result("t", list(responses), files).lines())


def test_an_image_is_printed_by_name_and_digest() -> None:
    response = {"image.name": "a:1,b:2", "containerimage.digest": DIGEST}
    assert lines(response) == [f"a:1@{DIGEST}", f"b:2@{DIGEST}"]


def test_an_image_without_a_name_by_its_digest() -> None:
    assert lines({"containerimage.digest": DIGEST}) == [DIGEST]
    assert lines({"containerimage.digest": DIGEST}, files=("/a.tar",)) == ["/a.tar"]


def test_the_digest_of_a_config_leads_nowhere() -> None:
    stored = {
        "image.name": "a",
        "containerimage.digest": CONFIG,
        "containerimage.config.digest": CONFIG,
    }
    assert lines(stored) == ["a"]
    assert lines({**stored, "containerimage.digest": DIGEST}) == [f"a@{DIGEST}"]


def test_nothing_was_made() -> None:
    assert lines({}) == []


def test_metadata_reads_as_with_buildctl() -> None:
    descriptor = {"digest": DIGEST, "size": 3}
    packed = base64.b64encode(json.dumps(descriptor).encode()).decode()
    made = target_result(
        "t", [{"containerimage.descriptor": packed}, {"containerimage.buildinfo": "%"}], ()
    )
    assert made.metadata == {
        "containerimage.buildinfo": "%",
        "containerimage.descriptor": descriptor,
    }


def test_a_build_lists_its_targets() -> None:
    targets = {
        "a": TargetResult(target="a", files=("/x",), metadata={"k": "v"}),
        "b": TargetResult(target="b", names=("n",), digest=DIGEST),
    }
    made = BuildResult(targets=targets, daemon="unix:///x", seconds=1.0, steps=2, cached=1)
    assert list(made.lines()) == ["/x", f"n@{DIGEST}"]
    assert made.metadata() == {"a": {"k": "v"}, "b": {}}
