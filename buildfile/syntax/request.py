"""What a client asks of a frontend, by options that all clients share.

The names are those of BuildKit's Dockerfile frontend (frontend/dockerui/config.go, v0.3 to v0.32),
which buildctl, buildx and ``docker build`` write.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from buildfile.syntax import faults
from daemon_shim.request import CacheOption
from translator.diagnostic import Diagnostic, InvalidCommandError
from translator.platform import Platform
from translator.stage import NetworkMode, ResolveMode
from translator.values.value import BOOLEANS

T = TypeVar("T")

CAPABILITIES = ("inputs", "subrequests", "contexts")
"""What a client may ask this frontend for, each behind ``moby.buildkit.frontend.``."""

_ARG, _LABEL, _CONTEXT = "build-arg:", "label:", "context:"
_METADATA = "input-metadata:"
_MODES: Mapping[str, ResolveMode] = {
    "": "default",
    "default": "default",
    "pull": "pull",
    "local": "local",
}
_NETWORKS: Mapping[str, NetworkMode | None] = {
    "": None,
    "default": None,
    "sandbox": None,
    "none": "none",
    "host": "host",
}

# Arguments that clients set by themselves; a file may declare them as variables all the same.
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_OF_DAEMON = ("source_date_epoch", *_PROXIES)
# Options that would change how all steps run, and the key of a step that does.
_BY_STEP: Mapping[str, str] = {
    "add-hosts": "hosts",
    "hostname": "hostname",
    "ulimit": "ulimits",
    **dict.fromkeys(("memory", "memswap", "cpushares", "cpuperiod", "cpuquota"), "resources"),
    **dict.fromkeys(("cpusetcpus", "cpusetmems"), "resources"),
    "shm-size": "",
    "cgroup-parent": "",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be built, and how.

    ``target`` is '' for the default one, ``platforms`` are empty where the build file decides, and
    ``several`` says whether the result is one by platform even for a single one (None: only for
    several). ``filename`` is '' where none is named. ``file_folder`` is the session's name for the
    folder that the build file is in, '' for where it usually is; ``context`` is that of the
    context, and ``remote`` its address where the session has none. ``contexts`` are named ones,
    and ``configs`` image configs as JSON, of inputs by name. ``no_cache`` is for all stages, or for
    those it names. ``answer`` is a subrequest's name.
    """

    target: str = ""
    platforms: tuple[Platform, ...] = ()
    several: bool | None = None
    filename: str = ""
    file_folder: str = ""
    context: str = "context"
    remote: str = ""
    subfolder: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, bytes] = field(default_factory=dict)
    cache_imports: tuple[CacheOption, ...] = ()
    no_cache: bool | tuple[str, ...] = False
    resolve: ResolveMode = "default"
    network: NetworkMode | None = None
    answer: str = ""
    capabilities: tuple[str, ...] = ()


def read(opts: Mapping[str, str]) -> Request:
    """Read a request. Raises InvalidCommandError with every option that makes no sense."""
    found: list[Diagnostic] = []
    context = opts.get("contextkey", "context")
    arguments = _named(opts, _ARG)
    request = Request(
        target=opts.get("target", ""),
        platforms=tuple(_platforms(opts.get("platform", ""), found)),
        several=_flag(opts, arguments, found),
        filename=opts.get("filename", ""),
        file_folder=opts.get("dockerfilekey", ""),
        context=context,
        remote=opts.get(context, ""),
        subfolder=opts.get("contextsubdir", ""),
        arguments=arguments,
        labels=_named(opts, _LABEL),
        contexts=_named(opts, _CONTEXT),
        configs=dict(_configs(opts, found)),
        cache_imports=(*_caches(opts.get("cache-imports", ""), found), *_old_caches(opts)),
        no_cache=_no_cache(opts),
        resolve=_choice("image-resolve-mode", _MODES, opts, found),
        network=_choice("force-network-mode", _NETWORKS, opts, found),
        answer=opts.get("requestid", ""),
        capabilities=tuple(filter(None, opts.get("frontend.caps", "").split(","))),
    )
    found += [
        faults.option_of_steps(name, key)
        for name, key in _BY_STEP.items()
        if opts.get(name, "0") not in ("", "0")
    ]
    if found:
        raise InvalidCommandError(found)
    return request


def is_of_client(argument: str) -> bool:
    """Whether an argument is for the daemon or the tools in it, whatever a build file declares."""
    return argument.lower() in _OF_DAEMON or argument.startswith("BUILDKIT_")


def _named(opts: Mapping[str, str], prefix: str) -> dict[str, str]:
    found = {key: value for key, value in opts.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): value for key, value in sorted(found.items())}


def _platforms(text: str, found: list[Diagnostic]) -> Iterator[Platform]:
    for each in text.split(",") if text else ():
        try:
            yield Platform.parse(each)
        except ValueError:
            found.append(faults.bad_option("platform", each, "os/architecture, as in linux/arm64"))


def _flag(
    opts: Mapping[str, str], arguments: Mapping[str, str], found: list[Diagnostic]
) -> bool | None:
    text = arguments.get("BUILDKIT_MULTI_PLATFORM") or opts.get("multi-platform", "")
    value = BOOLEANS.get(text.lower()) if text else None
    if text and value is None:
        found.append(faults.bad_option("multi-platform", text, "true or false"))
    return value


def _choice(
    name: str, known: Mapping[str, T], opts: Mapping[str, str], found: list[Diagnostic]
) -> T:
    text = opts.get(name, "")
    if text not in known:
        found.append(faults.bad_option(name, text, "one of " + ", ".join(filter(None, known))))
    return known.get(text, known[""])


def _no_cache(opts: Mapping[str, str]) -> bool | tuple[str, ...]:
    """Without a value it means every stage."""
    names = opts.get("no-cache")
    if names is None:
        return False
    return tuple(names.split(",")) if names else True


def _caches(text: str, found: list[Diagnostic]) -> Iterator[CacheOption]:
    """A JSON array of objects with ``Type`` and ``Attrs`` (v0.4 and later)."""
    try:
        entries = json.loads(text or "[]")
        for entry in entries or ():
            known = {key.lower(): value for key, value in entry.items()}
            attrs = {str(key): str(value) for key, value in (known.get("attrs") or {}).items()}
            yield CacheOption(type=str(known["type"]), attrs=attrs)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        found.append(faults.bad_option("cache-imports", "", "a JSON array of Type and Attrs"))


def _configs(opts: Mapping[str, str], found: list[Diagnostic]) -> Iterator[tuple[str, bytes]]:
    """What clients tell of inputs: JSON objects, whose values are bytes as Go writes them."""
    for name, text in _named(opts, _METADATA).items():
        try:
            config = json.loads(text).get("containerimage.config", "")
            yield name, base64.b64decode(config, validate=True)
        except (ValueError, AttributeError, TypeError, RecursionError):
            found.append(faults.bad_option(_METADATA + name, "", "a JSON object of base64 texts"))


def _old_caches(opts: Mapping[str, str]) -> Iterator[CacheOption]:
    """A list of registry refs, which is all that clients of v0.3 send."""
    for ref in filter(None, opts.get("cache-from", "").split(",")):
        yield CacheOption(type="registry", attrs={"ref": ref})
