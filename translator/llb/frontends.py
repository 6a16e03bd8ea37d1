"""Stages that frontends make: what each is asked with, spelt as BuildKit's own frontends read it.

Names of options, inputs and local sources: frontend/dockerfile/builder/build.go (v0.3 to v0.10),
frontend/dockerui/config.go (v0.11 and later), frontend/gateway/gateway.go.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from translator.llb.title import origin_title
from translator.stage import Dockerfile, Frontend, LocalSource, Origin, Stage

CONTEXT, DOCKERFILE = "context", "dockerfile"
RESERVED = (CONTEXT, DOCKERFILE)
"""Names of local sources that the Dockerfile frontend has for its own."""
_INLINE = "Dockerfile"
_FRONTEND = "dockerfile.v0"


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a frontend is asked with: ``inputs`` as graphs, the others as local sources, by name.

    ``named`` are the inputs whose image configs it is told as well. ``what`` is it in a message.
    """

    frontend: str
    opts: Mapping[str, str]
    inputs: Mapping[str, Origin] = field(default_factory=dict)
    folders: Mapping[str, LocalSource] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    what: str


def is_made(stage: Stage) -> bool:
    """Whether a frontend makes the stage."""
    return isinstance(stage.origin, Dockerfile | Frontend)


def call(stage: Stage) -> Call:
    """What the frontend of a stage is asked with."""
    return _CALLS[type(stage.origin)](stage.origin, str(stage.platform))


def entitled(made: Dockerfile | Frontend) -> tuple[str, ...]:
    """What the steps of a frontend may do beyond the usual."""
    host = isinstance(made, Dockerfile) and made.network == "host"
    return (*made.entitlements, *(("network.host",) if host else ()))


def made_by(stage: Stage) -> str:
    """The frontend of a stage and what it is given, in words; '' where none makes it."""
    if not isinstance(stage.origin, Dockerfile | Frontend):
        return ""
    asked = call(stage)
    origins: Mapping[str, Origin] = {**asked.inputs, **asked.folders}
    given = ", ".join(f"{name} {origin_title(each)}" for name, each in origins.items())
    return f"by {asked.what}" + (f" with {given}" if given else "")


def shown(stage: Stage, name: str) -> str:
    """How a file that a frontend speaks of is called in messages: by its way from here."""
    origin = stage.origin
    if not isinstance(origin, Dockerfile):
        return name
    if origin.inline:
        return f"{stage.ref.name}: inline {_INLINE}"
    place = origin.place or origin.context
    if not isinstance(place, LocalSource):
        return name
    file = place.span.file
    folder = posixpath.relpath(place.path, file.folder)
    return posixpath.normpath(posixpath.join(posixpath.dirname(file.name), folder, name))


def _dockerfile(made: Dockerfile, platform: str) -> Call:
    given = {CONTEXT: made.context}
    texts: dict[str, Mapping[str, bytes]] = {}
    if made.inline:
        texts[DOCKERFILE] = {_INLINE: made.inline.encode()}
    else:
        given[DOCKERFILE] = made.place or made.context
    folders = {name: origin for name, origin in given.items() if _is_folder(origin)}
    inputs = {name: origin for name, origin in given.items() if name not in folders}
    named = {f"{CONTEXT}-{name}": origin for name, origin in made.contexts}
    rows = (
        ("filename", made.file if not made.inline else ""),
        ("target", made.target),
        ("force-network-mode", made.network or ""),
        ("image-resolve-mode", _resolve(made)),
        *((f"label:{name}", value) for name, value in made.labels),
    )
    opts = {
        "platform": platform,
        **{key: value for key, value in rows if value},
        **{f"build-arg:{name}": value for name, value in made.args},
        **{f"context:{name}": f"input:{CONTEXT}-{name}" for name, _ in made.contexts},
        **({"no-cache": ""} if made.no_cache else {}),
    }
    return Call(
        frontend=_FRONTEND,
        opts=opts,
        inputs={**inputs, **named},
        folders={name: each for name, each in folders.items() if isinstance(each, LocalSource)},
        texts=texts,
        named=tuple(named),
        what=f"{_FRONTEND}, {_what(made)}",
    )


def _gateway(made: Frontend, platform: str) -> Call:
    """An image. What daemons without inputs can give it are the folders among them."""
    return Call(
        frontend="gateway.v0",
        opts={
            "platform": platform,
            **({"image-resolve-mode": mode} if (mode := _resolve(made)) else {}),
            **dict(made.opts),
            "source": made.image,
        },
        inputs=dict(made.inputs),
        folders={
            name: each
            for name, each in made.inputs
            if isinstance(each, LocalSource) and not each.served
        },
        what=f"gateway.v0, image {made.image}",
    )


def _resolve(made: Dockerfile | Frontend) -> str:
    return "" if made.resolve == "default" else made.resolve


def _what(made: Dockerfile) -> str:
    return f"file {made.file}" if not made.inline else "inline file"


def _is_folder(origin: Origin) -> bool:
    """Whether the frontend is to read a folder itself, with the ignore file that lies in it."""
    return isinstance(origin, LocalSource) and origin.ignore_file and not origin.served


_CALLS: Mapping[type, Callable[[Any, str], Call]] = {Dockerfile: _dockerfile, Frontend: _gateway}
