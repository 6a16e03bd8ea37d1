"""All that a project is made of: the translator itself looks at nothing else."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from translator.span import Position, SourceFile, Span
from translator.stage import ResolveMode
from translator.values.scope import GitFacts


def _no_git() -> GitFacts:
    raise LookupError("git was not asked")


@dataclass(frozen=True, kw_only=True)
class FieldOption:
    """An option that stands in for a field of every target: ``--platform linux/arm64``.

    ``key`` is the field as in ``--set`` (``cache.import``). Several for one list make one list.
    """

    option: str
    key: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What ``load`` takes.

    ``files`` are those of ``-f`` in their order; the first one's folder is the project's root.
    ``read`` gives an included file for its absolute path; it raises OSError, or InvalidFileError
    for what is no text. ``variables`` are those of ``--var``, ``overrides`` the options ``--set``,
    ``fields`` those that are short for one, ``allow`` those of ``--allow``, and ``secrets`` and
    ``ssh`` the ids that the command line provides by itself. Relative paths in options start from
    ``folder``. ``git`` is asked only if ``${git.*}`` is used; it raises LookupError with a reason
    outside of a work tree. ``real_path`` resolves symbolic links. ``setting_option`` is the option
    that sets variables; with ``spare_settings`` it may set others than the file declares.
    ``resolve`` is how images are resolved of which the file does not say it.
    """

    files: tuple[SourceFile, ...]
    read: Callable[[str], SourceFile]
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    fields: tuple[FieldOption, ...] = ()
    allow: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    folder: str = ""
    git: Callable[[], GitFacts] = _no_git
    real_path: Callable[[str], str] = posixpath.normpath
    setting_option: str = "--var"
    spare_settings: bool = False
    resolve: ResolveMode = "default"

    @property
    def root(self) -> str:
        """The folder of the first file."""
        return self.files[0].folder

    def setting_span(self, name: str) -> Span:
        """Where the option that sets a variable stands, as a file of its own."""
        text = f"{name}={self.variables[name]}"
        file = SourceFile(name=self.setting_option, folder=self.folder or self.root, text=text)
        return Span(file, Position(1, 1), Position(1, len(name) + 1))
