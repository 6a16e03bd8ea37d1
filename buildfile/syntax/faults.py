"""Faults of a request to the frontend: one named constructor each."""

from __future__ import annotations

from collections.abc import Sequence

from translator.diagnostic import Diagnostic
from translator.reading.value_faults import did_you_mean, listed
from translator.span import Span
from translator.suggest import suggest


def bad_option(name: str, value: str, wanted: str) -> Diagnostic:
    """An option of the client has a value that is none."""
    found = f" {value!r}" if value else ""
    return Diagnostic(
        code="bad-option", message=f"the option {name} cannot be{found}", hint=f"write {wanted}"
    )


def option_of_steps(name: str, key: str) -> Diagnostic:
    """An option that a Dockerfile's steps have in common, and those of build files have not."""
    return Diagnostic(
        code="unknown-option",
        message=f"the option {name} has no meaning for a build file",
        hint=f"write {key} at the steps that want it" if key else "leave it out",
    )


def no_build_file(name: str, folder: str) -> Diagnostic:
    """The client's folder has no file of that name."""
    return Diagnostic(
        code="no-build-file",
        message=f"there is no {name} in what the client sends as {folder}",
        hint="name the build file: -f FILE, or --opt filename=FILE",
    )


def several_targets(asked: str, names: Sequence[str]) -> Diagnostic:
    """What the client names, or the default, is more than one target."""
    what = f"{asked} means several targets" if asked else "the default is several targets"
    return Diagnostic(
        code="several-targets",
        message=f"{what}, and one build of a client gives one result",
        hint=f"name one with --target (or --opt target=): {listed(names)}",
    )


def no_target(name: str, targets: Sequence[str], stages: Sequence[str]) -> Diagnostic:
    """The client names what is neither a target nor a stage."""
    return Diagnostic(
        code="no-target",
        message=f"there is no target or stage {name}",
        hint=did_you_mean(suggest(name, (*targets, *stages)), f"there are {listed(targets)}"),
    )


def outside_context(span: Span | None) -> Diagnostic:
    """A local source outside of the context, which is all that the client sends."""
    return Diagnostic(
        code="outside-context",
        message="this folder is outside of the build context, which is all that the client sends",
        span=span,
        hint="the context takes the place of the build file's folder; give other folders as named "
        "contexts (--build-context NAME=FOLDER), or build with buildfile build",
    )


def layout_of_client(name: str, span: Span) -> Diagnostic:
    """An OCI layout in a folder of the client, which other clients do not serve."""
    return Diagnostic(
        code="outside-context",
        message=f"the OCI layout {name} cannot be had from this client",
        span=span,
        hint=f"give it as a named context (--build-context {name}=oci-layout://FOLDER), or build "
        "with buildfile build",
    )


def no_helper() -> Diagnostic:
    """The daemon needs the helper, and nothing says which image has it."""
    return Diagnostic(
        code="daemon-lacks",
        message="this daemon needs a helper program, and the frontend does not know its own image",
        hint="name it: --opt source=IMAGE",
    )


def bad_context(name: str, value: str, reason: str) -> Diagnostic:
    """A named context that is written wrong."""
    return Diagnostic(code="bad-context", message=f"the context {name} ({value}) {reason}")


def unused_context(name: str, known: Sequence[str]) -> Diagnostic:
    """A named context that no stage or source has the name of."""
    near = suggest(name, known)
    return Diagnostic(
        code="unused-context",
        message=f"the context {name} is not used: no stage or source of that name is needed",
        hint=did_you_mean(near, "") or None,
        severity="warning",
    )


def unused_arguments(names: Sequence[str]) -> Diagnostic:
    """Build arguments that the build file does not declare."""
    several = "s" if len(names) > 1 else ""
    return Diagnostic(
        code="unused-argument",
        message=f"the build argument{several} {listed(names)} "
        f"{'are' if several else 'is'} not declared under vars, and left out",
        severity="warning",
    )


def unknown_stages(names: Sequence[str]) -> Diagnostic:
    """Stages that are to be built anew, and that are not there."""
    return Diagnostic(
        code="unknown-name",
        message=f"no-cache names no stage of the build: {listed(names)}",
        severity="warning",
    )


def cache_of_client(type_: str, span: Span | None, why: str) -> Diagnostic:
    """A cache of the build file that is left out here."""
    return Diagnostic(
        code="cache-amiss",
        message=f"the {type_} cache is left out: {why}",
        span=span,
        severity="warning",
    )
