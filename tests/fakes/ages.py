"""Two daemons by script, of v0.3 and of today, that do with a request what those releases do.

They read the recorded bytes by field number, as the ``.proto`` files of their release have them
(api/services/control, frontend/gateway/pb and solver/pb of v0.3.3 and v0.32.2), not with the
messages of this project: a field that their release did not have yet is not there for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from daemon_shim import releases
from schemas.pb import gateway_pb2
from schemas.rpc import Control, LLBBridge
from tests.fakes.control import BUILD_ID, FakeControl
from tests.translator.wire import fields

Attrs = Mapping[str, str]
Entry = tuple[str, Attrs]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the daemon does for a request; what its release does not read is not in here."""

    ref: str
    plain: bool
    exporters: tuple[Entry, ...] = ()
    cache_exports: tuple[Entry, ...] = ()
    cache_imports: tuple[Entry, ...] = ()
    frontend_attrs: Attrs = field(default_factory=dict)


class AgedControl:
    """A scripted daemon of a release; ``done`` is its work for requests that have a session.

    ``imports`` has what each solve of a gateway build imports.
    """

    def __init__(
        self, folder: Path, release: releases.Release, read: Callable[[bytes], Work]
    ) -> None:
        self.done: list[Work] = []
        self.imports: list[tuple[Entry, ...]] = []
        self._release = release
        self._read = read
        self._refs: set[str] = set()
        known = releases.known_to(release)
        self.fake = FakeControl(
            folder=folder,
            llb=known,
            gateway=known,
            version=releases.exact(release) if release >= (0, 11, 0) else None,
            script={LLBBridge.SOLVE.path: self._gateway_solve},
        )
        self._wait = self.fake.handler(Control.SOLVE.path)
        self.fake.script[Control.SOLVE.path] = self._solve

    def __enter__(self) -> AgedControl:
        self.fake.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.fake.stop()

    def solves(self) -> list[bytes]:
        """The bytes of every Solve with a session."""
        calls = [call.body for call in self.fake.calls if call.path == Control.SOLVE.path]
        return [body for body in calls if text(body, 5)]

    def gateway_solves(self) -> list[bytes]:
        """The bytes of every solve of a gateway build."""
        return [call.body for call in self.fake.calls if call.path == LLBBridge.SOLVE.path]

    def _solve(self, body: bytes, context: grpc.ServicerContext) -> Any:
        work = self._read(body)
        fault = self._fault(body, work)
        if fault:
            context.abort(grpc.StatusCode.UNKNOWN, fault)
        if text(body, 5):
            self.done.append(work)
        assert self._wait
        return self._wait(body, context)

    def _fault(self, body: bytes, work: Work) -> str:
        if work.ref in self._refs:
            return f"job ID {work.ref} exists"
        self._refs.add(work.ref)
        # A worker's exporters; v0.3 has no tar (worker/base/worker.go).
        known = {"image", "local", "oci", "docker"} | (
            {"tar"} if self._release >= (0, 5, 0) else set()
        )
        lost = [name for name, _ in work.exporters if name not in known]
        if lost:
            return f'exporter "{lost[0]}" could not be found'
        return self._graph_fault(only(body, 2)) if work.plain else ""

    def _graph_fault(self, definition: bytes) -> str:
        """What loading a graph says (solver/llbsolver/vertex.go)."""
        for _, entry in picked(definition, 2):
            metadata = only(entry, 2)
            for _, cap in picked(metadata, 5):
                if text(cap, 1) not in releases.known_to(self._release):
                    return f"unknown API capability {text(cap, 1)}"
        bodies = {2, 3, 5} | ({4} if self._release >= (0, 5, 0) else set())
        for _, op in picked(definition, 1)[:-1]:
            if not bodies & {number for number, _ in fields(op)}:
                return "could not resolve"
        return ""

    def _gateway_solve(self, body: bytes, context: grpc.ServicerContext) -> Any:
        fault = self._graph_fault(only(body, 1))
        if fault:
            context.abort(grpc.StatusCode.UNKNOWN, fault)
        old = tuple(("registry", {"ref": ref}) for ref in texts(body, 4))
        new = tuple(_entry(entry) for _, entry in picked(body, 12))
        self.imports.append(old if self._release < (0, 4, 0) else new)
        name = f"{dict(context.invocation_metadata())[BUILD_ID]}-{len(self.imports)}"
        arrays = self._release >= (0, 7, 0) and bool(picked(body, 6))
        result = (
            gateway_pb2.Result(ref=gateway_pb2.Ref(id=name))
            if arrays
            else gateway_pb2.Result(refDeprecated=name)
        )
        return gateway_pb2.SolveResponse(result=result)


def legacy(folder: Path) -> AgedControl:
    """As v0.3.3: one exporter, caches by ref; lists are unknown fields, and ignored."""
    return AgedControl(folder, (0, 3, 3), _read_legacy)


def current(folder: Path) -> AgedControl:
    """As v0.32.2: lists, and the old fields added to them or taken where the list is empty."""
    return AgedControl(folder, (0, 32, 2), _read_current)


def _read_legacy(body: bytes) -> Work:
    cache = only(body, 8)
    exported = text(cache, 1)
    attrs = attributes(cache, 3)
    mode = {"mode": attrs["mode"]} if "mode" in attrs else {}
    return Work(
        ref=text(body, 1),
        plain=bool(picked(body, 2)),
        exporters=((text(body, 3), attributes(body, 4)),) if text(body, 3) else (),
        cache_exports=(("registry", {"ref": exported, **mode}),) if exported else (),
        cache_imports=tuple(("registry", {"ref": ref}) for ref in texts(cache, 2)),
        frontend_attrs=attributes(body, 7),
    )


def _read_current(body: bytes) -> Work:
    cache = only(body, 8)
    old_exports = [("registry", {**attributes(cache, 3), "ref": ref}) for ref in texts(cache, 1)]
    old_imports = [("registry", {"ref": ref}) for ref in texts(cache, 2)]
    listed = tuple(_entry(entry) for _, entry in picked(body, 13))
    pair = ((text(body, 3), attributes(body, 4)),) if text(body, 3) else ()
    return Work(
        ref=text(body, 1),
        plain=bool(picked(body, 2)),
        exporters=listed or pair,
        cache_exports=(*(_entry(entry) for _, entry in picked(cache, 4)), *old_exports),
        cache_imports=(*(_entry(entry) for _, entry in picked(cache, 5)), *old_imports),
        frontend_attrs=attributes(body, 7),
    )


def _entry(data: bytes) -> Entry:
    return text(data, 1), attributes(data, 2)


# --- fields by their number ---------------------------------------------------------------------


def picked(data: bytes, number: int) -> list[tuple[int, bytes]]:
    """The fields of one number."""
    return [each for each in fields(data) if each[0] == number]


def only(data: bytes, number: int) -> bytes:
    """The content of a field that stands once, b'' where it is absent."""
    found = picked(data, number)
    return found[0][1] if found else b""


def texts(data: bytes, number: int) -> list[str]:
    """The texts of a repeated field."""
    return [content.decode() for _, content in picked(data, number)]


def text(data: bytes, number: int) -> str:
    """The text of a field, '' where it is absent."""
    return only(data, number).decode()


def attributes(data: bytes, number: int) -> dict[str, str]:
    """A field that is a map of texts."""
    return {text(entry, 1): text(entry, 2) for _, entry in picked(data, number)}
