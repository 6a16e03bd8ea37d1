"""What the live display shows, as lines of rich text. Pure: the same view gives the same lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from buildfile import logtext
from buildfile.display.palette import Palette, Signs
from buildfile.display.tally import Count, Tally
from buildfile.display.units import duration, rate, size
from buildfile.progress import State, Transfer, Vertex

WIDEST = 110
MOST_FINISHED = 8
BAR_CELLS = 20
_DIGEST = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A running vertex, and the end of its log."""

    vertex: Vertex
    log: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class View:
    """All that a frame shows. ``began`` and ``now`` are our times."""

    finished: Sequence[Vertex]
    running: Sequence[Step]
    tally: Tally
    began: float
    now: float


@dataclass(frozen=True, kw_only=True)
class Painter:
    """Draws views. Its lines are at most ``columns`` wide less one, never beyond 110."""

    palette: Palette
    signs: Signs

    def frame(self, view: View, columns: int, lines: int) -> list[Text]:
        """A frame of fewer lines than the terminal has."""
        room = max(0, lines - 2)
        steps, more = _fitting(view.running, room)
        used = len(view.finished) + len(steps) + bool(more)
        shares = _shares([len(_details(step)) for step in steps], room - used)
        rows = [self.finished(vertex, columns) for vertex in view.finished]
        for step, share in zip(steps, shares, strict=True):
            rows += self._running(step, share, view.now, columns)
        if more:
            rows.append(_row(Text(f"   {self.signs.gap} {more} more running", "dim"), columns))
        return [*rows[:room], self._status(view, columns)]

    def finished(self, vertex: Vertex, columns: int) -> Text:
        """The line that stays of a vertex."""
        sign, style, name_style = self._ending(vertex.state)
        left = Text.assemble((f" {sign} ", style), (_short(vertex.name), name_style))
        cached = vertex.state is State.CACHED
        time = Text("cached" if cached else duration(vertex.seconds), "dim")
        return _row(left, columns, time)

    def error(self, vertex: Vertex, columns: int) -> Text:
        """What went wrong with a vertex, under its line."""
        return _row(Text(f"   {logtext.name(vertex.error)}", self.palette.error), columns)

    def warning(self, short: str, columns: int) -> Text:
        """A warning's line."""
        sign = (f" {self.signs.warning} ", self.palette.warning)
        return _row(Text.assemble(sign, logtext.name(short)), columns)

    def note(self, text: str, columns: int) -> Text:
        """A note's line."""
        return _row(Text(f" {self.signs.note} {logtext.name(text)}", "dim"), columns)

    def _ending(self, state: State) -> tuple[str, str, str]:
        return {
            State.FAILED: (self.signs.failed, f"bold {self.palette.error}", "bold"),
            State.CANCELLED: (self.signs.cancelled, self.palette.cancel, "dim"),
            State.CACHED: (self.signs.done, f"dim {self.palette.done}", "dim"),
        }.get(state, (self.signs.done, self.palette.done, ""))

    def _running(self, step: Step, share: int, now: float, columns: int) -> Iterator[Text]:
        vertex = step.vertex
        spinner = self.signs.spinner[int(now * 10) % len(self.signs.spinner)]
        left = Text.assemble((f" {spinner} ", self.palette.run), (_short(vertex.name), "bold"))
        yield _row(left, columns, Text(duration(vertex.elapsed(now)), self.palette.run))
        for detail in _details(step, share):
            shown = self._transfer(detail) if isinstance(detail, Transfer) else _logged(detail)
            yield _row(Text.assemble("     ", shown), columns)

    def _transfer(self, transfer: Transfer) -> Text:
        amount = size(transfer.current) if transfer.current or transfer.total else ""
        parts = [Text(_short(transfer.id), "dim")]
        if transfer.total:
            parts.append(self._bar(transfer.current / transfer.total, BAR_CELLS))
            amount = f"{amount} / {size(transfer.total)}"
        parts.append(Text(amount))
        if transfer.rate and transfer.current:
            parts.append(Text(rate(transfer.rate), "dim"))
        return Text("  ").join(part for part in parts if part)

    def _bar(self, share: float, cells: int) -> Text:
        full = round(cells * min(1.0, max(0.0, share)))
        signs = self.signs
        return Text.assemble(
            (signs.full * full, self.palette.run), (signs.empty * (cells - full), "dim")
        )

    def _status(self, view: View, columns: int) -> Text:
        every = view.tally.all
        share = every.finished / every.total if every.total else 0.0
        left = Text.assemble(
            (" Building ", "bold"),
            (duration(max(0.0, view.now - view.began)), ""),
            "  ",
            self._bar(share, min(BAR_CELLS, columns // 6)),
            f"  {every.finished}/{every.total}",
        )
        for state, style in ((State.CACHED, "dim"), (State.FAILED, self.palette.error)):
            if every.by_state[state]:
                left.append(f"  {every.by_state[state]} {state.value}", style)
        room = min(columns - 1, WIDEST) - left.cell_len - 3
        return _row(left, columns, self._targets(view.tally.jobs, room))

    def _targets(self, jobs: dict[str, Count], room: int) -> Text:
        """Targets side by side, unfinished ones first, as many as there is room for."""
        if len(jobs) < 2:
            return Text()
        ordered = sorted(jobs.items(), key=lambda item: item[1].finished == item[1].total)
        shown = Text()
        for place, (job, count) in enumerate(ordered):
            item = Text("  " if shown else "").append(self._target(job, count))
            more = f"  +{len(ordered) - place}"
            last = place == len(ordered) - 1
            if shown.cell_len + item.cell_len + (0 if last else len(more)) > room:
                return shown.append(more, "dim") if shown else shown
            shown.append(item)
        return shown

    def _target(self, job: str, count: Count) -> Text:
        name = logtext.name(job)
        if count.by_state[State.FAILED]:
            return Text(f"{name} {self.signs.failed}", self.palette.error)
        if count.finished == count.total:
            return Text(f"{name} {self.signs.done}", self.palette.done)
        return Text(f"{name} {count.finished}/{count.total}")


def room_for_finished(lines: int, running: int) -> int:
    """How many finished vertices a frame keeps, so that they may run again in their place."""
    return min(MOST_FINISHED, max(0, (lines - 2 - running) // 3))


def _fitting(running: Sequence[Step], room: int) -> tuple[Sequence[Step], int]:
    if len(running) <= room:
        return running, 0
    kept = max(0, room - 1)
    return running[:kept], len(running) - kept


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Split ``room`` fairly: what one does not want, the others get."""
    shares = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    for place, index in enumerate(order):
        shares[index] = max(0, min(wanted[index], room // (len(order) - place)))
        room -= shares[index]
    return shares


def _details(step: Step, most: int | None = None) -> list[Transfer | str]:
    """The transfers under way, then the end of the log: as many as fit in ``most``."""
    moving: Iterable[Transfer] = (each for each in step.vertex.transfers if each.completed is None)
    transfers = list(moving)[:most]
    left = None if most is None else most - len(transfers)
    log = step.log if left is None else step.log[len(step.log) - min(left, len(step.log)) :]
    return [*transfers, *log]


def _logged(line: str) -> Text:
    text = Text.from_ansi(line)
    text.style = "dim"
    return text


def _short(name: str) -> str:
    return _DIGEST.sub(r"\1", name)


def _row(left: Text, columns: int, right: Text | None = None) -> Text:
    """One line: what is too long on the left is clipped, by cells, before the right is."""
    width = max(1, min(columns - 1, WIDEST))
    right_cells = right.cell_len + 2 if right else 0
    left.truncate(max(1, width - right_cells), overflow="ellipsis")
    if right:
        left.append(" " * max(0, width - left.cell_len - right.cell_len)).append(right)
        left.truncate(width, overflow="crop")
    left.no_wrap = True
    return left
