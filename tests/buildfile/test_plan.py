from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from buildfile.failure import RefusedError
from buildfile.plan import Plan
from daemon_shim import ages
from daemon_shim.info import Api, DaemonInfo
from tests.buildfile.projects import planned
from tests.daemon_shim.infos import graphdriver, info

V3, V5, V8, V13, V32 = (info((0, minor, 0)) for minor in (3, 5, 8, 13, 32))
CONTAINERD = info((0, 13, 0), engine=True)
GRAPHDRIVER = graphdriver((0, 13, 0))

HEAD = """version: 1
stages:
  s: {from: scratch, steps: [{write: {path: /a, text: a}}, {write: {path: /b, text: b}}]}
"""


def made(folder: Path, target: str, info: DaemonInfo, epoch: str = "") -> Plan:
    return planned(folder, f"{HEAD}targets:\n  t: {{stage: s, {target}}}\n", info, epoch=epoch)


def refusals(plan: Plan) -> list[str]:
    return [each.message.partition(": ")[2] or each.message for each in plan.refusals]


def test_a_target_without_outputs_is_one_job_without_exporters(tmp_path: Path) -> None:
    (job,) = made(tmp_path, "no-cache: false", V8).jobs
    assert job.exports == () and job.name == "t" and len(job.parts) == 1


def test_outputs_share_a_job_where_the_daemon_takes_several(tmp_path: Path) -> None:
    outputs = "outputs: [{type: tar, dest: a.tar}, {type: local, dest: out}, {type: none}]"
    (job,) = made(tmp_path, outputs, V13).jobs
    assert [each.output.type for each in job.exports] == ["tar", "local", "none"]


def test_else_each_output_has_its_own_job(tmp_path: Path) -> None:
    outputs = "outputs: [{type: tar, dest: a.tar}, {type: local, dest: out}]"
    plan = made(tmp_path, outputs, V8)
    assert [job.name for job in plan.jobs] == ["t", "t (2)"]
    first, second = plan.jobs
    assert first.parts[0].definition == second.parts[0].definition


def test_outputs_of_other_paths_have_jobs_of_their_own(tmp_path: Path) -> None:
    outputs = "outputs: [{type: local, dest: x, paths: [/a]}, {type: local, dest: y}]"
    plan = made(tmp_path, outputs, V13)
    assert len(plan.jobs) == 2
    assert plan.jobs[0].parts[0].definition != plan.jobs[1].parts[0].definition


def test_a_cache_is_exported_once_and_an_inline_one_into_images(tmp_path: Path) -> None:
    target = (
        "outputs: [{type: local, dest: x}, {type: image, name: a}], "
        "cache: {export: ['type=registry,ref=r', type=inline]}"
    )
    local, image = made(tmp_path, target, V8).jobs
    assert [cache.type for cache in local.cache_exports] == ["registry"]
    assert [cache.type for cache in image.cache_exports] == ["inline"]


APART = "a build of its own: more than one {} needs BuildKit {}, and this is v0.8.0"


def test_each_further_cache_export_is_a_job_where_the_daemon_takes_one(tmp_path: Path) -> None:
    caches = "cache: {export: ['type=registry,ref=r', type=inline, 'type=registry,ref=q']}"
    target = f"outputs: [{{type: image, name: a}}], {caches}"
    jobs = made(tmp_path, target, V8).jobs
    assert [[cache.type for cache in job.cache_exports] for job in jobs] == [
        ["inline"],
        ["registry"],
        ["registry"],
    ]
    assert [[each.output.type for each in job.exports] for job in jobs] == [["image"], [], []]
    assert [job.note for job in jobs] == [
        "",
        *[APART.format("cache export in a build", "v0.11")] * 2,
    ]
    assert len({job.parts[0].definition for job in jobs}) == 1
    (one,) = made(tmp_path, target, V13).jobs
    assert len(one.cache_exports) == 3 and one.note == ""


def test_a_job_says_why_it_is_one_of_its_own(tmp_path: Path) -> None:
    outputs = (
        "outputs: [{type: tar, dest: a.tar}, {type: local, dest: x, paths: [/a]}, "
        "{type: local, dest: y}]"
    )
    notes = [job.note for job in made(tmp_path, outputs, V8).jobs]
    assert notes == ["", "", APART.format("output in a build", "v0.13")]
    legacy = replace(V32, api=Api.LEGACY)
    told = made(tmp_path, outputs, legacy).jobs[2].note
    assert told.endswith("has no place in the legacy API, which --api or daemons.toml asks for")


def test_an_imagined_daemon_may_emulate_but_the_first(tmp_path: Path) -> None:
    text = """version: 1
stages: {s: {from: scratch, steps: [{run: [/x]}]}}
targets: {t: {stage: s, platforms: [linux/amd64, linux/arm64]}}
"""
    assert planned(tmp_path, text, ages.imagine((0, 8, 0))).refusals == ()
    (refusal,) = planned(tmp_path, text, ages.imagine((0, 3, 0))).refusals
    assert refusal.message == "a plain buildkitd cannot run steps for linux/arm64"


def test_an_inline_cache_without_an_image_is_told_of(tmp_path: Path) -> None:
    target = "outputs: [{type: local, dest: x}], cache: {export: [type=inline]}"
    (warning,) = made(tmp_path, target, V13).warnings
    assert warning.code == "no-inline-cache" and warning.severity == "warning"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", {}),
        ("attest: {provenance: false}", {}),
        ("attest: {provenance: min}", {"attest:provenance": "mode=min"}),
        (
            "attest: {provenance: max, sbom: true}",
            {"attest:provenance": "mode=max", "attest:sbom": ""},
        ),
    ],
)
def test_attestations(tmp_path: Path, asked: str, expected: dict[str, str]) -> None:
    (job,) = made(tmp_path, asked, V13).jobs
    assert dict(job.frontend_attrs) == expected


def test_attestations_that_a_daemon_cannot_make(tmp_path: Path) -> None:
    target = "attest: {provenance: min}, outputs: [{type: image, name: a}]"
    assert refusals(made(tmp_path, target, V13)) == []
    assert refusals(made(tmp_path, target, V8)) == [
        "attestations need BuildKit v0.11, and this is v0.8.0"
    ]
    assert refusals(made(tmp_path, target, GRAPHDRIVER)) == [
        "a Docker Engine without the containerd image store keeps no attestations"
    ]


def test_what_a_daemon_lacks_has_the_place_in_the_file(tmp_path: Path) -> None:
    plan = made(tmp_path, "outputs: [{type: image, name: a, compression: zstd}]", V8)
    (refusal,) = plan.refusals
    assert refusal.code == "daemon-lacks" and refusal.span
    assert "compression=zstd needs BuildKit v0.10" in refusal.message
    with pytest.raises(RefusedError) as error:
        plan.require()
    assert error.value.diagnostics == (refusal,)


@pytest.mark.parametrize(
    ("cache", "daemon_info", "expected"),
    [
        ("import: ['type=registry,ref=r']", V3, []),
        (
            "import: ['type=registry,ref=r,registry.insecure=true']",
            V8,
            [
                "cache-import of type registry: registry.insecure needs BuildKit v0.12, and this "
                "is v0.8.0"
            ],
        ),
        (
            "export: ['type=registry,ref=r,mode=max,image-manifest=true']",
            V8,
            [
                "cache-export of type registry: image-manifest needs BuildKit v0.12, and this is "
                "v0.8.0"
            ],
        ),
        (
            "export: ['type=registry,ref=r', 'type=registry,ref=q']",
            V8,
            [],
        ),
        ("export: ['type=registry,ref=r', 'type=registry,ref=q']", V13, []),
        (
            "export: ['type=registry,ref=r']",
            GRAPHDRIVER,
            [
                "a Docker Engine without the containerd image store has no "
                "cache export to a registry"
            ],
        ),
        ("export: ['type=registry,ref=r']", CONTAINERD, []),
    ],
)
def test_caches(tmp_path: Path, cache: str, daemon_info: DaemonInfo, expected: list[str]) -> None:
    plan = planned(
        tmp_path,
        f"version: 1\nstages: {{s: {{from: scratch}}}}\n"
        f"targets: {{t: {{stage: s, cache: {{{cache}}}}}}}\n",
        daemon_info,
    )
    assert refusals(plan) == expected


def test_a_step_for_a_platform_that_the_daemon_cannot_run(tmp_path: Path) -> None:
    text = """version: 1
stages: {s: {from: scratch, steps: [{run: [/x]}]}}
targets: {t: {stage: s, platforms: [linux/amd64, linux/arm64]}}
"""
    (refusal,) = planned(tmp_path, text, V13).refusals
    assert refusal.message.endswith("cannot run steps for linux/arm64")
    copying = text.replace("run: [/x]", "write: {path: /x, text: x}")
    assert planned(tmp_path, copying, V13).refusals == ()


def test_a_shared_stage_is_refused_once(tmp_path: Path) -> None:
    text = """version: 1
stages: {s: {from: scratch, steps: [{run: [/x], security: insecure}]}}
targets: {t: {stage: s}, u: {stage: s}}
"""
    assert len(planned(tmp_path, text, V3, "t", "u").refusals) == 1


@pytest.mark.parametrize(
    ("daemon_info", "output", "told"),
    [
        (V8, "{type: image, name: a}", True),
        (V8, "{type: local, dest: x}", False),
        (V13, "{type: image, name: a}", False),
        (CONTAINERD, "{type: docker, name: a}", False),
        (GRAPHDRIVER, "{type: image, name: a}", True),
    ],
)
def test_an_epoch_that_is_not_heeded_is_told_of(
    tmp_path: Path, daemon_info: DaemonInfo, output: str, told: bool
) -> None:
    warnings = made(tmp_path, f"outputs: [{output}]", daemon_info, epoch="7").warnings
    assert [each.code for each in warnings] == (["epoch-unknown"] if told else [])
