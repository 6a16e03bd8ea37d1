"""The example of a builder: the same function on this side and inside a container."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tarfile
import uuid
from pathlib import Path
from typing import Any

import pytest

from daemon_shim.client import Daemon
from daemon_shim.gateway import GatewayBuild
from daemon_shim.info import DaemonInfo
from daemon_shim.request import Exporter, SolveRequest
from daemon_shim.session.filesend import FileSend
from daemon_shim.session.filesync import FileSync, LocalFolder
from daemon_shim.session.host import SessionHost
from daemon_shim.session.outputs import FileOutput
from daemon_shim.transports import transport_for
from tests.integration import frontends
from tests.integration.command import Workspace
from tests.real.errors import UnavailableError

_EXAMPLE = Path(__file__).parents[2] / "examples" / "builder"
_NAME = "words:build"
_ADDED = "containerimage.buildinfo"
_ADDED_TO_IMAGES = "moby.buildkit.buildinfo.v1"
"""What v0.10 and v0.11 themselves add to what a frontend returns, and to the configs of images, in
which frontends are named (util/buildinfo).
"""


@pytest.fixture(scope="session")
def words_image(registry: str) -> str:
    """The example as a frontend image, or a skip."""
    try:
        return frontends.push(registry, _NAME, _EXAMPLE / "words.py")
    except UnavailableError as error:
        pytest.skip(str(error))


def test_it_counts_what_it_finds(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(_EXAMPLE, work.folder, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(str(work.folder))
    words = ["--local", "code=.", "--opt", f"image={work.values['BASE']}", "-o", "out"]
    work.command("run-builder", _NAME, *words)
    counted = work.folder / "out/out/words"
    assert counted.read_text() == "dog 7\nfox 4\n"
    work.write("texts/cat.txt", "nine lives")
    done = work.command("run-builder", _NAME, *words, "--progress", "plain")
    assert counted.read_text() == "cat 2\ndog 7\nfox 4\n"
    assert "[fox] run" in done.err


def test_outside_and_inside_of_a_container_it_makes_the_same_image(
    work: Workspace, words_image: str
) -> None:
    spec = importlib.util.spec_from_file_location("words", _EXAMPLE / "words.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folders = {"code": LocalFolder(path=str(_EXAMPLE))}
    opts = {"image": work.values["BASE"]}
    with (
        Daemon(transport_for(work.daemon.address), timeout=60.0) as client,
        SessionHost(client.wire.transport, [FileSync(folders)], name="test") as session,
        GatewayBuild(
            client,
            SolveRequest(ref=uuid.uuid4().hex, session=session.id, frontend_attrs=opts),
        ) as build,
    ):
        outside = module.build(build)
        inside = build.solve(frontend="gateway.v0", opts={**opts, "source": words_image})
        made, again = (each.ref.stat_file("/out/words") for each in (outside, inside))
        assert outside.ref.read_file("/out/words") == inside.ref.read_file("/out/words")
        assert made == again  # to the nanosecond: it is the same step
        if "gateway.solve.metadata" in build.capabilities:
            kept = {key: each for key, each in inside.metadata.items() if key != _ADDED}
            assert kept == outside.metadata


def test_the_images_have_the_same_digest(
    work: Workspace, info: DaemonInfo, words_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not work.daemon.can("image"):
        pytest.skip("this daemon makes no archives of images")
    shutil.copytree(_EXAMPLE, work.folder, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(str(work.folder))
    opts = {"image": work.values["BASE"]}
    asked = ["--local", "code=.", "--opt", f"image={opts['image']}"]
    work.command("run-builder", _NAME, *asked, "-o", "type=oci,dest=outside.tar")
    inside = FileOutput(str(work.folder / "inside.tar"))
    folders = {"code": LocalFolder(path=str(work.folder))}
    with (
        Daemon(transport_for(work.daemon.address), timeout=60.0) as client,
        SessionHost(
            client.wire.transport, [FileSync(folders), FileSend([inside])], name="test"
        ) as session,
    ):
        client.solve(
            SolveRequest(
                ref=uuid.uuid4().hex,
                session=session.id,
                frontend="gateway.v0",
                frontend_attrs={**opts, "source": words_image},
                exporters=(Exporter(type="oci"),),
            )
        )
    inside.commit()
    (here, config), (there, config_there) = (
        _image(work.folder / f"{name}.tar") for name in ("outside", "inside")
    )
    if (0, 10, 0) <= info.release < (0, 12, 0):
        assert config.pop(_ADDED_TO_IMAGES) != config_there.pop(_ADDED_TO_IMAGES)
        here = there
    assert (here, config) == (there, config_there)


def _image(archive: Path) -> tuple[str, dict[str, object]]:
    """The digest of the image in an archive, and its config."""
    with tarfile.open(archive) as tar:

        def document(name: str) -> Any:
            member = tar.extractfile(name)
            assert member
            return json.load(member)

        def blob(digest: str) -> Any:
            return document("blobs/" + digest.replace(":", "/"))

        (entry,) = document("index.json")["manifests"]
        return entry["digest"], blob(blob(entry["digest"])["config"]["digest"])
