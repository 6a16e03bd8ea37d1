from __future__ import annotations

import json
from dataclasses import replace

import pytest

from buildfile.doctor import Ability, State, abilities
from buildfile.doctorview import as_json, as_text
from buildfile.loopback import HOW
from buildfile.render import colours
from daemon_shim import ages, support
from daemon_shim.info import Api, DaemonInfo
from tests.daemon_shim.infos import graphdriver, info
from translator.llb.capabilities import FEATURES

PLAIN = colours(colour=False)


def told(daemon: DaemonInfo) -> dict[tuple[str, str], Ability]:
    return {(each.kind, each.name): each for each in abilities(daemon)}


def test_every_row_is_told_of_once() -> None:
    all_ = abilities(info((0, 32, 2)))
    known = {(each.kind, each.name) for each in all_}
    assert len(known) == len(all_)
    assert known >= support.ROWS.keys() - {("exporter", "moby")}
    # A row around the build stands for its capability.
    assert FEATURES.keys() - {each.name for each in all_} == {"source.ocilayout"}


def test_today_s_daemon_can_do_all_by_itself() -> None:
    assert {each.state for each in abilities(info((0, 32, 2)))} == {State.NATIVE}


def test_the_first_does_some_another_way_and_refuses_some() -> None:
    old = told(info((0, 3, 3)))
    inline = old["cache-export", "inline"]
    assert inline.state is State.REFUSED
    assert inline.reason == "inline cache needs BuildKit v0.4, and this is v0.3.3"
    assert inline.since == "v0.4"
    archive = old["exporter", "tar"]
    assert (archive.state, archive.since) == (State.LOWERED, "v0.7.1")
    assert archive.how == "an archive made here of a local output, for one platform"
    assert old["llb", "file.base"].how == "by a helper program that this tool sends"
    several = old["several", "exporters"]
    assert (several.state, several.reason) == (State.LOWERED, "")
    assert several.how == "each in a build of its own, with shared steps"
    assert old["llb", "exec.mount.tmpfs"].state is State.NATIVE


def test_a_switched_off_feature_has_its_reason() -> None:
    engine = replace(
        info((0, 13, 0), engine=True),
        llb_caps=info((0, 13, 0)).llb_caps - {"exec.meta.ulimit"},
        disabled={"exec.meta.ulimit": "not on this machine"},
    )
    secret = told(engine)["llb", "exec.meta.ulimit"]
    assert secret.reason == "the limits (ulimits) of a step is switched off: not on this machine"


def test_an_engine_makes_images_its_own_way_and_misleads_about_layouts() -> None:
    engine = told(graphdriver((0, 13, 0)))
    assert engine["exporter", "image"].state is State.LOWERED
    layouts = engine["source", "oci-layout"]
    assert (layouts.state, layouts.how) == (State.LOWERED, HOW)
    assert engine["cache-export", "local"].state is State.REFUSED


def test_a_registry_on_loopback_stands_for_local_caches() -> None:
    old = told(info((0, 3, 3)))
    for kind in ("cache-export", "cache-import"):
        assert (old[kind, "local"].state, old[kind, "local"].how) == (State.LOWERED, HOW)


def test_a_dialect_that_is_asked_for_limits_what_can_be_said() -> None:
    asked = told(replace(info((0, 32, 2)), api=Api.LEGACY))
    assert asked["cache-export", "local"].state is State.LOWERED
    assert asked["cache-export", "inline"].state is State.REFUSED
    assert asked["cache-export", "registry"].state is State.NATIVE
    assert asked["several", "exporters"].state is State.LOWERED


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("  version       BuildKit v0.3.0", (0, 3, 0)),
        ("  API           legacy", (0, 3, 0)),
        ("  API           transitional", (0, 8, 0)),
        ("  API           current", (0, 32, 2)),
        ("  platforms   linux/amd64", (0, 8, 0)),
        ("  no            inline cache: BuildKit v0.4 has it", (0, 3, 0)),
        ("  yes           inline cache", (0, 4, 0)),
        ("  yes           tar output", (0, 7, 1)),
    ],
)
def test_the_table(line: str, release: tuple[int, int, int]) -> None:
    assert line in as_text(ages.imagine(release), PLAIN)


def test_the_table_has_colours_where_they_are_wanted() -> None:
    assert "\x1b[" not in as_text(info((0, 4, 0)), PLAIN)
    assert "\x1b[1;31mno\x1b[0m" in as_text(info((0, 4, 0)), colours(colour=True))


def test_the_data() -> None:
    data = as_json(graphdriver((0, 13, 0)))
    assert json.loads(json.dumps(data)) == data
    assert data["daemon"]["dialect"] == "current"
    assert data["workers"][0]["platforms"] == ["linux/amd64", "linux/386"]
    assert {each["state"] for each in data["features"]} == {"native", "lowered", "refused"}
