"""From what the user chose to an open daemon."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from buildfile.exits import UsageError
from buildfile.locate import Located, find, locate
from daemon_shim.info import Api
from daemon_shim.transports.base import TlsFiles

if TYPE_CHECKING:
    from buildfile.daemons import DaemonEntry
    from daemon_shim.client import Daemon
    from daemon_shim.errors import UnreachableError


@dataclass(frozen=True, kw_only=True)
class DaemonChoice:
    """Which daemon, and how to reach it.

    ``address`` is one, or a name in ``daemons.toml``; None: those that stand there, else one
    found on this machine, or started. ``folder`` may hold a project's ``daemons.toml``; ``daemons``
    names one to use in place of it and of the user's. ``tls`` and ``api`` are stronger than what
    such a file says; ``api`` None leaves it to the file. ``timeout`` in seconds bounds dialling.
    ``environment`` None means this process's own.
    """

    address: str | None = None
    tls: TlsFiles = field(default_factory=TlsFiles)
    timeout: float = 5.0
    api: Api | None = None
    folder: str | None = None
    daemons: str | None = None
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A daemon that may be there.

    ``name`` is that of ``daemons.toml``, else ''; ``origin`` says in words where it was named or
    found. ``labels`` count beside those of its workers; ``max_parallel`` is how many builds of a
    run it gets at once, None for any number. ``handoff`` is a place in a registry, as in an entry.
    """

    address: str
    origin: str
    tls: TlsFiles = field(default_factory=TlsFiles)
    api: Api = Api.AUTO
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    max_parallel: int | None = None
    handoff: str = ""


@contextmanager
def connected(choice: DaemonChoice, say: Callable[[str], None]) -> Iterator[Daemon]:
    """Open the daemon, ask it what it is, and close it in the end.

    ``say`` hears what takes time, such as starting one, and which one of several it is. Raises
    UnreachableError or TlsError, InvalidFileError for a wrong ``daemons.toml``, and UsageError for
    a name that stands in none.
    """
    environment = environment_of(choice)
    candidates = _candidates(choice, environment, lambda: locate(choice.address, environment, say))
    with first_open(candidates, choice, say) as daemon:
        yield daemon


def environment_of(choice: DaemonChoice) -> Mapping[str, str]:
    """The environment in which the choice is made."""
    return os.environ if choice.environment is None else choice.environment


def known_candidates(choice: DaemonChoice) -> tuple[Candidate, ...]:
    """All daemons that the choice may mean, in the order in which they are tried.

    None is dialled and none is started, so there may be none. Raises as ``connected``.
    """
    environment = environment_of(choice)
    return _candidates(choice, environment, lambda: find(choice.address, environment))


def _candidates(
    choice: DaemonChoice, environment: Mapping[str, str], search: Callable[[], Located | None]
) -> tuple[Candidate, ...]:
    """Who is tried, in order: who is named, BUILDKIT_HOST, ``daemons.toml``, this machine's."""
    from buildfile.daemons import find_files, read_daemons

    named = choice.address
    entries: Sequence[DaemonEntry] = ()
    if _is_name(named) or not (named or environment.get("BUILDKIT_HOST")):
        entries = read_daemons(find_files(environment, choice.folder, choice.daemons), environment)
    if named and _is_name(named):
        entries = [_named(named, entries)]
    if entries:
        return tuple(_of_entry(entry, choice) for entry in entries)
    located = search()
    if not located:
        return ()
    api = choice.api or Api.AUTO
    address, origin = located.address, located.origin
    return (Candidate(address=address, origin=origin, tls=choice.tls, api=api),)


def _is_name(named: str | None) -> bool:
    """Whether it is a name in ``daemons.toml``: it is no address then."""
    return bool(named) and "://" not in str(named) and not str(named).startswith("/")


def _named(name: str, entries: Sequence[DaemonEntry]) -> DaemonEntry:
    from translator.suggest import suggest

    names = [entry.name for entry in entries]
    if name in names:
        return entries[names.index(name)]
    near = suggest(name, names)
    meant = f"did you mean {near}? " if near else ""
    known = f"it has {', '.join(names)}" if names else "there is none"
    raise UsageError(
        f"no daemon {name} in daemons.toml",
        hint=f"{meant}{known}; an address has ://, such as tcp://HOST:PORT or ssh://HOST",
    )


def _of_entry(entry: DaemonEntry, choice: DaemonChoice) -> Candidate:
    given = {key: value for key, value in vars(choice.tls).items() if value}
    return Candidate(
        address=entry.address,
        origin="daemons.toml",
        tls=replace(entry.tls, **given),
        api=choice.api or entry.api,
        name=entry.name,
        labels=entry.labels,
        max_parallel=entry.max_parallel,
        handoff=entry.handoff,
    )


def first_open(
    candidates: Sequence[Candidate], choice: DaemonChoice, say: Callable[[str], None]
) -> Daemon:
    """Open the first that answers; ``say`` hears which one of several it is.

    Raises the only one's error, or one that lists them all.
    """
    from daemon_shim.errors import TlsError, UnreachableError

    failed: list[tuple[Candidate, Exception]] = []
    for candidate in candidates:
        try:
            daemon = _open(candidate, choice)
        except (UnreachableError, TlsError) as error:
            if len(candidates) == 1:
                raise
            failed.append((candidate, error))
        else:
            if len(candidates) > 1:
                say(f"daemon {candidate.name} ({candidate.address})")
            return daemon
    raise none_answers((each.name, error) for each, error in failed)


def none_answers(failed: Iterable[tuple[str, object]]) -> UnreachableError:
    """The error of several daemons, none of which can be had: their names, and why."""
    from daemon_shim.errors import UnreachableError

    listed = "".join(f"\n    {name}: {error}" for name, error in failed)
    return UnreachableError(
        f"none of the daemons in daemons.toml answers:{listed}",
        hint="start one of them, or name another with --daemon",
    )


def _open(candidate: Candidate, choice: DaemonChoice) -> Daemon:
    daemon = daemon_of(candidate, choice)
    try:
        daemon.info()
    except BaseException:
        daemon.close()
        raise
    return daemon


def daemon_of(candidate: Candidate, choice: DaemonChoice) -> Daemon:
    """The daemon, not dialled yet. Raises UnreachableError for an address that can't be read."""
    from daemon_shim.client import Daemon
    from daemon_shim.transports import transport_for

    transport = transport_for(
        candidate.address,
        tls=candidate.tls,
        environment=environment_of(choice),
    )
    return Daemon(
        transport,
        timeout=choice.timeout,
        api=candidate.api,
        max_parallel=candidate.max_parallel,
        labels=candidate.labels,
    )
