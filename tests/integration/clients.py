"""BuildKit clients of others that drive the frontend: Docker's of Debian, and any buildctl at hand.

``BUILDFILE_TEST_BUILDCTL`` (comma-separated ``NAME=PATH``) names the latter.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.command import Workspace
from tests.real import debian

_SECONDS = 240


@dataclass(frozen=True, kw_only=True)
class Said:
    """How a client ended, and all that it wrote."""

    code: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Docker:
    """Docker's command line of a Debian suite, with buildx where that is a program of its own."""

    suite: str
    packages: tuple[str, ...]

    def run(self, work: Workspace, *words: str) -> Said:
        """Run a command on an engine. Raises UnavailableError where the client cannot be had."""
        root = debian.unpack(self.suite, *self.packages)
        plugins = work.folder / ".docker" / "cli-plugins"
        for plugin in root.glob("usr/libexec/docker/cli-plugins/docker-*"):
            plugins.mkdir(parents=True, exist_ok=True)
            (plugins / plugin.name).unlink(missing_ok=True)
            (plugins / plugin.name).symlink_to(plugin)
        host = work.daemon.address.replace("docker://", "unix://")
        return _run(
            [str(root / "usr/bin/docker"), *words],
            work,
            {
                "DOCKER_BUILDKIT": "1",
                "DOCKER_HOST": host,
                "BUILDKIT_PROGRESS": "plain",
                # With attestations, an image is another one from build to build.
                "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            },
        )


DOCKERS = {
    each.suite: each
    for each in (
        Docker(suite="bookworm", packages=("docker.io", "containerd")),
        Docker(suite="trixie", packages=("docker-cli", "docker-buildx")),
    )
}


@dataclass(frozen=True, kw_only=True)
class Buildctl:
    """A buildctl; the options of v0.3 and of later ones differ."""

    name: str
    path: str
    old: bool = field(default=False)

    def build(
        self, work: Workspace, frontend: str, opts: Mapping[str, str], output: Mapping[str, str]
    ) -> Said:
        """Build the workspace's folder through a frontend."""
        word = "--frontend-opt" if self.old else "--opt"
        words = [f"--frontend={frontend}", "--local", "context=.", "--local", "dockerfile=."]
        words += [f"{word}={key}={value}" for key, value in opts.items()]
        if self.old:
            words.append(f"--exporter={output['type']}")
            words.append(f"--exporter-opt=output={output['dest']}")
        else:
            words.append("--output=" + ",".join(f"{k}={v}" for k, v in output.items()))
        command = [self.path, "--addr", work.daemon.address, "build"]
        return _run([*command, "--progress=plain", *words], work, {})


def buildctls() -> list[Buildctl]:
    """Those of the environment."""
    named = os.environ.get("BUILDFILE_TEST_BUILDCTL", "")
    pairs = (entry.partition("=") for entry in named.split(",") if entry)
    return [Buildctl(name=n, path=path, old=n.startswith("v0.3.")) for n, _, path in pairs]


def _run(command: Sequence[str], work: Workspace, environment: Mapping[str, str]) -> Said:
    done = subprocess.run(
        command,
        cwd=work.folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(Path.home()),
            "DOCKER_CONFIG": str(work.folder / ".docker"),
            **environment,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return Said(code=done.returncode, text=done.stdout)
