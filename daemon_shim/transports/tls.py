"""TLS over TCP: the certificates, and what went wrong with them in plain words.

A server that wants a client certificate refuses a missing one only after the TLS 1.3 handshake, on
the first read; ``greeting`` reads once before a transport is used, so such a refusal ends here too.
"""

from __future__ import annotations

import contextlib
import errno
import ssl
from dataclasses import dataclass
from functools import cached_property

from daemon_shim.errors import DaemonError, TlsError
from daemon_shim.transports.base import Stream, TlsFiles
from daemon_shim.transports.deadline import Deadline
from daemon_shim.transports.dial import TcpDialler, unreachable


@dataclass(frozen=True, kw_only=True)
class TlsDialler:
    """A host and a port, with TLS 1.2 or later."""

    tcp: TcpDialler
    files: TlsFiles

    @property
    def direct(self) -> str | None:
        """None: gRPC has its own TLS, with other authorities and without words for its faults."""
        return None

    def last_words(self) -> str:
        """Say nothing."""
        return ""

    @cached_property
    def _name(self) -> str:
        return self.files.server_name or self.tcp.host

    def dial(self, address: str, deadline: Deadline) -> Stream:
        """Connect and shake hands; raises UnreachableError or TlsError."""
        context = _context(self.files, address)
        plain = self.tcp.dial(address, deadline)
        try:
            plain.settimeout(deadline.remaining())
            return context.wrap_socket(plain, server_hostname=self._name)
        except OSError as error:
            plain.close()
            raise stream_error(address, error, deadline, name=self._name) from error


def _context(files: TlsFiles, address: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2", "http/1.1"])
    if files.ca:
        context = _own_authority(context, files.ca, address)
    if files.cert or files.key:
        _own_certificate(context, files, address)
    return context


def _own_authority(context: ssl.SSLContext, ca: str, address: str) -> ssl.SSLContext:
    """Trust ``ca`` alone: a daemon's private authority is named to keep the public ones out."""
    only = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    only.minimum_version = context.minimum_version
    only.set_alpn_protocols(["h2", "http/1.1"])
    try:
        only.load_verify_locations(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise _file_error(address, "authority", ca, error) from error
    return only


def _own_certificate(context: ssl.SSLContext, files: TlsFiles, address: str) -> None:
    if not files.cert:
        raise TlsError(
            f"cannot use TLS with {address}: there is a client key without a certificate",
            address=address,
            hint="name the certificate too",
        )
    try:
        # A key with a passphrase would make OpenSSL ask on the terminal.
        context.load_cert_chain(files.cert, files.key or None, password=lambda: b"")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise _file_error(address, "client certificate and key", files.cert, error) from error


def _file_error(address: str, what: str, path: str, error: Exception) -> TlsError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "no PEM data").replace("_", " ").lower()
    return TlsError(
        f"cannot use TLS with {address}: the {what} in {path} cannot be read: {reason}",
        address=address,
        hint="give unencrypted PEM files; the key must belong to the certificate",
    )


_EXPIRED = "ask whoever runs the daemon for a new certificate, and check this machine's clock"
# OpenSSL's X509_V_ERR numbers (x509_vfy.h).
_VERDICTS: dict[int, tuple[str, str]] = {
    9: ("its certificate is not valid yet", _EXPIRED),
    10: ("its certificate has expired", _EXPIRED),
    62: ("its certificate is not for {name}", "give the name it is for with --tlsservername"),
    64: ("its certificate is not for {name}", "give the name it is for with --tlsservername"),
}
_UNKNOWN_AUTHORITY = (
    "its certificate is from an authority that is not trusted here",
    "name the authority's file with --tlscacert",
)
_OUR_CERTIFICATE = (
    "it refuses our client certificate, or wants one",
    "name a certificate that it trusts with --tlscert and --tlskey",
)
# Reasons as OpenSSL spells them, without the alert's protocol version before the name.
_REASONS: dict[str, tuple[str, str]] = {
    "CERTIFICATE_REQUIRED": _OUR_CERTIFICATE,
    "BAD_CERTIFICATE": _OUR_CERTIFICATE,
    "CERTIFICATE_UNKNOWN": _OUR_CERTIFICATE,
    "CERTIFICATE_EXPIRED": _OUR_CERTIFICATE,
    "UNKNOWN_CA": _OUR_CERTIFICATE,
    "ACCESS_DENIED": _OUR_CERTIFICATE,
    "DECRYPT_ERROR": _OUR_CERTIFICATE,
    "HANDSHAKE_FAILURE": (
        "it breaks the handshake off, and may want a client certificate",
        _OUR_CERTIFICATE[1],
    ),
    "WRONG_VERSION_NUMBER": ("it does not speak TLS", "leave the TLS options away"),
    "RECORD_LAYER_FAILURE": ("it does not speak TLS", "leave the TLS options away"),
    "UNRECOGNIZED_NAME": ("it does not know the name {name}", "check --tlsservername"),
    "PROTOCOL_VERSION": ("it knows only versions of TLS before 1.2", "update the daemon"),
}


def stream_error(
    address: str, error: OSError, deadline: Deadline, *, name: str = ""
) -> DaemonError:
    """The error for a fault of a stream while it is set up: TLS's own, or the socket's."""
    if isinstance(error, ssl.SSLEOFError):
        error = ConnectionResetError(errno.ECONNRESET, "")
    if not isinstance(error, ssl.SSLError):
        return unreachable(address, error, deadline)
    what, hint = _explain(error)
    message = f"no TLS connection to {address}: {what.format(name=name)}"
    return TlsError(message, address=address, hint=hint)


def client_hello() -> bytes:
    """The first bytes of a TLS handshake with anybody."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def cut_off(address: str) -> TlsError:
    """The error for a server that shakes hands, and then leaves without a word."""
    return TlsError(
        f"no TLS connection to {address}: it closes the connection after the handshake, "
        "and may want another client certificate",
        address=address,
        hint=_OUR_CERTIFICATE[1],
    )


def _explain(error: ssl.SSLError) -> tuple[str, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERDICTS.get(error.verify_code, _UNKNOWN_AUTHORITY)
    reason = error.reason or ""
    for ending, explanation in _REASONS.items():
        if reason.endswith(ending):
            return explanation
    return (reason.replace("_", " ").lower() or str(error), "check the TLS files and the address")
