"""The pool: all daemons that a run may use, opened and asked side by side.

A daemon that cannot be had is no error here: it stands in the pool with the reason, and whoever
chooses among them says what that means.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from buildfile.connect import Candidate, DaemonChoice, daemon_of, known_candidates

if TYPE_CHECKING:
    from daemon_shim.client import Daemon
    from daemon_shim.errors import DaemonError
    from daemon_shim.info import DaemonInfo

ANSWER_SECONDS = 15.0
"""What a daemon gets for its answers, beyond the time that it gets to be dialled."""
_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class Member:
    """A daemon of the pool after it was asked: it is open, or ``fault`` says why it is not.

    ``load`` is how many builds it had under way, None where it was not asked or does not tell.
    """

    candidate: Candidate
    daemon: Daemon | None = None
    fault: DaemonError | None = None
    load: int | None = None

    @property
    def name(self) -> str:
        """Its name in ``daemons.toml``; '' for one that was named or found in another way."""
        return self.candidate.name

    @property
    def info(self) -> DaemonInfo | None:
        """What it is, None where it could not be asked."""
        return self.daemon.info() if self.daemon else None


@contextmanager
def opened(
    choice: DaemonChoice,
    candidates: Sequence[Candidate] | None = None,
    *,
    with_load: bool = False,
    answer_seconds: float = ANSWER_SECONDS,
) -> Iterator[tuple[Member, ...]]:
    """Open and ask all daemons that the choice may mean; they are closed in the end.

    ``candidates`` are those of ``known_candidates``, where they have been looked up already.
    ``with_load`` asks how busy they are, too, which placing targets does not look at.

    They come in the order in which one alone would be tried: of the project's ``daemons.toml``,
    then of the user's. None is started, so there may be none. Each gets ``choice.timeout`` and
    ``answer_seconds`` seconds, whatever the others do. Raises InvalidFileError for a wrong
    ``daemons.toml``, UsageError for a name that stands in none.
    """
    known = known_candidates(choice) if candidates is None else candidates
    with ExitStack() as held:
        ask = partial(_ask, limit=choice.timeout + answer_seconds, with_load=with_load)
        yield _asked(known, choice, ask, held)


def _asked(
    candidates: Sequence[Candidate],
    choice: DaemonChoice,
    ask: Callable[[Daemon], int | None],
    held: ExitStack,
) -> tuple[Member, ...]:
    """Ask each on a thread of its own; ``held`` closes them."""
    from daemon_shim.errors import DaemonError

    def member(candidate: Candidate) -> Member:
        try:
            daemon = daemon_of(candidate, choice)
            held.callback(daemon.close)
            load = ask(daemon)
        except DaemonError as error:
            return Member(candidate=candidate, fault=error)
        return Member(candidate=candidate, daemon=daemon, load=load)

    with ThreadPoolExecutor(min(len(candidates), _AT_ONCE) or 1, "pool") as threads:
        try:
            return tuple(threads.map(member, candidates))
        except BaseException:  # interrupted: what is closed answers at once
            threads.shutdown(wait=False, cancel_futures=True)
            held.close()
            raise


def _ask(daemon: Daemon, *, limit: float, with_load: bool) -> int | None:
    """Ask what it is, and how busy, within the limit: one that is closed has no more to say."""
    from daemon_shim.errors import CancelledError, UnreachableError

    load = None
    over = threading.Event()

    def give_up() -> None:
        over.set()
        daemon.close()

    late = threading.Timer(limit, give_up)
    late.daemon = True
    late.start()
    try:
        daemon.info()
        load = daemon.running_builds() if with_load else None
    except CancelledError:
        over.set()
    finally:
        late.cancel()
    if over.is_set():
        raise UnreachableError(
            f"{daemon.address} does not answer within {limit:g} seconds",
            address=daemon.address,
            hint="look at the daemon's log, or wait longer with --timeout",
        )
    return load
