"""Secrets hidden in what steps write: a step that prints its secret would have it in every log.

What is hidden are the values of the environment that a run may hand out, and of files those that
it did: of several lines each by itself. What is as short as a word of any log stays as it is.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from daemon_shim.events import Event, LogEvent, VertexEvent

HIDDEN = b"***"
_SHORTEST = 4  # bytes of a secret
_SHORTEST_LINE = 12  # bytes of one of several lines


class Mask:
    """The secrets of a run, as far as they are known. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known = _Words()

    def reading(self, read: Callable[[], bytes]) -> Callable[[], bytes]:
        """The same reader, whose value is hidden once it was read."""

        def noted() -> bytes:
            value = read()
            self.add(value)
            return value

        return noted

    def add(self, value: bytes) -> None:
        """Hide a value from now on."""
        lines = [line.strip() for line in value.strip().splitlines()]
        shortest = _SHORTEST if len(lines) == 1 else _SHORTEST_LINE
        with self._lock:
            added = (line for line in lines if len(line) >= shortest)
            self._known = _Words({*self._known.words, *added})

    def hidden(self, data: bytes) -> tuple[bytes, bytes]:
        """Data without secrets, and what stands at its end that may be the beginning of one."""
        return self._known.hidden(data)


class _Words:
    """What is hidden."""

    def __init__(self, words: Iterable[bytes] = ()) -> None:
        self.words = sorted(words, key=len, reverse=True)  # the longest that fits is hidden
        self._whole = re.compile(b"|".join(map(re.escape, self.words)))
        self._first = re.compile(b"|".join(re.escape(each[:1]) for each in self.words))

    def hidden(self, data: bytes) -> tuple[bytes, bytes]:
        """As for ``Mask``."""
        if not self.words:
            return data, b""
        rest = max((match.end() for match in self._whole.finditer(data)), default=0)
        rest = max(rest, len(data) - len(self.words[0]) + 1)
        begun = (match.start() for match in self._first.finditer(data, rest))
        end = next((at for at in begun if self._may_begin(data[at:])), len(data))
        return self._whole.sub(HIDDEN, data[:end]), data[end:]

    def _may_begin(self, end: bytes) -> bool:
        return any(each.startswith(end) for each in self.words)


class MaskedLogs:
    """The events of one job with secrets hidden, also those that come in pieces."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held: dict[tuple[str, int], LogEvent] = {}

    def hide(self, event: Event) -> Iterator[Event]:
        """The event as it may be shown, with what was held back before it."""
        if isinstance(event, LogEvent):
            yield from self._hide(event)
            return
        if isinstance(event, VertexEvent) and event.completed:
            yield from self.end(event.digest)
        yield event

    def _hide(self, event: LogEvent) -> Iterator[Event]:
        key = (event.vertex, event.stream)
        held = self._held.pop(key, None)
        shown, rest = self._mask.hidden((held.data if held else b"") + event.data)
        if rest:
            self._held[key] = replace(event, data=rest)
        if shown:
            yield replace(event, data=shown)

    def end(self, vertex: str | None = None) -> Iterator[Event]:
        """What is held back of a vertex, or of all, which was no secret after all."""
        for key in [each for each in self._held if vertex in (None, each[0])]:
            yield self._held.pop(key)
