"""Stages: the defaults of their steps, the steps, and the image config that they leave."""

from __future__ import annotations

from translator.platform import Platform
from translator.reading.read_source import origin
from translator.reading.read_step import network, step
from translator.reading.reader import (
    Field,
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
from translator.stage import Healthcheck, ImageOptions, Stage, StageRef
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


_STAGE = fields(
    steps=several(step),
    workdir=text,
    env=environment,
    user=text,
    shell=texts,
    network=network,
    image=image_options,
)
_APART = ("from", "platform", "description")


def stage(
    node: Table, ref: StageRef, platform: Platform, below: Reading, reading: Reading
) -> Stage | None:
    """The stage ``ref`` on ``platform``.

    ``below`` resolves the names in ``from``, ``reading`` all others. Whether ``platform`` is what
    the stage says has been decided already; ``description`` is for people.
    """
    start = node.entries.get("from")
    if start is None:
        reading.missing("from", node)
    origin_ = origin(start.value, below) if start else None
    rest = {key: entry for key, entry in node.entries.items() if key not in _APART}
    given = attributes(rest, _STAGE, node, reading)
    if origin_ is None or given is None:
        return None
    return Stage(ref=ref, platform=platform, origin=origin_, **given, span=node.span)
