"""What a ``${NAME}`` may refer to at a place of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from translator.diagnostic import Diagnostic
from translator.platform import Platform
from translator.reading import value_faults as faults
from translator.span import Span
from translator.suggest import suggest
from translator.values.value import Value

BUILT_IN = ("target", "platform", "matrix", "env", "git")
PLATFORM_PARTS = ("os", "arch", "variant", "slug")
GIT_PARTS = ("commit", "branch", "tag", "dirty")


@dataclass(frozen=True, kw_only=True)
class GitFacts:
    """The state of the work tree: ``branch`` is empty when detached, ``tag`` off a tag."""

    commit: str
    branch: str
    tag: str
    dirty: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """No value. ``fault`` says why; ``replaceable`` when a default may take its place.

    ``warning`` is for a default that may be there for a misspelt name only.
    """

    fault: Callable[[Span], Diagnostic]
    replaceable: bool = True
    warning: Callable[[Span], Diagnostic] | None = None


Found: TypeAlias = "Value | Missing"


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The names that are known at a place.

    ``variables`` are the file's own, ``local`` the built-in names that depend on the target, such
    as ``matrix.go``. ``offers`` says which of ``target``, ``platform`` and ``matrix`` the place
    can have at all, and ``place`` names it for messages ("a variable"). ``matrix_keys`` are those
    of all targets together. ``git`` raises LookupError with a reason outside of a work tree.
    """

    variables: Mapping[str, Found]
    environment: Mapping[str, str]
    git: Callable[[], GitFacts]
    place: str
    local: Mapping[str, str] = field(default_factory=dict)
    offers: frozenset[str] = frozenset()
    matrix_keys: Iterable[str] = ()

    def within(self, place: str, offers: Iterable[str], local: Mapping[str, str]) -> Scope:
        """This scope with the names of a narrower place."""
        return replace(self, place=place, offers=frozenset(offers), local=local)

    def with_variables(self, variables: Mapping[str, Found]) -> Scope:
        """This scope with other variables."""
        return replace(self, variables=variables)

    def with_matrix_keys(self, keys: Iterable[str]) -> Scope:
        """This scope with the keys that targets' matrices have."""
        return replace(self, matrix_keys=tuple(keys))

    def find(self, name: str) -> Found:
        """The value of ``name``, or why there is none."""
        if name in self.local:
            return self.local[name]
        head, _, rest = name.partition(".")
        if head in BUILT_IN:
            return self._finders[head](rest)
        if name in self.variables:
            return self.variables[name]
        return self._unknown(name)

    @cached_property
    def _finders(self) -> Mapping[str, Callable[[str], Found]]:
        return {
            "env": self._environment,
            "git": self._git,
            "matrix": self._matrix,
            "platform": lambda rest: self._scoped("platform", rest, PLATFORM_PARTS),
            "target": lambda rest: self._scoped("target", rest, ()),
        }

    def _environment(self, name: str) -> Found:
        if not name:
            return Missing(lambda span: faults.incomplete_name("env", "env.HOME", span), False)
        if name in self.environment:
            return self.environment[name]
        return Missing(lambda span: faults.unset_environment(name, span))

    def _git(self, part: str) -> Found:
        if part not in GIT_PARTS:
            return _no_such_part("git", part, GIT_PARTS)
        try:
            fact: str | bool = getattr(self.git(), part)
        except LookupError as error:
            reason = str(error.args[0]) if error.args else "this is no git work tree"
            return Missing(lambda span: faults.no_git(part, reason, span))
        if fact == "":
            return Missing(lambda span: faults.no_git(part, f"there is no {part} here", span))
        return fact

    def _matrix(self, key: str) -> Found:
        if not key:
            return Missing(lambda span: faults.incomplete_name("matrix", "matrix.KEY", span), False)
        if "matrix" not in self.offers:
            return self._elsewhere(f"matrix.{key}")
        known = tuple(self.matrix_keys)
        if key not in known:
            nearest = suggest(key, known)
            return Missing(lambda span: faults.unknown_matrix_key(key, span, nearest, known))
        target = self.local.get("target", "")
        return Missing(lambda span: faults.target_without_key(key, target, span))

    def _scoped(self, name: str, part: str, parts: tuple[str, ...]) -> Found:
        if part and part not in parts:
            return _no_such_part(name, part, parts)
        return self._elsewhere(f"{name}.{part}" if part else name)

    def _elsewhere(self, name: str) -> Missing:
        return Missing(lambda span: faults.out_of_scope(name, self.place, span), False)

    def _unknown(self, name: str) -> Missing:
        nearest = suggest(name, (*self.variables, *BUILT_IN))
        if not nearest:
            return Missing(lambda span: faults.unknown_variable(name, span, nearest))
        return Missing(
            lambda span: faults.unknown_variable(name, span, nearest),
            warning=lambda span: faults.doubtful_variable(name, span, nearest),
        )


def platform_names(platform: Platform) -> dict[str, str]:
    """The built-in names of a platform."""
    return {
        "platform": str(platform),
        "platform.os": platform.os,
        "platform.arch": platform.architecture,
        "platform.variant": platform.variant,
        "platform.slug": platform.slug,
    }


def matrix_names(values: Mapping[str, str]) -> dict[str, str]:
    """The built-in names of a matrix variant."""
    return {f"matrix.{key}": value for key, value in values.items()}


def _no_such_part(name: str, part: str, parts: tuple[str, ...]) -> Missing:
    nearest = suggest(part, parts)
    return Missing(lambda span: faults.unknown_built_in(name, part, span, nearest, parts), False)
