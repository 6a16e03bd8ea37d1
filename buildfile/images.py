"""The images that a build starts from: their digests and configs, asked for before compiling.

A registry's image is resolved by the daemon, which is the one to pull it; by this side only where
the daemon cannot, or there is none. An OCI layout is read from the disk.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from buildfile import faults
from buildfile.failure import BuildFailedError
from buildfile.ocilayout import (
    BrokenLayoutError,
    LayoutError,
    NoLayoutError,
    UnknownImageError,
    UnknownPlatformError,
    find_image,
)
from translator.compiled import ImageNeed, ResolvedImage
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.span import Span

if TYPE_CHECKING:
    from daemon_shim.client import Daemon
    from daemon_shim.gateway import GatewayBuild
    from daemon_shim.registry.client import RegistryClient
    from daemon_shim.session.service import Service

_AT_ONCE = 8
_CAPABILITY = "resolveimage"

Answer: TypeAlias = ResolvedImage | Diagnostic
Images: TypeAlias = Mapping[ImageNeed, ResolvedImage]

_LAYOUT_FAULTS: dict[type[LayoutError], Callable[[Any, Span], Diagnostic]] = {
    NoLayoutError: faults.no_layout,
    BrokenLayoutError: faults.broken_layout,
    UnknownImageError: faults.no_such_layout_image,
    UnknownPlatformError: faults.no_such_layout_platform,
}


def resolve_images(
    needs: Iterable[ImageNeed],
    daemon: Daemon,
    *,
    services: Iterable[Service] = (),
    client: RegistryClient | None = None,
    known: Images | None = None,
) -> Images:
    """Resolve all ``needs``, those in registries side by side.

    ``services`` are the session's, for logins to registries; ``client`` asks them for what the
    daemon has no call for. What is in ``known`` is not asked again. Raises BuildFailedError for all
    images that cannot be had, with the faults of layouts among them; InvalidFileError if there are
    only these; and DaemonError when the daemon itself fails.
    """
    known = known or {}
    wanted = dict.fromkeys(needs)
    missing = [need for need in wanted if need not in known]
    remote = [need for need in missing if not need.store]
    told = _ask(remote, daemon, services, client) if remote else {}
    answers = {need: told.get(need) or _in_layout(need) for need in missing}
    failed = any(isinstance(answer, Diagnostic) for answer in told.values())
    found = _checked(answers, BuildFailedError if failed else InvalidFileError)
    return {need: found.get(need) or known[need] for need in wanted}


def resolve_without_daemon(
    needs: Iterable[ImageNeed], client: RegistryClient
) -> tuple[Images, tuple[Diagnostic, ...]]:
    """Resolve those needs that can be without a daemon, and warn of the others.

    Raises InvalidFileError for all of OCI layouts that cannot be had.
    """
    wanted = tuple(dict.fromkeys(needs))
    found = dict(resolve_layouts(wanted))
    remote = [need for need in wanted if not need.store]
    reasons: list[Diagnostic] = []
    for need, answer in zip(remote, _ask_registries(remote, client), strict=True):
        if isinstance(answer, ResolvedImage):
            found[need] = answer
        else:
            reasons.append(faults.image_unknown(need, str(answer)))
    return found, tuple(reasons)


def resolve_layouts(needs: Iterable[ImageNeed]) -> Images:
    """Resolve those needs that are in OCI layouts, without a daemon.

    Raises InvalidFileError for all that cannot be had.
    """
    return _checked({each: _in_layout(each) for each in needs if each.store}, InvalidFileError)


def _checked(
    answers: Mapping[ImageNeed, Answer], error: Callable[[Iterable[Diagnostic]], Exception]
) -> dict[ImageNeed, ResolvedImage]:
    failures = [each for each in answers.values() if isinstance(each, Diagnostic)]
    if failures:
        raise error(dict.fromkeys(failures))  # once for all platforms
    return {need: each for need, each in answers.items() if isinstance(each, ResolvedImage)}


def _in_layout(need: ImageNeed) -> Answer:
    try:
        image = find_image(need.path, need.ref, need.platform)
    except LayoutError as error:
        return _LAYOUT_FAULTS[type(error)](error, need.span)
    return ResolvedImage(digest=image.digest, config=image.config)


def _ask(
    needs: list[ImageNeed],
    daemon: Daemon,
    services: Iterable[Service],
    client: RegistryClient | None,
) -> dict[ImageNeed, Answer]:
    """Ask the daemon, and ``client`` for all that the daemon has no call for."""
    asked: list[ResolvedImage | Exception]
    if client and not daemon.info().has(_CAPABILITY):
        asked = [_NoCallError()] * len(needs)
    else:
        asked = _ask_daemon(needs, daemon, services)
    answers = dict(zip(needs, asked, strict=True))
    if client:
        left = [need for need, each in answers.items() if isinstance(each, _NoCallError)]
        answers |= zip(left, _ask_registries(left, client), strict=True)
    return {
        need: each if isinstance(each, ResolvedImage) else faults.image_unresolved(need, str(each))
        for need, each in answers.items()
    }


class _NoCallError(Exception):
    """The daemon has no call for it."""


def _ask_registries(
    needs: list[ImageNeed], client: RegistryClient
) -> list[ResolvedImage | Exception]:
    from buildfile.registryimages import ask_registry
    from daemon_shim.registry.client import RegistryError

    def ask(need: ImageNeed) -> ResolvedImage | Exception:
        try:
            return ask_registry(need, client)
        except RegistryError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, needs))


def _ask_daemon(
    needs: list[ImageNeed], daemon: Daemon, services: Iterable[Service]
) -> list[ResolvedImage | Exception]:
    """One build on the daemon, which makes nothing, for all of them."""
    from daemon_shim.gateway import GatewayBuild
    from daemon_shim.request import SolveRequest
    from daemon_shim.results import Result
    from daemon_shim.session.host import SessionHost

    # Left from right to left: the build's end is what lets waiting threads go, if interrupted.
    with (
        ThreadPoolExecutor(_AT_ONCE) as pool,
        SessionHost(daemon.wire.transport, services, name="buildfile") as session,
        GatewayBuild(
            daemon, SolveRequest(ref=uuid.uuid4().hex, session=session.id, internal=True)
        ) as build,
    ):
        answers = list(pool.map(partial(_resolve, build), needs))
        build.return_result(Result())
        build.job.result()
    return answers


def _resolve(build: GatewayBuild, need: ImageNeed) -> ResolvedImage | Exception:
    from daemon_shim.errors import SolveFailedError

    try:
        image = build.resolve_image(
            need.ref,
            platform=str(need.platform),
            resolve_mode=need.resolve,
            log_name=f"resolve {need.ref}",
        )
    except SolveFailedError as error:
        return _NoCallError(str(error)) if error.code == "UNIMPLEMENTED" else error
    return ResolvedImage(digest=image.digest, config=image.config)
