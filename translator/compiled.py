"""What the back half gives: a definition, and all that a daemon and a session need for it.

``translator.compile`` has the functions:

- ``images_needed``: the images whose configuration decides the result;
- ``compile_instances``: several instances at once, so that they share vertices and each local
  source is sent once for all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from translator.platform import Platform
from translator.span import Span
from translator.stage import ResolveMode, Stage


@dataclass(frozen=True, kw_only=True)
class ImageNeed:
    """An image whose digest and configuration must be known before compiling.

    ``store`` is empty for a registry's image, with ``ref`` in its full form. Else it is the id of
    the OCI layout (in ``Compiled.stores``) in the folder ``path``, with ``ref`` as the tag or the
    digest there. Equal but for ``span`` means the same image.
    """

    ref: str
    platform: Platform
    resolve: ResolveMode = "default"
    store: str = ""
    path: str = ""
    span: Span = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class ResolvedImage:
    """The answer to an ``ImageNeed``: the digest that pins it, and the config's JSON bytes.

    ``digest`` is of the manifest or the index, and empty where the daemon knows none. ``note`` says
    how it was had, where it was not from the daemon.
    """

    digest: str
    config: bytes
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ResolvedFrontend:
    """What a frontend made of a stage: the answer to a ``FrontendNeed``.

    ``definition`` is a serialised ``pb.Definition``, empty for the empty tree; ``config`` an image
    config as JSON, empty for none. ``inputs`` are the definitions that it was given, by name.
    """

    definition: bytes
    config: bytes = b""
    inputs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LocalUse:
    """A folder that the session serves under ``name`` (the vertex is ``local://NAME``).

    ``include``, ``exclude`` and ``follow`` are patterns relative to ``path``: the daemon sends
    them back with its request, and the session serves nothing outside of them. ``exclude`` holds
    the source's own patterns and those of its ignore file.
    """

    name: str
    path: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program of our own that the session serves as ``file`` in the local source ``name``."""

    name: str
    file: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Need:
    """One capability that a definition uses: ``capability`` as the daemon lists it, and where.

    ``note`` says why there is no other way, where there could have been one.
    """

    capability: str
    what: str
    span: Span
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """A feature that the daemon lacks, done another way with the same result.

    ``capability`` and ``what`` are as in ``Need``, ``since`` is the release that has it
    (``v0.5.0``), and ``how`` the other way, as in "... is done by a helper program".
    """

    capability: str
    what: str
    since: str
    how: str
    span: Span


@dataclass(frozen=True, kw_only=True, slots=True)
class JoinedStep:
    """One of the steps that a vertex does: its name, and its places in the build file."""

    name: str
    spans: tuple[Span, ...]


_STEP_TOLD = re.compile(r"step (\d{1,6}): ")
"""How the helper begins what it says of one of several steps (``translator/helper``)."""


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """One instance as LLB.

    ``definition`` is a serialised ``pb.Definition`` (empty ``def`` for a scratch result),
    ``image_config`` the OCI image config as JSON, without layers. ``spans`` leads from a vertex
    digest back to the build file, ``names`` to its display name, and ``joined``, where it does
    several steps, to each of them.
    """

    platform: Platform
    definition: bytes
    image_config: bytes
    vertices: int
    spans: Mapping[str, tuple[Span, ...]]
    names: Mapping[str, str]
    joined: Mapping[str, tuple[JoinedStep, ...]] = field(default_factory=dict)
    locals: tuple[LocalUse, ...] = ()
    programs: tuple[Program, ...] = ()
    stores: Mapping[str, str]
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    entitlements: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    lowerings: tuple[Lowering, ...] = ()

    def failed(self, vertex: str, log: tuple[str, ...]) -> tuple[JoinedStep, tuple[str, ...]]:
        """The step that a vertex failed in, and the log without what only tells that.

        Raises KeyError where the vertex is none of this definition.
        """
        several = self.joined.get(vertex, ())
        for line in reversed(log):
            told = _STEP_TOLD.match(line)
            if told and 0 < int(told[1]) <= len(several):
                return several[int(told[1]) - 1], tuple(_STEP_TOLD.sub("", each) for each in log)
        return JoinedStep(name=self.names[vertex], spans=self.spans.get(vertex, ())), log


@dataclass(frozen=True, kw_only=True)
class FrontendNeed:
    """A stage that a frontend of the daemon makes, and what it is asked with.

    ``frontend`` is ``dockerfile.v0`` or ``gateway.v0``. ``inputs`` are graphs by the names that it
    has for them, ``folders`` the client's folders that it may read as local sources, ``texts`` the
    same made of text: names and contents. Of secrets and agents it may ask for these alone.
    ``what`` is it in a message.
    """

    stage: Stage
    frontend: str
    opts: Mapping[str, str]
    inputs: Mapping[str, Compiled]
    folders: Mapping[str, LocalUse]
    texts: Mapping[str, Mapping[str, bytes]]
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    what: str
    span: Span
