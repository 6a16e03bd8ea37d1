"""A result cut down to paths."""

from __future__ import annotations

from tests.translator.loading import AMD64, inputs
from translator.narrow import narrowed
from translator.project import load


def test_what_is_cut_out_is_made_where_the_stage_is() -> None:
    text = (
        "version: 1\n"
        "workers: {fast: {labels: {pool: fast}}}\n"
        "stages: {a: {from: scratch, worker: fast, steps: [{mkdir: {path: /x}}]}}\n"
        "targets: {a: {stage: a}}\n"
    )
    project = load(inputs(text))
    (target,) = project.select()
    whole = project.instantiate(target, AMD64, AMD64)
    cut = narrowed(whole, ("/x",), target.span)
    assert cut.root != whole.root
    assert [str(each.worker) for each in cut.stages.values()] == ["fast", "fast"]


def test_without_paths_nothing_is_cut() -> None:
    project = load(inputs("version: 1\nstages: {a: {from: scratch}}\ntargets: {a: {stage: a}}\n"))
    (target,) = project.select()
    whole = project.instantiate(target, AMD64, AMD64)
    assert narrowed(whole, (), target.span) is whole
