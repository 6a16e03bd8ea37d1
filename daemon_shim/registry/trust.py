"""Which authorities a registry is trusted by: the system's, and those that Docker is told of.

The system's are those of OpenSSL, which ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace. Docker has
a folder for each registry, ``certs.d/HOST[:PORT]``: ``*.crt`` are authorities, and ``NAME.cert``
with ``NAME.key`` shows who asks. Daemons have their own; this is for what this machine asks.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from daemon_shim.registry.hosts import WebError

_SYSTEM = "/etc/docker/certs.d"


def trusted(host: str) -> ssl.SSLContext:
    """The context of TLS with a host (with its port, as in an address).

    Raises WebError for a file of its folder that is no certificate.
    """
    context = ssl.create_default_context()
    for folder in _folders(host):
        for file in sorted(folder.iterdir()):
            try:
                if file.suffix == ".crt":
                    context.load_verify_locations(file)
                elif file.suffix == ".cert":
                    context.load_cert_chain(file, file.with_suffix(".key"))
            except (OSError, ssl.SSLError) as error:
                raise WebError(f"{file} cannot be used: {error.strerror or error}") from None
    return context


def _folders(host: str) -> Iterator[Path]:
    home = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    for folder in (Path(_SYSTEM), Path(home, "docker/certs.d")):
        if host and "/" not in host and (folder / host).is_dir():
            yield folder / host
