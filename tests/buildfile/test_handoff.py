"""Results on their way between daemons: the giver's job, the folder, and what the taker gets."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from buildfile.cachecheck import verify
from buildfile.cachefolder import CacheFolder
from buildfile.exits import UsageError
from buildfile.exports import Export
from buildfile.handoff import Handoff, Handoffs
from buildfile.loopback import Loopback
from buildfile.ocilayout import find_image
from buildfile.plan import Job, plan
from buildfile.provenance import Provenance
from buildfile.route import Route, Way
from daemon_shim.info import DaemonInfo
from daemon_shim.session.blobs import blob_path
from daemon_shim.session.outputs import OutputError
from tests.buildfile.layouts import PROVENANCE, Layout
from tests.buildfile.projects import project
from tests.daemon_shim.infos import graphdriver, info
from translator.platform import Platform
from translator.stage import ImageSource, LocalSource, OciLayoutSource, Scratch
from translator.target import Provenance as Level

AMD64 = Platform.parse("linux/amd64")
NEW, OLD, OLDEST = info((0, 32, 2)), info((0, 8, 3)), info((0, 5, 1))
FILE = """
version: 1
stages:
  given: {from: scratch, env: {A: b}, steps: [{write: {path: /x, text: x}}]}
  empty: {from: scratch, env: {A: b}}
  taken: {from: given, steps: [{write: {path: /y, text: y}}, {copy: {from: empty, to: /z}}]}
targets:
  app:
    stage: taken
    platforms: [linux/amd64]
    annotations: {a: b}
    attest: {provenance: max}
    outputs: [{type: image, name: app}]
    cache:
      import: [{type: registry, ref: localhost/in}]
      export: [{type: registry, ref: localhost/out}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def handoffs(tmp_path: Path) -> object:
    beside = tmp_path / "beside"
    beside.mkdir()
    with Handoffs({"TMPDIR": str(beside)}) as found:
        yield found


def given(
    handoffs: Handoffs,
    folder: Path,
    way: Way,
    giver: DaemonInfo = NEW,
    name: str = "given",
    *,
    told: Level | None = None,
) -> tuple[Handoff, Job, Export]:
    """A stage's handoff, with the giver's job and its export."""
    made = project(folder, FILE)
    (target,) = made.select(["app"])
    instance = made.instantiate(target, AMD64, AMD64)
    stage = next(stage for ref, stage in instance.stages.items() if ref.name == name)
    route = Route(way=way, note="", registry="localhost:5000/tmp")
    handoff = handoffs.of(stage, giver, route, told)
    (job,) = plan([handoff.draft(instance, target)], giver, {}, loopback=Loopback(None)).jobs
    (export,) = job.exports
    return handoff, job, export


def archive(*names: str) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return data.getvalue()


# --- the giver's job -----------------------------------------------------------------------------


def test_the_job_makes_the_stage_and_nothing_else(handoffs: Handoffs, folder: Path) -> None:
    _, job, _ = given(handoffs, folder, Way.LAYERS)
    (instance,) = job.instances
    assert [ref.name for ref in instance.stages] == ["given"]
    assert (len(job.cache_imports), job.cache_exports, job.frontend_attrs) == (1, (), {})
    assert (job.name, dict(job.target.annotations)) == ("given", {})


@pytest.mark.parametrize(
    ("giver", "attrs", "stored"),
    [
        (NEW, {"tar": "false", "compression": "uncompressed"}, True),
        (OLD, {"compression": "uncompressed"}, False),
        (OLDEST, {}, False),
    ],
)
def test_layers_come_as_the_giver_can_send_them(
    handoffs: Handoffs, folder: Path, giver: DaemonInfo, attrs: dict[str, str], stored: bool
) -> None:
    _, _, export = given(handoffs, folder, Way.LAYERS, giver)
    assert export.exporter and (export.exporter.type, export.exporter.attrs) == ("oci", attrs)
    assert export.stored is stored and (export.dest == str(handoffs.folder)) is stored


@pytest.mark.parametrize("way", [Way.TREE, Way.FILES])
@pytest.mark.parametrize(("giver", "made"), [(graphdriver((0, 8, 0)), "tar"), (OLDEST, "local")])
def test_files_come_as_an_archive_from_any_giver(
    handoffs: Handoffs, folder: Path, way: Way, giver: DaemonInfo, made: str
) -> None:
    _, _, export = given(handoffs, folder, way, giver)
    assert export.exporter and export.exporter.type == made
    assert (export.output.type, export.refusal) == ("tar", "")


def test_an_image_is_pushed_under_one_name_in_all_runs(handoffs: Handoffs, folder: Path) -> None:
    _, _, export = given(handoffs, folder, Way.REGISTRY)
    with Handoffs({"TMPDIR": str(folder)}) as others:
        _, _, again = given(others, folder, Way.REGISTRY)
    assert export.exporter and again.exporter and export.exporter == again.exporter
    assert export.exporter.attrs["push"] == "true"
    assert export.exporter.attrs["name"].startswith("localhost:5000/tmp:given-")


def test_several_consumers_share_one(handoffs: Handoffs, folder: Path) -> None:
    first, *_ = given(handoffs, folder, Way.LAYERS)
    again, *_ = given(handoffs, folder, Way.LAYERS)
    other, *_ = given(handoffs, folder, Way.FILES)
    attested, *_ = given(handoffs, folder, Way.LAYERS, told="max")
    assert first is again and first not in (other, attested) and attested is not other


# --- what the taker gets -------------------------------------------------------------------------


def test_before_it_came_it_can_be_planned(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, _ = given(handoffs, folder, Way.LAYERS)
    stage = handoff.stage(job)
    assert isinstance(stage.origin, OciLayoutSource) and handoff.stage(job) is stage
    assert json.loads(stage.config)["config"]["Env"][-1] == "A=b"


def test_layers_that_the_daemon_stored(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, _ = given(handoffs, folder, Way.LAYERS)
    digest = Layout(handoffs.folder).image("theirs", platform="linux/amd64")["digest"]
    handoff.receive(job, {"containerimage.digest": digest})
    stage = handoff.stage(job)
    assert isinstance(stage.origin, OciLayoutSource) and stage.origin.digest == digest
    assert b"theirs" in stage.config


@pytest.mark.parametrize("giver", [NEW, OLD])
def test_layers_come_with_what_their_daemon_told(
    handoffs: Handoffs, folder: Path, giver: DaemonInfo
) -> None:
    """The stage is the image's manifest: the index above it is another one each time."""
    handoff, job, export = given(handoffs, folder, Way.LAYERS, giver, told="min")
    layout = Layout(handoffs.folder if giver is NEW else folder / "sent")
    image = layout.image("theirs", platform="linux/amd64")
    top = layout.index(image, layout.attested(image, provenance={"built": "there"}))
    if giver is OLD:
        layout.finish(top)
        with tarfile.open(export.dest, "w") as tar:
            tar.add(layout.folder, "")
    assert handoff.provenance is None
    handoff.receive(job, {"containerimage.digest": top["digest"]})
    stage = handoff.stage(job)
    assert isinstance(stage.origin, OciLayoutSource) and stage.origin.digest == image["digest"]
    assert b"theirs" in stage.config
    assert handoff.provenance == Provenance(type=PROVENANCE, predicate={"built": "there"})


def test_a_daemon_that_told_nothing_is_told_of(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, _ = given(handoffs, folder, Way.LAYERS, told="min")
    image = Layout(handoffs.folder).image("theirs", platform="linux/amd64")
    with pytest.raises(OutputError, match="told nothing of how it built given"):
        handoff.receive(job, {"containerimage.digest": image["digest"]})


def test_layers_in_an_archive(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, export = given(handoffs, folder, Way.LAYERS, OLD)
    sent = Layout(folder / "sent")
    image = sent.image("theirs", platform="linux/amd64")
    sent.finish(image)
    with tarfile.open(export.dest, "w") as tar:
        tar.add(sent.folder, "")
    handoff.receive(job, {})
    stage = handoff.stage(job)
    assert isinstance(stage.origin, OciLayoutSource) and stage.origin.digest == image["digest"]
    assert (handoffs.folder / blob_path(image["digest"])).exists() and not Path(
        export.dest
    ).exists()


def test_a_tree_becomes_an_image_of_one_layer(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, export = given(handoffs, folder, Way.TREE)
    Path(export.dest).write_bytes(archive("x"))
    handoff.receive(job, {})
    stage = handoff.stage(job)
    assert isinstance(stage.origin, OciLayoutSource)
    CacheFolder(handoffs.folder).add([])
    image = find_image(str(handoffs.folder), stage.origin.digest, AMD64)
    (layer,) = json.loads(image.config)["rootfs"]["diff_ids"]
    assert (handoffs.folder / blob_path(layer)).read_bytes() == archive("x")
    assert json.loads(image.config)["config"] == json.loads(stage.config)["config"]
    assert not verify(CacheFolder(handoffs.folder), lambda done, total: None).faults


def test_files_are_unpacked_by_the_taker(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, export = given(handoffs, folder, Way.FILES)
    assert handoff.stage(job).steps
    Path(export.dest).write_bytes(archive("x"))
    handoff.receive(job, {})
    (step,) = handoff.stage(job).steps
    assert step.unpack and isinstance(step.origin, LocalSource)  # type: ignore[union-attr]
    assert Path(step.origin.path) == Path(export.dest).parent  # type: ignore[union-attr]
    Path(export.dest).write_bytes(archive())
    handoff.receive(job, {})
    assert handoff.stage(job).steps == ()


def test_what_was_pushed_is_an_image_by_its_digest(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, _ = given(handoffs, folder, Way.REGISTRY)
    handoff.receive(job, {"containerimage.digest": f"sha256:{'1' * 64}"})
    stage = handoff.stage(job)
    assert isinstance(stage.origin, ImageSource) and stage.config == b""
    assert stage.origin.ref == f"localhost:5000/tmp@sha256:{'1' * 64}"


def test_what_holds_no_files_does_not_move(handoffs: Handoffs, folder: Path) -> None:
    handoff, job, _ = given(handoffs, folder, Way.LAYERS, name="empty")
    handoff.receive(job, {})
    stage = handoff.stage(job)
    assert isinstance(stage.origin, Scratch)
    assert json.loads(stage.config)["config"]["Env"][-1] == "A=b"


@pytest.mark.parametrize("content", [b"", b"no archive" * 100, archive("index.json")])
def test_a_damaged_archive_is_told_of(handoffs: Handoffs, folder: Path, content: bytes) -> None:
    handoff, job, export = given(handoffs, folder, Way.LAYERS, OLD)
    Path(export.dest).write_bytes(content)
    with pytest.raises(OutputError):
        handoff.receive(job, {})


def test_a_result_that_the_daemon_does_not_name_is_told_of(
    handoffs: Handoffs, folder: Path
) -> None:
    handoff, job, _ = given(handoffs, folder, Way.LAYERS)
    with pytest.raises(OutputError):
        handoff.receive(job, {})


# --- the folder ----------------------------------------------------------------------------------


def test_where_no_folder_can_be_made_the_user_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none: No such file") as caught:
        Handoffs({"TMPDIR": str(tmp_path / "none")}).__enter__()
    assert caught.value.hint and "TMPDIR" in caught.value.hint


def test_the_folder_is_gone_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Handoffs({"TMPDIR": str(tmp_path)}) as found:
        (found.folder / "file").touch()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    with Handoffs(environment) as running:
        left = tmp_path / f"{running.folder.name[:-8]}killed00"
        left.mkdir()
        (left / "lock").touch()
        others = tmp_path / "others"
        others.mkdir()
        with Handoffs(environment) as found:
            assert set(tmp_path.iterdir()) == {running.folder, found.folder, others}


def test_nobody_else_can_read_the_folder(handoffs: Handoffs) -> None:
    assert handoffs.folder.stat().st_mode & 0o077 == 0
