"""A plan in words, and as JSON for other programs (docs/reference/commands.md has its shape)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from buildfile.caches import PlannedCache
from buildfile.doctorview import daemon_data, daemon_line
from buildfile.exports import Export
from buildfile.placement import Placed
from buildfile.plan import Job, Plan
from buildfile.render import as_data, span_data
from buildfile.runplan import RunPlan
from daemon_shim import releases
from translator.compiled import Compiled, Lowering
from translator.llb.frontends import made_by
from translator.selector import Selector
from translator.stage import Instance

_PLACES = 3  # that the text names for each lowering


def as_json(run: RunPlan) -> dict[str, Any]:
    """The plan as plain data."""
    return {
        "daemons": [{"name": name, **daemon_data(plan.info)} for name, plan in run.plans.items()],
        "placement": [
            {
                "target": each.target,
                "daemon": each.station,
                "why": each.why,
                "stages": {ref.name: name for ref, name in each.stages.items()},
            }
            for each in run.placement.placed
        ],
        "notes": list(run.notes),
        "jobs": [_job_data(job, name) for name, plan in run.plans.items() for job in plan.jobs],
        "refusals": [as_data(each) for each in run.refusals],
        "warnings": [as_data(each) for each in run.warnings],
    }


def _job_data(job: Job, daemon: str) -> dict[str, Any]:
    return {
        "name": job.name,
        "daemon": daemon,
        "target": job.target.name,
        "inner": job.inner,
        "note": job.note,
        "waits-for": list(job.waits_for),
        "platforms": [_part_data(*each) for each in zip(job.parts, job.instances, strict=True)],
        "outputs": [_output_data(each) for each in job.exports],
        "cache-imports": [_cache_data(each) for each in job.cache_imports],
        "cache-exports": [_cache_data(each) for each in job.cache_exports],
        "entitlements": list(job.entitlements),
        "secrets": sorted({name for part in job.parts for name in part.secrets}),
        "ssh": sorted({name for part in job.parts for name in part.ssh}),
        "folders": sorted({use.path for part in job.parts for use in part.locals}),
    }


def _part_data(part: Compiled, instance: Instance) -> dict[str, Any]:
    return {
        "platform": str(part.platform),
        "stages": [
            {
                "stage": name,
                "platform": platform,
                "worker": _selector_data(selector),
                "made-by": made_by,
            }
            for name, platform, selector, made_by in _stages(instance)
        ],
        "steps": list(part.names.values()),
        "lowerings": [_lowering_data(each) for each in part.lowerings],
    }


def _lowering_data(lowering: Lowering) -> dict[str, Any]:
    return {
        "capability": lowering.capability,
        "what": lowering.what,
        "since": releases.shortened(lowering.since),
        "how": lowering.how,
        "span": span_data(lowering.span),
    }


def _stages(instance: Instance) -> dict[tuple[str, str, Selector | None, str], None]:
    """Each stage with its platform, its selector and its frontend, in the order of the build.

    Variants of one are not told of.
    """
    return {
        (ref.name, str(stage.platform), instance.selector(stage), made_by(stage)): None
        for ref, stage in instance.stages.items()
    }


def _stage_text(name: str, platform: str, selector: Selector | None, made_by: str) -> str:
    words = [platform, f"worker {selector}" if selector else "", made_by]
    return f"{name} ({', '.join(filter(None, words))})"


def _selector_data(selector: Selector | None) -> dict[str, Any] | None:
    if selector is None:
        return None
    return {
        "name": selector.name,
        "platform": str(selector.platform) if selector.platform else None,
        "labels": dict(selector.labels),
        "filter": [each.text for each in selector.filters],
        "daemon": selector.daemon,
        "require": selector.require,
    }


def _output_data(each: Export) -> dict[str, Any]:
    return {
        "type": each.output.type,
        "dest": each.output.dest,
        "paths": list(each.output.paths),
        "exporter": each.exporter.type if each.exporter else None,
        "attrs": dict(each.exporter.attrs) if each.exporter else {},
        "note": each.note,
        "refusal": each.refusal,
    }


def as_text(run: RunPlan) -> str:
    """The plan for people."""
    placed = {each.target: each for each in run.placement.placed}
    plans = ("\n".join(_lines(name, plan, placed)) for name, plan in run.plans.items())
    return "\n\n".join(plans)


def _lines(name: str, plan: Plan, placed: Mapping[str, Placed]) -> Iterator[str]:
    named = "" if name in ("", plan.info.address) else f"{name}: "
    yield f"daemon {named}{daemon_line(plan.info)}"
    yield from (f"  note  {note}" for note in plan.notes)
    for job in plan.jobs:
        yield ""
        what = job.name if job.inner else f"target {job.name}"
        yield what + (f" - {job.note}" if job.note else "")
        if named and job.target.name in placed:
            yield f"  on {name}: {placed[job.target.name].why}"
        if job.waits_for:
            yield f"  waits for  {', '.join(job.waits_for)}"
        for part, instance in zip(job.parts, job.instances, strict=True):
            stages = (_stage_text(*each) for each in _stages(instance))
            yield f"  for {part.platform}"
            yield f"    stages  {', '.join(stages)}"
            yield from (f"    {name}" for name in part.names.values())
            yield from (f"    lowered  {told}" for told in _lowerings_told(part.lowerings))
        for each in job.exports:
            yield f"  output  {_export_text(each)}"
        yield from (f"  cache from  {_cache_text(each)}" for each in job.cache_imports)
        yield from (f"  cache to    {_cache_text(each)}" for each in job.cache_exports)


def _lowerings_told(lowerings: Iterable[Lowering]) -> Iterator[str]:
    """What is done another way and why; each once, with the places in the build file."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for each in lowerings:
        key = (each.what, each.how, releases.shortened(each.since))
        places.setdefault(key, []).append(str(each.span))
    for (what, how, since), where in places.items():
        more = f" and {len(where) - _PLACES} more" if len(where) > _PLACES else ""
        listed = ", ".join(where[:_PLACES])
        yield f"{what} {how}, as it needs BuildKit {since} ({listed}{more})"


def _export_text(each: Export) -> str:
    words = [each.output.type, each.output.attrs.get("name", "") or each.output.dest]
    words += [f"(only {', '.join(each.output.paths)})"] if each.output.paths else []
    words += ["(pushed)"] if each.output.attrs.get("push") == "true" else []
    words += [f"- {each.note}"] if each.note else []
    words += [f"- refused: {each.refusal}"] if each.refusal else []
    return " ".join(word for word in words if word)


def _cache_text(cache: PlannedCache) -> str:
    words = [cache.shown]
    words += [f"({cache.found})"] if cache.found else []
    words += [f"- {cache.note}"] if cache.note else []
    words += [f"- refused: {cache.refusal}"] if cache.refusal else []
    return " ".join(words)


def _cache_data(cache: PlannedCache) -> dict[str, Any]:
    return {
        "type": cache.type,
        "shown": cache.shown,
        "used": cache.option is not None,
        "found": cache.found,
        "note": cache.note,
        "refusal": cache.refusal,
        "warning": cache.warning,
    }
