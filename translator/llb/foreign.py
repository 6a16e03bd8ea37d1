"""Graphs that frontends write, put into ours.

A definition's operations become vertices that keep what they are: bytes, metadata, places in the
frontend's own source. Where the frontend was given a graph of ours, its operations go on from the
vertices that this graph has by now, and their digests follow. What names the session that the
frontend was asked in is dropped, as the build has another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from schemas.pb import ops_pb2 as pb
from translator.compiled import ResolvedFrontend
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.llb import back_faults as faults
from translator.llb.foreignop import Asked, adds, grown, sealed, withhold
from translator.llb.frontends import call, entitled, shown
from translator.llb.graph import Edge, ForeignOp, Tree, Vertex
from translator.llb.marshal import NAME_KEY
from translator.llb.sources import HINT, LOCAL, UNIQUE
from translator.span import Position, SourceFile, Span
from translator.stage import Dockerfile, Frontend, Stage

_SESSION = ("local.session", "oci.session")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a frontend's graph goes.

    ``trees`` are what the frontend was given, by its names for them, ``locals`` the names that the
    session has for the folders that it was given, ``unique`` sets those of this run apart.
    """

    stage: Stage
    made: Dockerfile | Frontend
    trees: Mapping[str, Tree]
    locals: Mapping[str, str]
    unique: str
    title: Callable[[str], str]
    add: Callable[[Vertex], Edge]


def head(definition: bytes) -> tuple[str, int] | None:
    """The operation that is a definition's result, and which of its outputs; None for no tree."""
    operations = list(getattr(pb.Definition.FromString(definition), "def"))
    if not operations:
        return None
    last = pb.Op.FromString(operations[-1])
    return last.inputs[0].digest, last.inputs[0].index


def spliced(resolved: ResolvedFrontend, place: Place) -> Tree:
    """Put what a frontend made into the graph in the making, and give its tree.

    Raises InvalidFileError for what it asks for and the stage does not allow, and for a definition
    that is none.
    """
    try:
        root = head(resolved.definition)
        if root is None:
            return None
        given = _given(resolved, place)
        work = _Splicing(pb.Definition.FromString(resolved.definition), given, place)
        return given.get(root) or work.run(root)
    except (LookupError, DecodeError) as error:
        fault = faults.broken_graph(place.stage.ref.name, place.made.span)
        raise InvalidFileError([fault]) from error


def pending(place: Place) -> Edge:
    """A vertex in place of what a frontend has not made yet."""
    made, asked = place.made, call(place.stage)
    return place.add(
        Vertex(
            payload=ForeignOp(
                sealed=True,
                secrets=made.secrets,
                ssh=made.ssh,
                entitlements=entitled(made),
            ),
            inputs=tuple(dict.fromkeys(tree for tree in place.trees.values() if tree)),
            name=place.title(f"by {asked.what}"),
            uses=(),
            span=made.span,
        )
    )


def _given(resolved: ResolvedFrontend, place: Place) -> dict[tuple[str, int], Edge]:
    """Where the graphs that the frontend was given are now, by their results as it knows them."""
    heads = ((head(data), place.trees.get(name)) for name, data in resolved.inputs.items())
    return {known: tree for known, tree in heads if known is not None and tree is not None}


class _Splicing:
    """One definition on its way."""

    def __init__(
        self, definition: pb.Definition, given: Mapping[tuple[str, int], Edge], place: Place
    ) -> None:
        data = getattr(definition, "def")
        self._ops = {_digest(each): pb.Op.FromString(each) for each in data}
        self._definition = definition
        self._given = given
        self._place = place
        self._files = [_file(info, place.stage) for info in definition.Source.infos]
        self._edges: dict[str, Edge] = {}

    def run(self, root: tuple[str, int]) -> Edge:
        for digest in self._order(root):
            self._edges[digest] = self._place.add(self._vertex(digest))
        return self._edge(*root)

    def _order(self, root: tuple[str, int]) -> list[str]:
        """What the result takes, each operation after its inputs."""
        needed: set[str] = set()
        waiting = [root[0]]
        while waiting:
            digest = waiting.pop()
            if digest not in needed:
                needed.add(digest)
                waiting += [
                    each.digest for each in self._ops[digest].inputs if not self._ours(each)
                ]
        # Inputs are listed before their use: no Go client has it otherwise, and daemons demand it.
        return [digest for digest in self._ops if digest in needed]

    def _ours(self, each: pb.Input) -> bool:
        return (each.digest, each.index) in self._given

    def _edge(self, digest: str, index: int) -> Edge:
        ours = self._given.get((digest, index))
        return ours or replace(self._edges[digest], output=index)

    def _vertex(self, digest: str) -> Vertex:
        op = self._ops[digest]
        metadata = self._definition.metadata[digest]
        span = self._span(digest)
        inputs = [self._edge(each.digest, each.index) for each in op.inputs]
        return Vertex(
            payload=self._payload(op, metadata, span),
            inputs=tuple(inputs),
            name=self._place.title(metadata.description.get(NAME_KEY) or op.WhichOneof("op") or ""),
            uses=(),
            span=span,
        )

    def _payload(self, op: pb.Op, metadata: pb.OpMetadata, span: Span) -> ForeignOp:
        kind = op.WhichOneof("op") or ""
        head, body = pb.Op(), pb.Op()
        head.CopyFrom(op)
        head.ClearField("inputs")
        if kind:
            getattr(body, kind).CopyFrom(getattr(op, kind))
            head.ClearField(kind)
        local = self._localized(body.source, span) if kind == "source" else ""
        made = self._place.made
        withhold(body, kind, made)
        asked = Asked.of(body, kind)
        if found := list(_not_given(asked, made, span)):
            raise InvalidFileError(found)
        return ForeignOp(
            head=head.SerializeToString(deterministic=True),
            body=body.SerializeToString(deterministic=True),
            metadata=metadata.SerializeToString(deterministic=True),
            grown=tuple(grown(body, kind, len(op.inputs))),
            adds=adds(body, kind),
            sealed=sealed(body, kind),
            local=local,
            secrets=asked.secrets,
            ssh=asked.ssh,
            entitlements=asked.entitlements,
        )

    def _localized(self, source: pb.SourceOp, span: Span) -> str:
        """Name a folder as the session of the build has it."""
        for key in _SESSION:
            source.attrs.pop(key, None)
        if not source.identifier.startswith(LOCAL):
            return ""
        name = source.identifier.removeprefix(LOCAL)
        if name not in self._place.locals:
            raise InvalidFileError([faults.strange_folder(self._place.stage.ref.name, name, span)])
        name = self._place.locals[name]
        source.identifier = f"{LOCAL}{name}"
        source.attrs[HINT] = f"{name}-{source.attrs.get(HINT, '')}"
        source.attrs.pop(UNIQUE, None)
        if self._place.unique:
            source.attrs[UNIQUE] = self._place.unique
        return name

    def _span(self, digest: str) -> Span:
        """The lines of the frontend's own source, else where the stage says who makes it."""
        made = self._place.made
        for location in self._definition.Source.locations[digest].locations:
            ranges = location.ranges
            if ranges and 0 <= location.sourceIndex < len(self._files):
                file = self._files[location.sourceIndex]
                first = min(each.start.line for each in ranges)
                last = max(each.end.line for each in ranges)
                return lines(file, first, last)
        return made.span


def lines(file: SourceFile, first: int, last: int) -> Span:
    """Whole lines of a file, as far as it has them."""
    known = file.lines or [""]
    first = min(max(first, 1), len(known))
    last = min(max(last, first), len(known))
    return Span(file, Position(first, 1), Position(last, len(known[last - 1]) + 1))


def _file(info: pb.SourceInfo, stage: Stage) -> SourceFile:
    return SourceFile(
        name=shown(stage, info.filename),
        folder=stage.span.file.folder,
        text=info.data.decode(errors="replace"),
        language=info.language,
    )


def _not_given(asked: Asked, made: Dockerfile | Frontend, span: Span) -> Iterator[Diagnostic]:
    """What an operation cannot do without, and its stage does not give it."""
    for name in asked.secrets:
        if name not in made.secrets:
            yield faults.not_given("secret", "secrets", name, span, made.span)
    for name in asked.ssh:
        if name not in made.ssh:
            yield faults.not_given("SSH agent", "ssh", name, span, made.span)
    for name in asked.entitlements:
        if name not in entitled(made):
            yield faults.not_entitled(name, span, made.span)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
