"""Stages that frontends make: the daemon's frontends asked for graphs, before all is compiled.

Nothing is built but what a frontend itself reads, such as a Dockerfile. Stages that are made from
one another are asked for one after the other, the others side by side.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from buildfile import faults
from buildfile.lacks import no_frontend
from daemon_shim.info import DaemonInfo
from translator.compiled import FrontendNeed, ResolvedFrontend
from translator.diagnostic import Diagnostic
from translator.frontends import Compile, Frontends, frontends_needed
from translator.llb.capabilities import missing
from translator.llb.foreign import lines
from translator.llb.frontends import shown
from translator.span import SourceFile, Span
from translator.stage import Instance, StageRef

if TYPE_CHECKING:
    from buildfile.supplies import Supplies
    from daemon_shim.builder import Client
    from daemon_shim.client import Daemon
    from daemon_shim.errors import SolveFailedError
    from daemon_shim.results import Result
    from daemon_shim.session.service import Service

_AT_ONCE = 8
_UNKNOWN_FRONTEND = "invalid frontend"  # solver/llbsolver/bridge.go, v0.3 to v0.32
_DOCKERFILE = "dockerfile.v0"


class NoFrontendError(Exception):
    """The daemon has no frontend of that name."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


class NotMadeError(Exception):
    """What became of frontends that made nothing; ``refused`` where the daemon has not got them."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...], *, refused: bool) -> None:
        super().__init__(diagnostics[0].message)
        self.diagnostics = diagnostics
        self.refused = refused


Answer: TypeAlias = ResolvedFrontend | Diagnostic | NoFrontendError


def make_all(
    instances: Sequence[Instance],
    compile_: Compile,
    info: DaemonInfo,
    ask: Callable[[Sequence[FrontendNeed]], Sequence[Answer]],
    given: Frontends = MappingProxyType({}),
) -> Frontends:
    """What the frontends of all stages made; those that the daemon cannot make are left out.

    ``ask`` gives an answer to each need of several. Raises NotMadeError for frontends that the
    daemon has not, else for all that failed; and as ``compile_`` does.
    """
    known: dict[StageRef, ResolvedFrontend] = dict(given)
    while True:
        wanted = frontends_needed(instances, known, partial(compile_, frontends=known))
        needs = [
            each for each in wanted if not no_frontend(each.stage, info) and _is_fit(each, info)
        ]
        if not needs:
            return known
        answers = ask(needs)
        _raise(answers)
        refs = (need.stage.ref for need in needs)
        known |= {
            ref: answer
            for ref, answer in zip(refs, answers, strict=True)
            if isinstance(answer, ResolvedFrontend)
        }


def solved(client: Client, need: FrontendNeed) -> Answer:
    """Ask a frontend in a build that is open; only what it reads itself is built for it."""
    from daemon_shim.errors import SolveFailedError

    try:
        result = client.solve(
            frontend=need.frontend,
            opts=need.opts,
            inputs={name: each.definition for name, each in need.inputs.items()},
            evaluate=False,
        )
    except SolveFailedError as error:
        return _failure(need, error, client.info)
    return _answer(need, result)


@dataclass(frozen=True, kw_only=True)
class FrontendStages:
    """Asks a daemon. ``supply`` opens the secrets and agents with these ids, and the logins."""

    daemon: Daemon
    supply: Callable[[Sequence[str], Sequence[str]], Supplies]

    def __call__(self, instances: Sequence[Instance], compile_: Compile) -> Frontends:
        """As ``make_all``, side by side.

        Raises RefusedError and BuildFailedError in place of NotMadeError, InvalidFileError for
        secrets and agents that are not there, and DaemonError.
        """
        from buildfile.failure import BuildFailedError, RefusedError

        try:
            return make_all(instances, compile_, self.daemon.info(), self._ask_all)
        except NotMadeError as error:
            kind = RefusedError if error.refused else BuildFailedError
            raise kind(error.diagnostics) from error

    def _ask_all(self, needs: Sequence[FrontendNeed]) -> Sequence[Answer]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(self._ask, needs))

    def _ask(self, need: FrontendNeed) -> Answer:
        from buildfile import serving
        from daemon_shim.gateway import GatewayBuild
        from daemon_shim.request import SolveRequest
        from daemon_shim.results import Result
        from daemon_shim.session.content import Content
        from daemon_shim.session.filesync import FileSync

        parts = tuple(need.inputs.values())
        given, ours = serving.frontend_folders(need), serving.folders(parts)
        shared = sorted(given.keys() & ours.keys())
        if twice := [name for name in shared if not _is_same(given[name], ours[name])]:
            return faults.folder_twice(need, twice[0])
        supplies = self.supply(
            (*need.secrets, *(name for part in parts for name in part.secrets)),
            (*need.ssh, *(name for part in parts for name in part.ssh)),
        )
        sources = FileSync({**ours, **given})
        content = Content(serving.layouts(parts), {}, {})
        services: list[Service] = [sources, content, *supplies.services()]
        with serving.session(self.daemon, services) as session:
            request = SolveRequest(ref=uuid.uuid4().hex, session=session.id, internal=True)
            with GatewayBuild(self.daemon, request) as build:
                answer = solved(build, need)
                build.return_result(Result())
                build.job.result()
        if sources.errors and not isinstance(answer, ResolvedFrontend):
            fault = sources.errors[0]
            return faults.unreadable_source(
                fault.source, f"{fault.path}: {fault.reason}", need.span
            )
        return answer


def _is_same(one: object, other: object) -> bool:
    """Whether two folders of one name are the same place, whatever each lets through."""
    return getattr(one, "path", one) == getattr(other, "path", other)


def _raise(answers: Sequence[Answer]) -> None:
    refused = [each.diagnostic for each in answers if isinstance(each, NoFrontendError)]
    failed = [each for each in answers if isinstance(each, Diagnostic)]
    if refused or failed:
        raise NotMadeError(tuple(dict.fromkeys(refused or failed)), refused=bool(refused))


def _is_fit(need: FrontendNeed, info: DaemonInfo) -> bool:
    """Whether the daemon can do what the frontend is given; a plan refuses what it cannot."""
    return not any(missing(part.needs, info.llb_caps) for part in need.inputs.values())


def _answer(need: FrontendNeed, result: Result) -> ResolvedFrontend | Diagnostic:
    from daemon_shim.results import config_key

    platform = str(need.stage.platform)
    ref = result.refs.get(platform) or result.refs.get("")
    if result.refs and ref is None:
        return faults.other_platforms(need, sorted(result.refs))
    config = result.metadata.get(config_key(platform)) or result.metadata.get(config_key(), b"")
    if need.frontend == _DOCKERFILE and not config:
        return faults.no_config(need)
    return ResolvedFrontend(
        definition=ref.to_definition() if ref else b"",
        config=config,
        inputs={name: each.definition for name, each in need.inputs.items()},
    )


def _failure(
    need: FrontendNeed, error: SolveFailedError, info: DaemonInfo
) -> Diagnostic | NoFrontendError:
    if _UNKNOWN_FRONTEND in str(error):
        return NoFrontendError(faults.no_frontend(need, info))
    place = next((each for each in error.ranges if each.text), None)
    span: Span | None = None
    if place:
        name, folder = shown(need.stage, place.file), need.span.file.folder
        file = SourceFile(name=name, folder=folder, text=place.text)
        span = lines(file, place.start_line, place.end_line)
    return faults.frontend_failed(need, str(error), span)
