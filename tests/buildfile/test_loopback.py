"""The registry on loopback for a run: who is given it, and what is planned with it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildfile import loopback
from buildfile.loopback import HOW, Loopback
from buildfile.plan import Plan
from daemon_shim.client import Daemon
from daemon_shim.info import DaemonInfo
from daemon_shim.registry.served import Offer
from daemon_shim.transports import transport_for
from tests.buildfile.layouts import Layout, named
from tests.buildfile.projects import planned
from tests.daemon_shim.infos import graphdriver, info
from tests.real import daemon as real

V3, V32 = info((0, 3, 0)), info((0, 32, 0))


@pytest.fixture
def client(daemon: real.Daemon) -> Iterator[Daemon]:
    with Daemon(transport_for(daemon.address)) as client:
        yield client


def test_each_daemon_on_a_socket_of_this_machine_reaches_it(client: Daemon) -> None:
    with Loopback(client) as opened:
        assert opened.refusal() == ""
        name = opened.serve(Offer()).name
        with urllib.request.urlopen(f"http://{name.partition('/')[0]}/v2/") as answer:
            assert answer.status == 200
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{name.partition('/')[0]}/v2/")


def test_another_machines_loopback_is_noticed(
    full_daemon: real.Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "_resolved", lambda *_: b"{}")
    with Daemon(transport_for(full_daemon.address)) as client, Loopback(client) as opened:
        assert opened.refusal() == "its loopback is not this machine's"


def test_a_port_where_nothing_listens_is_a_refusal(
    full_daemon: real.Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = loopback._resolved
    monkeypatch.setattr(
        loopback, "_resolved", lambda daemon, _: resolved(daemon, "localhost:1/x:y")
    )
    with Daemon(transport_for(full_daemon.address)) as client, Loopback(client) as opened:
        words = "it does not reach a registry on this machine's loopback: "
        assert opened.refusal().startswith(words)
        assert "connection refused" in opened.refusal()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "docker://127.0.0.1:1"])
def test_a_daemon_elsewhere_is_not_asked(address: str) -> None:
    with Daemon(transport_for(address)) as client, Loopback(client) as opened:
        assert opened.refusal().startswith("only a daemon on a unix socket")


# --- local caches --------------------------------------------------------------------------------

_FILE = """version: 1
stages: {s: {from: scratch}}
cache: {export: [{type: local, dest: c, mode: max}], import: [{type: local, src: c}]}
targets: {t: {stage: s}}
"""


class _Refusing(Loopback):
    def refusal(self) -> str:
        return "it is far away"


def _plan(folder: Path, info: DaemonInfo, opened: Loopback | None = None) -> Plan:
    return planned(folder, _FILE, info, loopback=opened)


def _cached(folder: Path) -> str:
    """A cache in the folder, in the form of an image; returns its digest."""
    layout = Layout(folder / "c")
    config = layout.add({}, "config.v1+json")
    told = {**config, "mediaType": "application/vnd.buildkit.cacheconfig.v0"}
    manifest = layout.add({"schemaVersion": 2, "config": told, "layers": []}, "manifest.v1+json")
    layout.finish(named(manifest, tag="latest"))
    return str(manifest["digest"])


def test_v03_exports_a_local_cache_to_a_registry(tmp_path: Path) -> None:
    plan = _plan(tmp_path, V3)
    ((export,), (imported,)) = plan.jobs[0].cache_exports, plan.jobs[0].cache_imports
    assert plan.refusals == () and imported.option is None
    assert export.option and export.option.type == "registry" and export.served
    assert export.option.attrs == {"ref": f"{export.served.name}:cache", "mode": "max"}
    assert export.served.ingest and export.served.ingest.folder == tmp_path / "c"
    assert export.note == f"{HOW}: cache export to a folder needs BuildKit v0.4, and this is v0.3.0"
    assert export.store == "" and export.is_used_here
    assert not (tmp_path / "c").exists()


def test_v03_imports_a_local_cache_from_a_registry_in_a_form_it_reads(tmp_path: Path) -> None:
    digest = _cached(tmp_path)
    (imported,) = _plan(tmp_path, V3).jobs[0].cache_imports
    assert imported.option and imported.served
    assert imported.option.attrs == {"ref": f"{imported.served.name}:cache"}
    tagged = imported.served.tagged("cache")
    assert tagged and tagged.media_type.endswith("index.v1+json") and tagged.digest != digest
    assert imported.note.endswith("its manifest is given in a form that this daemon reads")
    assert imported.found == "latest, less than a minute old"


def test_daemons_with_local_caches_are_told_of_the_folder(tmp_path: Path) -> None:
    digest = _cached(tmp_path)
    for release, same in ((V32, True), (info((0, 8, 0)), False)):
        plan = _plan(tmp_path, release, _Refusing(None))
        (imported,), (export,) = plan.jobs[0].cache_imports, plan.jobs[0].cache_exports
        assert imported.option and export.option and plan.refusals == ()
        assert (imported.option.type, export.option.type) == ("local", "local")
        (document,) = imported.documents
        assert imported.option.attrs["digest"] == document.digest
        assert (document.digest == digest) is same
        assert imported.store == f"local:{tmp_path / 'c'}" and imported.served is None


def test_who_cannot_be_given_a_registry_is_refused(tmp_path: Path) -> None:
    plan = _plan(tmp_path, V3, _Refusing(None))
    messages = [each.message.partition(": ")[2] for each in plan.refusals]
    assert messages == [
        "cache import from a folder needs BuildKit v0.4, and this is v0.3.0; it is far away",
        "cache export to a folder needs BuildKit v0.4, and this is v0.3.0; it is far away",
    ]


def test_an_engine_that_exports_to_no_registry_is_refused_as_before(tmp_path: Path) -> None:
    (refusal,) = _plan(tmp_path, graphdriver((0, 13, 0)), _Refusing(None)).refusals
    assert refusal.message.endswith("has no cache export to a folder")


# --- OCI layouts ---------------------------------------------------------------------------------

_BASED = """version: 1
sources: {{base: {{oci-layout: ./base, digest: "{}"}}}}
stages: {{s: {{from: base}}}}
targets: {{t: {{stage: s}}}}
"""


@pytest.mark.parametrize("lacking", [V3, graphdriver((0, 13, 0))])
def test_layouts_are_pulled_from_a_registry(tmp_path: Path, lacking: DaemonInfo) -> None:
    layout = Layout(tmp_path / "base")
    image = layout.image("x")
    layout.finish(image)
    text = _BASED.format(image["digest"])
    ((part,),) = (job.parts for job in planned(tmp_path, text, lacking).jobs)
    assert part.stores == {} and b"docker-image://localhost:0/" in part.definition
    (refusal,) = planned(tmp_path, text, lacking, loopback=_Refusing(None)).refusals
    assert refusal.message.endswith("; it is far away")
    ((part,),) = (job.parts for job in planned(tmp_path, text, V32).jobs)
    assert list(part.stores.values()) == [str(tmp_path / "base")]
