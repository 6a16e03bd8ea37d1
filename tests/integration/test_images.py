"""Images: their config, platforms and names, as registries and archives have them."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from buildfile.cli import main
from buildfile.exits import Exit
from buildfile.ocilayout import find_image
from daemon_shim import attributes, support
from daemon_shim.info import DaemonInfo
from tests.integration.command import Workspace
from tests.real import image
from tests.real.image import host_architecture
from translator.platform import Platform


def inspect(place: str, *words: str) -> Any:
    """What skopeo says of an image."""
    command = ["skopeo", "inspect", "--tls-verify=false", "--raw", *words, place]
    if not place.startswith("docker:"):
        command.remove("--tls-verify=false")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def config(place: str) -> dict[str, Any]:
    """The part of an image's config that says how to run it."""
    found: dict[str, Any] = inspect(place, "--config")
    return dict(found.get("config", {}))


# Each image has a repository of its own: daemons that push the same layers to one repository side
# by side now and then send a manifest before its layers are there, and the registry refuses it.


def _readable(text: str, info: DaemonInfo) -> str:
    """A file whose images skopeo takes: BuildKit up to v0.7 calls OCI layers Docker's."""
    if info.release >= (0, 8):
        return text
    return text.replace("{type: image,", "{type: image, oci-mediatypes: true,").replace(
        "{type: registry,", "{type: registry, oci-mediatypes: true,"
    )


_FILE = """
version: 1
vars:
  BASE: none
  REGISTRY: none
  NAME: none
stages:
  below:
    from: {image: "${BASE}"}
    env: {BELOW: "1", GREETING: changed}
    workdir: below
    user: worker
    image: {entrypoint: [below], labels: {below: "yes"}}
  app:
    from: below
    image:
      entrypoint: [/app, --serve]
      cmd: [x]
      env: {ONLY_IN_THE_IMAGE: "1"}
      user: "7:8"
      workdir: /srv
      labels: {own: "${NAME}"}
      expose: [80, 53/udp]
      volumes: [/data]
      stop-signal: SIGINT
      shell: [/bin/ash, -c]
      author: someone
      healthcheck: {test: [CMD, /check], interval: 2s, timeout: 1m30s, start-period: 1s, retries: 4}
  plain: {from: {image: "${BASE}"}}
  cleared:
    from: below
    image: {entrypoint: [], cmd: [], user: root}
targets:
  app: {stage: app, outputs: [{type: image, name: "${REGISTRY}/${NAME}/app"}]}
  plain: {stage: plain, outputs: [{type: registry, name: "${REGISTRY}/${NAME}/plain"}]}
  cleared: {stage: cleared, outputs: [{type: registry, name: "${REGISTRY}/${NAME}/cleared"}]}
groups: {default: [app, plain, cleared]}
"""


def test_config_carries_over_and_is_changed(work: Workspace, info: DaemonInfo) -> None:
    name = f"images/{uuid.uuid4().hex}"
    words = ("--push", "--var", f"NAME={name}", "--metadata-file", "meta.json")
    work.build(_readable(_FILE, info), *words)
    registry = f"docker://{work.values['REGISTRY']}/{name}"
    assert config(f"{registry}/app") == {
        "User": "7:8",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Env": ["PATH=/usr/bin:/bin", "GREETING=changed", "BELOW=1", "ONLY_IN_THE_IMAGE=1"],
        "Entrypoint": ["/app", "--serve"],
        "Cmd": ["x"],
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "Labels": {"org.example.base": "busybox", "below": "yes", "own": name},
        "StopSignal": "SIGINT",
        "Shell": ["/bin/ash", "-c"],
        "Healthcheck": {
            "Test": ["CMD", "/check"],
            "Interval": 2_000_000_000,
            "Timeout": 90_000_000_000,
            "StartPeriod": 1_000_000_000,
            "Retries": 4,
        },
    }
    assert inspect(f"{registry}/app", "--config")["author"] == "someone"
    base = {key: value for key, value in image.CONFIG.items() if value}
    assert config(f"{registry}/plain") == base
    cleared = config(f"{registry}/cleared")
    assert not cleared.get("Entrypoint") and not cleared.get("Cmd")
    assert (cleared["User"], cleared["WorkingDir"]) == ("root", "/work/below")

    meta = json.loads((work.folder / "meta.json").read_text())
    for target in ("app", "plain", "cleared"):
        digest = meta[target]["containerimage.digest"]
        manifest = subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"{registry}/{target}"],
            capture_output=True,
            check=True,
            text=True,
        )
        assert json.loads(manifest.stdout)["Digest"] == digest


def test_platforms_make_one_index(work: Workspace, info: DaemonInfo) -> None:
    name = f"platforms/{uuid.uuid4().hex}"
    text = """
version: 1
vars:
  REGISTRY: none
  NAME: none
stages:
  app:
    from: scratch
    steps:
      - write: {path: /platform, text: "${platform} ${platform.arch}"}
    image: {entrypoint: ["/${platform.arch}"]}
targets:
  app:
    stage: app
    platforms: [linux/amd64, linux/arm64, linux/arm/v7]
    outputs: [{type: image, name: "${REGISTRY}/${NAME}", push: true}]
  tree:
    stage: app
    platforms: [linux/amd64, linux/arm64]
    outputs: [{type: local, dest: out}]
groups: {default: [tree]}
"""
    work.build(_readable(text, info), "--var", f"NAME={name}")
    read = {path.parent.name: path.read_text() for path in (work.folder / "out").rglob("platform")}
    assert read == {"linux_amd64": "linux/amd64 amd64", "linux_arm64": "linux/arm64 arm64"}

    able = work.daemon.can("image")
    done = work.build(None, "app", "--var", f"NAME={name}", code=0 if able else 4)
    if not able:
        assert "buildfile.yaml:16:" in done.err
        return
    index = inspect(f"docker://{work.values['REGISTRY']}/{name}")
    platforms = {
        (each["platform"]["architecture"], each["platform"].get("variant", ""))
        for each in index["manifests"]
        if each["platform"]["os"] != "unknown"
    }
    assert platforms == {("amd64", ""), ("arm64", ""), ("arm", "v7")}
    for manifest in index["manifests"]:
        if manifest["platform"]["os"] != "unknown":
            place = f"docker://{work.values['REGISTRY']}/{name}@{manifest['digest']}"
            assert config(place)["Entrypoint"] == [f"/{manifest['platform']['architecture']}"]


def test_steps_for_a_foreign_platform_are_refused(work: Workspace) -> None:
    foreign = "arm64" if host_architecture() == "amd64" else "amd64"
    done = work.build(
        f"""
version: 1
vars:
  BASE: none
stages:
  app:
    from: scratch
    steps:
      - run: [/bin/true]
targets:
  app: {{stage: app, platforms: [linux/{foreign}]}}
""",
        code=4,
    )
    assert f"cannot run steps for linux/{foreign}" in done.err
    assert "buildfile.yaml:9:9" in done.err


def test_a_stage_pinned_to_the_builder_crosses(work: Workspace) -> None:
    foreign = "arm64" if host_architecture() == "amd64" else "amd64"
    work.build(f"""
version: 1
vars:
  BASE: none
stages:
  compiler:
    from: {{image: "${{BASE}}"}}
    platform: build
    steps:
      - run: mkdir /out && echo "for $TARGET" >/out/program
        env: {{TARGET: "linux/{foreign}"}}
  app:
    from: scratch
    steps:
      - copy: {{from: compiler, paths: [/out/program], to: /}}
targets:
  app: {{stage: app, platforms: [linux/{foreign}], outputs: [{{type: local, dest: out}}]}}
""")
    (program,) = (work.folder / "out").rglob("program")
    assert program.read_text() == f"for linux/{foreign}\n"


_ARCHIVE = """
version: 1
stages:
  app:
    from: scratch
    steps:
      - write: {path: /file, text: text}
    image: {entrypoint: [/file]}
targets:
  app: {stage: app, annotations: {org.example.note: noted}, outputs: [{type: oci, dest: app.tar}]}
"""
_LAYOUT = '{type: %s, tar: false, dest: layout, name: "app:%s"}'
_PLAIN = _ARCHIVE.replace(" annotations: {org.example.note: noted},", "")


def test_annotations_are_in_the_manifest(work: Workspace, info: DaemonInfo) -> None:
    able = info.has("exporter.image.annotations") and work.daemon.can("image")
    done = work.build(_ARCHIVE, code=0 if able else 4)
    if able:
        manifest = inspect(f"oci-archive:{work.folder / 'app.tar'}")
        assert manifest["annotations"] == {"org.example.note": "noted"}
    else:
        assert "buildfile.yaml:10:71" in done.err


def test_layout_as_a_folder_holds_the_image_beside_others(work: Workspace) -> None:
    if not work.daemon.can("image"):
        pytest.skip("the daemon makes no archives")
    for kind, name in (("docker", "one"), ("oci", "two")):
        text = _PLAIN.replace("{type: oci, dest: app.tar}", _LAYOUT % (kind, name))
        assert work.build(text).out.splitlines()[0] == str(work.folder / "layout")
    for name in ("one", "two"):
        platform = Platform.parse(f"linux/{host_architecture()}")
        found = find_image(str(work.folder / "layout"), f"docker.io/library/app:{name}", platform)
        assert json.loads(found.config)["config"]["Entrypoint"] == ["/file"]
    assert main(["cache", "verify", str(work.folder / "layout")]) == Exit.DONE


def test_source_date_epoch_makes_the_same_image_again(work: Workspace, info: DaemonInfo) -> None:
    attrs = {"rewrite-timestamp": "true"}
    lack = support.reason(info, "exporter", "oci") or attributes.reason(
        info, "exporter", "oci", attrs
    )
    if lack or not info.has("exporter.sourcedateepoch"):
        pytest.skip(lack or "the daemon knows no epoch")
    digests = set()
    text = _PLAIN.replace("dest: app.tar", "dest: app.tar, rewrite-timestamp: true")
    for _ in range(2):
        epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
        work.build(text, "--no-cache", "--metadata-file", "meta.json", environment=epoch)
        meta = json.loads((work.folder / "meta.json").read_text())
        digests.add(meta["app"]["containerimage.digest"])
    created = inspect(f"oci-archive:{work.folder / 'app.tar'}", "--config")["created"]
    assert created == "2023-11-14T22:13:20Z"
    assert len(digests) == 1


def test_an_epoch_that_the_daemon_cannot_use_is_told(work: Workspace, info: DaemonInfo) -> None:
    if info.has("exporter.sourcedateepoch"):
        pytest.skip("the daemon can")
    text = _PLAIN.replace("type: oci, dest: app.tar", "type: image, name: epoch")
    done = work.build(text, environment={"SOURCE_DATE_EPOCH": "1700000000"})
    assert "SOURCE_DATE_EPOCH needs BuildKit v0.11" in done.err


def test_layout_of_an_archive_is_whole(work: Workspace, tmp_path: Path) -> None:
    if not work.daemon.can("image"):
        pytest.skip("the daemon makes no archives")
    work.build(_PLAIN)
    (tmp_path / "copy").mkdir()
    copy = f"oci:{tmp_path / 'copy'}:x"
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci-archive:{tmp_path / 'app.tar'}", copy], check=True
    )
    assert config(copy)["Entrypoint"] == ["/file"]
