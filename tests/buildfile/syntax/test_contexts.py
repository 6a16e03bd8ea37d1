"""Stages with the trees that another client gives."""

from __future__ import annotations

import json

import pytest

from buildfile.syntax.contexts import ROOT, Contexts, Input, file_origin, main_origin
from buildfile.syntax.request import Request
from translator.compile import compile_instances
from translator.diagnostic import InvalidCommandError, InvalidFileError
from translator.inputs import Inputs
from translator.platform import Platform
from translator.project import load
from translator.span import SourceFile
from translator.stage import (
    Copy,
    GitSource,
    HttpSource,
    ImageSource,
    Instance,
    LocalSource,
    OciLayoutSource,
    StageRef,
)
from translator.state import scratch, write
from translator.text import document

_AMD64 = Platform("linux", "amd64")
_TEXT = """\
version: 1
sources:
  web: {local: ./web, exclude: ["*.log"]}
  all: {local: .}
  layout: {oci-layout: ./layout, ref: latest}
stages:
  base: {from: {image: alpine}, steps: [{copy: {from: layout, to: /}}]}
  app:
    from: base
    steps:
      - copy: {from: web, to: /web}
      - copy: {from: all, paths: [r.txt], to: /}
  plain: {from: all}
targets:
  app: {stage: app}
  plain: {stage: plain}
"""
_LAYOUT = f"oci-layout://store@sha256:{'0' * 64}"


def instance(name: str) -> Instance:
    def read(path: str) -> SourceFile:
        raise FileNotFoundError(path)

    file = document.read("buildfile.yaml", ROOT, _TEXT.encode())
    project = load(Inputs(files=(file,), read=read, folder=ROOT))
    (target,) = project.select([name])
    return project.instantiate(target, _AMD64, _AMD64)


def origins(given: Instance) -> list[object]:
    return [
        step.origin
        for stage in given.stages.values()
        for step in stage.steps
        if isinstance(step, Copy)
    ]


def test_folders_lie_in_the_context() -> None:
    request = Request(context="ctx", contexts={"base": "docker-image://scratch"})
    web, whole = origins(Contexts(request).given(instance("app")))
    assert isinstance(web, LocalSource) and isinstance(whole, LocalSource)
    assert (web.served, web.below, web.exclude) == ("ctx", "web", ("*.log",))
    assert (whole.served, whole.below) == ("ctx", "")


def test_a_stage_that_is_replaced_needs_nothing_of_its_own() -> None:
    contexts = Contexts(Request(contexts={"base": "docker-image://busybox", "other": _LAYOUT}))
    given = contexts.given(instance("app"))
    base = next(stage for ref, stage in given.stages.items() if ref.name == "base")
    assert isinstance(base.origin, ImageSource) and base.origin.ref == "busybox"
    assert not base.steps
    assert contexts.unused == ("other",)


def test_a_context_for_a_platform_goes_before_one_for_all() -> None:
    texts = {"base": "docker-image://a", "base::linux/amd64": "docker-image://b"}
    given = Contexts(Request(contexts=texts)).given(instance("app"))
    base = next(stage for ref, stage in given.stages.items() if ref.name == "base")
    assert isinstance(base.origin, ImageSource) and base.origin.ref == "b"


def test_layouts_are_the_clients_to_give() -> None:
    with pytest.raises(InvalidFileError, match="OCI layout layout cannot be had"):
        Contexts(Request()).given(instance("app"))
    given = Contexts(Request(contexts={"layout": _LAYOUT})).given(instance("app"))
    layout = origins(given)[0]
    assert isinstance(layout, OciLayoutSource) and layout.store == "store"


def test_stages_stay_shared_between_platforms() -> None:
    contexts = Contexts(Request(labels={"a": "b"}))
    one, other = (contexts.given(instance("plain")) for _ in range(2))
    assert one.stages[one.root].image == other.stages[other.root].image
    labelled = one.stages[one.root].image
    assert labelled and labelled.labels == (("a", "b"),)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://example.com/a.git#main:sub", GitSource),
        ("git@example.com:a/b", GitSource),
        ("ssh://git@example.com/a", GitSource),
        ("github.com/a/b", GitSource),
        ("https://example.com/a.tar.gz", HttpSource),
    ],
)
def test_a_context_at_an_address(address: str, kind: type) -> None:
    request = Request(remote=address, contexts={"base": "docker-image://scratch"})
    assert isinstance(main_origin(request, ()), kind)
    given = Contexts(request).given(instance("app"))
    web, *_ = (each for each in given.stages if each.name == "context web")
    (step,) = given.stages[web].steps
    assert isinstance(step, Copy)
    assert (step.paths, step.exclude) == (("web",), ("*.log",))
    assert isinstance(step.origin, kind | StageRef)
    assert compile_instances([given])


def test_a_repository_as_it_is() -> None:
    given = Contexts(Request(remote="https://h.example/a.git#v1:sub")).given(instance("plain"))
    origin = given.stages[given.root].origin
    assert isinstance(origin, GitSource)
    assert (origin.url, origin.ref, origin.subdir) == ("https://h.example/a.git", "v1", "sub")


def test_graphs_that_the_client_gives() -> None:
    definition = scratch().file(write("/a", "a")).marshal(platform="linux/amd64")
    config = b'{"config": {"Env": ["A=1"]}, "os": "linux", "architecture": "amd64"}'
    request = Request(contexts={"base": "input:tree"}, configs={"tree": config})
    contexts = Contexts(request, {"tree": definition, "context": definition})
    given = contexts.given(instance("app"))
    assert {ref.name for ref in contexts.made} == {"base", "input context"}
    (made,) = compile_instances([given], frontends=contexts.made)
    assert not made.locals
    assert json.loads(made.image_config)["config"]["Env"] == ["A=1"]
    assert definition[:40] in made.definition


def test_an_input_that_is_not_given() -> None:
    with pytest.raises(InvalidCommandError, match="is none of the inputs"):
        Contexts(Request(contexts={"base": "input:tree"}))


def test_where_the_build_file_is() -> None:
    assert file_origin(Request(), ()).name == "dockerfile"
    assert isinstance(file_origin(Request(), ("dockerfile",)), Input)
    assert isinstance(file_origin(Request(file_folder="d"), ("dockerfile",)), LocalSource)
    assert isinstance(file_origin(Request(remote="git://h/a"), ("dockerfile",)), GitSource)


@pytest.mark.parametrize(
    ("text", "said"),
    [("what:ever", "is of no kind"), ("oci-layout://x", "needs a digest"), ("alone", "of no kind")],
)
def test_contexts_that_are_none(text: str, said: str) -> None:
    with pytest.raises(InvalidCommandError, match=said):
        Contexts(Request(contexts={"base": text}))


def test_an_address_that_is_none() -> None:
    with pytest.raises(InvalidCommandError, match="is no address"):
        main_origin(Request(remote="nowhere"), ())
