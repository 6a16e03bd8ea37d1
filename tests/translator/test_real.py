"""What the back half makes, against every real daemon at hand."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator

import pytest

from daemon_shim.client import Daemon
from daemon_shim.errors import SolveFailedError
from daemon_shim.events import LogEvent, VertexEvent
from daemon_shim.request import SolveRequest
from daemon_shim.session.filesync import FileSync
from daemon_shim.session.host import SessionHost
from daemon_shim.session.memory import MemoryFolder
from daemon_shim.transports import transport_for
from tests.real.daemon import Daemon as RealDaemon
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
    line,
    run,
    stage,
)
from translator.compile import compile_instances
from translator.compiled import Compiled
from translator.llb.capabilities import CAPABILITIES, missing
from translator.platform import Platform
from translator.stage import (
    BindMount,
    CacheMount,
    HttpSource,
    Mkdir,
    Remove,
    Run,
    SecretMount,
    SetEnv,
    SetWorkdir,
    SshMount,
    Stage,
    Step,
    Symlink,
    TmpfsMount,
    Ulimit,
    Write,
)

TEXT = inline(
    ("etc/conf", "hello\n"), ("run.sh", "cat /new/file; echo from a mount\n"), ("a.txt", "a")
)


@pytest.fixture
def client(daemon: RealDaemon) -> Iterator[Daemon]:
    with Daemon(transport_for(daemon.address), timeout=60.0) as client:
        yield client


@pytest.fixture
def platform(client: Daemon) -> Platform:
    return Platform.parse(client.info().default_platform)


def solve(client: Daemon, result: Compiled) -> tuple[list[VertexEvent], str]:
    """The vertices that the daemon told of, and all that the steps printed."""
    programs = {each.name: MemoryFolder({each.file: each.data}) for each in result.programs}
    with SessionHost(client.wire.transport, [FileSync(programs)]) as session:
        request = SolveRequest(
            ref=uuid.uuid4().hex, session=session.id, definition=result.definition
        )
        job = client.start(request)
        events = list(job.events())
        job.result()
    log = b"".join(event.data for event in events if isinstance(event, LogEvent))
    return [event for event in events if isinstance(event, VertexEvent)], log.decode()


def fitting(client: Daemon, base: str, platform: Platform, *steps: Step) -> tuple[Stage, ...]:
    """A stage with those steps that the daemon can do, one after the other."""
    trials = [stage("try", image(base), step, platform=platform) for step in steps]
    able = [step for step, trial in zip(steps, trials, strict=True) if can(client, trial)]
    return (stage("app", image(base), *able, platform=platform),)


def can(client: Daemon, *stages: Stage) -> bool:
    return not missing(build(client, *stages).needs, client.info().llb_caps)


def build(client: Daemon, *stages: Stage) -> Compiled:
    info = client.info()
    native = Platform.parse(info.default_platform)
    return compiled(*stages, caps=info.llb_caps, native=native, no_cache=True)


def digests(result: Compiled) -> set[str]:
    data = getattr(definition(result), "def")[:-1]
    return {"sha256:" + hashlib.sha256(each).hexdigest() for each in data}


STEPS: tuple[Step, ...] = (
    SetEnv(env=(("GREETING", "good morning"),), span=HERE),
    SetWorkdir(path="/srv/app", span=HERE),
    run('echo "$GREETING in $PWD"', span=line(2)),
    copy(TEXT, "./", paths=("etc", "*.txt"), chown="worker:worker", chmod="0640", span=line(3)),
    run("stat -c '%n %a %U %G' conf 2>&1 || true", span=line(4)),
    copy(TEXT, "filtered/", include=("etc/**",), exclude=("nothing",), span=line(5)),
    copy(TEXT, "symbolic/", chmod="u=rwX,go=", span=line(6)),
    copy(TEXT, "required/", required=("a.txt",), span=line(6)),
    Mkdir(path="deep/er", mode=0o700, parents=True, span=line(7)),
    Write(path="deep/er/file", data=b"text", mode=0o600, chown="1000:1000", span=line(8)),
    Remove(path="a.txt", span=line(9)),
    Remove(path="*.none", missing_ok=True, wildcard=True, span=line(10)),
    Symlink(target="conf", path="link", span=line(11)),
    Run(
        argv=("sh", "/m/run.sh"),
        mounts=(
            BindMount(target="/m", origin=TEXT, span=HERE),
            BindMount(target="/e", origin=TEXT, source="etc", span=HERE),
            BindMount(target="/new/file", origin=TEXT, source="a.txt", span=HERE),
        ),
        span=line(12),
    ),
    run(
        "echo lost > /w/etc/conf; cat /w/etc/conf",
        mounts=(BindMount(target="/w", origin=TEXT, readwrite=True, span=HERE),),
    ),
    run(
        "touch /c/x /s/x",
        mounts=(
            CacheMount(target="/c", id="buildfile-test", sharing="locked", span=HERE),
            CacheMount(
                target="/s", id="buildfile-test-seeded", origin=TEXT, source="etc", span=HERE
            ),
        ),
    ),
    run("touch /t/x", mounts=(TmpfsMount(target="/t", span=HERE),)),
    run("touch /t/x", mounts=(TmpfsMount(target="/t", size=1 << 20, span=HERE),)),
    run("id -un", user="worker", network="none"),
    run("grep 10.9.8.7 /etc/hosts", hosts=(("db.example", "10.9.8.7"),)),
    run("test $(hostname) = box", hostname="box"),
    run("ulimit -n", ulimits=(Ulimit(name="nofile", soft=99, hard=100),)),
    run("exit 3", valid_exit_codes=(0, 3)),
)


def test_every_step_that_a_daemon_can_do_is_done(
    client: Daemon, platform: Platform, base_image: str
) -> None:
    result = build(client, *fitting(client, base_image, platform, *STEPS))
    assert missing(result.needs, client.info().llb_caps) == ()
    vertices, log = solve(client, result)
    assert "good morning in" in log
    assert "good morning in /srv/app" in log
    assert "conf 640 worker worker" in log
    assert "afrom a mount" in log
    done = {vertex.digest for vertex in vertices if vertex.completed and not vertex.error}
    assert done >= digests(result)


def test_the_daemon_calls_every_vertex_by_our_digest_and_name(
    client: Daemon, platform: Platform, base_image: str
) -> None:
    result = build(client, *fitting(client, base_image, platform, *STEPS))
    vertices, _ = solve(client, result)
    told = {vertex.digest: vertex.name for vertex in vertices}
    assert {digest: told.get(digest) for digest in result.names} == dict(result.names)


def test_stages_mounts_and_an_empty_start(
    client: Daemon, platform: Platform, base_image: str
) -> None:
    text = stage("text", SCRATCH, copy(TEXT, "/t/"), Write(path="x", data=b"1", span=HERE))
    base = stage("base", image(base_image), platform=platform)
    mounts = (BindMount(target="/mnt", origin=text.ref, source="/t", span=HERE),)
    app = stage("app", base.ref, run("cat /mnt/etc/conf", mounts=mounts), platform=platform)
    _, log = solve(client, build(client, text, base, app))
    assert log == "hello\n"


@pytest.mark.parametrize("right", [True, False])
def test_a_download_is_checked(
    client: Daemon, platform: Platform, base_image: str, registry: str, right: bool
) -> None:
    answer = b"{}" if right else b"something else"
    source = HttpSource(
        name="answer",
        url=f"http://{registry}/v2/",
        checksum="sha256:" + hashlib.sha256(answer).hexdigest(),
        chmod=0o640,
        uid=1000,
        span=HERE,
    )
    mounts = (BindMount(target="/answer", origin=source, span=HERE),)
    step = run("cat /answer; stat -c ' %a %u' /answer", mounts=mounts)
    result = build(client, stage("a", image(base_image), step, platform=platform))
    if right:
        assert solve(client, result)[1] == "{} 640 1000\n"
    else:
        with pytest.raises(SolveFailedError, match=r"digest mismatch"):
            solve(client, result)


def test_absent_secrets_and_agents_may_be_optional(
    client: Daemon, platform: Platform, base_image: str
) -> None:
    mounts = (
        SecretMount(id="absent", optional=True, span=HERE),
        SshMount(optional=True, span=HERE),
    )
    step = run("test ! -e /run/secrets/absent && echo fine", mounts=mounts)
    result = build(client, stage("a", image(base_image), step, platform=platform))
    _, log = solve(client, result)
    assert log == "fine\n"


def test_a_failing_step_leads_to_its_lines(
    client: Daemon, platform: Platform, base_image: str
) -> None:
    steps = [run("true", span=line(3)), run("exit 7", span=line(5))]
    result = build(client, stage("a", image(base_image), *steps, platform=platform))
    with pytest.raises(SolveFailedError) as caught:
        solve(client, result)
    assert result.spans[caught.value.vertex] == (line(5),)
    places = [(each.file, each.start_line, each.end_line) for each in caught.value.ranges]
    # Only newer daemons tell places, and an engine of 20.10 drops them on the way out.
    if places or client.info().release >= (0, 9, 0):
        assert places == [("buildfile.yaml", 5, 5)]


def test_what_a_daemon_lacks_is_what_it_refuses(client: Daemon) -> None:
    """Asking our rows and asking the daemon comes to the same."""
    steps: tuple[Step, ...] = (
        Symlink(target="a", path="/b", span=HERE),
        copy(TEXT, "/x/", required=("a.txt",)),
        copy(TEXT, "/x/", include=("a*",)),
        Remove(path="/x*", missing_ok=True, wildcard=True, span=HERE),
    )
    for step in steps:
        result = compiled(stage("a", SCRATCH, step), no_cache=True)
        if missing(result.needs, client.info().llb_caps):
            with pytest.raises(SolveFailedError, match="unknown API capability"):
                solve(client, result)
        else:
            solve(client, result)


def test_a_daemon_has_the_capabilities_of_its_release(client: Daemon) -> None:
    info = client.info()
    for row in CAPABILITIES.values():
        since = tuple(int(part) for part in row.since.removeprefix("v").split("."))
        if row.id in info.llb_caps:
            assert info.release >= since
        elif row.id not in info.disabled:
            assert info.release < since


def test_several_platforms_share_what_is_the_same(client: Daemon, platform: Platform) -> None:
    stages = [
        stage("a", SCRATCH, copy(TEXT, "/x/"), platform=each)
        for each in (AMD64, Platform("linux", "arm64"))
    ]
    first, second = compile_instances(
        [instance(each) for each in stages], caps=client.info().llb_caps, native=platform
    )
    assert first.names.keys() == second.names.keys()
    for result in (first, second):
        vertices, _ = solve(client, result)
        assert {vertex.digest for vertex in vertices} >= result.names.keys()
