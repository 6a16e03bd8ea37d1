"""Doctor and plans agree, feature by feature and age by age: by itself, another way, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildfile.doctor import State, abilities
from buildfile.plan import Plan
from daemon_shim import ages
from daemon_shim.releases import Release
from tests.buildfile.projects import planned

AGES: tuple[Release, ...] = (
    (0, 3, 3),
    (0, 4, 0),
    (0, 5, 1),
    (0, 7, 2),
    (0, 8, 3),
    (0, 9, 3),
    (0, 10, 6),
    (0, 11, 6),
    (0, 13, 2),
    (0, 17, 3),
    (0, 21, 1),
    (0, 26, 3),
    (0, 32, 2),
)


def run(rest: str) -> str:
    return f"t: {{from: {{git: 'https://x.y/z'}}, steps: [{{run: [/x], {rest}}}]}}"


def files(step: str) -> str:
    return f"t: {{from: scratch, steps: [{step}]}}\n  o: {{from: {{git: 'https://x.y/z'}}}}"


# By what doctor calls it: the stages, and what stands in the target beside them.
CASES: dict[tuple[str, str], tuple[str, str]] = {
    ("llb", "exec.secretenv"): (run("mounts: [{type: secret, id: s, env: S}]"), ""),
    ("llb", "exec.mount.secret"): (run("mounts: [{type: secret, id: s}]"), ""),
    ("llb", "exec.mount.tmpfs"): (run("mounts: [{type: tmpfs, target: /t}]"), ""),
    ("llb", "exec.mount.tmpfs.size"): (run("mounts: [{type: tmpfs, target: /t, size: 9m}]"), ""),
    ("llb", "exec.meta.network"): (run("network: none"), ""),
    ("llb", "exec.meta.security"): (run("security: insecure"), ""),
    ("llb", "exec.validexitcode"): (run("valid-exit-codes: [3]"), ""),
    ("llb", "exec.hostname"): (run("hostname: h"), ""),
    ("llb", "file.base"): (files("{write: {path: /a, text: a}}"), ""),
    ("llb", "file.copy.includeexcludepatterns"): (
        files("{copy: {from: o, to: /, exclude: [x]}}"),
        "",
    ),
    ("llb", "file.copy.requiredpaths"): (
        files("{copy: {from: o, to: /, include: [y], required: [x]}}"),
        "",
    ),
    ("llb", "file.rm.nofollowsymlink"): (files("{remove: /b}"), ""),
    ("llb", "file.symlink.create"): (files("{symlink: {target: a, path: /b}}"), ""),
    ("exporter", "tar"): ("t: {from: scratch}", "outputs: [{type: tar, dest: a.tar}]"),
    ("several", "exporters"): (
        "t: {from: scratch}",
        "outputs: [{type: oci, dest: a.tar}, {type: local, dest: b}]",
    ),
    ("several", "cache-exports"): (
        "t: {from: scratch}",
        "cache: {export: ['type=registry,ref=a', 'type=registry,ref=b']}",
    ),
    ("cache-export", "inline"): (
        "t: {from: scratch}",
        "outputs: [{type: oci, dest: a.tar}], cache: {export: [type=inline]}",
    ),
}


def done(plan: Plan, kind: str) -> State:
    """How a plan does a feature, where nothing else in it is done another way or refused."""
    if plan.refusals:
        return State.REFUSED
    lowered = {
        each.capability for job in plan.jobs for part in job.parts for each in part.lowerings
    }
    other = any(job.note or any(each.note for each in job.exports) for job in plan.jobs)
    return State.LOWERED if lowered or (other and kind != "llb") else State.NATIVE


@pytest.mark.parametrize("feature", CASES, ids=" ".join)
def test_a_plan_does_what_doctor_tells(tmp_path: Path, feature: tuple[str, str]) -> None:
    stages, beside = CASES[feature]
    text = (
        f"version: 1\nsecrets: {{s: {{env: S}}}}\nstages:\n  {stages}\n"
        f"targets: {{t: {{stage: t, {beside}}}}}\n"
    )
    told, seen = {}, {}
    for release in AGES:
        info = ages.imagine(release)
        (ability,) = [each for each in abilities(info) if (each.kind, each.name) == feature]
        told[release] = ability.state
        seen[release] = done(planned(tmp_path, text, info), feature[0])
    assert seen == told
