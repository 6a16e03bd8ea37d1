from __future__ import annotations

from typing import Any

import pytest

from tests.translator.stages import (
    AMD64,
    HERE,
    SCRATCH,
    copy,
    image,
    inline,
    instance,
    local,
    run,
    stage,
)
from translator.llb.assemble import Options, assemble
from translator.llb.graph import Edge, Graph
from translator.llb.layers import Layer, Layers, Stack
from translator.stage import Diff, Merge, Origin, Remove, Stage, StageRef, Write

BASE = stage("base", image(), run("base"))
TOOLS = stage("tools", StageRef("base"), run("one"), run("two"))
PAGES = stage("pages", SCRATCH, Write(path="/a", data=b"", span=HERE), copy(inline(("b", "c"))))
SHRUNK = stage("shrunk", StageRef("pages"), Remove(path="/a", span=HERE))
CHANGES = stage("changes", Diff(lower=StageRef("base"), upper=StageRef("tools"), span=HERE))
STAGES = (BASE, TOOLS, PAGES, SHRUNK, CHANGES)


def merge(*inputs: Origin | str) -> Stage:
    named = tuple(StageRef(each) if isinstance(each, str) else each for each in inputs)
    return stage("m", Merge(inputs=named, span=HERE))


def diff(lower: Origin | str, upper: Origin | str) -> Stage:
    ends = [StageRef(each) if isinstance(each, str) else each for each in (lower, upper)]
    return stage("d", Diff(lower=ends[0], upper=ends[1], span=HERE))


def graph_of(*stages: Stage) -> Graph:
    options = Options(images={}, ignores={}, no_cache=False, unique="")
    return assemble([instance(*stages)], options).graph


class Named:
    """The stack of the last stage, with its trees by the titles of their vertices."""

    def __init__(self, *stages: Stage) -> None:
        self._graph = graph_of(*stages)
        self.layers = Layers(self._graph)
        self.stack = self.layers.stack(len(self._graph.vertices) - 1)

    @property
    def shown(self) -> Any:
        if self.stack is None:
            return None
        shown = [(self._name(each.lower), self._name(each.upper)) for each in self.stack.layers]
        return self._name(self.stack.tree), shown

    def _name(self, tree: Edge | None) -> str:
        if tree is None:
            return ""
        return self._graph.vertices[tree.vertex].name.removeprefix("load image docker.io/")


START, ONE, TWO = "[base] run base", "[tools 1/2] run one", "[tools 2/2] run two"
LAST_PAGE, SMALLER = "[pages 2/2] copy text -> /", "[shrunk] remove /a"
NOTHING = ""


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        # The first is built upon; what only adds to nothing is as good as its last tree.
        (merge("base", "pages"), (START, [(NOTHING, LAST_PAGE)])),
        (
            merge("base", "shrunk"),
            (START, [(NOTHING, LAST_PAGE), (LAST_PAGE, SMALLER)]),
        ),
        # Sources add; an image first is what is built upon.
        (merge(image(), local()), ("library/alpine:latest", [(NOTHING, "[sources] local src")])),
        # What stands on all that was there is the result itself.
        (merge("base", "tools"), (TWO, [])),
        (merge("pages", "shrunk"), (SMALLER, [])),
        # A diff that begins with what is there leads to its upper.
        (merge("base", "changes"), (TWO, [])),
        (merge("base", "changes", "pages"), (TWO, [(NOTHING, LAST_PAGE)])),
        # Laid over something else, each of its layers counts.
        (
            merge("base", "pages", "changes"),
            (START, [(NOTHING, LAST_PAGE), (START, ONE), (ONE, TWO)]),
        ),
        (merge("pages", "changes"), (LAST_PAGE, [(START, ONE), (ONE, TWO)])),
        # What an image removes in its own layers would matter to those before it.
        (merge("pages", "base"), None),
        (merge("pages", image()), None),
        (merge("tools", image("other")), None),
        # Diffs: layer by layer along a chain, at once between two others, or over one layer.
        (diff("base", "tools"), (NOTHING, [(START, ONE), (ONE, TWO)])),
        (diff("pages", "shrunk"), (NOTHING, [(LAST_PAGE, SMALLER)])),
        (diff("tools", "pages"), (NOTHING, [(TWO, LAST_PAGE)])),
        (diff("pages", "tools"), (NOTHING, [(LAST_PAGE, TWO)])),
        (diff("tools", SCRATCH), (NOTHING, [(TWO, NOTHING)])),
        (diff("tools", image("other")), (NOTHING, [(TWO, "library/other:latest")])),
        # One image may have been made from the other.
        (diff(image("one"), image("two")), None),
        (diff(image("one"), "tools"), None),
    ],
)
def test_what_a_stage_comes_to(last: Stage, expected: Any) -> None:
    assert Named(*STAGES, last).shown == expected


def test_equal_stages_are_one() -> None:
    again = stage("again", image(), run("base"))
    more = stage("more", StageRef("again"), run("more"), run("and more"))
    found = Named(BASE, again, more, diff("base", "more"))
    assert found.stack is not None and len(found.stack.layers) == 2


def test_a_merge_of_a_merge_lays_all_of_its_layers() -> None:
    inner = stage("inner", Merge(inputs=(StageRef("pages"), StageRef("changes")), span=HERE))
    top = stage("top", StageRef("inner"), run("on top"))
    shown = Named(*STAGES, inner, top, merge(local(), "top")).shown
    assert shown == (
        "[sources] local src",
        [
            (NOTHING, LAST_PAGE),
            (START, ONE),
            (ONE, TWO),
            ("[inner] merge pages, changes", "[top] run on top"),
        ],
    )


def test_an_archive_that_is_unpacked_may_remove() -> None:
    unpacked = stage("unpacked", StageRef("pages"), copy(local(), unpack=True))
    shown = Named(*STAGES, unpacked, merge("base", "unpacked")).shown
    assert shown[1] == [
        (NOTHING, LAST_PAGE),
        (LAST_PAGE, "[unpacked] copy src -> /"),
    ]


def test_what_may_remove_is_told_from_what_only_adds() -> None:
    adds, removes = Named(*STAGES, merge("base", "pages")), Named(*STAGES, merge("base", "shrunk"))
    assert adds.stack and not adds.layers.removes(adds.stack)
    assert removes.stack and removes.layers.removes(removes.stack)
    assert removes.layers.removes(Stack(None, (Layer(None, None),)))


def test_ten_thousand_layers_need_no_recursion() -> None:
    long = stage("long", image(), *(run(str(number)) for number in range(10_000)))
    found = Named(BASE, long, diff(image(), "long"))
    assert found.stack is not None and len(found.stack.layers) == 10_000
    assert long.platform == AMD64
