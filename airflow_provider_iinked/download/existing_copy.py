"""What is at the destination already, and whether it still agrees with its custody record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.custody.record import (
    copy_mismatches,
    listing_mismatches,
    location_mismatches,
    origin_mismatches,
    stored_beside,
)
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.models import StoredVideo, Video
from airflow_provider_iinked.storage import ObjectIdentity, Store
from airflow_provider_iinked.storage.base import parse_json
from airflow_provider_iinked.storage.layout import Layout, signature_of

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.signing import DocumentSigner


class CopyState(Enum):
    """Result of checking an existing copy."""

    ABSENT = auto()
    """There is no custody record."""
    VALID = auto()
    """Record and copy agree."""
    INVALID = auto()
    """They do not agree; while the source is there, quarantine it and download again."""
    FOREIGN = auto()
    """The record is another data centre's, of an unknown format, or signed by an unknown key; it is left alone."""
    UNSIGNED = auto()
    """They agree, but this task signs, and there is no signature of the record. It is not signed as it is: while the
    source is there, quarantine it and download again."""


@dataclass(frozen=True)
class ExistingCopy:
    """
    What is there for one recording.

    :param state: the result of the check.
    :param stored: the copy, when it is valid or only lacks a signature.
    :param reason: what is wrong, when something is.
    :param quarantine: URLs to quarantine before it is downloaded again, in this order.
    :param seen: what was under each of them when it was found invalid.
    """

    state: CopyState
    stored: StoredVideo | None = None
    reason: str = ""
    quarantine: tuple[str, ...] = ()
    seen: tuple[ObjectIdentity | None, ...] = ()


def inspect_copy(
    store: Store,
    folder: str,
    *,
    api_base: str,
    package_id: str,
    meeting_video_id: str,
    video: Video | None,
    signer: DocumentSigner | None = None,
) -> ExistingCopy:
    """
    Check the copy and the record of one recording, where they are now: a folder may have been moved as a whole.

    Bytes are read only where the store gives no validator and the file's time has changed.

    :param store: the storage.
    :param folder: the package's folder.
    :param api_base: the API in use.
    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param video: the recording as listed now; None when it is gone.
    :param signer: who signs; the record's signature is checked then. None for nobody.
    :return: the result.
    :raises StorageError: when it cannot be checked, or another run changes it meanwhile; it is left alone then.
    """

    def check() -> ExistingCopy:
        url = Layout(folder).record(meeting_video_id)
        data = store.read_bytes(url)
        if data is None:
            return ExistingCopy(CopyState.ABSENT)
        found = _check(store, url, parse_json(data), api_base, package_id, meeting_video_id, video)
        return _check_signature(store, signer, found, data) if signer is not None else found

    existing = check()
    if not existing.quarantine:
        return existing
    # Only what was found invalid may be quarantined: its identity is read first, then it is checked again.
    seen = tuple(store.identity(url) for url in existing.quarantine)
    again = check()
    if again.quarantine != existing.quarantine:
        raise StorageError(
            f"The copy of video {meeting_video_id} at {folder} changed during the check; another run is writing to it. "
            "Clearing the task is safe"
        )
    return replace(again, seen=seen)


def _check(
    store: Store, url: str, record: Any, api_base: str, package_id: str, meeting_video_id: str, video: Video | None
) -> ExistingCopy:
    stored = stored_beside(record, url)
    if stored is None:
        return ExistingCopy(CopyState.INVALID, reason="the custody record cannot be read", quarantine=(url,))
    if foreign := _foreign(record, api_base):
        return ExistingCopy(CopyState.FOREIGN, reason=foreign)
    problems = origin_mismatches(
        record, api_base=api_base, package_id=package_id, meeting_video_id=meeting_video_id
    ) + location_mismatches(stored)
    if problems:
        return ExistingCopy(CopyState.INVALID, reason="; ".join(problems), quarantine=(url,))
    problems = listing_mismatches(record, video) if video is not None else []
    problems = problems or _copy_mismatches_now(store, stored, record)
    if problems:
        return ExistingCopy(CopyState.INVALID, reason="; ".join(problems), quarantine=(url, stored.uri))
    return ExistingCopy(CopyState.VALID, stored=stored)


def _check_signature(store: Store, signer: DocumentSigner, found: ExistingCopy, data: bytes) -> ExistingCopy:
    """What agrees must also be signed: an edit that agrees with itself shows in no other way."""
    if found.state is not CopyState.VALID or found.stored is None:
        return found
    url = found.stored.custody_uri
    signature = signer.check(store, url, data, stored=found.stored)
    if signature.is_valid:
        return found
    if signature.is_untrusted:
        reason = (
            f"{signature.reason}. If the signing key was replaced, name the public key before it in the extra "
            "public_keys of the connection"
        )
        return ExistingCopy(CopyState.FOREIGN, reason=reason)
    reason = f"the custody record is not signed: {signature.reason}"
    if signature.is_missing:
        return ExistingCopy(CopyState.UNSIGNED, stored=found.stored, reason=reason, quarantine=(url,))
    return ExistingCopy(CopyState.INVALID, reason=reason, quarantine=(url, signature_of(url)))


def read_through(store: Store, stored: StoredVideo, record: Mapping[str, Any]) -> list[str]:
    """
    Read a copy from its first byte to its last and compare it with its record.

    :param store: the storage.
    :param stored: names the copy.
    :param record: its stored record.
    :return: the differences, as text; empty when it agrees.
    :raises StorageError: when it cannot be read.
    """
    read = store.sha256(stored.uri)
    if read is None:
        return ["the copy is gone"]
    return copy_mismatches(record, size=read[1], sha256=read[0], validator=None)


def _foreign(record: Mapping[str, Any], api_base: str) -> str:
    problems = origin_mismatches(
        record,
        api_base=api_base,
        package_id=record.get("package_id", ""),
        meeting_video_id=record.get("meeting_video_id", ""),
    )
    return "; ".join(problems)


def _copy_mismatches_now(store: Store, stored: StoredVideo, record: Mapping[str, Any]) -> list[str]:
    info = store.info(stored.uri)
    if info is None:
        return ["the copy is gone"]
    if record.get("validator"):
        problems = copy_mismatches(record, size=info.size or 0, sha256=None, validator=info.validator)
        # A store gives a moved object a validator of its own; then only its bytes show whether it is the same.
        return read_through(store, stored, record) if problems and record.get("uri") != stored.uri else problems
    if info.size == stored.size and info.modified is not None and info.modified == record.get("modified"):
        return []
    return read_through(store, stored, record)
