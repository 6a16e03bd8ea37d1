"""A process in a target's result, or where its build failed: ``buildfile debug``.

The target is built as always, but by a builder that opens a container of the gateway there and
returns nothing. The builder's thread moves the process's input and output; the main thread shows
the build until then, and hears of signals.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from buildfile import faults
from buildfile.exits import Exit, UsageError
from buildfile.failure import BuildFailedError, print_diagnostics
from translator.suggest import suggest

if TYPE_CHECKING:
    from buildfile.api import BuildOptions
    from buildfile.display.curtain import Curtain
    from buildfile.plan import Job
    from buildfile.solve import Steer
    from buildfile.terminal import Terminal
    from daemon_shim.builder import Client
    from daemon_shim.container import Container
    from daemon_shim.process import Process
    from daemon_shim.reference import Reference
    from daemon_shim.results import Result
    from daemon_shim.scene import Scene
    from translator.project import Project
    from translator.target import Target

_CONTAINERS = frozenset({"gateway.exec"})
"""The capability that containers need (v0.8)."""
_NOT_STARTED = (1, 126, 127)
"""Exit codes of programs that could not be started; a terminal is not told why."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to run, and where.

    ``command`` empty means a shell. ``stage`` is another than the target's own, ``user`` another
    than the image or the step has. With ``on_error`` it runs where a step fails, else in the
    result.
    """

    command: tuple[str, ...] = ()
    stage: str = ""
    user: str = ""
    on_error: bool = False


def debug(project: Project, name: str, wish: Wish, options: BuildOptions) -> int:
    """Build the target ``name``, run a process there, and give its exit code.

    Of several platforms the first counts. With ``on_error`` and no step that fails, nothing runs,
    which is 0. Raises as ``api.build`` does; UnsupportedError for a daemon without containers,
    before anything is built, and BuildFailedError where there is no shell.
    """
    from buildfile.building import carry_out
    from buildfile.display import shown
    from buildfile.display.curtain import Curtain
    from buildfile.sites import opened
    from buildfile.supplies import needed, supplied
    from buildfile.terminal import Terminal
    from daemon_shim import support

    project = supplied(project, options.secrets, options.agents)
    target = _at_stage(project, name, wish.stage)
    environment = options.variables()
    terminal = Terminal()
    with (
        shown(options.progress, sys.stderr, environment) as display,
        opened(options.daemon, display.say, environment) as sites,
        terminal.watched(),
    ):
        plan = sites.plan(project, [target], no_cache=options.no_cache, needs=_CONTAINERS)
        for placed in plan.placement.placed:
            support.require(sites.open_[placed.station].daemon.info(), "builder", "containers")
        session = Session(wish, terminal, Curtain(display))
        used = needed(project, plan.jobs)
        carry_out(plan, sites, session.curtain, *used, steer=session.steer)
    return session.code


def _at_stage(project: Project, name: str, stage: str) -> Target:
    from buildfile.looking import bare

    target = bare(project, name)
    if stage and stage not in project.stages:
        near = suggest(stage, project.stages)
        raise UsageError(
            f"--stage {stage}: there is no such stage",
            hint=f"did you mean {near}?" if near else None,
        )
    return replace(target, stage=stage or target.stage)


class Session:
    """One process, from the build to its exit ``code``, which is 0 where none was to run."""

    def __init__(self, wish: Wish, terminal: Terminal, curtain: Curtain) -> None:
        self.code = int(Exit.DONE)
        self.curtain = curtain
        self._wish = wish
        self._terminal = terminal

    def steer(self, job: Job) -> Steer:
        """The builder that opens it."""
        from buildfile.solve import Steer
        from daemon_shim.results import Result

        def build(client: Client) -> Result:
            if scene := self._scene(job, client):
                self.curtain.fall()
                self.code = self._run(client, scene)
            return Result()

        return Steer(builder=build)

    def _scene(self, job: Job, client: Client) -> Scene | None:
        from buildfile.blame import failed_step
        from buildfile.caches import options
        from daemon_shim import scene
        from daemon_shim.errors import SolveFailedError
        from translator.llb.wrapped import unwrapped

        (part,) = job.parts
        imports = options(job.cache_imports)

        def solve(definition: bytes) -> Reference:
            return client.solve(definition, cache_imports=imports).ref

        try:
            tree = solve(part.definition)
        except SolveFailedError as error:
            found = self._wish.on_error and scene.of_failure(
                job.name, error, part.definition, part.image_config, solve
            )
            if not found:
                raise
            self.curtain.fall()
            print_diagnostics([failed_step(job, error)])
            return replace(found, shell=scene.shell_of(unwrapped(found.args)[1]))
        if self._wish.on_error:
            self.curtain.say(f"no step of {job.name} failed: there is nothing to debug")
            return None
        return scene.of_tree(job.name, tree, part.image_config)

    def _run(self, client: Client, scene: Scene) -> int:
        from daemon_shim.scene import fitted

        scene = fitted(replace(scene, user=self._wish.user or scene.user), client.info)
        for lack in scene.lacks:
            self.curtain.say(f"warning: the container is without the step's {lack}")
        if not self._wish.command:
            self._find_shell(client, scene)
        command = self._wish.command or scene.shell
        if self._terminal.is_one:
            self.curtain.say(f"{scene.what}: {' '.join(command)}, in {scene.cwd or '/'}")
        with opened(client, scene) as container:
            return self._talk(container, scene, command)

    def _talk(self, container: Container, scene: Scene, command: tuple[str, ...]) -> int:
        from buildfile.terminal import Keys, Screen

        terminal = self._terminal.is_one
        keys, out = Keys(), Screen("stdout")
        try:
            process = start(
                container,
                scene,
                command,
                stdin=keys,
                stdout=out,
                stderr=None if terminal else Screen("stderr"),
                tty=terminal,
            )
            with self._terminal.taken(process.resize):
                code = process.wait()
        finally:
            keys.stop()
        if terminal and code in _NOT_STARTED and not out.has_shown:
            self.curtain.say(
                f"{command[0]} ended with {code} and said nothing: it may not be there at all"
            )
        return code

    def _find_shell(self, client: Client, scene: Scene) -> None:
        """Raise BuildFailedError where there is no shell: a terminal would not be told."""
        with opened(client, scene) as container:
            if start(container, scene, (*scene.shell, "-c", "exit 0")).wait():
                raise BuildFailedError([faults.no_shell(scene.what, " ".join(scene.shell))])


def opened(client: Client, scene: Scene) -> Container:
    """A container for a scene's processes."""
    return client.new_container(
        scene.mounts, network=scene.network, hosts=scene.hosts, hostname=scene.hostname
    )


def start(container: Container, scene: Scene, command: tuple[str, ...], **streams: Any) -> Process:
    """A process of a scene, with the streams of ``Container.exec``."""
    from translator.llb.wrapped import unwrapped

    launcher, _ = unwrapped(scene.args)
    return container.exec(
        (*launcher, *command),
        env=scene.env,
        cwd=scene.cwd,
        user=scene.user,
        security=scene.security,
        secret_env=scene.secret_env,
        **streams,
    )
