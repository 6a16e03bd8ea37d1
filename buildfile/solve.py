"""One job on a daemon: its session, its Solve, and its outputs put in place."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from buildfile import serving
from buildfile.cacheexport import CacheError, CacheExport
from buildfile.cachefolder import CacheFolder
from buildfile.caches import options
from buildfile.exports import Export, is_layout
from buildfile.masking import MaskedLogs
from buildfile.ocilayout import LayoutError
from buildfile.plan import Job
from buildfile.serving import frontend_folders
from buildfile.supplies import Supplies
from daemon_shim.client import Daemon
from daemon_shim.errors import CancelledError, DaemonError
from daemon_shim.events import Event
from daemon_shim.job import Job as Solve
from daemon_shim.request import SolveRequest
from daemon_shim.session.content import Content
from daemon_shim.session.filesend import FileSend
from daemon_shim.session.filesync import FileSync, LocalFolder, SourceFault
from daemon_shim.session.host import SessionHost
from daemon_shim.session.ingest import Ingest
from daemon_shim.session.outputs import FileOutput, FolderOutput, Output, StreamOutput
from daemon_shim.session.service import Service
from translator.reference import Reference
from translator.target import STDOUT

if TYPE_CHECKING:
    from buildfile.layoutoutput import LayoutStore
    from daemon_shim.builder import Builder, Client
    from daemon_shim.gateway import BuilderRun
    from daemon_shim.results import Result

_EXPORT = "export"
"""What exporters call the store that they write blobs to (exporter/oci, v0.11 to v0.32)."""


class SourceFaultError(DaemonError):
    """A file of a local source could not be sent."""

    def __init__(self, fault: SourceFault) -> None:
        super().__init__(f"{fault.path}: {fault.reason}")
        self.fault = fault


@dataclass(frozen=True, kw_only=True)
class Solved:
    """What came of a job: the daemon's answer, and the files that were written."""

    response: Mapping[str, str]
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Steer:
    """A builder that steers a job in place of its own steps, and what it may ask for.

    ``folders`` are local sources by name, ``inputs`` serialised definitions by name. ``say`` hears
    warnings that the daemon cannot show.
    """

    builder: Builder
    opts: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, LocalFolder] = field(default_factory=dict)
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    product: str = "buildfile"
    entitlements: tuple[str, ...] = ()
    say: Callable[[str], None] = lambda text: None


class Solving:
    """A job under way. ``run`` does all of it on the caller's thread; ``cancel`` is for another.

    Outputs that wait for other jobs are held between ``build`` and ``place``, or ``abandon``.
    ``steer`` is for a builder that takes the place of what the job says.
    """

    def __init__(
        self,
        job: Job,
        daemon: Daemon,
        supplies: Supplies,
        tell: Callable[[Event], None],
        steer: Steer | None = None,
    ) -> None:
        self._job = job
        self._steer = steer or Steer(builder=deliver(job))
        self._is_plain = not steer and _is_plain(job)
        self._daemon = daemon
        call = next(iter(job.calls), None)
        # What a frontend by itself asks for is not seen from here.
        self._supplies = supplies.only(call.secrets, call.ssh) if call else supplies
        self._tell = tell
        self._lock = threading.Lock()
        self._cancelled = False
        self._solve: Solve | BuilderRun | None = None
        self._exports = [each for each in job.exports if each.exporter]
        self._outputs = [_output(each) for each in self._exports]
        self._written = [output for output in self._outputs if output]
        self._layout = _store(job)
        self._caches = [CacheExport(each) for each in job.cache_exports if each.is_used_here]

    def run(self) -> Solved:
        """Build, and put outputs and caches in place. Raises DaemonError or OutputError.

        What a failed or cancelled job wrote so far is removed again; of a cache, blobs may stay.
        """
        solved = self.build()
        self.place()
        response = {**self._joined_pushed(solved.response), **self._push()}
        return replace(solved, response=response)

    def build(self) -> Solved:
        """Do all but putting outputs in place: they wait beside their places. Caches are done."""
        try:
            with self._cache_folders():
                response = self._in_session()
                for output in self._written:
                    output.verify()
                response = self._joined(response)
                for cache in self._caches:
                    cache.finish(response)
        except BaseException:
            self.abandon()
            raise
        return Solved(
            response=response,
            files=tuple(output.dest for output in self._written if output.dest != STDOUT),
            notes=(
                *(note for output in self._written for note in output.warnings),
                *(note for cache in self._caches for note in cache.settle()),
            ),
        )

    def place(self) -> None:
        """Put the outputs in place after ``build``. Raises OutputError, and removes the others."""
        try:
            for output in self._written:
                output.commit()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Remove what is not in place. More than once does no harm."""
        for output in self._written:
            output.abandon()

    def cancel(self) -> None:
        """Stop it on the daemon, or before it begins; ``run`` then raises CancelledError."""
        with self._lock:
            self._cancelled = True
            solve = self._solve
        if solve:
            solve.cancel()

    def _go_on(self) -> None:
        with self._lock:
            if self._cancelled:
                raise CancelledError("the build was cancelled", address=self._daemon.address)

    @contextmanager
    def _cache_folders(self) -> Iterator[None]:
        """Hold the folders of caches, so that nobody removes what is read or written."""
        with ExitStack() as held:
            for cache in self._caches:
                try:
                    held.enter_context(cache.held())
                except LayoutError as error:
                    raise CacheError(error.reason, dest=cache.planned.folder) from error
            for path in {each.folder for each in self._job.cache_imports if each.is_used_here}:
                held.enter_context(CacheFolder(path).importing())
            yield

    def _in_session(self) -> Mapping[str, str]:
        self._go_on()
        for output in self._written:
            output.check()
        sources = FileSync({**_folders(self._job), **self._steer.folders})
        services: list[Service] = [
            sources,
            FileSend(self._outputs),
            Content(_stores(self._job), self._ingests(), _documents(self._job)),
            *self._supplies.services(),
        ]
        with serving.session(self._daemon, services, lambda _: self.cancel()) as session:
            try:
                return self._solved(session.id)
            except DaemonError as error:
                receivers = (*self._outputs, self._layout, *self._caches)
                raise _cause(error, sources, receivers, session) from error

    def _ingests(self) -> dict[str, Ingest]:
        """The stores that the daemon writes to."""
        caches = {each.planned.store: each.ingest for each in self._caches if each.planned.store}
        return {**caches, **({_EXPORT: self._layout.ingest} if self._layout else {})}

    def _solved(self, session: str) -> Mapping[str, str]:
        request = SolveRequest(
            ref=uuid.uuid4().hex,
            session=session,
            frontend_attrs={**self._job.frontend_attrs, **self._steer.opts},
            exporters=tuple(each.exporter for each in self._job.exports if each.exporter),
            cache_exports=options(self._job.cache_exports),
            cache_imports=options(self._job.cache_imports),
            entitlements=(*self._job.entitlements, *self._steer.entitlements),
        )
        if self._is_plain:
            return self._watched(self._daemon.start(_plain(request, self._job)))
        from daemon_shim.gateway import BuilderRun, GatewayBuild

        steer = self._steer
        with GatewayBuild(
            self._daemon, request, product=steer.product, inputs=steer.inputs, say=steer.say
        ) as build:
            return self._watched(BuilderRun(build, steer.builder).start())

    def _watched(self, solve: Solve | BuilderRun) -> Mapping[str, str]:
        with self._lock:
            self._solve = solve
            stopped = self._cancelled
        if stopped:
            solve.cancel()
        logs = MaskedLogs(self._supplies.mask)
        for event in solve.events():
            for each in logs.hide(event):
                self._tell(each)
        for each in logs.end():
            self._tell(each)
        return solve.result()

    def _joined(self, response: Mapping[str, str]) -> Mapping[str, str]:
        """The answer once archives have what other daemons told of platforms that they built."""
        if not any(each.provenance for each in self._exports):
            return response
        from buildfile.joining import join_archives

        return join_archives(response, zip(self._exports, self._outputs, strict=True))

    def _joined_pushed(self, response: Mapping[str, str]) -> Mapping[str, str]:
        """The same for what was pushed."""
        if not any(each.provenance for each in self._exports):
            return response
        from buildfile.joining import join_pushed
        from daemon_shim.registry.client import RegistryClient

        self._go_on()
        client = RegistryClient(self._supplies.logins.login)
        return join_pushed(response, self._exports, client)

    def _push(self) -> Mapping[str, str]:
        """What the engine's exporter leaves to us: it names no images, and pushes none."""
        told: dict[str, str] = {}
        for each in self._job.exports:
            if each.by_engine and each.exporter:
                told["image.name"] = each.exporter.attrs.get("name", "")
            for name in each.push:
                self._go_on()
                digest = _push(name, self._daemon, self._supplies)
                told |= {"containerimage.digest": digest} if digest else {}
        return told


def deliver(job: Job) -> Builder:
    """The builder of a job: each platform's tree, together with their image configs."""
    imports = options(job.cache_imports)
    if job.calls:
        call = job.calls[0]
        return lambda client: client.solve(
            frontend=call.frontend, opts=call.opts, evaluate=False, cache_imports=imports
        )

    def build(client: Client) -> Result:
        from daemon_shim.results import Result

        refs = {
            str(part.platform): client.solve(
                part.definition, evaluate=False, cache_imports=imports
            ).ref
            for part in job.parts
        }
        configs = {str(part.platform): part.image_config for part in job.parts}
        if len(job.parts) > 1:
            return Result.several(refs, configs=configs)
        (ref,), (config,) = refs.values(), configs.values()
        return Result.one(ref, config=config)

    return build


def _is_plain(job: Job) -> bool:
    """Whether a definition alone says all: one platform, and no image that wants a config.

    A frontend that works by itself says all, too.
    """
    return bool(job.calls) or (
        len(job.parts) == 1 and not any(each.is_image for each in job.exports)
    )


def _plain(request: SolveRequest, job: Job) -> SolveRequest:
    """The request for all that a job says."""
    if not job.calls:
        return replace(request, definition=job.parts[0].definition)
    call = job.calls[0]
    platforms = ",".join(str(each.stage.platform) for each in job.calls)
    attrs = {**request.frontend_attrs, **call.opts, "platform": platforms}
    return replace(request, frontend=call.frontend, frontend_attrs=attrs)


def _store(job: Job) -> LayoutStore | None:
    """The layout that the daemon writes blobs to: it knows one only (exporter/oci)."""
    for each in job.exports:
        if each.stored:
            from buildfile.layoutoutput import LayoutStore

            return LayoutStore(each.dest)
    return None


def _output(planned: Export) -> Output | None:
    """The place on this machine that an exporter writes to, None for those that stay away."""
    if not planned.dest or planned.stored:
        return None
    if planned.output.type == "local":
        return FolderOutput(planned.dest, delete=planned.output.attrs.get("mode") == "delete")
    if is_layout(planned.output):
        from buildfile.layoutoutput import LayoutOutput

        return LayoutOutput(planned.dest, planned.names)
    archived = planned.archived
    if planned.dest == STDOUT:
        return StreamOutput(sys.stdout.buffer, archived=archived)
    return FileOutput(planned.dest, archived=archived)


def _folders(job: Job) -> serving.Folders:
    given = {name: each for call in job.calls for name, each in frontend_folders(call).items()}
    return {**serving.folders(job.parts), **given}


def _stores(job: Job) -> dict[str, Path]:
    caches = {each.store: Path(each.folder) for each in job.cache_imports if each.store}
    return {**serving.layouts(job.parts), **caches}


def _documents(job: Job) -> dict[str, dict[str, bytes]]:
    """What is served beside the blobs of caches, by store and digest."""
    found: dict[str, dict[str, bytes]] = {}
    for each in job.cache_imports:
        if each.store:
            made = {document.digest: document.data for document in each.documents}
            found.setdefault(each.store, {}).update(made)
    return found


def _cause(
    error: DaemonError,
    sources: FileSync,
    receivers: Iterable[Output | LayoutStore | CacheExport | None],
    session: SessionHost,
) -> Exception:
    """The reason on this side, where there is one: the daemon's own words tell less.

    A build that was cancelled leaves what is on its way broken off, which is no reason.
    """
    if isinstance(error, CancelledError):
        return session.error or error
    if sources.errors:
        return SourceFaultError(sources.errors[0])
    return next((each.error for each in receivers if each and each.error), error)


def _push(name: str, daemon: Daemon, supplies: Supplies) -> str:
    """Have the engine push an image; return the digest, '' where it tells none."""
    from daemon_shim.engine import EngineClient, RegistryLogin

    host = Reference.parse(name).domain
    login = supplies.logins.login(host)
    engine = EngineClient(daemon.wire.transport, timeout=daemon.wire.timeout)
    return engine.push_image(
        name,
        login=RegistryLogin(
            username=login.username,
            password=login.secret,
            identity_token=login.identity_token,
            server=host,
        ),
    )
