"""Differences between an archive and what was signed and sealed of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DifferenceKind(StrEnum):
    """What is wrong."""

    COPY_CHANGED = "copy changed"
    """A copy has other bytes than its custody record says."""
    COPY_MISSING = "copy missing"
    """A copy is gone, and no signed tombstone says that this was meant."""
    NOT_ERASED = "not erased"
    """A tombstone says that a copy was erased, and it is there; or its erasure was begun and not finished."""
    DOCUMENT_CHANGED = "document changed"
    """A record, receipt, tombstone or envelope has other bytes than were signed or sealed."""
    DOCUMENT_MISSING = "document missing"
    """A record, receipt, tombstone or envelope is gone."""
    ROLLED_BACK = "rolled back"
    """A document was replaced by one that was signed no later."""
    SIGNATURE_MISSING = "signature missing"
    """A document has no envelope."""
    SIGNATURE_WRONG = "signature wrong"
    """No trusted key signed this document under this name."""
    MALFORMED = "malformed"
    """A document cannot be read, or is about another recording."""
    UNRECORDED = "unrecorded"
    """A copy without a custody record, or an envelope without its document."""
    SEAL_MISSING = "seal missing"
    """A seal is gone: there is a gap, there is none at all, or the seal that was expected is not there."""
    SEAL_WRONG = "seal wrong"
    """A seal cannot be verified, or does not follow the seal before."""
    ENTRIES_WRONG = "entries wrong"
    """The entries of a seal are gone, or are not those that were sealed."""
    TIMESTAMP_MISSING = "time stamp missing"
    """A seal says that it was time-stamped, and the time stamp is gone."""
    TIMESTAMP_WRONG = "time stamp wrong"
    """A time stamp is another seal's, or no trusted authority made it."""


@dataclass(frozen=True)
class Difference:
    """
    Something that somebody has to look at.

    :param kind: what is wrong.
    :param path: where, below the destination.
    :param text: what exactly, as text.
    """

    kind: DifferenceKind
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.text}"
