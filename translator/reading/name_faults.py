"""Faults of names: files, and what targets, stages, groups and variables refer to.

The last part of ``translator.text.faults``: one named constructor each, a message of one sentence
without a full stop, a hint that says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from translator.diagnostic import Diagnostic, Related
from translator.reading.value_faults import did_you_mean, listed
from translator.span import Span

# --- files: translator.reading.files --------------------------------------------------------------


def unreadable_include(path: str, reason: str, span: Span) -> Diagnostic:
    """An included file that cannot be read."""
    return Diagnostic(
        code="unreadable-include",
        message=f"cannot read {path}: {reason}",
        span=span,
        hint="the path is relative to the file that it stands in",
    )


def include_circle(name: str, span: Span, path: Sequence[tuple[str, Span]]) -> Diagnostic:
    """A file that includes itself; ``path`` has the files between, and where each is included."""
    return Diagnostic(
        code="include-cycle",
        message=f"{name} includes itself",
        span=span,
        related=tuple(Related(message=f"{file} is included here", span=at) for file, at in path),
        hint="move what both files need into a third one",
    )


def includes_too_deep(limit: int, span: Span) -> Diagnostic:
    """Files that include files that include files."""
    return Diagnostic(
        code="too-deep", message=f"files include each other more than {limit} deep", span=span
    )


def variable_too_early(name: str, span: Span) -> Diagnostic:
    """A variable in ``include``."""
    return Diagnostic(
        code="out-of-scope",
        message=f"the variable {name} is not known yet where files are included",
        span=span,
        hint=f"write ${{env.{name}}} for the environment's value",
    )


# --- names: what refers to what ----------------------------------------------------------------


def unknown_name(
    noun: str, name: str, span: Span, suggestion: str | None, section: str
) -> Diagnostic:
    """A name that its section of the file does not define."""
    return Diagnostic(
        code=f"unknown-{noun.lower().replace(' ', '-')}",
        message=f"there is no {noun} {name}",
        span=span,
        hint=did_you_mean(suggestion, f"define it under {section}"),
    )


def unknown_origin(name: str, span: Span, suggestion: str | None) -> Diagnostic:
    """``from`` with a name of no stage and no source."""
    in_place = f"if it is an image, write {{image: {name}}}; if a folder, {{local: {name}}}"
    return Diagnostic(
        code="unknown-origin",
        message=f"there is no stage or source {name}",
        span=span,
        hint=did_you_mean(suggestion, in_place),
    )


def outside_folders(path: str, allowed: Sequence[str], span: Span) -> Diagnostic:
    """A local folder that the build file may not read."""
    return Diagnostic(
        code="outside-folders",
        message=f"{path} is outside of the folders that this build may read",
        span=span,
        hint=f"it may read {listed(allowed)}; allow more with --allow fs.read={path}",
    )


def reserved_name(noun: str, name: str, span: Span) -> Diagnostic:
    """A stage or source named ``scratch``."""
    return Diagnostic(
        code="reserved-name",
        message=f"{name} is the empty file system and cannot be the name of a {noun}",
        span=span,
    )


def name_twice(name: str, nouns: tuple[str, str], span: Span, first: Span) -> Diagnostic:
    """One name for two things that are referred to alike."""
    return Diagnostic(
        code="duplicate-name",
        message=f"{name} is the name of a {nouns[0]} and of a {nouns[1]}",
        span=span,
        related=(Related(message=f"the {nouns[0]} is defined here", span=first),),
        hint="rename one of them",
    )


def stage_cycle(names: Sequence[str], spans: Sequence[Span]) -> Diagnostic:
    """Stages that use each other in a circle; ``spans`` are the references."""
    return _cycle("stage-cycle", "the stage", "uses", names, spans)


def extends_cycle(names: Sequence[str], spans: Sequence[Span]) -> Diagnostic:
    """Targets that extend each other in a circle."""
    return _cycle("extends-cycle", "the target", "extends", names, spans)


def group_cycle(names: Sequence[str], spans: Sequence[Span]) -> Diagnostic:
    """Groups that hold each other in a circle."""
    return _cycle("group-cycle", "the group", "holds", names, spans)


# --- matrices: translator.reading.matrix ----------------------------------------------------------


def bad_matrix_key(key: str, span: Span) -> Diagnostic:
    """A key that ``${matrix.KEY}`` could not name."""
    return Diagnostic(
        code="bad-name",
        message=f"{key} is no matrix key",
        span=span,
        hint="use letters, digits, - and _",
    )


def empty_axis(key: str, span: Span) -> Diagnostic:
    """A matrix key without values."""
    return Diagnostic(
        code="empty-matrix",
        message=f"the matrix key {key} has no values, so there is nothing to build",
        span=span,
    )


def empty_matrix(target: str, span: Span) -> Diagnostic:
    """Everything is excluded."""
    return Diagnostic(
        code="empty-matrix",
        message=f"the matrix of {target} leaves no variant to build",
        span=span,
        hint="exclude fewer of its combinations",
    )


def same_variant(name: str, declared: tuple[str, str], span: Span, first: Span) -> Diagnostic:
    """Two targets, or variants of one, with the same name."""
    one = f"two variants of {declared[0]}"
    both = one if declared[0] == declared[1] else f"{declared[0]} and {declared[1]}"
    related = (Related(message="the other one stands here", span=first),) if span != first else ()
    return Diagnostic(
        code="duplicate-target",
        message=f"{both} are both named {name}",
        span=span,
        related=related,
        hint="a variant's name is its target's name and its matrix values; change one of them",
    )


def platform_not_listed(platform: str, target: str, span: Span) -> Diagnostic:
    """``exclude`` names a platform and the target names none."""
    return Diagnostic(
        code="bad-value",
        message=f"exclude drops {platform}, but {target} lists no platforms",
        span=span,
        hint="list the target's platforms",
    )


# --- targets and groups: translator.reading.selection and translator.project ----------------------


def bad_stage_platform(text: str, span: Span) -> Diagnostic:
    """``platform`` of a stage that is none."""
    return Diagnostic(
        code="bad-value",
        message=f"{text!r} is not a platform",
        span=span,
        hint="write build, or os/architecture as in linux/arm64",
    )


def no_such_target(name: str, suggestion: str | None, known: Sequence[str]) -> Diagnostic:
    """A name on the command line that means nothing."""
    otherwise = f"the targets are {listed(known)}" if known else "the build file has no targets"
    return Diagnostic(
        code="unknown-target",
        message=f"there is no target or group {name}",
        hint=did_you_mean(suggestion, otherwise),
    )


def abstract_target(name: str) -> Diagnostic:
    """A target that is there to be extended only."""
    return Diagnostic(
        code="abstract-target",
        message=f"the target {name} is abstract and cannot be built",
        hint="build a target that extends it",
    )


def no_default(known: Sequence[str]) -> Diagnostic:
    """No name on the command line, and no default."""
    if not known:
        return Diagnostic(code="no-target", message="the build file has no targets")
    return Diagnostic(
        code="no-target",
        message="there are several targets and no group default",
        hint=f"name what to build: {listed(known)}",
    )


def missing_version(span: Span) -> Diagnostic:
    """A build file without ``version``."""
    return Diagnostic(
        code="missing-key",
        message="the key version is missing",
        span=span,
        hint="begin the file with version: 1",
    )


def variable_cycle(names: Sequence[str], spans: Sequence[Span]) -> Diagnostic:
    """Defaults that refer to each other in a circle; ``spans`` are the declarations."""
    return _cycle("variable-cycle", "the variable", "refers to", names, spans)


def _cycle(
    code: str, noun: str, verb: str, names: Sequence[str], spans: Sequence[Span]
) -> Diagnostic:
    following = (*names[1:], names[0])
    steps = list(zip(names, following, spans, strict=True))
    path = " -> ".join((*names, names[0])) if len(names) <= 12 else f"through {len(names)} of them"
    return Diagnostic(
        code=code,
        message=f"{noun} {names[0]} {verb} itself: {path}",
        span=spans[0],
        related=tuple(
            Related(message=f"{name} {verb} {after}", span=span) for name, after, span in steps[:12]
        ),
        hint="break the circle",
    )
