"""Private keys in files, as SSH signs with them (RFC 4253, 5656, 8332, 8709)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from daemon_shim.session.ssh_wire import pack

_RSA_SHA2_256 = 2
_RSA_SHA2_512 = 4
_CURVES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "secp256r1": ("nistp256", hashes.SHA256()),
    "secp384r1": ("nistp384", hashes.SHA384()),
    "secp521r1": ("nistp521", hashes.SHA512()),
}

Sign = Callable[[bytes, int], bytes]


@dataclass(frozen=True, kw_only=True)
class Key:
    """A private key. ``public`` is its public half as the protocol writes it; ``sign`` takes the
    data and the request's flags, and returns the signature with its algorithm's name.
    """

    public: bytes
    comment: bytes
    sign: Sign = field(repr=False)


def load_key(data: bytes, *, comment: str) -> Key:
    """Read a private key file. Raises ValueError, with a text for the user."""
    key = _load(data)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        sign = _ed25519(key)
    elif isinstance(key, rsa.RSAPrivateKey):
        sign = _rsa(key)
    elif isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        sign = _ecdsa(key)
    else:
        raise ValueError("a kind of key that is not supported; add it to an SSH agent instead")
    text = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return Key(public=base64.b64decode(text.split()[1]), comment=comment.encode(), sign=sign)


def _load(data: bytes) -> object:
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        return load(data, None)
    except TypeError as error:
        raise ValueError(
            "the key has a passphrase; add it to an SSH agent and forward that instead"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("neither an SSH agent's socket nor a private key") from error


def _ed25519(key: ed25519.Ed25519PrivateKey) -> Sign:
    return lambda data, _: pack(b"ssh-ed25519") + pack(key.sign(data))


def _rsa(key: rsa.RSAPrivateKey) -> Sign:
    def sign(data: bytes, flags: int) -> bytes:
        name, digest = _rsa_algorithm(flags)
        return pack(name) + pack(key.sign(data, padding.PKCS1v15(), digest))

    return sign


def _rsa_algorithm(flags: int) -> tuple[bytes, hashes.HashAlgorithm]:
    if flags & _RSA_SHA2_512:
        return b"rsa-sha2-512", hashes.SHA512()
    if flags & _RSA_SHA2_256:
        return b"rsa-sha2-256", hashes.SHA256()
    return b"ssh-rsa", hashes.SHA1()  # noqa: S303 - all that clients without flags know


def _ecdsa(key: ec.EllipticCurvePrivateKey) -> Sign:
    curve, digest = _CURVES[key.curve.name]

    def sign(data: bytes, _: int) -> bytes:
        parts = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return pack(f"ecdsa-sha2-{curve}".encode()) + pack(b"".join(map(_number, parts)))

    return sign


def _number(value: int) -> bytes:
    """Return a positive number as SSH writes it, with room for the sign."""
    return pack(value.to_bytes(value.bit_length() // 8 + 1, "big"))
