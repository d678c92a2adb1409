"""
In-toto statements: what a signature of a document says. Pure.

A statement names the document by its path below the destination, with its SHA-256; that of a custody record names the
copy as well. So an envelope that was moved to another document, or to another package, does not fit there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from airflow_provider_iinked.custody.dsse import open_envelope, sign_envelope, unverified_payload
from airflow_provider_iinked.custody.errors import EnvelopeError
from airflow_provider_iinked.custody.keys import PublicKey, SigningKey
from airflow_provider_iinked.custody.strict_json import strict_json

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
DOCUMENT_TYPE: Final = "urn:airflow-provider-iinked:document:v1"
REPLACES: Final = "replaces"
"""In the predicate of a document's statement: SHA-256 of the version that the document takes the place of."""
SEAL_TYPE: Final = "urn:airflow-provider-iinked:seal:v1"

_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_TIME_TEXT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


@dataclass(frozen=True)
class Statement:
    """
    A statement that a trusted key has signed.

    :param subjects: SHA-256, in hex, of each object that it is about, by name.
    :param predicate: what it says.
    :param key: who signed it.
    """

    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]
    key: PublicKey


def sign_statement(
    subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any], key: SigningKey
) -> bytes:
    """
    Sign a statement.

    :param subjects: SHA-256, in hex, of each object that it is about, by name.
    :param predicate_type: URI of what it says.
    :param predicate: what it says.
    :param key: the key.
    :return: the envelope's JSON.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects.items()],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return sign_envelope(PAYLOAD_TYPE, canonical_json(statement), key)


def sign_document(
    path: str,
    sha256: str,
    key: SigningKey,
    *,
    copy: tuple[str, str] | None,
    signed_at: str,
    replaces: str | None = None,
) -> bytes:
    """
    Sign a record, a receipt or a tombstone.

    :param path: its path below the destination.
    :param sha256: hex digest of its bytes.
    :param key: the key.
    :param copy: path and hex digest of the copy, for a custody record.
    :param signed_at: time of the signature, as :func:`format_time` writes it. A document that replaces another one
        must have been signed later.
    :param replaces: hex digest of the verified version that it takes the place of; None where there is none.
    :return: the envelope's JSON, to be stored beside it.
    """
    subjects = {path: sha256} | ({copy[0]: copy[1]} if copy else {})
    predicate = {"signed_at": signed_at} | ({REPLACES: replaces} if replaces else {})
    return sign_statement(subjects, DOCUMENT_TYPE, predicate, key)


def read_statement(envelope: bytes, predicate_type: str, keys: Sequence[PublicKey]) -> Statement:
    """
    Verify an envelope and read its statement.

    :param envelope: the envelope's JSON.
    :param predicate_type: URI of what it must say.
    :param keys: the trusted keys.
    :return: the statement.
    :raises EnvelopeError: when no trusted key signed it, or it is not a statement of that kind.
    """
    payload = open_envelope(envelope, keys)
    value = _parse(payload.payload_type, payload.body)
    if value.get("predicateType") != predicate_type:
        raise EnvelopeError(f"its statement is of another kind than {predicate_type!r}")
    predicate = value.get("predicate")
    if not isinstance(predicate, dict):
        raise EnvelopeError("its statement lacks subject or predicate")
    return Statement(_subjects(value), predicate, payload.key)


def unverified_subjects(envelope: bytes) -> dict[str, str]:
    """
    Read what an envelope is about, whoever made its signature.

    :param envelope: the envelope's JSON.
    :return: SHA-256, in hex, of each object, by name. Nobody vouches for it.
    :raises EnvelopeError: when it is malformed.
    """
    return _subjects(_parse(*unverified_payload(envelope)))


def _parse(payload_type: str, body: bytes) -> dict[str, Any]:
    if payload_type != PAYLOAD_TYPE:
        raise EnvelopeError(f"its payload type is {payload_type[:60]!r}, not {PAYLOAD_TYPE!r}")
    try:
        value = strict_json(body)
    except ValueError:
        raise EnvelopeError("its statement is not JSON") from None
    if not isinstance(value, dict) or value.get("_type") != STATEMENT_TYPE:
        raise EnvelopeError("it holds no in-toto Statement v1")
    return value


def _subjects(value: Mapping[str, Any]) -> dict[str, str]:
    subjects = value.get("subject")
    if not isinstance(subjects, list) or not subjects:
        raise EnvelopeError("its statement lacks subject or predicate")
    named = dict(_subject(item) for item in subjects)
    if len(named) != len(subjects):
        raise EnvelopeError("its statement names a subject twice")
    return named


def _subject(item: Any) -> tuple[str, str]:
    name = item.get("name") if isinstance(item, dict) else None
    digest = item.get("digest") if isinstance(item, dict) else None
    sha256 = digest.get("sha256") if isinstance(digest, dict) else None
    if not isinstance(name, str) or not isinstance(sha256, str):
        raise EnvelopeError("a subject of its statement lacks name or sha256")
    return name, sha256


def canonical_json(value: Any) -> bytes:
    """
    Write JSON in one way only: keys sorted, no white space, ASCII.

    :param value: the value; no floats.
    :return: the bytes.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def format_time(time: datetime) -> str:
    """
    Write a time in one way only, so that texts sort as times do.

    :param time: the time, with its zone.
    :return: UTC with six fractional digits and ``Z``.
    """
    return time.astimezone(UTC).strftime(_TIME)


def is_time(value: object) -> bool:
    """
    Say whether a value is a time as :func:`format_time` writes it.

    :param value: the value.
    :return: True when it is.
    """
    if not isinstance(value, str) or not _TIME_TEXT.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
