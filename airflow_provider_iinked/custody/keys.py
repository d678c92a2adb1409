"""
Signing keys: Ed25519 and ECDSA P-256, read from PEM.

A private key never shows: not in a ``repr``, not in an error's text, not in a pickle.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from airflow_provider_iinked.custody.errors import SigningKeyError

_PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
_PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
_PEM_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_WANTED: Final = "an Ed25519 or ECDSA P-256 key in PEM form"


class Algorithm(StrEnum):
    """How a key signs."""

    ED25519 = "ed25519"
    """Ed25519 over the bytes themselves (RFC 8032)."""
    ECDSA_P256 = "ecdsa-p256-sha256"
    """ECDSA on P-256 over their SHA-256; the signature is in DER form."""


@dataclass(frozen=True)
class PublicKey:
    """
    A key that signatures are verified with.

    :param key_id: its name in envelopes; a hint only, never trusted.
    :param algorithm: how it signs.
    :param pem: the key as PEM text.
    """

    key_id: str
    algorithm: Algorithm
    pem: str
    _key: _PublicKey

    def verify(self, signature: bytes, data: bytes) -> bool:
        """
        Say whether this key made a signature.

        :param signature: the signature.
        :param data: what was signed.
        :return: True when it did.
        """
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, data)
            else:
                self._key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """
    A private key that signs. It does not show, and cannot be pickled.

    :param key: the key.
    :param key_id: its name in envelopes; None for the SHA-256 of the public key's DER form, in hex.
    """

    __slots__ = ("__key", "public")

    def __init__(self, key: _PrivateKey, key_id: str | None = None) -> None:
        self.__key = key
        self.public = _public(key.public_key(), key_id)

    @property
    def key_id(self) -> str:
        """The key's name in envelopes."""
        return self.public.key_id

    def sign(self, data: bytes) -> bytes:
        """
        Sign.

        :param data: the bytes.
        :return: the signature.
        """
        if isinstance(self.__key, ed25519.Ed25519PrivateKey):
            return self.__key.sign(data)
        return self.__key.sign(data, ec.ECDSA(hashes.SHA256()))

    def __repr__(self) -> str:
        return f"SigningKey(key_id={self.key_id!r}, algorithm={str(self.public.algorithm)!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A signing key cannot be pickled or copied.")


def load_signing_key(pem: str | bytes, key_id: str | None = None) -> SigningKey:
    r"""
    Read a private key.

    :param pem: the PEM text; a connection's password may hold ``\n`` for its line ends.
    :param key_id: its name in envelopes; None or blank for the SHA-256 of the public key's DER form, in hex.
    :return: the key.
    :raises SigningKeyError: when it cannot be read, is encrypted, or is of another kind; the text never quotes it.
    """
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    data = data.replace(b"\\n", b"\n").strip()
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise SigningKeyError(
            f"The signing key is encrypted. Nothing was signed. Store {_WANTED} without a passphrase; "
            "the connection itself is stored encrypted."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyError(f"The signing key cannot be read. Nothing was signed. Give {_WANTED}.") from None
    if isinstance(key, ed25519.Ed25519PrivateKey) or _is_p256(key):
        return SigningKey(key, key_id)  # type: ignore[arg-type]
    raise SigningKeyError(f"The signing key is of a kind that is not supported. Nothing was signed. Give {_WANTED}.")


def load_public_keys(*pems: str | bytes) -> list[PublicKey]:
    """
    Read public keys; a text may hold several.

    :param pems: PEM texts.
    :return: the keys in order, each once.
    :raises SigningKeyError: when there is none, one is of another kind, or one is private; the text never quotes it.
    """
    keys: dict[str, PublicKey] = {}
    for pem in pems:
        data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
        for block in _PEM_BLOCK.finditer(data):
            key = _load_public(block.group(0), block.group(1))
            keys[key.key_id] = key
    if not keys:
        raise SigningKeyError(f"There is no public key. Nothing was verified. Give {_WANTED} (BEGIN PUBLIC KEY).")
    return list(keys.values())


def by_hint(keys: Iterable[PublicKey], key_id: str | None) -> list[PublicKey]:
    """
    Order keys so that the one an envelope hints at is tried first.

    :param keys: the trusted keys.
    :param key_id: the hint; None where there is none.
    :return: all of them; a hint only saves time.
    """
    return sorted(keys, key=lambda key: key.key_id != key_id)


def _load_public(block: bytes, label: bytes) -> PublicKey:
    if b"PRIVATE" in label:
        raise SigningKeyError(f"A private key was given where a public one is needed. Give {_WANTED}, the public half.")
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningKeyError(f"A public key cannot be read. Nothing was verified. Give {_WANTED}.") from None
    if isinstance(key, ed25519.Ed25519PublicKey) or _is_p256(key):
        return _public(key, None)  # type: ignore[arg-type]
    raise SigningKeyError(f"A public key is of a kind that is not supported. Nothing was verified. Give {_WANTED}.")


def _public(key: _PublicKey, key_id: str | None) -> PublicKey:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    algorithm = Algorithm.ED25519 if isinstance(key, ed25519.Ed25519PublicKey) else Algorithm.ECDSA_P256
    named = key_id.strip() if key_id else ""
    return PublicKey(named or hashlib.sha256(der).hexdigest(), algorithm, pem, key)


def _is_p256(key: object) -> bool:
    return isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) and isinstance(
        key.curve, ec.SECP256R1
    )
