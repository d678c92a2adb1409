"""
DSSE envelopes: bytes with their type and signatures, as JSON. Pure.

The format is DSSE 1.0: https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_iinked.custody.errors import EnvelopeError
from airflow_provider_iinked.custody.keys import PublicKey, SigningKey, by_hint
from airflow_provider_iinked.custody.strict_json import strict_json

MAX_SIGNATURES: Final = 16
"""An envelope with more of them is refused: each one costs a verification."""


@dataclass(frozen=True)
class Payload:
    """
    What a trusted key has signed.

    :param payload_type: its media type.
    :param body: its bytes.
    :param key: the key that signed it.
    """

    payload_type: str
    body: bytes
    key: PublicKey


def pre_authentication_encoding(payload_type: str, body: bytes) -> bytes:
    """
    Build the bytes that are signed.

    :param payload_type: media type of the payload.
    :param body: the payload.
    :return: DSSE's PAE of the two.
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def sign_envelope(payload_type: str, body: bytes, *keys: SigningKey) -> bytes:
    """
    Sign a payload.

    :param payload_type: its media type.
    :param body: its bytes.
    :param keys: the keys; one signature each.
    :return: the envelope's JSON.
    """
    message = pre_authentication_encoding(payload_type, body)
    envelope = {
        "payloadType": payload_type,
        "payload": _encode(body),
        "signatures": [{"keyid": key.key_id, "sig": _encode(key.sign(message))} for key in keys],
    }
    return json.dumps(envelope, separators=(",", ":")).encode("ascii") + b"\n"


def open_envelope(envelope: bytes, keys: Sequence[PublicKey]) -> Payload:
    """
    Verify an envelope and return what is inside. The payload is not looked at before a signature has been verified.

    :param envelope: the envelope's JSON.
    :param keys: the trusted keys; one of them must have made one of the signatures.
    :return: the payload.
    :raises EnvelopeError: when it is malformed, or no trusted key made a signature of it.
    """
    payload_type, body, signatures = _parse(envelope)
    message = pre_authentication_encoding(payload_type, body)
    for key_id, signature in signatures:
        for key in by_hint(keys, key_id):
            if key.verify(signature, message):
                return Payload(payload_type, body, key)
    raise EnvelopeError("no trusted key made its signature")


def signatures_of(envelope: bytes) -> tuple[bytes, list[bytes]]:
    """
    Take an envelope apart for other tools, such as ``openssl``. Nothing is verified.

    :param envelope: the envelope's JSON.
    :return: the bytes that are signed, and the signatures.
    :raises EnvelopeError: when it is malformed.
    """
    payload_type, body, signatures = _parse(envelope)
    return pre_authentication_encoding(payload_type, body), [signature for _, signature in signatures]


def unverified_payload(envelope: bytes) -> tuple[str, bytes]:
    """
    Read what is inside an envelope, whoever made its signature.

    :param envelope: the envelope's JSON.
    :return: media type and bytes of the payload. Nobody vouches for them.
    :raises EnvelopeError: when it is malformed.
    """
    payload_type, body, _ = _parse(envelope)
    return payload_type, body


def _parse(envelope: bytes) -> tuple[str, bytes, list[tuple[str | None, bytes]]]:
    try:
        value = strict_json(envelope)
    except ValueError:
        raise EnvelopeError("the envelope is not JSON") from None
    if not isinstance(value, dict):
        raise EnvelopeError("the envelope is not a JSON object")
    payload_type, given = value.get("payloadType"), value.get("signatures")
    if not isinstance(payload_type, str) or not isinstance(given, list) or not 0 < len(given) <= MAX_SIGNATURES:
        raise EnvelopeError(f"the envelope needs payloadType and 1 to {MAX_SIGNATURES} signatures")
    return payload_type, _decode(value.get("payload")), [_signature(item) for item in given]


def _signature(item: Any) -> tuple[str | None, bytes]:
    """DSSE calls ``keyid`` optional, and unset the same as empty."""
    if not isinstance(item, dict):
        raise EnvelopeError("a signature of the envelope is not a JSON object")
    key_id = item.get("keyid")
    return (key_id if isinstance(key_id, str) and key_id else None), _decode(item.get("sig"))


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: object) -> bytes:
    """Both alphabets of base64 are allowed, the URL-safe one without padding too."""
    if not isinstance(text, str):
        raise EnvelopeError("the envelope lacks payload or sig")
    plain = text.replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError("payload or sig of the envelope is not base64") from None
