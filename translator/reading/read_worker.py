"""Selectors of workers: those that ``workers`` names, and those in place."""

from __future__ import annotations

from translator.reading import name_faults
from translator.reading import value_faults as faults
from translator.reading.read_filter import worker_filter
from translator.reading.reader import (
    Field,
    Reading,
    attributes,
    fields,
    filled,
    flag,
    pairs,
    platform,
    several,
)
from translator.selector import Selector
from translator.suggest import suggest
from translator.text.document import Items, Node, Scalar, Table
from translator.workerfilter import WorkerFilter


def _filter(node: Node, reading: Reading) -> WorkerFilter | None:
    return None if filled(node, reading) is None else worker_filter(node, reading)


_filters = several(_filter)


def _one_or_several(node: Node, reading: Reading) -> tuple[WorkerFilter, ...] | None:
    if isinstance(node, Items):
        return _filters(node, reading)
    read = _filter(node, reading)
    return None if read is None else (read,)


def _labels(node: Node, reading: Reading) -> tuple[tuple[str, str], ...] | None:
    read = pairs(node, reading)
    return None if read is None else tuple(sorted(read))


_CONDITIONS = fields(
    platform=platform,
    labels=_labels,
    filter=Field(_one_or_several, to="filters"),
    daemon=filled,
)
_SELECTOR = {**_CONDITIONS, **fields(require=flag)}


def selector(node: Node, reading: Reading) -> Selector | None:
    """The selector that ``workers`` calls ``reading.owner``."""
    return _selector(node, reading, reading.owner)


def worker(node: Node, reading: Reading) -> Selector | None:
    """A selector: the name of one, or one in place."""
    if not isinstance(node, Scalar):
        return _selector(node, reading, "")
    name = filled(node, reading)
    if name is not None and name not in reading.workers:
        near = suggest(name, reading.workers)
        fault = name_faults.unknown_name("worker", name, node.span, near, "workers")
        reading.found.at(node, fault)
    return reading.workers.get(name) if name else None


def _selector(node: Node, reading: Reading, name: str) -> Selector | None:
    if not isinstance(node, Table):
        reading.wrong("a map", node)
        return None
    given = attributes(node.entries, _SELECTOR, node, reading)
    if not node.entries.keys() & _CONDITIONS.keys():
        reading.found.at(node, faults.selects_nothing(tuple(_CONDITIONS), node.span))
        return None
    return None if given is None else Selector(name=name, **given, span=node.span)
