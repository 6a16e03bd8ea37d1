"""Typed stages to LLB: the back half of the translation in two functions.

``images_needed`` says what must be asked of a daemon or a registry, and so does
``translator.frontends``; ``compile_instances`` does the rest without asking anybody. The way:
stages -> graph (``translator.llb.assemble``) -> graph for this daemon (``translator.llb.lower``) ->
bytes (``translator.llb.marshal``).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from translator.compiled import (
    Compiled,
    ImageNeed,
    Lowering,
    Need,
    Program,
    ResolvedFrontend,
    ResolvedImage,
)
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.llb.assemble import Assembly, Options, assemble
from translator.llb.capabilities import FEATURES
from translator.llb.graph import Detour, ExecOp, ForeignOp, Payload, SessionFile, SourceOp, Use
from translator.llb.lower import Terms, lower
from translator.llb.marshal import Definition, marshal
from translator.llb.sources import image_need, store_id
from translator.pause import no_collection
from translator.platform import Platform
from translator.stage import (
    BindMount,
    CacheMount,
    Copy,
    ImageSource,
    Instance,
    OciLayoutSource,
    Origin,
    Run,
    Stage,
    StageRef,
)

Frontends: TypeAlias = Mapping[StageRef, ResolvedFrontend]

_NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})
_NO_IMAGES: Mapping[ImageNeed, ResolvedImage] = MappingProxyType({})


def images_needed(instances: Iterable[Instance]) -> tuple[ImageNeed, ...]:
    """What must be resolved first: the images that stages begin with, and OCI layouts by tag.

    Raises InvalidFileError with every text that names no image.
    """
    needs: dict[ImageNeed, None] = {}
    faults: list[Diagnostic] = []
    for stage in _stages(instances):
        for source in _images(stage):
            try:
                needs.setdefault(image_need(source, stage.platform))
            except InvalidFileError as error:
                faults += error.diagnostics
    if faults:
        raise InvalidFileError(dict.fromkeys(faults))
    return tuple(needs)


def layouts_used(instances: Iterable[Instance]) -> Mapping[str, str]:
    """The folders of the OCI layouts that stages use, by the id of the store."""
    origins = (origin for stage in _stages(instances) for origin in (*stage.bases, *_copied(stage)))
    return {
        store_id(origin): origin.path for origin in origins if isinstance(origin, OciLayoutSource)
    }


def compile_instances(  # noqa: PLR0913 -- each is a setting of its own, by name
    instances: Sequence[Instance],
    *,
    images: Mapping[ImageNeed, ResolvedImage] = _NO_IMAGES,
    ignores: Mapping[str, tuple[str, ...]] = _NOTHING,
    no_cache: bool | Collection[str] = False,
    caps: Container[str] | None = None,
    native: Platform | None = None,
    unique: str = "",
    layouts: Mapping[str, str] = MappingProxyType({}),
    no_layouts: str = "",
    session: str = "",
    helpers: str = "",
    frontends: Frontends = MappingProxyType({}),
) -> tuple[Compiled, ...]:
    """Compile instances together, so that they share what is equal. One result for each.

    ``images`` answers ``images_needed``; an image of a registry without an answer stays unpinned,
    with an empty config. ``ignores`` has the patterns of ignore files by the folder of the local
    source. ``no_cache`` is for all, or for the steps of the stages it names. ``caps`` are the LLB
    capabilities that the daemon lists (None: all), for other ways where some are missing; one of
    them is a helper program, which ``native``, the daemon's own platform, decides on.
    ``unique`` sets local folders of this run apart from those of runs at the same time on the
    same daemon, which would otherwise be taken for the same: pass a new one for every build.
    ``layouts`` are names under which registries have OCI layouts, by the id of the store, for a
    daemon that lacks ``source.ocilayout``; ``no_layouts`` says why there are none.
    ``session`` is the one that ``served`` folders come from, and ``helpers`` an image that holds
    helper programs where this package keeps them, for when that session sends none. ``frontends``
    are what frontends made of their stages; one without is a vertex that no daemon can build.

    Raises InvalidFileError with every fault, KeyError for an OCI layout whose digest is unknown,
    ValueError for an image config that is none.
    """
    options = Options(
        images=images,
        ignores=ignores,
        no_cache=no_cache,
        unique=unique,
        session=session,
        frontends=frontends,
    )
    terms = Terms(
        caps=caps,
        native=native,
        unique=unique,
        layouts=layouts,
        no_layouts=no_layouts,
        helpers=helpers,
    )
    with no_collection():
        assembly = assemble(instances, options)
        graph, programs = lower(assembly.graph, terms)
        compiled = partial(_compiled, assembly, {each.name: each for each in programs})
        return tuple(map(compiled, instances, marshal(graph), assembly.configs))


# --- what images are there -------------------------------------------------------------------


def _stages(instances: Iterable[Instance]) -> Iterator[Stage]:
    stages = {id(stage): stage for each in instances for stage in each.stages.values()}
    yield from stages.values()


def _images(stage: Stage) -> Iterator[ImageSource | OciLayoutSource]:
    for base in () if stage.config else stage.bases:
        if isinstance(base, ImageSource | OciLayoutSource):
            yield base
    for origin in _copied(stage):
        # Of a layout that is copied from, only the digest is wanted.
        if isinstance(origin, OciLayoutSource) and not origin.digest:
            yield origin


def _copied(stage: Stage) -> Iterator[Origin]:
    for step in stage.steps:
        if isinstance(step, Copy):
            yield step.origin
        elif isinstance(step, Run):
            for mount in step.mounts:
                if isinstance(mount, BindMount | CacheMount) and mount.origin is not None:
                    yield mount.origin


# --- what goes with a definition -------------------------------------------------------------


def _compiled(
    assembly: Assembly,
    programs: Mapping[str, Program],
    instance: Instance,
    definition: Definition,
    config: bytes,
) -> Compiled:
    session = _Session(definition.payloads)
    return Compiled(
        platform=instance.platform,
        definition=definition.data,
        image_config=config,
        vertices=len(definition.payloads),
        spans=definition.spans,
        names=definition.names,
        joined=definition.joined,
        locals=tuple(
            assembly.locals[name]
            for name in sorted((session.locals & assembly.locals.keys()) - programs.keys())
        ),
        programs=tuple(programs[name] for name in sorted(session.locals & programs.keys())),
        stores={store: assembly.stores[store] for store in sorted(session.stores)},
        secrets=tuple(sorted(session.secrets)),
        ssh=tuple(sorted(session.ssh)),
        entitlements=tuple(sorted(session.entitlements)),
        needs=_needs(definition.uses),
        lowerings=_lowerings(definition.detours),
    )


def _needs(uses: Iterable[Use]) -> tuple[Need, ...]:
    first: dict[str, Use] = {}
    for use in uses:
        first.setdefault(use.feature, use)
    features = ((FEATURES[use.feature], use) for use in first.values())
    return tuple(
        Need(capability=feature.proof, what=feature.what, span=use.span, note=use.note)
        for feature, use in features
    )


def _lowerings(detours: Iterable[Detour]) -> tuple[Lowering, ...]:
    """Each way once for each place in the build file."""
    features = ((FEATURES[each.feature], each) for each in dict.fromkeys(detours))
    return tuple(
        Lowering(
            capability=feature.proof,
            what=feature.what,
            since=feature.since,
            how=each.how,
            span=each.span,
        )
        for feature, each in features
    )


class _Session:
    """What the payloads of a definition will ask the client for."""

    def __init__(self, payloads: Iterable[Payload]) -> None:
        self.locals: set[str] = set()
        self.stores: set[str] = set()
        self.secrets: set[str] = set()
        self.ssh: set[str] = set()
        self.entitlements: set[str] = set()
        for payload in payloads:
            if isinstance(payload, SourceOp):
                self._source(payload)
            elif isinstance(payload, ExecOp):
                self._exec(payload)
            elif isinstance(payload, ForeignOp):
                self._foreign(payload)

    def _source(self, source: SourceOp) -> None:
        scheme, _, name = source.identifier.partition("://")
        if scheme == "local":
            self.locals.add(name)
        attributes = {
            "oci.store": self.stores,
            "git.authtokensecret": self.secrets,
            "git.authheadersecret": self.secrets,
            "git.mountsshsock": self.ssh,
        }
        for key, value in source.attrs:
            attributes.get(key, set()).add(value)

    def _foreign(self, op: ForeignOp) -> None:
        self.locals.update(filter(None, (op.local,)))
        self.secrets.update(op.secrets)
        self.ssh.update(op.ssh)
        self.entitlements.update(op.entitlements)

    def _exec(self, op: ExecOp) -> None:
        self.secrets.update(secret.id for secret in op.secret_env)
        for mount in op.mounts:
            if isinstance(mount, SessionFile):
                (self.ssh if mount.kind == "ssh" else self.secrets).add(mount.id)
        if op.network == "host":
            self.entitlements.add("network.host")
        if op.security == "insecure":
            self.entitlements.add("security.insecure")
