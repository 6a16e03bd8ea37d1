"""Instances cut in two: one stage with all that it needs, and the rest with a stand-in for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from translator.llb.assemble import stages_used
from translator.stage import Instance, Stage, StageRef


def upto(instance: Instance, root: StageRef) -> Instance:
    """The stage ``root`` of an instance, with all that it needs."""
    platform = instance.stages[root].platform
    return replace(instance, root=root, platform=platform, stages=_needed(instance.stages, root))


def cut(instance: Instance, given: Mapping[StageRef, Stage]) -> Instance:
    """The instance with the stages of ``given`` in place of its own, and all that it still needs.

    Instances that are compiled together share what is the same object, so give them the same. A
    given stage may use only what stands before it in the instance.
    """
    stages = {ref: given.get(ref, stage) for ref, stage in instance.stages.items()}
    return replace(instance, stages=_needed(stages, instance.root))


def counterparts(instance: Instance, other: Instance) -> dict[StageRef, StageRef]:
    """What the stages of an instance are in another one, which is the same for another daemon: one
    that stands in the same place.
    """
    found = {instance.root: other.root}
    waiting = [instance.root]
    while waiting:
        ref = waiting.pop()
        used = stages_used(instance.stages[ref]), stages_used(other.stages[found[ref]])
        for one, its in zip(*used, strict=True):
            if one not in found:
                found[one] = its
                waiting.append(one)
    return found


def _needed(stages: Mapping[StageRef, Stage], root: StageRef) -> dict[StageRef, Stage]:
    """What a stage uses and itself: every stage stands after all that it uses."""
    needed = {root}
    for ref in reversed(tuple(stages)):
        if ref in needed:
            needed.update(stages_used(stages[ref]))
    return {ref: stage for ref, stage in stages.items() if ref in needed}
