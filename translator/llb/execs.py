"""Run steps, as vertices. Defaults are those of BuildKit's Dockerfile frontend."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from translator.diagnostic import InvalidFileError
from translator.llb import back_faults as faults
from translator.llb import paths
from translator.llb.graph import (
    CacheDir,
    ExecMount,
    ExecOp,
    Inputs,
    MemoryDir,
    SecretEnv,
    SessionFile,
    Tree,
    TreeMount,
    Use,
    Vertex,
)
from translator.llb.imageconfig import ImageConfig
from translator.llb.sources import http_filename
from translator.platform import Platform
from translator.stage import (
    BindMount,
    CacheMount,
    HttpSource,
    Mount,
    NetworkMode,
    Origin,
    Run,
    SecretMount,
    SshMount,
    TmpfsMount,
)

DEFAULT_SHELL = ("/bin/sh", "-c")
_AGENT = "SSH_AUTH_SOCK"

Resolve: TypeAlias = Callable[[Origin], Tree]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a process runs: in ``tree``, as ``config`` says."""

    tree: Tree
    config: ImageConfig
    network: NetworkMode
    platform: Platform


def run_vertex(step: Run, place: Place, resolve: Resolve, name: str) -> Vertex:
    """A process, whose root is the vertex's first output.

    ``resolve`` gives the trees that mounts name. Raises InvalidFileError for a mount on ``/``.
    """
    config = place.config
    inputs = Inputs()
    root = TreeMount(target="/", input=inputs.position(place.tree), output=0)
    workdir = paths.absolute(config.workdir, step.workdir)
    mounts = _Mounts(step, workdir, inputs, resolve)
    network = step.network or place.network
    payload = ExecOp(
        args=_args(step, config),
        env=_env(step, config, mounts.agent),
        cwd=workdir,
        user=step.user or config.user,
        mounts=(root, *mounts.sorted()),
        secret_env=tuple(mounts.secret_env),
        network=network,
        security=step.security,
        hosts=step.hosts,
        hostname=step.hostname,
        ulimits=step.ulimits,
        valid_exit_codes=step.valid_exit_codes,
        devices=step.devices,
    )
    return Vertex(
        payload=payload,
        inputs=inputs.edges(),
        platform=place.platform,
        name=name,
        uses=(*_uses(step, network), *mounts.uses),
        ignore_cache=not step.cache,
        resources=step.resources,
        span=step.span,
    )


def _args(step: Run, config: ImageConfig) -> tuple[str, ...]:
    if step.script is None:
        return step.argv
    return (*(config.shell or DEFAULT_SHELL), step.script)


def _env(step: Run, config: ImageConfig, agent: str) -> tuple[str, ...]:
    env = {**config.env, **dict(step.env)}
    if agent:
        env.setdefault(_AGENT, agent)
    return tuple(f"{name}={value}" for name, value in env.items())


def _uses(step: Run, network: NetworkMode) -> list[Use]:
    features = (
        ("exec.meta.base", True),
        ("exec.meta.setsdefaultpath", True),
        ("exec.meta.network", network != "sandbox"),
        ("exec.meta.security", step.security != "sandbox"),
        ("exec.meta.ulimit", bool(step.ulimits)),
        ("exec.validexitcode", bool(step.valid_exit_codes)),
        ("exec.meta.cdi", bool(step.devices)),
        ("exec.meta.linux.resources", step.resources is not None),
        ("exec.hostname", bool(step.hostname)),
        ("meta.ignorecache", not step.cache),
    )
    return [Use(feature, step.span) for feature, used in features if used]


# --- mounts ----------------------------------------------------------------------------------


class _Mounts:
    """The mounts of one step, sorted out by what becomes of them."""

    def __init__(self, step: Run, workdir: str, inputs: Inputs, resolve: Resolve) -> None:
        self._workdir = workdir
        self._inputs = inputs
        self._resolve = resolve
        self._trees: list[ExecMount] = []
        self._files: list[ExecMount] = []
        self._sockets = 0
        self.secret_env: list[SecretEnv] = []
        self.uses: list[Use] = []
        self.agent = ""
        for mount in step.mounts:
            self._add(mount)

    def sorted(self) -> tuple[ExecMount, ...]:
        """Outer folders before what lies in them, and the session's files on top of all."""
        return (*sorted(self._trees, key=lambda mount: mount.target), *self._files)

    def _add(self, mount: Mount) -> None:
        handlers: Mapping[type, Callable[[Any], None]] = {
            BindMount: self._bind,
            CacheMount: self._cache,
            TmpfsMount: self._tmpfs,
            SecretMount: self._secret,
            SshMount: self._ssh,
        }
        handlers[type(mount)](mount)

    def _use(self, mount: Mount, *features: str) -> None:
        self.uses += [Use(feature, mount.span) for feature in features if feature]

    def _target(self, mount: BindMount | CacheMount | TmpfsMount) -> str:
        target = paths.absolute(self._workdir, mount.target)
        if target == "/":
            raise InvalidFileError([faults.mount_on_root(mount.span)])
        return target

    def _bind(self, mount: BindMount) -> None:
        writable = "exec.mount.bind.readwrite-nooutput" if mount.readwrite else ""
        selector = _selector(_bound(mount))
        self._use(mount, "exec.mount.bind", writable, "exec.mount.selector" if selector else "")
        self._trees.append(
            TreeMount(
                target=self._target(mount),
                input=self._inputs.position(self._resolve(mount.origin)),
                selector=selector,
                readonly=not mount.readwrite,
            )
        )

    def _cache(self, mount: CacheMount) -> None:
        target = self._target(mount)
        origin = None if mount.origin is None else self._resolve(mount.origin)
        selector = _selector(mount.source) if origin else ""
        self._use(mount, "exec.mount.cache", "exec.mount.cache.sharing")
        self._use(mount, "exec.mount.selector" if selector else "")
        self._trees.append(
            CacheDir(
                target=target,
                # With the Dockerfile frontend's empty namespace, so that both share their caches.
                id="/" + (mount.id or target),
                sharing=mount.sharing,
                input=self._inputs.position(origin),
                selector=selector,
            )
        )

    def _tmpfs(self, mount: TmpfsMount) -> None:
        self._use(mount, "exec.mount.tmpfs", "exec.mount.tmpfs.size" if mount.size else "")
        self._trees.append(MemoryDir(target=self._target(mount), size=mount.size))

    def _secret(self, mount: SecretMount) -> None:
        if mount.env:
            self._use(mount, "exec.secretenv")
            self.secret_env.append(SecretEnv(id=mount.id, name=mount.env, optional=mount.optional))
        if mount.target or not mount.env:
            default = "/run/secrets/" + posixpath.basename(mount.id)
            self._use(mount, "exec.mount.secret")
            self._files.append(self._file("secret", mount, mount.target or default))

    def _ssh(self, mount: SshMount) -> None:
        default = f"/run/buildkit/ssh_agent.{self._sockets}"
        self._sockets += 1
        file = self._file("ssh", mount, mount.target or default)
        self._use(mount, "exec.mount.ssh")
        self._files.append(file)
        self.agent = self.agent or file.target

    def _file(self, kind: Any, mount: SecretMount | SshMount, target: str) -> SessionFile:
        return SessionFile(
            kind=kind,
            target=paths.absolute(self._workdir, target),
            id=mount.id,
            mode=mount.mode,
            uid=mount.uid,
            gid=mount.gid,
            optional=mount.optional,
        )


def _bound(mount: BindMount) -> str:
    # All of a download is one file: that is what is meant, unless the target says folder.
    origin, source = mount.origin, mount.source
    if not isinstance(origin, HttpSource) or _selector(source) or mount.target.endswith("/"):
        return source
    return http_filename(origin)


def _selector(source: str) -> str:
    path = paths.absolute("/", source)
    return "" if path == "/" else path
