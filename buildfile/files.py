"""From the disk to a Project: finds the build file, reads what it includes, asks git if needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from buildfile.exits import UsageError
from translator.inputs import FieldOption
from translator.project import GitFacts, Inputs, Project
from translator.project import load as translate
from translator.span import SourceFile
from translator.stage import ResolveMode
from translator.text import document

FILE_NAMES = ("buildfile.yaml", "buildfile.yml")


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What shapes a project besides its files; see ``buildfile build --help``.

    ``secrets`` and ``ssh`` are the ids that the command line provides by itself. ``resolve`` is how
    images are resolved of which the file does not say it. ``environment`` None means this process's
    own.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    fields: Sequence[FieldOption] = ()
    allow: Sequence[str] = ()
    secrets: Sequence[str] = ()
    ssh: Sequence[str] = ()
    resolve: ResolveMode = "default"
    environment: Mapping[str, str] | None = None


def load_project(files: Sequence[str], options: LoadOptions | None = None) -> Project:
    """Load the named files (``-`` is standard input), or the one of the working folder.

    Raises UsageError where there is none or it can't be read, InvalidFileError for its faults.
    """
    options = options or LoadOptions()
    environment = os.environ if options.environment is None else options.environment
    if [*files].count("-") > 1:
        raise UsageError("standard input can be read once: -f - is given twice")
    sources = tuple(_read_named(name) for name in files or (str(find()),))
    folder = sources[0].folder
    return translate(
        Inputs(
            files=sources,
            read=_read,
            environment=dict(environment),
            variables=dict(options.variables),
            overrides=tuple(options.overrides),
            fields=tuple(options.fields),
            allow=tuple(options.allow),
            secrets=tuple(options.secrets),
            ssh=tuple(options.ssh),
            resolve=options.resolve,
            folder=str(Path.cwd()),
            real_path=os.path.realpath,
            git=lambda: git_facts(folder),
        )
    )


def find(start: Path | None = None) -> Path:
    """The build file of ``start`` (the working folder) or its nearest parent that has one."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        for name in FILE_NAMES:
            if (folder / name).is_file():
                return folder / name
    raise UsageError(
        f"no {FILE_NAMES[0]} in {start} or above",
        hint="write a first one with: buildfile init, or name a file with -f FILE",
    )


def project_folder() -> str | None:
    """The folder of the build file that ``find`` finds, None where there is none."""
    try:
        return str(find().parent)
    except UsageError:
        return None


def git_facts(folder: str) -> GitFacts:
    """What git says of the work tree around ``folder``. Raises LookupError outside of one."""
    return GitFacts(
        commit=_git(folder, "rev-parse", "HEAD"),
        branch=_git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        tag=_git_or_empty(folder, "describe", "--tags", "--exact-match"),
        dirty=bool(_git(folder, "status", "--porcelain")),
    )


def _git(folder: str, *arguments: str) -> str:
    import subprocess

    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise LookupError("git is not installed") from error
    if done.returncode:
        raise LookupError(done.stderr.strip().splitlines()[0] if done.stderr else "git failed")
    return done.stdout.strip()


def _git_or_empty(folder: str, *arguments: str) -> str:
    try:
        return _git(folder, *arguments)
    except LookupError:
        return ""


def _read_named(name: str) -> SourceFile:
    if name == "-":
        return document.read("<stdin>", str(Path.cwd()), sys.stdin.buffer.read())
    return read_file(name)


def read_file(name: str) -> SourceFile:
    """A file by its path.

    Raises UsageError where it can't be read, InvalidFileError when it is not UTF-8.
    """
    try:
        return _read(str(Path(name).absolute()))
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error


def _read(path: str) -> SourceFile:
    return document.read(_shown(path), str(Path(path).parent), Path(path).read_bytes())


def _shown(path: str) -> str:
    """The path as diagnostics print it: relative where that is shorter to read."""
    relative = os.path.relpath(path)
    return path if relative.startswith("../..") else relative
