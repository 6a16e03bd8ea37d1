from __future__ import annotations

import json
from typing import Any

import pytest

from tests.translator.stages import AMD64, HERE, SCRATCH, compiled, image, run, stage
from translator.compiled import ImageNeed, ResolvedImage
from translator.llb.imageconfig import DEFAULT_PATH, ImageConfig
from translator.platform import Platform
from translator.stage import Healthcheck, ImageOptions, SetEnv, SetShell, SetUser, SetWorkdir

BASE: dict[str, Any] = {
    "architecture": "arm64",
    "os": "linux",
    "author": "somebody",
    "created": "2020-01-01T00:00:00Z",
    "history": [{"created_by": "me"}],
    "rootfs": {"type": "layers", "diff_ids": ["sha256:1"]},
    "config": {
        "Env": ["PATH=/bin", "LANG=C"],
        "Entrypoint": ["/entry"],
        "Cmd": ["serve"],
        "WorkingDir": "/srv",
        "User": "www",
        "Labels": {"a": "1", "b": "2"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGQUIT",
        "Shell": ["/bin/bash", "-c"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5, "Retries": 2},
        "OnBuild": ["RUN boo"],
        "ArgsEscaped": True,
        "Vendor": {"z": 1, "a": [2]},
    },
}


def base() -> ImageConfig:
    return ImageConfig.parse(json.dumps(BASE).encode())


def options(**given: Any) -> ImageOptions:
    return ImageOptions(span=HERE, **given)


def config_of(config: ImageConfig) -> dict[str, Any]:
    return dict(json.loads(config.encode(AMD64))["config"])


def test_all_of_a_base_carries_over_but_its_layers_and_triggers() -> None:
    document = json.loads(base().below().encode(AMD64))
    expected = {key: value for key, value in BASE["config"].items() if key != "OnBuild"}
    assert document["config"] == expected
    assert document["rootfs"] == {"type": "layers", "diff_ids": []}
    assert document["author"] == "somebody"
    assert document["architecture"] == "amd64"
    assert not document.keys() & {"history", "created"}


def test_scratch_begins_as_in_a_dockerfile() -> None:
    assert config_of(ImageConfig.scratch(AMD64)) == {
        "Env": [f"PATH={DEFAULT_PATH}"],
        "WorkingDir": "/",
    }
    assert config_of(ImageConfig.scratch(Platform("windows", "amd64"))) == {"WorkingDir": "/"}


def test_a_variant_is_part_of_the_platform() -> None:
    document = json.loads(ImageConfig().encode(Platform("linux", "arm", "v7")))
    assert (document["architecture"], document["variant"]) == ("arm", "v7")


def test_a_variable_that_is_set_again_keeps_its_place() -> None:
    config = base().with_env((("NEW", "1"), ("PATH", "/usr/bin")))
    assert config_of(config)["Env"] == ["PATH=/usr/bin", "LANG=C", "NEW=1"]


def test_an_entrypoint_drops_the_inherited_command() -> None:
    config = config_of(base().with_options(options(entrypoint=("/app",))))
    assert config["Entrypoint"] == ["/app"]
    assert "Cmd" not in config


def test_a_command_alone_keeps_the_entrypoint() -> None:
    config = config_of(base().with_options(options(cmd=("other",))))
    assert (config["Entrypoint"], config["Cmd"]) == (["/entry"], ["other"])


def test_an_empty_list_clears() -> None:
    config = config_of(base().with_options(options(entrypoint=(), cmd=())))
    assert not config.keys() & {"Entrypoint", "Cmd"}


def test_labels_ports_and_volumes_add_up() -> None:
    given = options(
        labels=(("b", "3"), ("c", "4")), expose=("53/UDP", "8000-8002"), volumes=("/logs",)
    )
    config = config_of(base().with_options(given))
    assert config["Labels"] == {"a": "1", "b": "3", "c": "4"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp"}
    assert set(config["Volumes"]) == {"/data", "/logs"}


def test_the_rest_replaces() -> None:
    check = Healthcheck(test=("CMD-SHELL", "x"), timeout=7)
    given = options(
        workdir="sub", user="root", stop_signal="SIGINT", healthcheck=check, author="me"
    )
    config = base().with_options(given)
    assert (config.workdir, config.user, config.stop_signal) == ("/srv/sub", "root", "SIGINT")
    assert config_of(config)["Healthcheck"] == {"Test": ["CMD-SHELL", "x"], "Timeout": 7}
    assert config.author == "me"


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"config": 1}', b'{"config": {"Env": [1]}}'])
def test_what_is_no_config_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ImageConfig.parse(data)


def test_a_config_without_content_is_empty() -> None:
    assert ImageConfig.parse(b'{"config": null}') == ImageConfig()


def test_steps_change_the_config_and_stages_hand_it_on() -> None:
    need = ImageNeed(ref="docker.io/library/alpine:latest", platform=AMD64, span=HERE)
    resolved = ResolvedImage(digest="", config=json.dumps(BASE).encode())
    first = stage(
        "first",
        image(),
        SetEnv(env=(("A", "1"),), span=HERE),
        SetWorkdir(path="app", span=HERE),
        SetUser(user="me", span=HERE),
        SetShell(argv=("/bin/zsh", "-c"), span=HERE),
        image=options(labels=(("stage", "first"),)),
    )
    second = stage("second", first.ref, run(), env=(("B", "2"),))
    config = json.loads(compiled(first, second, images={need: resolved}).image_config)["config"]
    assert config["Env"] == ["PATH=/bin", "LANG=C", "A=1", "B=2"]
    assert (config["WorkingDir"], config["User"]) == ("/srv/app", "me")
    assert config["Shell"] == ["/bin/zsh", "-c"]
    assert config["Labels"] == {"a": "1", "b": "2", "stage": "first"}


def test_a_stages_own_env_of_a_step_is_not_kept() -> None:
    result = compiled(stage("a", SCRATCH, run(env=(("ONLY_HERE", "1"),))))
    assert b"ONLY_HERE" not in result.image_config
