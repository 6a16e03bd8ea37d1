"""Walks along references without recursion: an order in which each comes after what it uses."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def after_uses(
    roots: Iterable[T],
    uses: Callable[[T], Iterable[T]],
    circle: Callable[[Sequence[T]], None],
    done: set[T] | None = None,
) -> list[T]:
    """Everything that ``roots`` lead to, each after all that it ``uses``, in a stable order.

    ``circle`` is told of each path that leads back to its start, once; the reference that closes
    it is then passed over. What is in ``done`` is left out, and what is found is added to it.
    """
    finished: set[T] = set() if done is None else done
    order: list[T] = []
    path: dict[T, list[T]] = {}
    for root in roots:
        waiting = [] if root in finished else [root]
        while waiting or path:
            if waiting:
                thing = waiting.pop()
                path[thing] = list(uses(thing))[::-1]
            thing, left = next(reversed(path.items()))
            if not left:
                del path[thing]
                finished.add(thing)
                order.append(thing)
                continue
            following = left.pop()
            if following in path:
                steps = list(path)
                circle(steps[steps.index(following) :])
            elif following not in finished:
                waiting.append(following)
    return order
