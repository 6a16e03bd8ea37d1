"""Every fault that a user's file can have: one named constructor each, and nobody else's wording.

Sections follow the file's way: its text, its shape, its names. A message is one sentence without
a full stop; a hint says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from translator.diagnostic import Diagnostic, Related
from translator.reading.value_faults import (
    exactly_one,
    listed,
    missing_key,
    unknown_key,
    wrong_type,
)
from translator.span import Span

# --- the text: translator.text.document -----------------------------------------------------------


def not_utf8(*, name: str, line: int, column: int) -> Diagnostic:
    """Bytes that are no UTF-8; there is no text to draw, so the place is part of the message."""
    return Diagnostic(
        code="not-utf8",
        message=f"{name} is not UTF-8 text (line {line}, column {column})",
        hint="save the file as UTF-8",
    )


def bad_character(span: Span, character: str) -> Diagnostic:
    """A control character, or half of a surrogate pair, in the text."""
    return Diagnostic(
        code="bad-character",
        message=f"the character U+{ord(character):04X} is not allowed here",
        span=span,
        hint="remove it, or write it as an escape in a double-quoted string",
    )


def invalid_yaml(span: Span, message: str, hint: str | None, context: Related | None) -> Diagnostic:
    """Text that is no YAML, said plainly; ``context`` is where the broken part begins."""
    related = (context,) if context else ()
    return Diagnostic(code="invalid-yaml", message=message, span=span, related=related, hint=hint)


def empty_file(span: Span) -> Diagnostic:
    """Nothing in the file but white space and comments."""
    return Diagnostic(
        code="empty-file",
        message="the file is empty",
        span=span,
        hint="a build file has at least one stage and one target",
    )


def several_documents(span: Span, first: Span) -> Diagnostic:
    """A second YAML document in one file."""
    return Diagnostic(
        code="several-documents",
        message="a second document begins here, but a build file is a single one",
        span=span,
        related=(Related(message="the first one begins here", span=first),),
        hint="remove the --- line, or put the second part into a file of its own",
    )


def not_a_map(span: Span, found: str) -> Diagnostic:
    """The top of the file is a list or a value."""
    return Diagnostic(
        code="not-a-map",
        message=f"expected a map of keys such as stages and targets, found {found}",
        span=span,
    )


def duplicate_key(key: str, span: Span, first: Span) -> Diagnostic:
    """One key twice in one map."""
    hint = "write <<: [*first, *second] to merge several maps" if key == "<<" else None
    return Diagnostic(
        code="duplicate-key",
        message=f"the key {key} stands here a second time",
        span=span,
        related=(Related(message="first defined here", span=first),),
        hint=hint,
    )


def bad_key(span: Span, found: str) -> Diagnostic:
    """A key that is no text."""
    return Diagnostic(code="bad-key", message=f"a key must be text, found {found}", span=span)


def bad_merge(span: Span, found: str) -> Diagnostic:
    """``<<`` with something else than maps."""
    return Diagnostic(
        code="bad-merge",
        message=f"<< merges a map or a list of maps, found {found}",
        span=span,
        hint="write <<: *name or <<: [*name, *other]",
    )


def undefined_alias(name: str, span: Span, suggestion: str | None) -> Diagnostic:
    """``*name`` without ``&name`` above it."""
    hint = f"did you mean *{suggestion}?" if suggestion else "an anchor stands above its aliases"
    return Diagnostic(
        code="undefined-alias",
        message=f"the alias *{name} has no anchor &{name} above it",
        span=span,
        hint=hint,
    )


def recursive_alias(name: str, span: Span, anchor: Span) -> Diagnostic:
    """``*name`` within what ``&name`` names."""
    return Diagnostic(
        code="recursive-alias",
        message=f"the alias *{name} stands within its own anchor",
        span=span,
        related=(Related(message="the anchor is here", span=anchor),),
    )


def alias_expansion(span: Span, limit: int) -> Diagnostic:
    """Aliases of aliases that multiply beyond all use."""
    return Diagnostic(
        code="alias-expansion",
        message=f"the file's aliases stand for more than {limit:,} values",
        span=span,
        hint="aliases of aliases multiply; write fewer of them",
    )


def too_deep(span: Span, limit: int) -> Diagnostic:
    """Nesting that no build file needs."""
    return Diagnostic(
        code="too-deep",
        message=f"maps and lists are nested more than {limit} deep",
        span=span,
    )


def unknown_tag(tag: str, span: Span) -> Diagnostic:
    """A YAML tag other than those of the core schema."""
    binary = "write the bytes with a write step and base64" if tag == "!!binary" else None
    return Diagnostic(
        code="unknown-tag",
        message=f"the tag {tag} is not supported",
        span=span,
        hint=binary or "remove it; what a value is follows from where it stands",
    )


# --- its shape: translator.text.schema; those that values share are in translator.reading.value_fau


def misspelt_key(
    key: str, span: Span, suggestion: str | None, known: Iterable[str], place: str | None
) -> Diagnostic:
    """A key that means nothing where it stands, but perhaps inside ``place`` beside it."""
    fault = unknown_key(key, span, suggestion, known)
    return replace(fault, hint=f"{key} belongs inside {place}") if place else fault


def misplaced_key(key: str, beside: str, owners: Sequence[str], span: Span) -> Diagnostic:
    """A key that belongs to something else than what stands beside it."""
    return Diagnostic(
        code="misplaced-key",
        message=f"the key {key} has no meaning beside {beside}",
        span=span,
        hint=f"it belongs to {listed(owners)}" if owners else None,
    )


def one_verb(verbs: Sequence[str], found: Sequence[str], span: Span) -> Diagnostic:
    """A step that does nothing, or several things."""
    if not found:
        return exactly_one(verbs, found, span)
    return Diagnostic(
        code="exactly-one-of",
        message=f"a step does one thing, found {' and '.join(found)}",
        span=span,
        hint="make each of them a step of its own",
    )


def incomplete(key: str, span: Span, described: str | None) -> Diagnostic:
    """A key that must be there; ``described`` is what the schema says of it."""
    return replace(missing_key(key, span), hint=f"{key}: {described}" if described else None)


def bad_name(name: str, wanted: str, span: Span) -> Diagnostic:
    """A key that names something, in letters that a name has not."""
    return Diagnostic(code="bad-name", message=f"{name!r} is not {wanted}", span=span)


def unfit(wanted: str, found: str, span: Span, hint: str | None) -> Diagnostic:
    """A value of another kind than its place wants."""
    return replace(wrong_type(wanted, found, span), hint=hint)


def out_of_range(text: str, wanted: str, span: Span) -> Diagnostic:
    """A number too small or too large."""
    return Diagnostic(code="bad-value", message=f"{text} is not {wanted}", span=span)


def empty(what: str, span: Span) -> Diagnostic:
    """A text, list or map with nothing in it where something is wanted."""
    return Diagnostic(code="empty-value", message=f"{what} must not be empty", span=span)
