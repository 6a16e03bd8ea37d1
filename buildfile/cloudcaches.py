"""Caches at services on the web: what the environment adds to their attributes.

For ``gha`` as buildctl does it (cmd/buildctl/build/util.go, v0.20 and later), for the keys of
``s3`` as buildx does it. The rest are variables that daemons read from their own environment
(cache/remotecache/s3 and azblob, v0.11 and later): who sets them here means them as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_V2 = "ACTIONS_CACHE_SERVICE_V2"
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_KEYS = MappingProxyType(
    {
        "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
    }
)
_VARIABLES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "s3": MappingProxyType({"bucket": "AWS_BUCKET", "region": "AWS_REGION"}),
        "azblob": MappingProxyType(
            {
                "account_url": "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL",
                "account_name": "BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME",
                "container": "BUILDKIT_AZURE_STORAGE_CONTAINER",
                "prefix": "BUILDKIT_AZURE_STORAGE_PREFIX",
            }
        ),
    }
)


def from_environment(
    kind: str, attrs: Mapping[str, str], environment: Mapping[str, str]
) -> dict[str, str]:
    """The attributes that the environment adds to those of a cache of type ``kind``."""
    if kind == "gha":
        added = _github(attrs, environment)
    else:
        added = _named(_VARIABLES.get(kind, {}), environment)
        if kind == "s3" and not _KEYS.keys() & attrs.keys():
            added |= _named(_KEYS, environment)
    return {key: value for key, value in added.items() if value and key not in attrs}


def missing(kind: str, attrs: Mapping[str, str]) -> str:
    """Why a cache cannot be used from here, '' if it can: outside of GitHub there is no ``gha``."""
    if kind != "gha":
        return ""
    if "token" not in attrs:
        return "ACTIONS_RUNTIME_TOKEN is not set"
    if not attrs.keys() & {"url", "url_v2"}:
        return "neither ACTIONS_CACHE_URL nor ACTIONS_RESULTS_URL is set"
    return ""


def _named(names: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    return {key: environment.get(name, "") for key, name in names.items()}


def _github(attrs: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    results = environment.get("ACTIONS_RESULTS_URL", "")
    version = attrs.get("version") or ("2" if environment.get(_V2) in _TRUE else "")
    return {
        "token": environment.get("ACTIONS_RUNTIME_TOKEN", ""),
        "url": environment.get("ACTIONS_CACHE_URL", results),
        "url_v2": results if version == "2" else "",
    }
