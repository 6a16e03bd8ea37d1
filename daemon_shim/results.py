"""What a steered build yields: trees by name, metadata and attestations, in every spelling.

Bare ids up to v0.6, ``Ref`` messages from v0.7 (``proto.refarray``); both for one tree and for
several by platform. Attestations since v0.11.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from daemon_shim.calls import Calls
from daemon_shim.reference import SCRATCH, Reference
from schemas.pb import gateway_pb2, ops_pb2
from schemas.rpc import LLBBridge

PLATFORMS_KEY = "refs.platforms"
_NONE: Mapping[str, bytes] = MappingProxyType({})

SubjectKind: TypeAlias = Literal["self", "raw"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What an attestation is about: the result itself, or something with ``digests``."""

    kind: SubjectKind = "self"
    name: str = ""
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Attestation:
    """A statement about a result (solver/result/attestation.go, v0.11).

    An in-toto statement's predicate is the file ``path`` in ``tree``. A ``bundle`` is a folder
    there that holds whole statements.
    """

    tree: Reference
    path: str
    predicate_type: str = ""
    subjects: tuple[Subject, ...] = ()
    bundle: bool = False
    metadata: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a build yields: ``refs`` by name (platforms), or one under the empty name.

    ``metadata`` goes to the exporters: ``containerimage.config`` is an image's config as JSON.
    ``attestations`` stand by the name of the tree that they are about.
    """

    refs: Mapping[str, Reference] = field(default_factory=dict)
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    attestations: Mapping[str, tuple[Attestation, ...]] = field(default_factory=dict)

    @classmethod
    def one(
        cls, ref: Reference, *, config: bytes = b"", metadata: Mapping[str, bytes] = _NONE
    ) -> Result:
        """One tree; ``config`` is its image config as JSON."""
        configs = {config_key(): config} if config else {}
        return cls(refs={"": ref}, metadata={**configs, **metadata})

    @classmethod
    def several(
        cls,
        refs: Mapping[str, Reference],
        *,
        configs: Mapping[str, bytes] = _NONE,
        metadata: Mapping[str, bytes] = _NONE,
    ) -> Result:
        """A tree for each platform, such as ``linux/arm64``, with the table that exporters want."""
        told = {config_key(platform): config for platform, config in configs.items()}
        return cls(
            refs=dict(refs), metadata={PLATFORMS_KEY: platform_table(refs), **told, **metadata}
        )

    @property
    def ref(self) -> Reference:
        """The only tree; the empty one when there is none."""
        return self.refs.get("", SCRATCH)


def config_key(platform: str = "") -> str:
    """The metadata key of an image config, for one of several platforms or for the only one."""
    return f"containerimage.config/{platform}" if platform else "containerimage.config"


def platform_table(platforms: Iterable[str]) -> bytes:
    """The value of ``refs.platforms`` (exporter/containerimage/exptypes, all releases)."""
    return json.dumps({"Platforms": [_table_entry(name) for name in platforms]}).encode()


def _table_entry(name: str) -> dict[str, object]:
    system, architecture, *variant = name.split("/", 2)
    platform = {"architecture": architecture, "os": system}
    if variant:
        platform["variant"] = variant[0]
    return {"ID": name, "Platform": platform}


# --- to the daemon ---------------------------------------------------------------------------


def spell(calls: Calls, result: Result) -> gateway_pb2.Result:
    """A result in the daemon's spelling; v0.3 to v0.6 take the newer one for an empty tree.

    Raises UnsupportedError for attestations before v0.11.
    """
    refs = result.refs or {"": SCRATCH}
    one = set(refs) == {""}
    ids = {name: ref.id for name, ref in refs.items()}
    if not one and not all(ids.values()) and _ends_by_nothing(calls):
        nothing = _made_nothing(calls)
        ids = {name: id_ or nothing for name, id_ in ids.items()}
    message = _SPELLINGS[calls.has("proto.refarray"), one](ids)
    message.metadata.update(result.metadata)
    if result.attestations:
        calls.require("reference.attestations", "attestations in a result")
    for name, attestations in result.attestations.items():
        message.attestations[name].attestation.extend(map(_spell_attestation, attestations))
    return message


def _ends_by_nothing(calls: Calls) -> bool:
    """Whether the daemon ends as a whole where one of several trees is none: v0.11 and v0.12, told
    by capabilities of v0.11 and v0.13 (solver/llbsolver/provenance.go).
    """
    return calls.has("gateway.evaluate") and not calls.has("source.metaresolver")


def _made_nothing(calls: Calls) -> str:
    """The id of an empty tree that was made."""
    root = ops_pb2.FileActionMkDir(path="/", mode=0o755, makeParents=True, timestamp=-1)
    action = ops_pb2.FileAction(input=-1, secondaryInput=-1, output=0, mkdir=root)
    made = ops_pb2.Op(file=ops_pb2.FileOp(actions=[action])).SerializeToString()
    digest = f"sha256:{hashlib.sha256(made).hexdigest()}"
    head = ops_pb2.Op(inputs=[ops_pb2.Input(digest=digest)]).SerializeToString()
    message = gateway_pb2.SolveRequest(allowResultReturn=True, allowResultArrayRef=True)
    getattr(message.Definition, "def").extend([made, head])
    return read(calls, calls.call(LLBBridge.SOLVE, message).result).ref.id


def _one_message(ids: Mapping[str, str]) -> gateway_pb2.Result:
    return gateway_pb2.Result(ref=gateway_pb2.Ref(id=ids[""]))


def _several_messages(ids: Mapping[str, str]) -> gateway_pb2.Result:
    refs = {name: gateway_pb2.Ref(id=id_) for name, id_ in ids.items()}
    return gateway_pb2.Result(refs=gateway_pb2.RefMap(refs=refs))


def _one_id(ids: Mapping[str, str]) -> gateway_pb2.Result:
    return gateway_pb2.Result(refDeprecated=ids[""])


def _several_ids(ids: Mapping[str, str]) -> gateway_pb2.Result:
    return gateway_pb2.Result(refsDeprecated=gateway_pb2.RefMapDeprecated(refs=ids))


# By (the daemon has ``proto.refarray``, there is only one tree).
_SPELLINGS: dict[tuple[bool, bool], Callable[[Mapping[str, str]], gateway_pb2.Result]] = {
    (True, True): _one_message,
    (True, False): _several_messages,
    (False, True): _one_id,
    (False, False): _several_ids,
}


_SUBJECT_KINDS: dict[SubjectKind, gateway_pb2.InTotoSubjectKind] = {
    "self": gateway_pb2.Self,
    "raw": gateway_pb2.Raw,
}
_SUBJECT_NAMES = {number: name for name, number in _SUBJECT_KINDS.items()}


def _spell_attestation(attestation: Attestation) -> gateway_pb2.Attestation:
    return gateway_pb2.Attestation(
        kind=gateway_pb2.Bundle if attestation.bundle else gateway_pb2.InToto,
        metadata=dict(attestation.metadata),
        ref=gateway_pb2.Ref(id=attestation.tree.id) if attestation.tree.id else None,
        path=attestation.path,
        inTotoPredicateType=attestation.predicate_type,
        inTotoSubjects=[
            gateway_pb2.InTotoSubject(
                kind=_SUBJECT_KINDS[each.kind], digest=each.digests, name=each.name
            )
            for each in attestation.subjects
        ],
    )


# --- from the daemon -------------------------------------------------------------------------


def read(calls: Calls, message: gateway_pb2.Result) -> Result:
    """A result in whichever of the four spellings the daemon used."""
    refs = _READINGS[message.WhichOneof("result")](message)
    return Result(
        refs={name: _reference(calls, ref) for name, ref in refs.items()},
        metadata=dict(message.metadata),
        attestations={
            name: tuple(_read_attestation(calls, each) for each in several.attestation)
            for name, several in message.attestations.items()
        },
    )


def _reference(calls: Calls, message: gateway_pb2.Ref) -> Reference:
    definition: ops_pb2.Definition = getattr(message, "def")
    return Reference(message.id, definition.SerializeToString(), calls)


_READINGS: dict[str | None, Callable[[gateway_pb2.Result], Mapping[str, gateway_pb2.Ref]]] = {
    None: lambda result: {},
    "ref": lambda result: {"": result.ref},
    "refs": lambda result: result.refs.refs,
    "refDeprecated": lambda result: {"": gateway_pb2.Ref(id=result.refDeprecated)},
    "refsDeprecated": lambda result: {
        name: gateway_pb2.Ref(id=id_) for name, id_ in result.refsDeprecated.refs.items()
    },
}


def _read_attestation(calls: Calls, message: gateway_pb2.Attestation) -> Attestation:
    return Attestation(
        tree=_reference(calls, message.ref),
        path=message.path,
        predicate_type=message.inTotoPredicateType,
        subjects=tuple(
            Subject(kind=_SUBJECT_NAMES[each.kind], name=each.name, digests=tuple(each.digest))
            for each in message.inTotoSubjects
        ),
        bundle=message.kind == gateway_pb2.Bundle,
        metadata=dict(message.metadata),
    )
