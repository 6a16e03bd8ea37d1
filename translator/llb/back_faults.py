"""Faults that show only when stages become LLB: addresses, modes, places of copies.

One named constructor each, as in ``translator.text.faults``.
"""

from __future__ import annotations

from translator.diagnostic import Diagnostic, Related
from translator.span import Span


def bad_image(ref: str, reason: str, span: Span) -> Diagnostic:
    """A text that names no image."""
    return Diagnostic(
        code="bad-image",
        message=f"{ref!r} is not an image: {reason}",
        span=span,
        hint="write [HOST/]NAME[:TAG][@DIGEST], such as alpine:3.20",
    )


def strange_folder(stage: str, name: str, span: Span) -> Diagnostic:
    """A frontend's graph that reads a folder of the client that it was not given."""
    return Diagnostic(
        code="strange-folder",
        message=f"the frontend of {stage} wants the local source {name}, which it was not given",
        span=span,
        hint="give it a folder of that name as one of its inputs",
    )


def broken_graph(stage: str, span: Span) -> Diagnostic:
    """A definition that refers to operations which it has not."""
    return Diagnostic(
        code="broken-graph",
        message=f"the frontend of {stage} made a graph that cannot be read",
        span=span,
        hint="that is a mistake of the frontend, or of the daemon",
    )


def not_given(noun: str, key: str, name: str, span: Span, stage: Span) -> Diagnostic:
    """A secret or agent that a frontend's step needs, and its stage does not name."""
    return Diagnostic(
        code="not-given",
        message=f"this step wants the {noun} {name}, which its stage does not give",
        span=span,
        related=(Related(message="the stage is here", span=stage),),
        hint=f"write {key}: [{name}] beside the frontend's other keys, and declare it under {key}",
    )


def not_entitled(name: str, span: Span, stage: Span) -> Diagnostic:
    """A step of a frontend that may do less than it asks for."""
    return Diagnostic(
        code="not-entitled",
        message=f"this step asks for {name}, which its stage does not allow",
        span=span,
        related=(Related(message="the stage is here", span=stage),),
        hint=f"write entitlements: [{name}] beside the frontend's other keys",
    )


def bad_git_url(url: str, reason: str, span: Span) -> Diagnostic:
    """A text that names no git repository."""
    return Diagnostic(
        code="bad-git-url",
        message=f"{url!r} is not a git repository: {reason}",
        span=span,
        hint="write https://HOST/PATH or git@HOST:PATH",
    )


def bad_http_url(url: str, span: Span) -> Diagnostic:
    """A download from something that is no web address."""
    return Diagnostic(
        code="bad-http-url",
        message=f"{url!r} is not a web address",
        span=span,
        hint="write http://HOST/PATH or https://HOST/PATH",
    )


def bad_mode(text: str, span: Span) -> Diagnostic:
    """A ``chmod`` that is neither octal nor symbolic."""
    return Diagnostic(
        code="bad-mode",
        message=f"{text!r} is not a file mode",
        span=span,
        hint='write it in octal ("0755") or as chmod does ("u=rwX,go=rX")',
    )


def special_mode(mode: int, path: str, span: Span) -> Diagnostic:
    """A setuid, setgid or sticky bit, which BuildKit does not set on what it makes."""
    return Diagnostic(
        code="special-mode",
        message=f"BuildKit makes files and folders without the special bits of mode {mode:04o}",
        span=span,
        hint=f"set them with a step: run: chmod {mode:o} {path}",
    )


def bad_owner(text: str, span: Span) -> Diagnostic:
    """A ``chown`` with nothing in it, or with too much."""
    return Diagnostic(
        code="bad-owner",
        message=f"{text!r} is not an owner",
        span=span,
        hint="write USER or USER:GROUP, as names or numbers",
    )


def file_in_place_of_folder(to: str, span: Span) -> Diagnostic:
    """Several things copied to one name."""
    return Diagnostic(
        code="copy-needs-folder",
        message=f"several paths are copied, so {to!r} has to be a folder",
        span=span,
        hint=f"write {to}/ with a slash at the end",
    )


def required_elsewhere(path: str, span: Span) -> Diagnostic:
    """A path is required that the copy does not look at."""
    return Diagnostic(
        code="required-elsewhere",
        message=f"the required path {path} lies under none of the copied paths",
        span=span,
        hint="name it from the root of the source, as under paths",
    )


def mount_on_root(span: Span) -> Diagnostic:
    """A mount that would hide the stage's own files."""
    return Diagnostic(
        code="mount-on-root",
        message="a mount cannot stand in the place of the root folder",
        span=span,
        hint="give it a target such as /mnt",
    )


def owner_without_users(text: str, span: Span) -> Diagnostic:
    """A user's name where no file can say which number it has."""
    return Diagnostic(
        code="owner-without-users",
        message=f"{text!r} cannot be looked up: the stage is still empty",
        span=span,
        hint="write numbers, such as 1000:1000",
    )
