"""Graphs of frontends put into ours. What a frontend wrote is made of stages, as if it was one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from schemas.pb import ops_pb2 as pb
from tests.translator.stages import (
    AMD64,
    HERE,
    SCRATCH,
    compiled,
    copy,
    definition,
    image,
    inline,
    instance,
    local,
    names,
    operations,
    processes,
    run,
    sources,
    stage,
)
from translator.compile import compile_instances
from translator.compiled import Compiled, ResolvedFrontend
from translator.diagnostic import InvalidFileError
from translator.llb.capabilities import CAPABILITIES
from translator.stage import (
    Dockerfile,
    Frontend,
    Merge,
    Origin,
    SecretMount,
    SshMount,
    Stage,
    StageRef,
)

GIVEN = stage("given", image(), run("given"))
DOCKER = "FROM given\nRUN there\nRUN more\n"


def made_by(*inputs: tuple[str, Origin], **more: Any) -> Stage:
    return stage("made", Frontend(image="front", inputs=inputs, span=HERE, **more))


def written(graph: Compiled, lines: Mapping[str, int] | None = None) -> bytes:
    """A definition as a frontend tells it: with its own titles and places."""
    message = definition(graph)
    message.ClearField("Source")
    message.Source.infos.add(filename="Dockerfile", language="Dockerfile", data=DOCKER.encode())
    for digest, metadata in message.metadata.items():
        title = metadata.description["llb.customname"].partition("] ")[2]
        metadata.description["llb.customname"] = f"[2/3] {title}" if title else "x"
        metadata.description["other"] = "kept"
        if line := (lines or {}).get(title, 0):
            span = pb.Range(start=pb.Position(line=line), end=pb.Position(line=line))
            message.Source.locations[digest].locations.add(ranges=[span])
    return message.SerializeToString()


def spliced(*stages: Stage, resolved: ResolvedFrontend, **options: Any) -> Compiled:
    frontends = {StageRef("made"): resolved}
    return compiled(*stages, frontends=frontends, **options)


def data(graph: Compiled) -> list[bytes]:
    return list(getattr(definition(graph), "def"))


def test_operations_stay_what_they_are() -> None:
    whole = compiled(GIVEN, stage("f", StageRef("given"), run("there"), copy(inline(("a", "b")))))
    result = spliced(made_by(), resolved=ResolvedFrontend(definition=written(whole)))
    assert data(result) == data(whole)
    told = [definition(result).metadata[each] for each in result.names]
    assert {metadata.description["other"] for metadata in told} == {"kept"}
    assert all(metadata.caps for metadata in told)


def test_titles_are_the_frontends_with_the_stage_before_them() -> None:
    whole = compiled(stage("f", image(), run("there")))
    result = spliced(made_by(), resolved=ResolvedFrontend(definition=written(whole)))
    assert "[made 2/3] run there" in names(result)


def test_places_are_in_the_frontends_own_source() -> None:
    whole = compiled(stage("f", image(), run("there"), run("more")))
    answer = ResolvedFrontend(definition=written(whole, {"run there": 2, "run more": 3}))
    result = spliced(made_by(), stage("a", StageRef("made"), run("ours")), resolved=answer)
    places = {
        result.names[digest]: [str(span) for span in spans]
        for digest, spans in result.spans.items()
    }
    assert places["[made 2/3] run there"] == ["Dockerfile:2:1"]
    assert places["[a] run ours"] == ["buildfile.yaml:1:1"]
    infos = {each.filename: each for each in definition(result).Source.infos}
    assert (infos["Dockerfile"].language, infos["Dockerfile"].data) == (
        "Dockerfile",
        DOCKER.encode(),
    )
    assert infos["buildfile.yaml"].language == "YAML"


def test_ours_takes_the_place_of_what_was_given() -> None:
    # As it was given, the graph had another local source than it has now.
    before = stage("given", image(), run("given"), copy(local("old")))
    after = stage("given", image(), run("given"), copy(local("new")))
    given = compiled(before)
    whole = compiled(before, stage("f", StageRef("given"), run("there")))
    answer = ResolvedFrontend(definition=written(whole), inputs={"tree": given.definition})
    result = spliced(after, made_by(("tree", StageRef("given"))), resolved=answer)
    assert "local://new" in sources(result)
    assert "local://old" not in sources(result)
    assert [each.name for each in result.locals] == ["new"]
    assert data(result) == data(compiled(after, stage("f", StageRef("given"), run("there"))))


def test_what_is_given_back_is_the_stage_itself() -> None:
    given = compiled(GIVEN)
    answer = ResolvedFrontend(definition=given.definition, inputs={"tree": given.definition})
    result = spliced(GIVEN, made_by(("tree", StageRef("given"))), resolved=answer)
    assert data(result) == data(given)
    empty = spliced(made_by(), resolved=ResolvedFrontend(definition=b""))
    assert empty.definition == b""


def test_folders_get_the_names_of_this_session() -> None:
    context = local("src", path="/project/src", exclude=("x",))
    docker = stage("made", Dockerfile(context=context, span=HERE))
    whole = compiled(stage("f", SCRATCH, copy(local("context"), to="/a")), unique="theirs")
    message = pb.Definition.FromString(written(whole))
    operation = pb.Op.FromString(getattr(message, "def")[0])
    assert operation.source.identifier == "local://context"
    result = spliced(
        docker,
        stage("a", StageRef("made"), copy(local("src"), to="/b")),
        resolved=ResolvedFrontend(definition=message.SerializeToString()),
        unique="ours",
    )
    found = sources(result)
    assert set(found) == {"local://src", "local://src-2"}
    assert found["local://src-2"]["local.unique"] == "ours"
    uses = {each.name: each for each in result.locals}
    assert (uses["src-2"].path, uses["src-2"].exclude) == ("/project/src", ("x",))
    assert uses["src-2"].include == ()


def test_a_folder_that_was_not_given_is_refused() -> None:
    whole = compiled(stage("f", SCRATCH, copy(local("etc"))))
    with pytest.raises(InvalidFileError, match="wants the local source etc"):
        spliced(made_by(), resolved=ResolvedFrontend(definition=written(whole)))


@pytest.mark.parametrize("broken", [b"\xff", pb.Definition(**{"def": [b""]}).SerializeToString()])
def test_a_broken_graph_is_a_fault(broken: bytes) -> None:
    with pytest.raises(InvalidFileError, match="made a graph that cannot be read"):
        spliced(made_by(), resolved=ResolvedFrontend(definition=broken))


def test_a_graph_that_lacks_an_operation_is_a_fault() -> None:
    message = definition(compiled(stage("f", image(), run("there"))))
    del getattr(message, "def")[0]
    with pytest.raises(InvalidFileError, match="made a graph that cannot be read"):
        spliced(made_by(), resolved=ResolvedFrontend(definition=message.SerializeToString()))


def secretive(*, optional: bool) -> Compiled:
    mounts = (
        SecretMount(id="token", target="/t", optional=optional, span=HERE),
        SecretMount(id="token", env="T", optional=optional, span=HERE),
        SshMount(optional=optional, span=HERE),
    )
    return compiled(stage("f", image(), run("there", mounts=mounts)))


def test_named_secrets_are_asked_for() -> None:
    answer = ResolvedFrontend(definition=written(secretive(optional=False)))
    result = spliced(made_by(secrets=("token", "more"), ssh=("default",)), resolved=answer)
    assert (result.secrets, result.ssh) == (("token",), ("default",))


def test_others_are_withheld_where_a_step_can_do_without() -> None:
    answer = ResolvedFrontend(definition=written(secretive(optional=True)))
    result = spliced(made_by(), resolved=answer)
    assert (result.secrets, result.ssh) == ((), ())
    (process,) = processes(result)
    assert [mount.mountType for mount in process.mounts] == [pb.BIND]
    assert not process.secretenv


def test_others_are_faults_where_it_cannot() -> None:
    answer = ResolvedFrontend(definition=written(secretive(optional=False), {"run there": 2}))
    with pytest.raises(InvalidFileError) as caught:
        spliced(made_by(), resolved=answer)
    assert [(str(each.span), each.message) for each in caught.value.diagnostics] == [
        ("Dockerfile:2:1", "this step wants the secret token, which its stage does not give"),
        ("Dockerfile:2:1", "this step wants the SSH agent default, which its stage does not give"),
    ]


def test_entitlements_are_those_that_the_stage_allows() -> None:
    whole = compiled(stage("f", image(), run("there", network="host", security="insecure")))
    answer = ResolvedFrontend(definition=written(whole))
    allowed = ("network.host", "security.insecure")
    assert spliced(made_by(entitlements=allowed), resolved=answer).entitlements == allowed
    with pytest.raises(InvalidFileError) as caught:
        spliced(made_by(entitlements=("network.host",)), resolved=answer)
    assert [each.message for each in caught.value.diagnostics] == [
        "this step asks for security.insecure, which its stage does not allow"
    ]


def test_a_config_is_kept_whole_unless_the_stage_changes_it() -> None:
    config = b'{"config": {"OnBuild": ["RUN x"], "Cmd": ["a"]}, "history": [1]}'
    answer = ResolvedFrontend(definition=b"", config=config)
    assert spliced(made_by(), resolved=answer).image_config == config
    above = spliced(made_by(), stage("a", StageRef("made")), resolved=answer)
    assert b"OnBuild" not in above.image_config
    assert b'"Cmd":["a"]' in above.image_config


def test_layers_of_a_frontend_are_laid_where_the_daemon_knows_no_merges() -> None:
    whole = compiled(stage("f", SCRATCH, copy(inline(("a", "b"))), copy(inline(("c", "d")))))
    answer = ResolvedFrontend(definition=written(whole))
    both = stage("m", Merge(inputs=(image(), StageRef("made")), span=HERE))
    lacking = CAPABILITIES.keys() - {"mergeop", "diffop"}
    result = spliced(made_by(), both, resolved=answer, caps=lacking, native=AMD64)
    assert not any(op.HasField("merge") for op in operations(result))
    assert [each.capability for each in result.lowerings] == ["mergeop"]


def test_what_is_not_made_yet_stands_for_itself() -> None:
    (result,) = compile_instances(
        [instance(GIVEN, made_by(("tree", StageRef("given")), secrets=("token",)))]
    )
    assert "[made] by gateway.v0, image front" in names(result)
    assert result.secrets == ("token",)
