"""
Whether a document's envelope vouches for it: what a task asks before it relies on what an earlier run has signed. Pure.

Nothing here is signed. A task that signs asks this of every record, receipt and tombstone that it finds: an edit whose
envelope was removed must not get a new signature by the next run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_iinked.custody.errors import EnvelopeError
from airflow_provider_iinked.custody.keys import PublicKey
from airflow_provider_iinked.custody.statement import (
    DOCUMENT_TYPE,
    REPLACES,
    is_time,
    read_statement,
    unverified_subjects,
)


class SignatureState(StrEnum):
    """What a document's envelope says about it."""

    VALID = "valid"
    """A trusted key signed this document under this name."""
    BEING_REPLACED = "being replaced"
    """A trusted key signed the document that shall take this one's place, and names this one as what it replaces: a run
    was killed between the two writes."""
    MISSING = "missing"
    """There is no envelope: the document was written unsigned, or somebody removed the envelope."""
    UNTRUSTED = "untrusted"
    """The envelope names this document, and no trusted key made its signature: another key, or an older one."""
    WRONG = "wrong"
    """The envelope is malformed, or was made for other bytes or another name."""


@dataclass(frozen=True)
class SignatureCheck:
    """
    What was found out about an envelope.

    :param state: the result.
    :param reason: what is wrong, in words; empty when nothing is.
    :param signed_at: time of the signature, as the statement writes it; None unless it is valid.
    """

    state: SignatureState
    reason: str = ""
    signed_at: str | None = None

    @property
    def is_valid(self) -> bool:
        """True when a trusted key vouches for this document under this name."""
        return self.state in (SignatureState.VALID, SignatureState.BEING_REPLACED)

    @property
    def is_missing(self) -> bool:
        """True when there is no envelope."""
        return self.state is SignatureState.MISSING

    @property
    def is_untrusted(self) -> bool:
        """True when the envelope names this document, and no trusted key made its signature."""
        return self.state is SignatureState.UNTRUSTED


def check_signature(envelope: bytes | None, subjects: Mapping[str, str], keys: Sequence[PublicKey]) -> SignatureCheck:
    """
    Check a document's envelope.

    :param envelope: its bytes; None when there is none.
    :param subjects: what it must name: :func:`subjects_of` of the document as it lies there.
    :param keys: the trusted public keys.
    :return: the result.
    """
    if envelope is None:
        return SignatureCheck(SignatureState.MISSING, "there is no envelope beside it")
    try:
        named = unverified_subjects(envelope)
    except EnvelopeError as error:
        return SignatureCheck(SignatureState.WRONG, f"its envelope cannot be read: {error}")
    fits = named == dict(subjects)
    wrong = SignatureCheck(SignatureState.WRONG, "its envelope was made for another document or other bytes")
    try:
        statement = read_statement(envelope, DOCUMENT_TYPE, keys)
    except EnvelopeError as error:
        unknown = SignatureCheck(SignatureState.UNTRUSTED, f"its envelope cannot be relied on: {error}")
        return unknown if fits else wrong
    signed_at = statement.predicate.get("signed_at")
    if not isinstance(signed_at, str) or not is_time(signed_at):
        return SignatureCheck(SignatureState.WRONG, "its envelope does not say when it was signed")
    if fits:
        return SignatureCheck(SignatureState.VALID, signed_at=signed_at)
    replaced = {path: statement.predicate.get(REPLACES) for path in named}
    return SignatureCheck(SignatureState.BEING_REPLACED, signed_at=signed_at) if replaced == dict(subjects) else wrong


def subjects_of(path: str, data: bytes, copy: tuple[str, str] | None = None) -> dict[str, str]:
    """
    Name what the envelope of a document is about.

    :param path: the document's path below the destination.
    :param data: its bytes.
    :param copy: path and hex digest of the copy, for a custody record.
    :return: hex digest by path.
    """
    return {path: hashlib.sha256(data).hexdigest()} | ({copy[0]: copy[1]} if copy else {})
