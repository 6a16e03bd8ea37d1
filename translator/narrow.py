"""A result cut down to the paths that an output asks for."""

from __future__ import annotations

from dataclasses import replace

from translator.span import Span
from translator.stage import Copy, Instance, Scratch, Stage, StageRef

VARIANT = "+paths"


def narrowed(instance: Instance, paths: tuple[str, ...], span: Span) -> Instance:
    """The instance with one more stage, which holds ``paths`` of the old root and nothing else.

    A folder gives its contents, as a ``copy`` step does; without paths it is the same instance.
    """
    if not paths:
        return instance
    ref = StageRef(instance.root.name, instance.root.variant + VARIANT)
    stage = Stage(
        ref=ref,
        platform=instance.platform,
        origin=Scratch(span=span),
        worker=instance.stages[instance.root].worker,
        steps=(Copy(origin=instance.root, paths=paths, to="/", span=span),),
        span=span,
    )
    return replace(instance, root=ref, stages={**instance.stages, ref: stage})
