"""The application's own faults: one named constructor each, as in ``translator.text.faults``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from buildfile.cachenames import NAMED_BY
from buildfile.registryhints import hint_for
from daemon_shim.info import DaemonInfo
from translator.compiled import FrontendNeed, ImageNeed, Need
from translator.diagnostic import Diagnostic, Related
from translator.llb.capabilities import CAPABILITIES
from translator.platform import Platform
from translator.reading.value_faults import did_you_mean, listed
from translator.selector import Selector
from translator.span import Span
from translator.stage import LocalSource, Stage
from translator.suggest import suggest
from translator.target import Output, Secret, SshAgent, Target

if TYPE_CHECKING:
    from buildfile.caches import PlannedCache
    from buildfile.ocilayout import (
        BrokenLayoutError,
        NoLayoutError,
        UnknownImageError,
        UnknownPlatformError,
    )
    from buildfile.placement import Placed, Station, Unplaced, Wish
    from daemon_shim.errors import DaemonError

# --- who builds what (exit 4) ------------------------------------------------------------------


def no_daemon_for(unplaced: Unplaced) -> Diagnostic:
    """No daemon matches the selectors of a target, or the one that it is pinned to does not."""
    wanted = [f"the selector {each.selector} of {each.owner}" for each in unplaced.wishes]
    if not wanted:
        pinned = f"the daemon {unplaced.pin}, which --place names, "
        message = f"{pinned}cannot be used for {unplaced.target}"
    elif unplaced.pin:
        message = f"{unplaced.pin}, where --place puts it, does not match {' and '.join(wanted)}"
    elif len(wanted) == 1:
        message = f"no daemon matches {wanted[0]}"
    else:
        message = f"no daemon matches all of {', '.join(wanted)}"
    first = next(iter(unplaced.wishes), None)
    return Diagnostic(
        code="no-daemon",
        message=message,
        span=first.selector.span if first else None,
        facts=tuple(_fact(*each) for each in unplaced.findings),
        hint="buildfile daemons and buildfile workers list what there is; require: false lets it "
        "be built on another one",
    )


def _fact(station: Station, finding: str) -> str:
    """What a daemon is, for who looks for another one."""
    address = "" if station.name == station.address else f" ({station.address})"
    named = f"{station.name}{address}"
    if not station.workers:
        return f"{named}: {finding}"
    worker = station.workers[0]
    labels = ", ".join(f"{key}={value}" for key, value in sorted(worker.labels.items()))
    platforms = ", ".join(map(str, worker.platforms))
    return f"{named}: {finding}; its worker {worker.id} has {platforms}; {labels or 'no labels'}"


def selector_passed_over(placed: Placed, wish: Wish) -> Diagnostic:
    """A selector that is not required, and that no daemon matches."""
    return Diagnostic(
        code="no-daemon",
        message=f"no daemon that can build {placed.target} matches the selector {wish.selector} of "
        f"{wish.owner}, which is not required: it is built on {placed.station}",
        span=wish.selector.span,
        severity="warning",
    )


def selector_untold(wish: Wish, rest: Selector, station: Station) -> Diagnostic:
    """A selector of which it cannot be told whether a daemon of an age would match it."""
    platforms = ", ".join(map(str, station.workers[0].platforms))
    return Diagnostic(
        code="no-daemon",
        message=f"whether a daemon matches the selector {wish.selector} of {wish.owner} is not "
        f"looked at ({rest.wishes}): of {station.address} only the platform is known, {platforms}",
        span=wish.selector.span,
        severity="warning",
        hint="plan without a release in --api looks at your daemons",
    )


# --- what a daemon lacks (exit 4) --------------------------------------------------------------


def lacks_capability(need: Need, info: DaemonInfo) -> Diagnostic:
    """A step needs what the daemon does not know, or has switched off."""
    row = CAPABILITIES.get(need.capability)
    disabled = info.disabled.get(need.capability)
    why = f"has it switched off: {disabled}" if disabled else f"is BuildKit {info.version}"
    note = f"; {need.note}" if need.note else ""
    return Diagnostic(
        code="daemon-lacks",
        message=f"{need.what} needs BuildKit {row.since if row else 'of another release'}, "
        f"and {info.address} {why}{note}",
        span=need.span,
        hint="choose another daemon with --daemon",
    )


def lacks_output(output: Output, reason: str, info: DaemonInfo) -> Diagnostic:
    """The daemon cannot make an output."""
    return Diagnostic(
        code="daemon-lacks",
        message=f"{info.address} cannot make this {output.type} output: {reason}",
        span=output.span,
        hint="choose another output type, or another daemon with --daemon",
    )


def lacks_feature(
    reason: str, target: Target, info: DaemonInfo, span: Span | None = None
) -> Diagnostic:
    """The daemon lacks something that a target asks for, at ``span`` or as a whole."""
    return Diagnostic(
        code="daemon-lacks",
        message=f"{info.address} cannot build {target.name}: {reason}",
        span=span or target.span,
        hint="choose another daemon with --daemon",
    )


def lacks_frontend(stage: Stage, reason: str, info: DaemonInfo) -> Diagnostic:
    """The daemon cannot have a frontend make a stage."""
    return Diagnostic(
        code="daemon-lacks",
        message=f"{info.address} cannot build the stage {stage.ref.name}: {reason}",
        span=stage.span,
        hint="choose another daemon with --daemon",
    )


def no_frontend(need: FrontendNeed, info: DaemonInfo) -> Diagnostic:
    """The daemon has no frontend of the name, or not any more: an engine may switch it off."""
    return Diagnostic(
        code="daemon-lacks",
        message=f"{info.address} ({info.version}) has no frontend {need.frontend}, which makes "
        f"the stage {need.stage.ref.name}",
        span=need.span,
        hint="choose another daemon with --daemon, or enable it in the daemon's configuration",
    )


def frontend_failed(need: FrontendNeed, reason: str, span: Span | None) -> Diagnostic:
    """A frontend could make nothing of a stage; ``span`` is in what it reads, a Dockerfile say."""
    related = (Related(message="the stage is here", span=need.span),) if span else ()
    return Diagnostic(
        code="frontend-failed",
        message=f"cannot make {need.stage.ref.name} by {need.what}: {' '.join(reason.split())}",
        span=span or need.span,
        related=related,
    )


def other_platforms(need: FrontendNeed, made: Sequence[str]) -> Diagnostic:
    """A frontend has results, and none for the platform of the stage."""
    return Diagnostic(
        code="frontend-failed",
        message=f"{need.what} made {need.stage.ref.name} for {', '.join(made)}, and not for "
        f"{need.stage.platform}",
        span=need.span,
    )


def no_config(need: FrontendNeed) -> Diagnostic:
    """The daemon keeps an image config for itself (v0.7.0 and v0.7.1)."""
    return Diagnostic(
        code="daemon-lacks",
        message=f"the daemon does not tell the image config of {need.stage.ref.name}: that needs "
        "BuildKit v0.7.2",
        span=need.span,
        hint="choose another daemon with --daemon",
    )


def folder_twice(need: FrontendNeed, name: str) -> Diagnostic:
    """Two folders of one name, of which a session can serve a single one."""
    return Diagnostic(
        code="name-twice",
        message=f"{need.stage.ref.name} is made from a source {name}, and its frontend has "
        "another folder of that name",
        span=need.span,
        hint=f"rename the source {name}",
    )


def foreign_platform(
    platform: Platform, span: Span, info: DaemonInfo, listed: Iterable[Platform]
) -> Diagnostic:
    """A step would have to run on a platform that the daemon cannot execute."""
    return Diagnostic(
        code="daemon-lacks",
        message=f"{info.address} cannot run steps for {platform}",
        span=span,
        hint=f"it runs {', '.join(map(str, listed))}; install an emulator (binfmt_misc) on it, "
        "or pin the stage with platform: build",
    )


def epoch_unknown(info: DaemonInfo) -> Diagnostic:
    """SOURCE_DATE_EPOCH is set, and the daemon does not apply it to images."""
    why = f"is a {info.store.value}" if info.engine else f"is BuildKit {info.version}"
    return Diagnostic(
        code="epoch-unknown",
        message=f"SOURCE_DATE_EPOCH needs BuildKit v0.11, and {info.address} {why}: "
        "the times in the image are those of this build",
        severity="warning",
    )


def inline_without_image(target: Target) -> Diagnostic:
    """An inline cache is exported, and the target makes no image that it could go into."""
    return Diagnostic(
        code="no-inline-cache",
        message=f"the inline cache of {target.name} is not exported: it goes into an image, and "
        "this target has no image output",
        span=target.span,
        severity="warning",
    )


def old_cache_option(option: str, instead: str) -> Diagnostic:
    """A cache on the command line in the form that it had before BuildKit v0.4."""
    return Diagnostic(
        code="old-form",
        message=f"{option} with a reference alone is an old form",
        hint=f"write {option} {instead}",
        severity="warning",
    )


def cache_amiss(cache: PlannedCache, target: Target) -> Diagnostic:
    """A cache is not used, or not quite as the build file says; the build goes on."""
    where = f" in {cache.folder}" if cache.folder else ""
    what = f"the {cache.type} cache{where} that {target.name} {cache.kind}s"
    unused = "" if cache.option else " is left out"
    return Diagnostic(
        code="cache-amiss",
        message=f"{what}{unused}: {cache.warning}",
        span=cache.entry.span,
        severity="warning",
    )


def cache_replaced(targets: Sequence[str], cache: PlannedCache) -> Diagnostic:
    """Several targets export their caches to one place."""
    key = NAMED_BY[cache.type]
    return Diagnostic(
        code="cache-replaced",
        message=f"{listed(targets)} export their caches to the same place, "
        "where only the last one stays",
        span=cache.entry.span,
        hint=f'give each a {key} of its own, such as {key}: "{_EACH.get(key, "${target}")}"',
        severity="warning",
    )


_EACH = {"ref": "localhost:5000/cache:${target}"}


# --- daemons.toml (exit 3) ---------------------------------------------------------------------


def invalid_toml(span: Span, message: str) -> Diagnostic:
    """The text is no TOML; ``message`` is the parser's."""
    return Diagnostic(code="invalid-toml", message=f"this is not valid TOML: {message}", span=span)


def unusable_address(name: str, error: DaemonError, span: Span) -> Diagnostic:
    """The address of a daemon cannot be dialled, whoever listens."""
    return Diagnostic(
        code="unusable-address",
        message=f"the daemon {name}: {error}",
        span=span,
        hint=error.hint,
    )


# --- what is missing on this machine (exit 3) --------------------------------------------------


def no_such_folder(source: LocalSource) -> Diagnostic:
    """A local source's folder is not there."""
    return Diagnostic(
        code="no-such-folder",
        message=f"the folder {source.path} does not exist",
        span=source.span,
        hint="a relative path starts from the folder of the file that it stands in",
    )


def not_a_folder(source: LocalSource) -> Diagnostic:
    """A local source names a file."""
    return Diagnostic(
        code="not-a-folder",
        message=f"{source.path} is a file, and a local source is a folder",
        span=source.span,
        hint="name its folder, and the file under include",
    )


def unreadable_folder(source: LocalSource, reason: str) -> Diagnostic:
    """A local source's folder, or its ignore file, cannot be read."""
    return Diagnostic(
        code="unreadable-folder",
        message=f"cannot read {source.path}: {reason}",
        span=source.span,
    )


def same_place(
    output: Output, target: Target, first: Output, other: Target, *, layouts: bool
) -> Diagnostic:
    """Two outputs would be written to one place, and one of them lost or mixed in.

    ``layouts``: both are OCI layouts.
    """
    related = Related(message="first written to here", span=first.span) if first.span else None
    whose = "twice" if other.name == target.name else f"for {other.name} and for {target.name}"
    return Diagnostic(
        code="same-place",
        message=f"{output.dest} would be written {whose}",
        span=output.span,
        related=(related,) if related and first.span != output.span else (),
        hint="give each its own dest, such as out/${target}, in the build file" + _ADDED * layouts,
    )


_ADDED = "; an image is added to an OCI layout that is there, if it is built by a run of its own"


def cannot_be_held(output: Output, target: Target, *, streamed: bool) -> Diagnostic:
    """An output that others see as soon as it is made, with --all-or-nothing."""
    where = "standard output has it as it comes" if streamed else "no daemon holds an image back"
    hint = (
        "give it dest=FILE"
        if streamed
        else "build all with --output type=none first, then without it: the cache has the steps"
    )
    return Diagnostic(
        code="all-or-nothing",
        message=f"the {output.type} output of {target.name} cannot wait for other targets: {where}",
        span=output.span or target.span,
        hint=hint,
    )


def would_be_cleared(output: Output, what: str, path: str) -> Diagnostic:
    """An output of mode=delete would remove something that is no result."""
    return Diagnostic(
        code="would-be-cleared",
        message=f"mode=delete would remove {what} ({path}), which is in {output.dest}",
        span=output.span,
        hint="give it a dest that holds nothing else, such as out/${target}",
    )


def secret_not_set(secret: Secret, reason: str) -> Diagnostic:
    """A secret that the build needs has no value."""
    return Diagnostic(
        code="secret-not-set",
        message=f"the secret {secret.id} is not set: {reason}",
        span=secret.span,
        hint="set it, pass --secret id=" + secret.id + ",src=FILE, or mark it optional: true",
    )


def agent_not_there(agent: SshAgent, reason: str) -> Diagnostic:
    """An SSH agent that the build needs cannot be reached."""
    return Diagnostic(
        code="ssh-not-there",
        message=f"the SSH agent {agent.id} cannot be used: {reason}",
        span=agent.span,
        hint="start an agent (ssh-agent), or name key files",
    )


# --- what failed in a build (exit 1) -----------------------------------------------------------


def step_failed(
    name: str, reason: str, exit_code: int | None, spans: tuple[Span, ...], log: tuple[str, ...]
) -> Diagnostic:
    """A step failed on the daemon; ``log`` is the end of what it printed."""
    untold = "exit code unknown, as BuildKit v0.6.2 to v0.7 do not tell it"
    what = reason if not _CODE_UNTOLD.search(reason) else untold
    what = f"exit code {exit_code}" if exit_code is not None else what
    unmounted = any(_UNMOUNTED.search(line) for line in log)
    related = tuple(Related(message="also from here", span=span) for span in spans[1:])
    return Diagnostic(
        code="step-failed",
        message=f"{name} failed: {what}",
        span=spans[0] if spans else None,
        related=related,
        log=log,
        hint=_FEWER_LAYERS if unmounted else None,
    )


# Of those alone (go-runc, in the versions that they vendor): later ones go on with the code.
_CODE_UNTOLD = re.compile(r"runc did not terminate succ?essfully$")
_UNMOUNTED = re.compile(r'mounting \\?"overlay\\?" to rootfs .*lowerdir=')
_FEWER_LAYERS = (
    "before v0.10 BuildKit cannot mount what has more than about 60 layers, unless it is the root "
    "of a step: put several run steps into one"
)


def job_failed(name: str, reason: str) -> Diagnostic:
    """A target failed outside of its steps: an export, a cache, a push."""
    return Diagnostic(code="target-failed", message=f"{name} failed: {reason}")


def daemon_lost(error: DaemonError) -> Diagnostic:
    """A daemon went away, and there is no other for what it was to build."""
    where = f"{error.address}: " if error.address not in str(error) else ""
    return Diagnostic(code="daemon-lost", message=f"{where}{error}", hint=error.hint)


def builder_failed(name: str, error: BaseException) -> Diagnostic:
    """Builder code raised an exception of its own."""
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    return Diagnostic(
        code="builder-failed",
        message=f"the builder {name} raised {what}",
        log=tuple(_own_frames(error)),
    )


def builder_broken(name: str, error: BaseException) -> Diagnostic:
    """The module of a builder raised an exception while it was imported."""
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    return Diagnostic(
        code="builder-broken",
        message=f"the module of the builder {name} cannot be imported: {what}",
        log=tuple(_own_frames(error, caller="<frozen importlib")),
    )


def no_such_path(target: str, path: str) -> Diagnostic:
    """A path that was asked for is not in a target's result."""
    return Diagnostic(
        code="no-such-path",
        message=f"{target} has no {path}",
        hint=f"list what it has with: buildfile fs ls {target}",
    )


def folder_to_read(target: str, path: str) -> Diagnostic:
    """A folder is asked for as if it were a file."""
    return Diagnostic(
        code="folder-to-read",
        message=f"{path} of {target} is a folder",
        hint=f"list it with: buildfile fs ls {target} {path}",
    )


def no_shell(place: str, shell: str) -> Diagnostic:
    """A container has no shell to open."""
    return Diagnostic(
        code="no-shell",
        message=f"{place} has no shell {shell} that could be started",
        hint="name another program after --, such as: -- /bin/busybox sh",
    )


def _own_frames(error: BaseException, caller: str = "") -> list[str]:
    """The traceback from the builder's own first line on.

    Before it are all frames up to the first in a file whose name begins with ``caller``, such as
    the machinery of imports, which is left out throughout.
    """
    import traceback

    frames = iter(traceback.extract_tb(error.__traceback__))
    next((each for each in frames if each.filename.startswith(caller)), None)
    own = [each for each in frames if not (caller and each.filename.startswith(caller))]
    return "".join(traceback.format_list(own)).splitlines()


def unreadable_source(source: str, reason: str, span: Span | None) -> Diagnostic:
    """A file of a local source could not be read while it was sent."""
    return Diagnostic(
        code="unreadable-source",
        message=f"the local source {source} could not be sent: {reason}",
        span=span,
        hint="make it readable, or leave it out with exclude or a .dockerignore",
    )


def output_failed(target: str, reason: str) -> Diagnostic:
    """An output could not be written; what was there before is still there."""
    return Diagnostic(
        code="output-failed", message=f"the output of {target} could not be written: {reason}"
    )


def cache_failed(target: str, reason: str) -> Diagnostic:
    """A local cache could not be written; the outputs are in their places, if they came so far."""
    return Diagnostic(
        code="cache-failed",
        message=f"the cache of {target} could not be written: {reason}",
        hint="with ignore-error: true, a build goes on without",
    )


def metadata_failed(path: str, reason: str) -> Diagnostic:
    """The metadata file could not be written; all outputs are in their places."""
    return Diagnostic(
        code="output-failed", message=f"built, but {path} could not be written: {reason}"
    )


# --- images (exit 1, and 3 for those on this machine) ------------------------------------------


def image_unresolved(need: ImageNeed, words: str) -> Diagnostic:
    """A daemon cannot get an image from its registry; ``words`` are the daemon's."""
    host = need.ref.partition("/")[0]
    return Diagnostic(
        code="image-unresolved",
        message=f"cannot resolve image {need.ref}: {_reason(words, need.ref)}",
        span=need.span,
        hint=hint_for(words, host=host, platform=str(need.platform)),
    )


def _reason(words: str, ref: str) -> str:
    """The daemon's words in one line, without what they say of the image's name once more."""
    line = " ".join(words.split())
    return line.removeprefix(f"failed to resolve source metadata for {ref}: ").removeprefix(
        f"{ref}: "
    )


def image_unknown(need: ImageNeed, reason: str) -> Diagnostic:
    """An image is not resolved by a plan that asks no daemon; ``reason`` is why not from here."""
    return Diagnostic(
        code="image-unknown",
        message=f"{need.ref} is not resolved: {_reason(reason, need.ref)}; the plan leaves out its "
        "digest and what its config says (env, workdir, user)",
        span=need.span,
        severity="warning",
    )


def no_layout(error: NoLayoutError, span: Span) -> Diagnostic:
    """The folder of an OCI layout is not there, or is none."""
    return Diagnostic(
        code="no-oci-layout",
        message=f"{error.path} is not an OCI layout: {error.reason}",
        span=span,
        hint="skopeo copy docker://IMAGE oci:FOLDER:TAG writes one",
    )


def broken_layout(error: BrokenLayoutError, span: Span) -> Diagnostic:
    """A file of an OCI layout is missing or damaged."""
    return Diagnostic(
        code="broken-oci-layout",
        message=f"the OCI layout {error.path} is broken: {error.reason}",
        span=span,
        hint="make the layout anew",
    )


def no_such_layout_image(error: UnknownImageError, span: Span) -> Diagnostic:
    """An OCI layout has no image of that tag or digest."""
    known = error.known
    tags = f"its tags are {listed(known)}" if known else "its images have no tags: name a digest"
    near = did_you_mean(suggest(error.ref, error.known))
    return Diagnostic(
        code="unknown-oci-image",
        message=f"the OCI layout {error.path} has no image {error.ref}",
        span=span,
        hint=f"{near} {tags}" if near else tags,
    )


def no_such_layout_platform(error: UnknownPlatformError, span: Span) -> Diagnostic:
    """An image of an OCI layout is made for other platforms."""
    known = listed(map(str, error.known)) or "no platform at all"
    return Diagnostic(
        code="oci-platform",
        message=f"{error.ref} in the OCI layout {error.path} is not made for {error.platform}",
        span=span,
        hint=f"it is made for {known}",
    )
