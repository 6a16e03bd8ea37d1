"""The builder that a build file's ``# syntax`` line names: from a client's request to a result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from buildfile import faults as app
from buildfile.lacks import foreign_platforms, no_frontend
from buildfile.syntax import answers, faults
from buildfile.syntax.contexts import ROOT, Contexts
from buildfile.syntax.files import ClientFiles, ignore_patterns
from buildfile.syntax.request import CAPABILITIES, Request, is_of_client, read
from buildfile.syntax.telling import told, warn
from daemon_shim import errdefs
from daemon_shim.builder import Client
from daemon_shim.errors import SolveFailedError
from daemon_shim.request import CacheOption
from daemon_shim.results import Result
from translator.compile import compile_instances, images_needed
from translator.compiled import Compiled, ImageNeed, ResolvedImage
from translator.diagnostic import Diagnostic, InvalidCommandError, InvalidFileError
from translator.frontends import Compile, Frontends, stages_made
from translator.inputs import Inputs
from translator.llb.capabilities import missing
from translator.platform import Platform
from translator.project import Project, load
from translator.span import Position, Span
from translator.stage import Instance
from translator.target import Target

_CAPABILITY = "moby.buildkit.frontend."


def build(client: Client) -> Result:
    """Build what the client asks for, or answer it.

    Raises SolveFailedError with every fault, drawn as the command line draws it.
    """
    try:
        return _build(client)
    except InvalidFileError as error:
        raise told(error.diagnostics) from error


def _build(client: Client) -> Result:
    request = read(client.opts)
    for name in request.capabilities:
        if name.partition("+")[0] not in {_CAPABILITY + each for each in CAPABILITIES}:
            raise errdefs.unsupported_capability(name.partition("+")[0])
    if request.answer == answers.DESCRIBE:
        return answers.describe()
    if request.answer and request.answer not in answers.NAMES:
        raise errdefs.unsupported_request(request.answer)
    inputs = client.inputs()
    files = ClientFiles(client, request, inputs)
    project = _load(files, request)
    if request.answer == answers.TARGETS:
        return answers.targets(project)
    target = choose(project, request)
    work = _Work(client, request, project, target, files, inputs)
    if request.answer == answers.OUTLINE:
        return answers.outline(project, target, work.instances())
    return work.run()


def _load(files: ClientFiles, request: Request) -> Project:
    return load(
        Inputs(
            files=(files.first(),),
            read=files.read,
            variables=request.arguments,
            setting_option="--build-arg",
            spare_settings=True,
            allow=(f"fs.read={ROOT}",),
            folder=ROOT,
            resolve=request.resolve,
        )
    )


def choose(project: Project, request: Request) -> Target:
    """The target that a request names, or a stage as one.

    Raises InvalidCommandError where it means none, or more than one.
    """
    name = request.target
    if name in project.stages and name not in {*project.targets, *project.groups}:
        span = Span(project.files[0], Position(1, 1), Position(1, 1))
        return Target(name=name, declared=name, stage=name, span=span)
    try:
        found = project.select((name,) if name else ())
    except InvalidCommandError:
        if not name:
            raise
        names = tuple(project.targets)
        raise InvalidCommandError([faults.no_target(name, names, project.stages)]) from None
    if len(found) != 1:
        raise InvalidCommandError([faults.several_targets(name, [each.name for each in found])])
    return found[0]


@dataclass(frozen=True)
class _Work:
    """One target for the platforms of a request."""

    client: Client
    request: Request
    project: Project
    target: Target
    files: ClientFiles
    inputs: Mapping[str, bytes]

    def instances(self) -> list[Instance]:
        """The target's stages as the build file has them, for each platform."""
        own = Platform.parse(self.client.platform)
        platforms = self.request.platforms or self.target.platforms or (own,)
        return [
            self.project.instantiate(self.target, each, own) for each in dict.fromkeys(platforms)
        ]

    def run(self) -> Result:
        """Build them."""
        contexts = Contexts(self.request, self.inputs)
        instances = [contexts.given(each) for each in self.instances()]
        caches, amiss = self._caches()
        self._warn((*self.project.warnings, *amiss, *self._unused(contexts, instances)))
        parts = self._compiled(instances, contexts.made)
        self._check(parts, instances)
        refs = {
            str(part.platform): self.client.solve(
                part.definition, evaluate=False, cache_imports=caches
            ).ref
            for part in parts
        }
        configs = {str(part.platform): part.image_config for part in parts}
        several = len(parts) > 1 if self.request.several is None else self.request.several
        if several:
            return Result.several(refs, configs=configs, metadata=self._annotations())
        if len(parts) > 1:
            listed = ", ".join(refs)
            fault = faults.bad_option("multi-platform", "false", f"one platform alone of {listed}")
            raise InvalidCommandError([fault])
        (ref,), (config,) = refs.values(), configs.values()
        return Result.one(ref, config=config, metadata=self._annotations())

    def _compiled(self, instances: Sequence[Instance], given: Frontends) -> tuple[Compiled, ...]:
        client, info = self.client, self.client.info
        no_cache = self.request.no_cache or self.target.no_cache
        compile_ = partial(
            compile_instances,
            images=self._images(images_needed(instances)),
            ignores=ignore_patterns(client, instances),
            no_cache=no_cache,
            caps=info.llb_caps,
            native=Platform.parse(client.platform),
            session=client.session_id,
            helpers=client.opts.get("source", ""),
        )
        return compile_(instances, frontends=self._frontends(instances, compile_, given))

    def _frontends(
        self, instances: Sequence[Instance], compile_: Compile, given: Frontends
    ) -> Frontends:
        """What other frontends of the daemon make of stages, beside those that are ``given``."""
        wanted = [each for ref, each in stages_made(instances).items() if ref not in given]
        if not wanted:
            return given
        from buildfile.frontendstages import NotMadeError, make_all, solved

        client = self.client
        lacks = [(stage, no_frontend(stage, client.info)) for stage in wanted]
        refused = [app.lacks_frontend(*each, client.info) for each in lacks if each[1]]
        if refused:
            raise told(refused)
        try:
            return make_all(
                instances,
                compile_,
                client.info,
                lambda needs: [solved(client, each) for each in needs],
                given,
            )
        except NotMadeError as error:
            raise told(error.diagnostics) from error

    def _images(self, needs: Iterable[ImageNeed]) -> dict[ImageNeed, ResolvedImage]:
        found: dict[ImageNeed, ResolvedImage] = {}
        failed: list[Diagnostic] = []
        for need in needs:
            try:
                image = self.client.resolve_image(
                    f"localhost/{need.store}@{need.ref}" if need.store else need.ref,
                    platform=str(need.platform),
                    resolve_mode="" if need.store else need.resolve,
                    log_name=f"resolve {need.ref}",
                    store=need.store,
                )
                found[need] = ResolvedImage(digest=image.digest, config=image.config)
            except SolveFailedError as error:
                failed.append(app.image_unresolved(need, str(error)))
        if failed:
            raise told(dict.fromkeys(failed))
        return found

    def _check(self, parts: Iterable[Compiled], instances: Iterable[Instance]) -> None:
        info = self.client.info
        refusals = [
            app.lacks_capability(need, info)
            for part in parts
            for need in missing(part.needs, info.llb_caps)
        ]
        refusals += foreign_platforms(instances, info)
        refusals += [faults.no_helper() for part in parts if part.programs]
        if refusals:
            raise told(dict.fromkeys(refusals))

    def _annotations(self) -> dict[str, bytes]:
        """Exporters take annotations from a result since they know any (v0.11)."""
        if not self.client.info.has("exporter.image.attestations"):
            return {}
        return {
            f"annotation.{key}": value.encode() for key, value in self.target.annotations.items()
        }

    def _caches(self) -> tuple[tuple[CacheOption, ...], tuple[Diagnostic, ...]]:
        """The caches that client and build file import, and what is amiss with them."""
        if not self.target.cache_imports:
            return self.request.cache_imports, ()
        from buildfile.syntax.caches import imports

        own, amiss = imports(self.target, self.client.info)
        return (*self.request.cache_imports, *own), amiss

    # --- what is left out ------------------------------------------------------------------------

    def _unused(self, contexts: Contexts, instances: Iterable[Instance]) -> Iterator[Diagnostic]:
        project, request = self.project, self.request
        known = (*project.stages, *project.sources)
        yield from (faults.unused_context(name, known) for name in contexts.unused)
        spare = [
            name
            for name in request.arguments
            if name not in project.variables and not is_of_client(name)
        ]
        if spare:
            yield faults.unused_arguments(spare)
        if isinstance(request.no_cache, tuple):
            names = {ref.name for instance in instances for ref in instance.stages}
            if unknown := [name for name in request.no_cache if name not in names]:
                yield faults.unknown_stages(unknown)

    def _warn(self, warnings: Iterable[Diagnostic]) -> None:
        for each in dict.fromkeys(warnings):
            warn(self.client, each, self.files.vertex)
