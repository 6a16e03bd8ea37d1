"""What steps may ask this machine for: secrets, SSH agents and registry logins.

Only what the build file (or the command line) names is opened, and of that only what the stages of
a run use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from buildfile import faults
from buildfile.exits import UsageError
from buildfile.masking import Mask
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.target import Secret, SshAgent

if TYPE_CHECKING:
    from buildfile.plan import Job
    from daemon_shim.session.auth import Auth
    from daemon_shim.session.service import Service
    from daemon_shim.session.ssh_agent import Agent
    from translator.project import Project

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Supplies:
    """Readers of secrets and agents by id, and the registry logins. ``mask`` hides the secrets in
    what is shown.
    """

    secrets: Mapping[str, Callable[[], bytes]] = field(repr=False)
    agents: Mapping[str, Agent] = field(repr=False)
    logins: Auth = field(repr=False)
    mask: Mask = field(default_factory=Mask, repr=False)

    def only(self, secrets: Collection[str], agents: Collection[str]) -> Supplies:
        """Those with these ids."""
        return replace(
            self,
            secrets={id_: each for id_, each in self.secrets.items() if id_ in secrets},
            agents={id_: each for id_, each in self.agents.items() if id_ in agents},
        )

    def services(self) -> list[Service]:
        """The session services that serve them."""
        from daemon_shim.session.secrets import Secrets
        from daemon_shim.session.ssh import Ssh

        return [Secrets(self.secrets), Ssh(self.agents), self.logins]


def read_logins(environment: Mapping[str, str]) -> Auth:
    """The user's registry logins. Raises UsageError where Docker's config cannot be read."""
    from daemon_shim.registry.config import DockerConfig
    from daemon_shim.registry.login import LoginError
    from daemon_shim.session.auth import Auth

    try:
        return Auth(DockerConfig.load(environment))
    except LoginError as error:
        raise UsageError(str(error)) from error


def supplied(project: Project, secrets: Iterable[Secret], agents: Iterable[SshAgent]) -> Project:
    """The project with ``secrets`` and ``agents`` in place of its own with the same ids."""
    return replace(
        project,
        secrets={**project.secrets, **{each.id: each for each in secrets}},
        ssh={**project.ssh, **{each.id: each for each in agents}},
    )


def needed(project: Project, jobs: Sequence[Job]) -> tuple[list[Secret], list[SshAgent]]:
    """What the steps of jobs ask for."""
    parts = [part for job in jobs for part in job.parts]
    wanted = (*(part.secrets for part in parts), *(job.target.secrets for job in jobs))
    return named(project, wanted, (part.ssh for part in parts))


def named(
    project: Project, secrets: Iterable[Iterable[str]], agents: Iterable[Iterable[str]]
) -> tuple[list[Secret], list[SshAgent]]:
    """The secrets and agents of a project with ids that are in these groups."""
    return _used(project.secrets, secrets), _used(project.ssh, agents)


def _used(known: Mapping[str, T], groups: Iterable[Iterable[str]]) -> list[T]:
    names = {name for group in groups for name in group}
    return [known[name] for name in sorted(names & known.keys())]


def gather(
    secrets: Iterable[Secret],
    agents: Iterable[SshAgent],
    logins: Auth,
    environment: Mapping[str, str],
) -> Supplies:
    """Open what a run uses. Raises InvalidFileError for all that is not set or not there."""
    found: list[Diagnostic] = []
    mask = Mask()
    readers = {each.id: _secret(each, environment, mask, found) for each in secrets}
    opened = {each.id: _agent(each, environment, found) for each in agents}
    if found:
        raise InvalidFileError(found)
    return Supplies(
        secrets={id_: reader for id_, reader in readers.items() if reader},
        agents={id_: agent for id_, agent in opened.items() if agent},
        logins=logins,
        mask=mask,
    )


def _secret(
    secret: Secret, environment: Mapping[str, str], mask: Mask, found: list[Diagnostic]
) -> Callable[[], bytes] | None:
    reason = ""
    if secret.env:
        if (value := environment.get(secret.env)) is not None:
            mask.add(os.fsencode(value))
            return partial(os.fsencode, value)
        reason = f"the environment variable {secret.env} is not set"
    else:
        try:
            with Path(secret.file).open("rb"):
                return mask.reading(Path(secret.file).read_bytes)
        except OSError as error:
            reason = f"cannot read {secret.file}: {error.strerror}"
    if not secret.optional:
        found.append(faults.secret_not_set(secret, reason))
    return None


def _agent(
    agent: SshAgent, environment: Mapping[str, str], found: list[Diagnostic]
) -> Agent | None:
    from daemon_shim.session.ssh_agent import SshError, agent_of

    places = agent.keys or ((agent.agent,) if agent.agent else ())
    try:
        return agent_of(places, auth_sock=environment.get("SSH_AUTH_SOCK", ""))
    except SshError as error:
        if not agent.optional:
            found.append(faults.agent_not_there(agent, str(error)))
        return None
