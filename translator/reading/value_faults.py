"""Faults of values: references, variables, overrides, and what a place wants.

The later half of ``translator.text.faults``: one named constructor each, a message of one sentence
without a full stop, a hint that says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from translator.diagnostic import Diagnostic, Related
from translator.span import Span

if TYPE_CHECKING:
    from translator.workerfilter import FilterError


def did_you_mean(suggestion: str | None, otherwise: str | None = None) -> str | None:
    """The hint for a misspelt name."""
    return f"did you mean {suggestion}?" if suggestion else otherwise


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a hint: all of a few, the first of many."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


# --- filters: translator.workerfilter -------------------------------------------------------------


def bad_filter(error: FilterError, span: Span) -> Diagnostic:
    """A filter of workers that cannot be read, or that could never mean anything."""
    return Diagnostic(code="bad-filter", message=str(error), span=span, hint=error.hint)


# --- references: translator.values.interpolate and translator.values.scope ------------------------


def bad_reference(message: str, span: Span) -> Diagnostic:
    """``${`` with something in it that is no reference."""
    hint = "write ${NAME} or ${NAME:-default}, and $$ for a dollar"
    return Diagnostic(code="bad-reference", message=message, span=span, hint=hint)


def unknown_variable(name: str, span: Span, suggestion: str | None) -> Diagnostic:
    """``${NAME}`` of a variable that ``vars`` does not declare."""
    hint = did_you_mean(
        suggestion, f"declare {name} under vars, or write ${{env.{name}}} for the environment's"
    )
    return Diagnostic(
        code="unknown-variable", message=f"there is no variable {name}", span=span, hint=hint
    )


def doubtful_variable(name: str, span: Span, suggestion: str | None) -> Diagnostic:
    """The same with a default, which is then all that the reference can ever give."""
    fault = unknown_variable(name, span, suggestion)
    message = f"{fault.message}, so its default is always taken"
    return replace(fault, severity="warning", message=message)


def unset_variable(name: str, span: Span, declared: Span) -> Diagnostic:
    """A declared variable without default that nobody set."""
    return Diagnostic(
        code="unset-variable",
        message=f"the variable {name} has no value",
        span=span,
        related=(Related(message="declared here without a default", span=declared),),
        hint=f"pass --var {name}=VALUE, or write ${{{name}:-default}}",
    )


def unset_environment(name: str, span: Span) -> Diagnostic:
    """``${env.NAME}`` of what the environment lacks."""
    return Diagnostic(
        code="unset-environment",
        message=f"the environment variable {name} is not set",
        span=span,
        hint=f"set it, or write ${{env.{name}:-default}}",
    )


def no_git(part: str, reason: str, span: Span) -> Diagnostic:
    """``${git.PART}`` without an answer."""
    return Diagnostic(
        code="no-git",
        message=f"${{git.{part}}} has no value: {reason}",
        span=span,
        hint=f"write ${{git.{part}:-default}} for builds without it",
    )


def incomplete_name(name: str, example: str, span: Span) -> Diagnostic:
    """``${env}`` or ``${matrix}``, which are no values themselves."""
    return Diagnostic(
        code="bad-reference",
        message=f"{name} alone is no value",
        span=span,
        hint=f"name one of its entries, as in ${{{example}}}",
    )


def unknown_built_in(
    name: str, part: str, span: Span, suggestion: str | None, known: Sequence[str]
) -> Diagnostic:
    """``${platform.size}``."""
    full = f"{name}.{suggestion}" if suggestion else None
    otherwise = f"there are {listed(f'{name}.{part}' for part in known)}" if known else None
    return Diagnostic(
        code="unknown-variable",
        message=f"there is no {name}.{part}" if part else f"{name} alone is no value",
        span=span,
        hint=did_you_mean(full, otherwise),
    )


def out_of_scope(name: str, place: str, span: Span) -> Diagnostic:
    """A built-in name at a place that knows no target or platform."""
    where = {
        "platform": "stages and sources",
        "target": "stages, sources and targets",
        "matrix": "stages, sources and targets",
    }[name.partition(".")[0]]
    return Diagnostic(
        code="out-of-scope",
        message=f"${{{name}}} has no meaning in {place}",
        span=span,
        hint=f"it is known in {where}",
    )


def unknown_matrix_key(
    key: str, span: Span, suggestion: str | None, known: Sequence[str]
) -> Diagnostic:
    """``${matrix.KEY}`` with a key of no target."""
    otherwise = f"the keys are {listed(known)}" if known else "no target has a matrix"
    return Diagnostic(
        code="unknown-matrix-key",
        message=f"no target's matrix has the key {key}",
        span=span,
        hint=did_you_mean(suggestion, otherwise),
    )


def target_without_key(key: str, target: str, span: Span) -> Diagnostic:
    """``${matrix.KEY}`` for a target that lacks the key, though others have it."""
    return Diagnostic(
        code="unset-matrix-key",
        message=f"the target {target} has no matrix key {key}",
        span=span,
        hint=f"give the target a matrix with {key}, or write ${{matrix.{key}:-default}}",
    )


def not_text(name: str, kind: str, span: Span) -> Diagnostic:
    """A list or map within a longer text."""
    return Diagnostic(
        code="wrong-type",
        message=f"{name} is {kind} and cannot stand within a text",
        span=span,
        hint=f"write ${{{name}}} alone, where {kind} is wanted",
    )


def demanded(name: str, message: str, span: Span) -> Diagnostic:
    """``${NAME:?message}`` without a value."""
    return Diagnostic(
        code="unset-variable",
        message=f"{name} must be set" + (f": {message}" if message else ""),
        span=span,
    )


# --- variables: translator.values.variables -------------------------------------------------------


def reserved_variable(name: str, span: Span) -> Diagnostic:
    """A variable with the name of a built-in one."""
    return Diagnostic(
        code="reserved-name",
        message=f"{name} is built in and cannot be a variable",
        span=span,
        hint="give the variable another name",
    )


def bad_variable_name(name: str, span: Span) -> Diagnostic:
    """A name that ``${...}`` could not refer to."""
    return Diagnostic(
        code="bad-name",
        message=f"{name} is no variable name",
        span=span,
        hint="use letters, digits and _, and no digit first",
    )


def undeclared_setting(name: str, span: Span, suggestion: str | None) -> Diagnostic:
    """``--var`` with an unknown name."""
    hint = did_you_mean(suggestion, f"declare {name} under vars first")
    return Diagnostic(
        code="unknown-variable",
        message=f"--var sets {name}, which the build file does not declare",
        span=span,
        hint=hint,
    )


def missing_value(name: str, span: Span) -> Diagnostic:
    """``required: true`` and nobody set it."""
    return Diagnostic(
        code="missing-value",
        message=f"the variable {name} is required and has no value",
        span=span,
        hint=f"pass --var {name}=VALUE, or set {name} in the environment",
    )


def bad_value(name: str, origin: str, reason: str, span: Span) -> Diagnostic:
    """A value of the wrong type or outside of what the variable allows."""
    return Diagnostic(
        code="bad-value", message=f"{origin} of the variable {name} {reason}", span=span
    )


def bad_pattern(reason: str, span: Span) -> Diagnostic:
    """A regular expression that is none."""
    return Diagnostic(
        code="bad-pattern", message=f"this is no regular expression: {reason}", span=span
    )


# --- shapes after interpolation: translator.reading.reader ----------------------------------------


def wrong_type(wanted: str, found: str, span: Span) -> Diagnostic:
    """A value of another kind than its place wants."""
    return Diagnostic(code="wrong-type", message=f"expected {wanted}, found {found}", span=span)


def bad_text(wanted: str, text: str, span: Span, hint: str | None = None) -> Diagnostic:
    """A text that is not of the wanted form."""
    return Diagnostic(code="bad-value", message=f"{text!r} is not {wanted}", span=span, hint=hint)


def unknown_choice(text: str, options: Sequence[str], span: Span, near: str | None) -> Diagnostic:
    """A word that is none of those known here."""
    return Diagnostic(
        code="bad-value",
        message=f"{text!r} is none of {', '.join(options)}",
        span=span,
        hint=did_you_mean(near),
    )


def unknown_key(key: str, span: Span, suggestion: str | None, known: Iterable[str]) -> Diagnostic:
    """A key that means nothing here."""
    hint = did_you_mean(suggestion, f"the keys here are {listed(known)}")
    return Diagnostic(code="unknown-key", message=f"unknown key {key}", span=span, hint=hint)


def missing_key(key: str, span: Span) -> Diagnostic:
    """A key that must be there."""
    return Diagnostic(code="missing-key", message=f"the key {key} is missing", span=span)


def exactly_one(keys: Sequence[str], found: Sequence[str], span: Span) -> Diagnostic:
    """None, or several, of keys that exclude each other."""
    said = f"found {' and '.join(found)}" if found else "found none of them"
    return Diagnostic(
        code="exactly-one-of",
        message=f"exactly one of {', '.join(keys)} is wanted, {said}",
        span=span,
    )


def merge_of_few(span: Span) -> Diagnostic:
    """A ``merge`` of one thing, or of none."""
    return Diagnostic(
        code="too-few",
        message="merge lays two or more over one another",
        span=span,
        hint="to go on from a single one, write from: NAME",
    )


def not_together(first: str, second: str, span: Span) -> Diagnostic:
    """Two keys of which only one can hold."""
    return Diagnostic(
        code="exactly-one-of", message=f"{first} and {second} exclude each other", span=span
    )


# --- selectors: translator.reading.read_worker ----------------------------------------------------


def selects_nothing(keys: Sequence[str], span: Span) -> Diagnostic:
    """A selector that every worker would match."""
    return Diagnostic(
        code="missing-key",
        message="this selector asks for nothing",
        span=span,
        hint=f"give it one of {', '.join(keys)}",
    )


# --- outputs and caches: translator.reading.entries ----------------------------------------------


def bad_csv(reason: str, span: Span) -> Diagnostic:
    """A CSV string that cannot be split."""
    return Diagnostic(
        code="bad-csv",
        message=reason,
        span=span,
        hint="write key=value pairs with commas between, as in type=local,dest=out",
    )


def unknown_attribute(
    key: str, noun: str, span: Span, suggestion: str | None, known: Iterable[str]
) -> Diagnostic:
    """An attribute that this type has not."""
    otherwise = f"they have {listed(known, 30)}" if known else "they have none"
    return Diagnostic(
        code="unknown-attribute",
        message=f"{noun} have no attribute {key}",
        span=span,
        hint=did_you_mean(suggestion, otherwise),
    )


def bad_attribute(key: str, value: str, wanted: str, span: Span) -> Diagnostic:
    """An attribute with a value that it cannot have."""
    return Diagnostic(
        code="bad-value", message=f"{key} cannot be {value!r}, it must be {wanted}", span=span
    )


def unknown_kind(
    kind: str, noun: str, span: Span, suggestion: str | None, known: Sequence[str]
) -> Diagnostic:
    """A type of output or cache that nobody knows."""
    return Diagnostic(
        code="unknown-type",
        message=f"there is no {noun} of type {kind}",
        span=span,
        hint=did_you_mean(suggestion, f"the types are {listed(known)}"),
    )


def no_folder(kind: str, span: Span) -> Diagnostic:
    """An output that writes a folder, without one."""
    return Diagnostic(
        code="missing-key",
        message=f"this output of type {kind} writes a folder and has no dest",
        span=span,
        hint="name the folder: dest=out",
    )


def no_cache_folder(noun: str, key: str, span: Span) -> Diagnostic:
    """A local cache without a folder."""
    return Diagnostic(
        code="missing-key",
        message=f"this {noun} of type local has no {key}",
        span=span,
        hint=f"name the folder: {key}=.cache",
    )


def two_cache_folders(keys: Sequence[str], span: Span) -> Diagnostic:
    """A local cache with several folders: its keys for one are names of the same thing."""
    return Diagnostic(
        code="exactly-one-of",
        message=f"{' and '.join(keys)} are names of the same thing, and differ",
        span=span,
        hint="keep one of them",
    )


def bad_cache_ref(ref: str, reason: str, key: str, span: Span) -> Diagnostic:
    """A registry cache whose reference cannot be one."""
    looks_local = ref.startswith((".", "/", "~"))
    hint = f"for a folder, write type=local,{key}={ref}" if looks_local else None
    return Diagnostic(
        code="bad-value",
        message=f"ref cannot be {ref!r}: {reason}",
        span=span,
        hint=hint or "write it as in localhost:5000/app:cache",
    )


def inline_import(span: Span) -> Diagnostic:
    """``inline`` in ``cache.import``."""
    return Diagnostic(
        code="unknown-type",
        message="an inline cache is imported with the image that holds it",
        span=span,
        hint="write {type: registry, ref: IMAGE}",
    )


# --- --set: translator.reading.overrides ----------------------------------------------------------


def bad_override(span: Span) -> Diagnostic:
    """``--set`` without a key or a value."""
    return Diagnostic(
        code="bad-override",
        message="--set takes TARGET.KEY=VALUE",
        span=span,
        hint="as in --set 'app.platforms=linux/amd64,linux/arm64', or += to append",
    )


def bad_override_key(key: str, has_sub: bool, span: Span) -> Diagnostic:
    """A key below one that has none, or none below one that needs it."""
    message = f"{key} has no keys below it" if has_sub else f"{key} needs a key: {key}.NAME=VALUE"
    return Diagnostic(code="bad-override", message=message, span=span)


def no_list(key: str, span: Span) -> Diagnostic:
    """``+=`` for what is no list."""
    return Diagnostic(
        code="bad-override",
        message=f"{key} is no list, so += has nothing to append to",
        span=span,
        hint="write = instead",
    )


def unmatched_override(pattern: str, span: Span, suggestion: str | None) -> Diagnostic:
    """``--set`` for a target that is not there."""
    return Diagnostic(
        code="unknown-target",
        message=f"--set names {pattern}, and no target has that name",
        span=span,
        hint=did_you_mean(suggestion),
    )
