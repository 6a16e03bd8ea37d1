from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

from tests.translator.stages import HERE, SCRATCH, copy, image, inline, instance, local, run, stage
from translator.compile import compile_instances
from translator.compiled import ResolvedFrontend
from translator.frontends import frontend_alone, frontends_needed
from translator.llb.foreign import head
from translator.llb.frontends import made_by, shown
from translator.stage import Dockerfile, Frontend, Instance, Stage, StageRef

GIVEN = stage("given", image(), run("given"), env=(("A", "1"),))


def docker(name: str, **more: Any) -> Stage:
    return stage(name, Dockerfile(**{"context": local(), "span": HERE, **more}))


def needed(whole: Instance, **known: ResolvedFrontend) -> Any:
    frontends = {StageRef(name): each for name, each in known.items()}
    return frontends_needed([whole], frontends, partial(compile_instances, frontends=frontends))


def test_a_dockerfile_is_spelt_as_its_frontend_reads_it() -> None:
    made = docker(
        "made",
        file="d/Dockerfile",
        target="x",
        args=(("A", "1"), ("E", "")),
        labels=(("l", "m"),),
        network="none",
        no_cache=True,
        secrets=("s",),
    )
    (need,) = needed(instance(made))
    assert need.frontend == "dockerfile.v0"
    assert need.opts == {
        "platform": "linux/amd64",
        "filename": "d/Dockerfile",
        "target": "x",
        "force-network-mode": "none",
        "label:l": "m",
        "build-arg:A": "1",
        "build-arg:E": "",
        "no-cache": "",
    }
    assert {name: use.path for name, use in need.folders.items()} == {
        "context": "/project/src",
        "dockerfile": "/project/src",
    }
    assert (need.inputs, need.secrets) == ({}, ("s",))
    assert frontend_alone(instance(made)) == need


def test_stages_are_given_as_graphs_and_folders_as_folders() -> None:
    made = docker(
        "made",
        context=StageRef("given"),
        place=local("other"),
        contexts=(("base", StageRef("given")), ("files", local("x"))),
    )
    whole = instance(GIVEN, made)
    (need,) = needed(whole)
    assert list(need.inputs) == ["context", "context-base", "context-files"]
    assert list(need.folders) == ["dockerfile"]
    assert need.inputs["context"].definition == compile_instances([instance(GIVEN)])[0].definition
    assert need.opts["context:base"] == "input:context-base"
    told = json.loads(need.opts["input-metadata:context-base"])
    config = json.loads(base64.b64decode(told["containerimage.config"]))
    assert "A=1" in config["config"]["Env"]
    assert "input-metadata:context-files" not in need.opts
    assert frontend_alone(whole) is None


def test_text_and_nothing_are_given_as_well() -> None:
    made = docker("made", context=SCRATCH, inline="FROM scratch\n")
    (need,) = needed(instance(made))
    assert need.texts == {"dockerfile": {"Dockerfile": b"FROM scratch\n"}}
    assert head(need.inputs["context"].definition)  # a tree, though nothing is in it


def test_a_folder_whose_ignore_file_does_not_count_is_a_graph() -> None:
    made = docker("made", context=local(ignore_file=False))
    (need,) = needed(instance(made))
    assert (list(need.inputs), list(need.folders)) == (["context", "dockerfile"], [])


def test_a_frontend_image_gets_its_options() -> None:
    made = stage(
        "made",
        Frontend(
            image="docker.io/library/front:1",
            opts=(("a", "b"), ("source", "theirs"), ("platform", "linux/arm64")),
            inputs=(("x", inline(("a", "b"))), ("y", local())),
            span=HERE,
        ),
    )
    (need,) = needed(instance(made))
    assert need.frontend == "gateway.v0"
    assert need.opts == {
        "a": "b",
        "source": "docker.io/library/front:1",
        "platform": "linux/arm64",
    }
    assert (list(need.inputs), list(need.folders)) == (["x", "y"], ["y"])


def test_frontends_are_told_how_to_resolve_images() -> None:
    front = Frontend(image="x/front", resolve="local", span=HERE)
    for made, mode in ((docker("made", resolve="pull"), "pull"), (stage("made", front), "local")):
        (need,) = needed(instance(made))
        assert need.opts["image-resolve-mode"] == mode


def test_frontends_are_asked_for_one_after_the_other_where_one_needs_another() -> None:
    first, other = docker("first"), docker("other")
    between = stage("between", StageRef("first"), run("between"))
    second = docker("second", context=StageRef("between"))
    last = stage("last", StageRef("second"), copy(StageRef("other")))
    whole = instance(first, other, between, second, last)
    assert [need.stage.ref.name for need in needed(whole)] == ["first", "other"]
    answer = ResolvedFrontend(definition=compile_instances([instance(GIVEN)])[0].definition)
    (need,) = needed(whole, first=answer, other=answer)
    assert need.stage.ref.name == "second"
    assert "[between] run between" in need.inputs["context"].names.values()
    assert needed(whole, first=answer, other=answer, second=answer) == ()


def test_files_are_called_by_their_way_from_the_build_file() -> None:
    assert shown(docker("made"), "d/Dockerfile") == "src/d/Dockerfile"
    assert shown(docker("made", context=StageRef("given")), "Dockerfile") == "Dockerfile"
    assert shown(docker("made", inline="FROM x"), "Dockerfile") == "made: inline Dockerfile"


def test_a_plan_says_who_makes_a_stage() -> None:
    words = "by dockerfile.v0, file Dockerfile with context src, dockerfile src"
    assert made_by(docker("made")) == words
    assert made_by(GIVEN) == ""
