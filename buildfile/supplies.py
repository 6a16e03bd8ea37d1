"""What steps may ask this machine for: secrets, SSH agents and registry logins.

Only what the build file (or the command line) names is opened, and of that only what the stages of
a run use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from buildfile import faults
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.target import Secret, SshAgent

if TYPE_CHECKING:
    from daemon_shim.registry.config import DockerConfig
    from daemon_shim.session.service import Service
    from daemon_shim.session.ssh import AgentSocket, KeyFiles


@dataclass(frozen=True, kw_only=True)
class Supplies:
    """Readers of secrets and agents by id, and the registry logins."""

    secrets: Mapping[str, Callable[[], bytes]]
    agents: Mapping[str, AgentSocket | KeyFiles]
    logins: DockerConfig

    def services(self) -> list[Service]:
        """The session services that serve them."""
        from daemon_shim.session.secrets import Secrets
        from daemon_shim.session.ssh import Ssh

        return [Secrets(self.secrets), Ssh(self.agents), login_service(self.logins)]


def login_service(logins: DockerConfig | None = None) -> Service:
    """The service for a session that only looks images up; ``logins`` None: the user's own."""
    from daemon_shim.registry.config import DockerConfig
    from daemon_shim.session.auth import Auth

    return Auth(logins or DockerConfig.load())


def gather(
    secrets: Mapping[str, Secret],
    agents: Mapping[str, SshAgent],
    *,
    used_secrets: Iterable[str],
    used_agents: Iterable[str],
    environment: Mapping[str, str] | None = None,
) -> Supplies:
    """Find what the run uses. Raises InvalidFileError for all that is not set or not there."""
    from daemon_shim.registry.config import DockerConfig

    environment = os.environ if environment is None else environment
    found: list[Diagnostic] = []
    readers = {
        id_: reader
        for id_ in sorted(set(used_secrets) & set(secrets))
        if (reader := _secret(secrets[id_], environment, found))
    }
    opened = {
        id_: agent
        for id_ in sorted(set(used_agents) & set(agents))
        if (agent := _agent(agents[id_], found))
    }
    if found:
        raise InvalidFileError(found)
    return Supplies(secrets=readers, agents=opened, logins=DockerConfig.load())


def _secret(
    secret: Secret, environment: Mapping[str, str], found: list[Diagnostic]
) -> Callable[[], bytes] | None:
    reason = ""
    if secret.env:
        if (value := environment.get(secret.env)) is not None:
            return partial(str.encode, value)
        reason = f"the environment variable {secret.env} is not set"
    else:
        try:
            with Path(secret.file).open("rb"):
                return Path(secret.file).read_bytes
        except OSError as error:
            reason = f"cannot read {secret.file}: {error.strerror}"
    if not secret.optional:
        found.append(faults.secret_not_set(secret, reason))
    return None


def _agent(agent: SshAgent, found: list[Diagnostic]) -> AgentSocket | KeyFiles | None:
    from daemon_shim.session.ssh import SshError, agent_of

    try:
        return agent_of(agent.keys or ([agent.agent] if agent.agent else []))
    except SshError as error:
        if not agent.optional:
            found.append(faults.agent_not_there(agent, str(error)))
        return None
