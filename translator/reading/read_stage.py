"""Stages: the defaults of their steps, the steps, and the image config that they leave."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from translator.platform import Platform
from translator.reading import value_faults as faults
from translator.reading.read_frontend import dockerfile, frontend
from translator.reading.read_source import origin
from translator.reading.read_step import network, step
from translator.reading.read_worker import worker
from translator.reading.reader import (
    Field,
    Reader,
    Reading,
    attributes,
    duration,
    environment,
    fields,
    integer,
    pairs,
    plain,
    record,
    several,
    text,
    texts,
)
from translator.stage import (
    Diff,
    Dockerfile,
    Frontend,
    Healthcheck,
    ImageOptions,
    Merge,
    Origin,
    Stage,
    StageRef,
)
from translator.text.document import Node, Table

_TEST_FORMS = frozenset(("NONE", "CMD", "CMD-SHELL"))


def _test(node: Node, reading: Reading) -> tuple[str, ...] | None:
    """An argv, with or without the engine's word before it."""
    argv = texts(node, reading)
    if not argv or argv[0] in _TEST_FORMS:
        return argv
    return ("CMD", *argv)


_HEALTHCHECK = fields(
    test=Field(_test, required=True),
    interval=duration,
    timeout=duration,
    start_period=duration,
    start_interval=duration,
    retries=integer,
)
image_options = record(
    ImageOptions,
    fields(
        entrypoint=texts,
        cmd=texts,
        env=environment,
        workdir=text,
        user=text,
        labels=pairs,
        expose=texts,
        volumes=texts,
        stop_signal=text,
        healthcheck=plain(Healthcheck, _HEALTHCHECK),
        shell=texts,
        author=text,
    ),
)


# --- beginnings ------------------------------------------------------------------------------


_origins: Reader[tuple[Origin, ...]] = several(origin)


def _merge(node: Node, reading: Reading) -> Merge | None:
    inputs = _origins(node, reading)
    if inputs is not None and len(inputs) < 2:
        reading.found.at(node, faults.merge_of_few(node.span))
        return None
    return None if inputs is None else Merge(inputs=inputs, span=node.span)


_BEGINNINGS: Mapping[str, Reader[Origin | Merge | Diff | Dockerfile | Frontend]] = MappingProxyType(
    {
        "from": origin,
        "merge": _merge,
        "diff": record(
            Diff, fields(lower=Field(origin, required=True), upper=Field(origin, required=True))
        ),
        "dockerfile": dockerfile,
        "frontend": frontend,
    }
)


# --- stages ----------------------------------------------------------------------------------

_STEPS = fields(
    steps=several(step),
    workdir=text,
    env=environment,
    user=text,
    shell=texts,
    network=network,
    worker=worker,
    image=image_options,
)
_NO_STEPS = fields(worker=worker, image=image_options)
_APART = (*_BEGINNINGS, "platform", "description")


def stage(
    node: Table, ref: StageRef, platform: Platform, below: Reading, reading: Reading
) -> Stage | None:
    """The stage ``ref`` on ``platform``.

    ``below`` resolves the names that the stage begins with, ``reading`` all others. Whether
    ``platform`` is what the stage says has been decided already; ``description`` is for people.
    """
    keys = [key for key in _BEGINNINGS if key in node.entries]
    if len(keys) != 1:
        reading.found.at(node, faults.exactly_one(tuple(_BEGINNINGS), keys, node.span))
    begun = [_BEGINNINGS[key](node.entries[key].value, below) for key in keys]
    rest = {key: entry for key, entry in node.entries.items() if key not in _APART}
    given = attributes(rest, _NO_STEPS if keys and "from" not in keys else _STEPS, node, reading)
    if len(begun) != 1 or begun[0] is None or given is None:
        return None
    return Stage(ref=ref, platform=platform, origin=begun[0], **given, span=node.span)
