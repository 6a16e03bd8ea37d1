from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from tests.translator.stages import HERE, SCRATCH, compiled, copy, image, line, run, stage
from translator.llb.describe import as_dot, as_json, as_mermaid
from translator.stage import CacheMount, Resources, Write


def example() -> bytes:
    base = stage("base", image("alpine:3"), run('echo "a" | cat; <b>', span=line(4)))
    app = stage(
        "app",
        SCRATCH,
        copy(base.ref, "/x", chmod="0640", span=line(5)),
        Write(path="/bin", data=b"\xff\x00", span=line(6)),
        run(
            cache=False,
            mounts=(CacheMount(target="/c", id="c", sharing="locked", span=HERE),),
            resources=Resources(memory=5),
            network="none",
        ),
    )
    return compiled(base, app).definition


def objects() -> list[dict[str, Any]]:
    return list(json.loads(as_json(example())))


def test_each_operation_is_an_object_in_order() -> None:
    kinds = [
        next(key for key in ("source", "exec", "file", "inputs") if key in each)
        for each in objects()
    ]
    assert kinds == ["source", "exec", "file", "file", "exec", "inputs"]
    digests = [each["digest"] for each in objects()]
    assert objects()[-1]["inputs"] == [digests[-2]]


def test_an_object_says_all_that_is_not_empty() -> None:
    assert objects()[1] == {
        "digest": objects()[1]["digest"],
        "name": '[base] run echo "a" | cat; <b>',
        "inputs": [objects()[0]["digest"]],
        "platform": {"Architecture": "amd64", "OS": "linux"},
        "exec": {
            "meta": {"args": ["/bin/sh", "-c", 'echo "a" | cat; <b>'], "cwd": "/"},
            "mounts": [{"input": 0, "dest": "/", "output": 0}],
        },
        "caps": ["exec.meta.base", "exec.meta.setsdefaultpath"],
        "places": ["buildfile.yaml:4"],
    }


def test_modes_are_octal_and_bytes_are_base64() -> None:
    copied, written = (each["file"]["actions"][0] for each in objects()[2:4])
    assert copied["copy"]["mode"] == "0640"
    assert written["mkfile"]["data"] == {"base64": "/wA="}


def test_enums_go_by_name_and_metadata_is_shown() -> None:
    last = objects()[4]
    assert last["exec"]["network"] == "NONE"
    assert last["exec"]["mounts"][1]["cacheOpt"] == {"ID": "/c", "sharing": "LOCKED"}
    assert last["ignore-cache"] is True
    assert last["resources"] == {"memory": 5}


def test_the_same_text_every_time() -> None:
    assert as_json(example()) == as_json(example())


def test_nothing_is_an_empty_list() -> None:
    assert json.loads(as_json(b"")) == []


def test_dot_quotes_what_it_must() -> None:
    text = as_dot(example())
    assert text.startswith("digraph llb {\n")
    assert 'v1 [label="[base] run echo \\"a\\" | cat; <b>" shape=box];' in text
    assert "  v0 -> v1;\n" in text and text.endswith("}\n")
    assert 'v5 [label="result" shape=doublecircle];' in text


def test_mermaid_writes_marks_by_number() -> None:
    text = as_mermaid(example())
    assert text.startswith("flowchart LR\n")
    assert 'v1["[base] run echo #34;a#34; #124; cat#59; #60;b#62;"]' in text
    assert "  v0 --> v1\n" in text


def test_what_is_no_definition_is_refused() -> None:
    with pytest.raises(DecodeError):
        as_json(b"\xff\xff")
