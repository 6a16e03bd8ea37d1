"""Progress as state: events in, a vertex's new state out. No clock, no output, bounded memory.

Every target of a run has a Status stream of its own (a *job* here), and a vertex that targets
share is told of by each of them. Vertices are known by digest, so a shared one counts once; its
logs and transfers are taken from one job only, since each stream carries all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType

from buildfile import logtext
from daemon_shim.events import Event, LogEvent, StatusEvent, VertexEvent, WarningEvent

TAILS_BYTES = 16 * 1024 * 1024
MOST_TRANSFERS = 256
MOST_WARNINGS = 1000
MOST_ERROR_CHARACTERS = 64 * 1024


class State(Enum):
    """Where a vertex stands. One that is finished may run again: another part of it is needed."""

    PENDING = "pending"
    RUNNING = "running"
    CANCELLED = "cancelled"
    CACHED = "cached"
    DONE = "done"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        """Whether it ended, in whatever way."""
        return self not in (State.PENDING, State.RUNNING)


class Outcome(Enum):
    """How a run ended, as the summary's first word."""

    BUILT = "built"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """A part of a vertex's work with a size in bytes; ``total`` 0 is unknown. Daemon's times."""

    id: str
    name: str
    current: int
    total: int
    updated: float
    started: float | None
    completed: float | None

    @property
    def seconds(self) -> float:
        """How long it took, or took so far by the daemon's last word."""
        end = self.updated if self.completed is None else self.completed
        return 0.0 if self.started is None else max(0.0, end - self.started)

    @property
    def rate(self) -> float:
        """Bytes a second since its start; 0 where that can't be known."""
        return self.current / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Vertex:
    """A vertex as it stands. ``number`` is its rank by first start, 0 before.

    ``started`` and ``completed`` are of its latest interval, in the daemon's time; ``earlier`` is
    the seconds that the intervals before took; ``heard`` is our time when it was said to run.
    """

    digest: str
    name: str
    number: int = 0
    state: State = State.PENDING
    jobs: tuple[str, ...] = ()
    error: str = ""
    started: float | None = None
    completed: float | None = None
    earlier: float = 0.0
    heard: float = 0.0
    transfers: tuple[Transfer, ...] = ()

    @property
    def seconds(self) -> float:
        """What its closed intervals took together."""
        if self.started is None or self.completed is None:
            return self.earlier
        return self.earlier + max(0.0, self.completed - self.started)

    def transfer(self, id_: str) -> Transfer:
        """The transfer that a StatusEvent with this id told of. Raises KeyError for none."""
        cleaned = logtext.name(id_)
        for each in self.transfers:
            if each.id == cleaned:
                return each
        raise KeyError(id_)

    def elapsed(self, now: float) -> float:
        """``seconds``, and the open interval by our own clock, as the daemon's may be off."""
        running = now - self.heard if self.state is State.RUNNING else 0.0
        return self.seconds + max(0.0, running)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An event that said something new, and its vertex after and before it. ``now`` is our time."""

    job: str
    event: Event
    vertex: Vertex
    previous: Vertex | None
    now: float

    @property
    def began(self) -> bool:
        """Whether the vertex began to run with this event, or again."""
        return self.vertex.state is State.RUNNING and (
            self.previous is None or self.previous.state is not State.RUNNING
        )

    @property
    def ended(self) -> bool:
        """Whether an interval of the vertex ended with this event."""
        before = self.previous
        return self.vertex.state.finished and (
            before is None
            or before.state is not self.vertex.state
            or before.started != self.vertex.started
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A run in numbers. ``steps`` are the vertices that ran to their end or were cached."""

    targets: int
    seconds: float
    steps: int
    cached: int
    failed: int
    outcome: Outcome


class Progress:
    """The state of a run. ``began`` is our time in seconds since the epoch."""

    def __init__(self, *, began: float) -> None:
        self._began = began
        self._vertices: dict[str, Vertex] = {}
        self._tellers: dict[str, set[str]] = {}
        self._running: dict[str, set[str]] = {}
        self._owners: dict[str, str] = {}
        self._latest: dict[str, float] = {}
        self._known_until: dict[str, float] = {}
        self._ended: set[str] = set()
        self._tails = _Tails()
        self._warnings: dict[tuple[str, str, str], WarningEvent] = {}
        self._numbered = 0

    @property
    def vertices(self) -> Mapping[str, Vertex]:
        """Every vertex told of, by digest."""
        return MappingProxyType(self._vertices)

    @property
    def warnings(self) -> tuple[WarningEvent, ...]:
        """Each warning once, in order; the first 1000."""
        return tuple(self._warnings.values())

    def tail(self, digest: str, lines: int = 20) -> tuple[str, ...]:
        """The end of a vertex's log, unless it came through. Free of control sequences."""
        return self._tails.lines(digest, lines)

    def end(self, job: str) -> None:
        """A job's stream is over: what it shared is told by the others from now on."""
        self._ended.add(job)

    def apply(self, job: str, event: Event, now: float) -> Change | None:
        """Take an event in. None where it says nothing new, as for a shared vertex told again."""
        digest = event.digest if isinstance(event, VertexEvent) else event.vertex
        previous = self._vertices.get(digest)
        vertex = previous or Vertex(digest=digest, name=digest[:19])
        self._own(job, digest)
        after: Vertex | None
        match event:
            case VertexEvent():
                after = self._advance(job, vertex, event, now)
            case StatusEvent():
                after = self._transferred(job, vertex, event)
            case LogEvent():
                after = self._logged(job, vertex, event)
            case WarningEvent():
                after = self._warned(vertex, event)
        if after is None or (isinstance(event, VertexEvent) and after == previous):
            return None
        after = self._numbered_if_seen(after, event)
        self._vertices[digest] = after
        return Change(job=job, event=event, vertex=after, previous=previous, now=now)

    def summary(self, targets: int, outcome: Outcome, now: float) -> Summary:
        """The run so far in numbers."""
        states = [vertex.state for vertex in self._vertices.values()]
        count = {state: states.count(state) for state in State}
        return Summary(
            targets=targets,
            seconds=max(0.0, now - self._began),
            steps=count[State.DONE] + count[State.CACHED] + count[State.FAILED],
            cached=count[State.CACHED],
            failed=count[State.FAILED],
            outcome=outcome,
        )

    def _own(self, job: str, digest: str) -> None:
        self._ended.discard(job)
        owner = self._owners.get(digest)
        if owner is None or owner in self._ended:
            self._hand_over(digest, job)

    def _hand_over(self, digest: str, job: str) -> None:
        """Take logs and transfers from a job from now on; its stream may begin with old ones."""
        if self._owners.get(digest) != job:
            self._owners[digest] = job
            self._known_until[digest] = self._latest.get(digest, 0.0)

    def _is_news(self, job: str, event: StatusEvent | LogEvent) -> bool:
        """Whether a log or a transfer is of the job that it is taken from, and not told before."""
        digest, time = event.vertex, event.timestamp
        if self._owners[digest] != job or 0 < time <= self._known_until[digest]:
            return False
        self._latest[digest] = max(time, self._latest.get(digest, 0.0))
        return True

    def _joined(self, job: str, vertex: Vertex) -> Vertex:
        tellers = self._tellers.setdefault(vertex.digest, set())
        if job in tellers:
            return vertex
        tellers.add(job)
        return replace(vertex, jobs=(*vertex.jobs, job))

    def _advance(self, job: str, vertex: Vertex, event: VertexEvent, now: float) -> Vertex:
        name = logtext.name(event.name) or vertex.name
        named = replace(self._joined(job, vertex), name=name)
        after = advance(named, event, now)
        if self._runs_elsewhere(job, after, event):
            return named
        if after.state.finished and after.state is not State.FAILED:
            self._tails.drop(vertex.digest)
        return after

    def _runs_elsewhere(self, job: str, after: Vertex, event: VertexEvent) -> bool:
        """Whether a job leaves a vertex that another one waits for.

        A stream that ends closes its open vertices as cancelled, also those which go on for
        other jobs (solver/progress.go, all releases).
        """
        running = self._running.setdefault(after.digest, set())
        told = state_of(event)
        if told is State.RUNNING:
            running.add(job)
            return False
        running.discard(job)
        others = running - self._ended
        if told is not State.CANCELLED or not others:
            return False
        self._hand_over(after.digest, min(others))
        return True

    def _transferred(self, job: str, vertex: Vertex, event: StatusEvent) -> Vertex | None:
        if not self._is_news(job, event):
            return None
        new = Transfer(
            id=logtext.name(event.id),
            name=logtext.name(event.name),
            current=max(0, event.current),
            total=max(0, event.total),
            updated=event.timestamp,
            started=event.started,
            completed=event.completed,
        )
        known = {each.id: each for each in vertex.transfers}
        if new.id not in known and len(known) >= MOST_TRANSFERS:
            del known[next(iter(known))]
        return replace(vertex, transfers=tuple((known | {new.id: new}).values()))

    def _logged(self, job: str, vertex: Vertex, event: LogEvent) -> Vertex | None:
        if not self._is_news(job, event):
            return None
        if vertex.state not in (State.DONE, State.CACHED):
            self._tails.append(vertex.digest, event.data)
        return vertex

    def _warned(self, vertex: Vertex, event: WarningEvent) -> Vertex | None:
        key = (event.vertex, event.short, event.url)
        if key in self._warnings or len(self._warnings) >= MOST_WARNINGS:
            return None
        self._warnings[key] = event
        return vertex

    def _numbered_if_seen(self, vertex: Vertex, event: Event) -> Vertex:
        pending = isinstance(event, VertexEvent) and vertex.state is State.PENDING
        if vertex.number or pending:
            return vertex
        self._numbered += 1
        return replace(vertex, number=self._numbered)


def state_of(event: VertexEvent) -> State:
    """What an event says by itself."""
    if event.cached:
        return State.CACHED
    if event.completed is None:
        return State.PENDING if event.started is None else State.RUNNING
    if not event.error:
        return State.DONE
    return State.CANCELLED if event.error.endswith("context canceled") else State.FAILED


_STATES = tuple(State)


def advance(vertex: Vertex, event: VertexEvent, now: float) -> Vertex:
    """The vertex after an event; itself where the event is old news.

    Intervals are told apart by their start. Within one, the state only moves on in the order of
    ``State``, but for one that was cancelled for one job and runs on for another.
    """
    told = state_of(event)
    if told is State.PENDING:
        return vertex
    started = _first(event.started, event.completed, vertex.started, 0.0)
    if vertex.started is None or started > vertex.started:
        return _moved(replace(vertex, earlier=vertex.seconds), event, started, now)
    if started < vertex.started or not _news(vertex, told, event):
        return vertex
    return _moved(vertex, event, started, now)


def _news(vertex: Vertex, told: State, event: VertexEvent) -> bool:
    """Whether an event of the interval that the vertex is in moves it on."""
    resumed = vertex.state is State.CANCELLED and told is State.RUNNING
    closed = told is vertex.state and vertex.completed is None and event.completed is not None
    return resumed or closed or _STATES.index(told) > _STATES.index(vertex.state)


def _moved(vertex: Vertex, event: VertexEvent, started: float, now: float) -> Vertex:
    state = state_of(event)
    return replace(
        vertex,
        state=state,
        started=started,
        completed=event.completed if state.finished else None,
        error=event.error[:MOST_ERROR_CHARACTERS],
        heard=now if state is State.RUNNING else vertex.heard,
        transfers=() if state.finished else vertex.transfers,
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


class _Tails:
    """Log tails by vertex, 16 MiB in all: the one that is silent longest goes first."""

    def __init__(self) -> None:
        self._by_vertex: dict[str, logtext.Tail] = {}
        self._bytes = 0

    def append(self, digest: str, data: bytes) -> None:
        tail = self._by_vertex.pop(digest, None) or logtext.Tail()
        self._by_vertex[digest] = tail
        before = len(tail)
        tail.append(data)
        self._bytes += len(tail) - before
        while self._bytes > TAILS_BYTES:
            self.drop(next(iter(self._by_vertex)))

    def drop(self, digest: str) -> None:
        self._bytes -= len(self._by_vertex.pop(digest, ()))

    def lines(self, digest: str, count: int) -> tuple[str, ...]:
        tail = self._by_vertex.get(digest)
        return tail.lines(count) if tail else ()
