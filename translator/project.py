"""A build file's typed form: from files and options to targets and stages, all faults in one run.

``load`` is the way in. What a target's stages are is asked from the project for a platform, since
a file may say other things for other platforms.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType
from typing import TypeVar

from translator.diagnostic import Diagnostic, InvalidCommandError, InvalidFileError
from translator.inputs import Inputs
from translator.pause import no_collection
from translator.platform import Platform
from translator.reading import name_faults
from translator.reading.collector import Collector
from translator.reading.extends import is_abstract, resolve
from translator.reading.files import Document, Gathering
from translator.reading.instances import Setting, Stages
from translator.reading.merge import merge
from translator.reading.overrides import check_names, parse
from translator.reading.permission import Permission
from translator.reading.read_secret import secret, ssh_agent
from translator.reading.read_source import SCRATCH
from translator.reading.read_target import TargetReader, matrix_keys
from translator.reading.read_worker import selector
from translator.reading.reader import Reader, Reading, text
from translator.reading.selection import Selection, read_groups
from translator.selector import Selector
from translator.span import SourceFile
from translator.stage import Instance, Origin, StageRef
from translator.target import Secret, SshAgent, Target
from translator.text.document import Entry, Node, Scalar, Table
from translator.text.schema import check
from translator.values.interpolate import expand
from translator.values.scope import GitFacts, Scope, matrix_names
from translator.values.variables import Variable, as_found, declare, evaluate

__all__ = ["GitFacts", "Inputs", "Project", "load"]

T = TypeVar("T")
_SOME_PLATFORM = Platform("linux", "amd64")


@dataclass(frozen=True, kw_only=True)
class Project:
    """What the build files say, with everything checked.

    ``files`` are those named, in their order, then those included; ``root`` is the folder of the
    first. ``targets`` maps declared names to their variants, without abstract ones; ``variables``
    holds every declared one, with its value and where that comes from. ``warnings`` are
    diagnostics that keep nothing from building.
    """

    name: str
    files: tuple[SourceFile, ...]
    root: str
    variables: Mapping[str, Variable]
    secrets: Mapping[str, Secret]
    ssh: Mapping[str, SshAgent]
    workers: Mapping[str, Selector]
    groups: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, tuple[Target, ...]]
    stages: tuple[str, ...]
    sources: tuple[str, ...]
    warnings: tuple[Diagnostic, ...] = ()
    _selection: Selection = field(repr=False, compare=False)
    _stages: Stages = field(repr=False, compare=False)

    @property
    def every(self) -> tuple[Target, ...]:
        """All targets, each variant by itself."""
        return tuple(each for variants in self.targets.values() for each in variants)

    @property
    def default(self) -> tuple[Target, ...]:
        """Those that are built when none is named, () where one has to be."""
        try:
            return self.select()
        except InvalidCommandError:
            return ()

    def select(self, names: Sequence[str] = ()) -> tuple[Target, ...]:
        """The targets that names of targets, variants and groups, or globs, mean, each once.

        Without names: the group ``default``, else the target of that name, else the only target.
        Raises InvalidCommandError for a name that means nothing.
        """
        return self._selection.select(names)

    def instantiate(self, target: Target, platform: Platform, build_platform: Platform) -> Instance:
        """The stages of ``target`` for ``platform``, each after all that it uses, the root last.

        ``build_platform`` is that of the daemon, for stages with ``platform: build``. Stages that
        do not depend on the target are the same objects for all of them. Raises InvalidFileError
        for faults that only this platform brings up.
        """
        setting = _setting(self._stages, target, platform, build_platform)
        instance, found = self._stages.instance(target.stage, setting)
        if found:
            raise InvalidFileError(found)
        return replace(instance, worker=target.worker) if target.worker else instance

    def elsewhere(self, instance: Instance, build_platform: Platform) -> Instance:
        """An instance as it is on a daemon of another platform, which ``platform: build`` means.

        Raises InvalidFileError for faults that only this platform brings up.
        """
        made, found = self._stages.elsewhere(instance.root, build_platform)
        if found:
            raise InvalidFileError(found)
        return replace(made, worker=instance.worker)


def load(inputs: Inputs) -> Project:
    """Read, merge and check the build files.

    Raises InvalidFileError with every fault of the files and of the options that belong to them;
    it is an InvalidCommandError when only the options are at fault.
    """
    found = Collector()
    with no_collection():
        project = _Loader(inputs, found).run()
    errors = [fault for fault in found.faults if fault.severity == "error"]
    if errors and all(map(_is_option, errors)):
        raise InvalidCommandError(found.faults)
    if errors or project is None:
        raise InvalidFileError(found.faults)
    return project


def _is_option(fault: Diagnostic) -> bool:
    return fault.span is not None and fault.span.file.name.startswith("--")


class _Loader:
    """The way from files to a project, fault by fault."""

    def __init__(self, inputs: Inputs, found: Collector) -> None:
        self._inputs = inputs
        self._found = found
        self._home = inputs.environment.get("HOME", "")
        self._folder = inputs.folder or inputs.root
        self._permission = Permission(inputs.root, inputs.allow, self._folder, inputs.real_path)
        self._secrets: frozenset[str] = frozenset()
        self._ssh: frozenset[str] = frozenset()
        self._optional: frozenset[tuple[str, str]] = frozenset()
        self._workers: Mapping[str, Selector | None] = {}

    def run(self) -> Project | None:
        outer = Scope(
            variables={},
            environment=self._inputs.environment,
            git=_once(self._inputs.git),
            place="include",
        )
        documents = self._documents(outer)
        if not documents:
            return None
        top = reduce(merge, (document.table for document in documents))
        if "version" not in top.entries:
            self._found.add(name_faults.missing_version(top.span))
        variables = self._variables(top, outer)
        if any(_is_option(each) and each.code == "bad-value" for each in self._found.faults):
            return None  # what follows from a wrong value would only hide it
        known = {name: as_found(variable) for name, variable in variables.items()}
        return self._project(top, documents, variables, outer.with_variables(known))

    # --- files and variables ---------------------------------------------------------------------

    def _documents(self, scope: Scope) -> list[Document]:
        gathering = Gathering(self._inputs.read, scope, self._found)
        for file in self._inputs.files:
            gathering.add(file)
        for document in gathering.documents:
            self._found.shape(check(document.table))
        return gathering.documents

    def _variables(self, top: Table, outer: Scope) -> dict[str, Variable]:
        entry = top.entries.get("vars")
        table = entry.value if entry and isinstance(entry.value, Table) else None
        scope = outer.within("a variable", (), {})
        inputs = self._inputs
        declared = declare(table, self._found)
        settings = inputs.variables
        if inputs.spare_settings:
            settings = {name: value for name, value in settings.items() if name in declared}
        return evaluate(declared, settings, inputs.setting_span, scope, self._found)

    # --- sections --------------------------------------------------------------------------------

    def _project(
        self,
        top: Table,
        documents: Sequence[Document],
        variables: Mapping[str, Variable],
        scope: Scope,
    ) -> Project:
        tables = _tables(top, "targets")
        scope = scope.with_matrix_keys(matrix_keys(tables))
        secrets = self._read_all(top, "secrets", secret, scope)
        ssh = self._read_all(top, "ssh", ssh_agent, scope)
        self._secrets = frozenset((*_nodes(top, "secrets"), *self._inputs.secrets))
        self._ssh = frozenset((*_nodes(top, "ssh"), *self._inputs.ssh))
        self._optional = frozenset(
            (kind, each.id)
            for kind, several in (("secret", secrets), ("ssh", ssh))
            for each in several.values()
            if each.optional
        )
        workers = self._read_all(top, "workers", selector, scope)
        self._workers = {name: workers.get(name) for name in _nodes(top, "workers")}
        sources, stage_tables = _nodes(top, "sources"), _tables(top, "stages")
        self._check_names(top)
        targets, names, dockerfiles = self._targets(top, tables, stage_tables, scope)
        self._check_dockerfiles(top, dockerfiles)
        made = {**dockerfiles, **stage_tables}
        stages = Stages(made, sources, scope, self._reading, self._found.misshapen)
        groups = read_groups(_nodes(top, "groups"), names, scope, self._found)
        self._check_stages(stages, targets, made, scope)
        return Project(
            name=self._name(top, scope),
            files=tuple(
                dict.fromkeys((*self._inputs.files, *(document.file for document in documents)))
            ),
            root=self._inputs.root,
            variables=MappingProxyType(dict(variables)),
            secrets=MappingProxyType(secrets),
            ssh=MappingProxyType(ssh),
            workers=MappingProxyType(workers),
            groups=MappingProxyType(groups),
            targets=MappingProxyType(targets),
            stages=tuple(stage_tables),
            sources=tuple(sources),
            warnings=self._found.faults,
            _selection=Selection(
                targets=targets, groups=groups, abstract=tuple(tables.keys() - targets.keys())
            ),
            _stages=stages,
        )

    def _name(self, top: Table, scope: Scope) -> str:
        entry = top.entries.get("name")
        node = expand(entry.value, scope.within("name", (), {}), self._found) if entry else None
        name = text(node, self._reading(self._found, "", _nothing)) if node else None
        return name or posixpath.basename(self._inputs.root) or "build"

    def _reading(
        self, found: Collector, owner: str, origin: Callable[[Scalar], Origin | None]
    ) -> Reading:
        return Reading(
            found=found,
            home=self._home,
            owner=owner,
            origin=origin,
            permit=self._permission.refusal,
            secrets=self._secrets,
            ssh=self._ssh,
            optional=self._optional,
            workers=self._workers,
            numbers=itertools.count(1),
            resolve=self._inputs.resolve,
        )

    def _read_all(self, top: Table, section: str, read: Reader[T], scope: Scope) -> dict[str, T]:
        inner = scope.within(section, (), {})
        made = {}
        for name, node in _nodes(top, section).items():
            reading = self._reading(self._found, name, _nothing)
            value = read(expand(node, inner, self._found), reading)
            if value is not None:
                made[name] = value
        return made

    def _check_names(self, top: Table) -> None:
        """``scratch`` is taken; a stage and a source, or a target and a group, differ in name."""
        for section, noun in (("stages", "stage"), ("sources", "source")):
            entry = _section(top, section).get(SCRATCH)
            if entry:
                self._found.add(name_faults.reserved_name(noun, SCRATCH, entry.key.span))
        for sections, nouns in (
            (("stages", "sources"), ("stage", "source")),
            (("targets", "groups"), ("target", "group")),
        ):
            first, second = (_section(top, section) for section in sections)
            for name in first.keys() & second.keys():
                spans = second[name].key.span, first[name].key.span
                self._found.add(name_faults.name_twice(name, nouns, *spans))

    def _check_dockerfiles(self, top: Table, dockerfiles: Mapping[str, Table]) -> None:
        """A target with a Dockerfile is a stage of its name, which nothing else may have."""
        for section, noun in (("stages", "stage"), ("sources", "source")):
            entries = _section(top, section)
            for name in dockerfiles.keys() & entries.keys():
                spans = dockerfiles[name].entries["dockerfile"].key.span, entries[name].key.span
                nouns = (noun, "target with a dockerfile")
                self._found.add(name_faults.name_twice(name, nouns, *spans))

    # --- targets ---------------------------------------------------------------------------------

    def _targets(
        self, top: Table, tables: Mapping[str, Table], stages: Mapping[str, Table], scope: Scope
    ) -> tuple[dict[str, tuple[Target, ...]], tuple[str, ...], Mapping[str, Table]]:
        """The targets, the names of all of them and their variants, and their Dockerfiles."""
        inputs = self._inputs
        overrides = parse(inputs.overrides, inputs.fields, self._folder, self._found)
        resolved, circular = resolve(tables, overrides, scope, self._found)
        cache = top.entries.get("cache")
        reader = TargetReader(
            scope=scope,
            reading=self._reading(self._found, "", _nothing),
            overrides=overrides,
            stages=stages,
            cache=cache.value if cache else None,
        )
        targets = {
            name: () if name in circular else tuple(reader.variants(name, table))
            for name, table in resolved.items()
            if not is_abstract(table)
        }
        check_names(overrides, tuple(dict.fromkeys((*tables, *reader.names))), self._found)
        return targets, tuple(dict.fromkeys((*targets, *reader.names))), reader.dockerfiles

    # --- stages ----------------------------------------------------------------------------------

    def _check_stages(
        self,
        stages: Stages,
        targets: Mapping[str, Sequence[Target]],
        tables: Mapping[str, Table],
        scope: Scope,
    ) -> None:
        """Read what the targets need, then all other stages and sources for some target."""
        done: set[StageRef] = set()
        for target in (each for variants in targets.values() for each in variants):
            for platform in target.platforms or (_SOME_PLATFORM,):
                setting = _setting(stages, target, platform, _SOME_PLATFORM)
                stages.check([stages.root(target.stage, setting)], done, self._found)
        read = {ref.name for ref in done}
        some = stages.setting(_some_names(targets, scope), _SOME_PLATFORM, _SOME_PLATFORM)
        unread = [stages.root(name, some) for name in tables if name not in read]
        stages.check(unread, done, self._found)
        stages.check_sources(some, self._found)


def _setting(
    stages: Stages, target: Target, platform: Platform, build_platform: Platform
) -> Setting:
    names = {"target": target.name, **matrix_names(target.matrix)}
    return stages.setting(names, platform, build_platform)


def _some_names(targets: Mapping[str, Sequence[Target]], scope: Scope) -> dict[str, str]:
    """Built-in names as some target has them, for what no target uses."""
    names = {"target": "target", **{f"matrix.{key}": "" for key in scope.matrix_keys}}
    for target in (each for variants in targets.values() for each in variants):
        names |= {"target": target.name, **matrix_names(target.matrix)}
    return names


def _section(top: Table, name: str) -> Mapping[str, Entry]:
    entry = top.entries.get(name)
    return entry.value.entries if entry and isinstance(entry.value, Table) else {}


def _nodes(top: Table, section: str) -> dict[str, Node]:
    return dict(_named(top, section))


def _tables(top: Table, section: str) -> dict[str, Table]:
    return {name: node for name, node in _named(top, section) if isinstance(node, Table)}


def _named(top: Table, section: str) -> Iterator[tuple[str, Node]]:
    for name, entry in _section(top, section).items():
        if not name.startswith("x-"):
            yield name, entry.value


def _nothing(_node: Scalar) -> None:
    return None


def _once(ask: Callable[[], GitFacts]) -> Callable[[], GitFacts]:
    """``ask`` with its answer kept; a refusal is kept as well."""
    kept: list[GitFacts | LookupError] = []

    def asked() -> GitFacts:
        if not kept:
            try:
                kept.append(ask())
            except LookupError as error:
                kept.append(error)
        answer = kept[0]
        if isinstance(answer, LookupError):
            raise answer
        return answer

    return asked
