"""Stages that frontends make, before they are made: which to ask for, and what each is given."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from translator.compiled import Compiled, FrontendNeed, ResolvedFrontend
from translator.llb.assemble import stages_used
from translator.llb.foreign import head
from translator.llb.frontends import Call, call, is_made
from translator.llb.locals import folder_use
from translator.stage import (
    Dockerfile,
    Frontend,
    ImageSource,
    Instance,
    Mkdir,
    OciLayoutSource,
    Origin,
    Stage,
    StageRef,
)

Frontends: TypeAlias = Mapping[StageRef, ResolvedFrontend]
Compile: TypeAlias = Callable[..., tuple[Compiled, ...]]
"""``compile_instances`` with all but the instances given, and ``frontends`` as a keyword."""

_WITH_CONFIG = (ImageSource, OciLayoutSource, StageRef)


def stages_made(instances: Iterable[Instance]) -> Mapping[StageRef, Stage]:
    """The stages that frontends make."""
    return {
        ref: stage for each in instances for ref, stage in each.stages.items() if is_made(stage)
    }


def frontends_needed(
    instances: Iterable[Instance], known: Frontends, compile_: Compile
) -> tuple[FrontendNeed, ...]:
    """The stages that frontends are to make next: those made from nothing but what is ``known``.

    ``compile_`` is ``compile_instances`` with all that it will be called with in the end, and with
    what is known; the frontends are given what it makes of their inputs. Raises as it does.
    """
    found: dict[StageRef, FrontendNeed] = {}
    for instance in instances:
        for ref, stage in instance.stages.items():
            if is_made(stage) and ref not in known and ref not in found:
                below = _below(stage, instance)
                if all(each in known for each in stages_made([below])):
                    found[ref] = _frontend_need(stage, below, compile_)
    return tuple(found.values())


def frontend_alone(instance: Instance) -> FrontendNeed | None:
    """The frontend that makes all of an instance, given folders and texts alone; None: not so.

    Daemons that take no graphs for frontends can build it, as a whole and by themselves.
    """
    stage = instance.stages[instance.root]
    if not is_made(stage) or stage.image:
        return None
    asked = call(stage)
    return None if asked.inputs.keys() - asked.folders.keys() else _need(stage, asked, {})


def _below(stage: Stage, instance: Instance) -> Instance:
    """All that a stage uses, itself left out. Its root is nothing to build."""
    used: set[StageRef] = set()
    waiting = stages_used(stage)
    while waiting:
        ref = waiting.pop()
        if ref not in used:
            used.add(ref)
            waiting += stages_used(instance.stages[ref])
    stages = {ref: each for ref, each in instance.stages.items() if ref in used}
    return replace(instance, root=stage.ref, platform=stage.platform, stages=stages)


def _frontend_need(stage: Stage, below: Instance, compile_: Compile) -> FrontendNeed:
    asked = call(stage)
    wanted = [_input(stage, below, origin) for origin in asked.inputs.values()]
    inputs = dict(zip(asked.inputs, compile_(wanted), strict=True))
    for name, each in inputs.items():
        if not head(each.definition):
            # Frontends take no empty graph: a tree without files stands for it.
            (inputs[name],) = compile_([_input(stage, below, asked.inputs[name], emptied=True)])
    return _need(stage, asked, inputs)


def _input(stage: Stage, below: Instance, origin: Origin, *, emptied: bool = False) -> Instance:
    """What a frontend is given as an instance of its own."""
    ref = StageRef(stage.ref.name, f"{stage.ref.variant}<")
    steps = (Mkdir(path="/", parents=True, span=stage.span),) if emptied else ()
    made = Stage(ref=ref, platform=stage.platform, origin=origin, steps=steps, span=stage.span)
    return replace(below, root=ref, stages={**below.stages, ref: made})


def _need(stage: Stage, asked: Call, inputs: Mapping[str, Compiled]) -> FrontendNeed:
    made = stage.origin
    assert isinstance(made, Dockerfile | Frontend)  # noqa: S101 -- for the type checker
    return FrontendNeed(
        stage=stage,
        frontend=asked.frontend,
        opts={**asked.opts, **dict(_told(asked, inputs))},
        inputs=inputs,
        folders={name: folder_use(each, name) for name, each in asked.folders.items()},
        texts=asked.texts,
        secrets=made.secrets,
        ssh=made.ssh,
        what=asked.what,
        span=made.span,
    )


def _told(asked: Call, inputs: Mapping[str, Compiled]) -> Iterator[tuple[str, str]]:
    """Image configs of inputs (frontend/dockerui/namedcontext.go, v0.10)."""
    for name in asked.named:
        if name in inputs and isinstance(asked.inputs[name], _WITH_CONFIG):
            config = base64.b64encode(inputs[name].image_config).decode()
            yield f"input-metadata:{name}", json.dumps({"containerimage.config": config})
