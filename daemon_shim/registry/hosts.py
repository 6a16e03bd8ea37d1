"""The addresses that registries are asked at, apart from asking: that takes long to import."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


class WebError(Exception):
    """Nobody answered, or not in a way that can be used. The text says why, without secrets."""


def is_here(host: str) -> bool:
    """Whether a host (without port) is this machine by its name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def host_of(place: str) -> tuple[str, str]:
    """The scheme and the host of an address. Raises WebError for what is no address of the web."""
    try:
        split = urlsplit(place)
        host = split.hostname or ""
        _ = split.port
    except ValueError:
        host = ""
    if not host or split.scheme not in ("https", "http"):
        raise WebError(f"{place!r} is no address that can be asked")
    return split.scheme, host
