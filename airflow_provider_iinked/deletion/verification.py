"""Verifying the copies of one recording, right before its original is deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pendulum

from airflow_provider_iinked.arguments import RECHECKS
from airflow_provider_iinked.custody.record import (
    copy_mismatches,
    expected_mismatches,
    location_mismatches,
    origin_mismatches,
    read_stored_video,
    recorded_lock,
)
from airflow_provider_iinked.deletion.recording import Verification
from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError, VerificationError
from airflow_provider_iinked.models import StoredVideo
from airflow_provider_iinked.storage import ObjectIdentity, Store
from airflow_provider_iinked.storage.base import parse_json
from airflow_provider_iinked.storage.layout import Layout
from airflow_provider_iinked.storage.url import check_destination

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.signing import DocumentSigner

OpenStore = Callable[[str], Store]


_SMALL: Final = 8 << 20
"""Bytes; so much is read in a moment, and what lay there before is not noted, which would cost a request."""
_MOMENT: Final = 1.0
"""Seconds; a copy that was looked at longer ago is looked at again in the end."""


@dataclass(frozen=True)
class _Look:
    """What lay there before a copy was read: that and the copies after it may take hours, and it must be the same."""

    store: Store
    copy: StoredVideo
    record: Mapping[str, Any]
    identity: ObjectIdentity | None
    at: float

    def check_unchanged(self) -> None:
        if time.monotonic() - self.at <= _MOMENT:
            return
        now = self.store.identity(self.copy.uri)
        same = now is not None and (self.identity is None or now == self.identity)
        if not same or self.store.read_json(self.copy.custody_uri)[1] != self.record:
            _refuse(self.copy, ["it, or its custody record, changed while the recording's copies were verified"])


def verify_recording(
    open_store: OpenStore,
    copies: Sequence[StoredVideo],
    *,
    api_base: str,
    recheck: str,
    stop: Callable[[], bool] = lambda: False,
    signer: DocumentSigner | None = None,
) -> Verification:
    """
    Verify every copy of a recording: those of the XCom, and those that their custody records promise.

    :param open_store: gives the opened store of a URL, without caches.
    :param copies: the copies in the XCom; at least one.
    :param api_base: the API in use.
    :param recheck: ``sha256`` reads each copy from end to end; ``metadata`` relies on size and the store's validator,
        and reads where the store gives none.
    :param stop: asked while a copy is read; True ends it with an error.
    :param signer: who signs the receipts; the records must be signed then. None for nobody.
    :return: the verification.
    :raises VerificationError: when anything does not agree; the recording must not be deleted.
    :raises StorageError: when a copy cannot be read; the recording must not be deleted.
    """
    records: dict[str, Mapping[str, Any]] = {}
    domains: set[str] = set()
    facts: list[Mapping[str, Any]] = []
    looks: list[_Look] = []
    left = list(copies)
    while left:
        copy = left.pop(0)
        store = open_store(copy.uri)
        record = _stored_record(store, copy, api_base, signer)
        domains.add(store.failure_domain(copy.uri))
        records[copy.uri] = record
        known = [*records, *(other.uri for other in left)]
        left += _promised_copies(open_store, record, copy, known)
        seen = store.identity(copy.uri) if left or copy.size > _SMALL else None
        looks.append(_Look(store, copy, record, seen, time.monotonic()))
        facts.append(_verify_copy(store, copy, record, recheck=recheck, stop=stop))
    for look in looks:
        look.check_unchanged()
    first = copies[0]
    return Verification(
        first.package_id, first.meeting_video_id, tuple(records.values()), tuple(facts), frozenset(domains)
    )


def _promised_copies(
    open_store: OpenStore, record: Mapping[str, Any], copy: StoredVideo, known: Sequence[str]
) -> list[StoredVideo]:
    """
    Name the copies that a record promises and nobody has named yet.

    A record's URIs are those of the time when it was written. Where as many copies are known as it promises, each in a
    failure domain of its own, those that are not at their places count as moved.
    """
    promised = record.get("copies") or []
    if not isinstance(promised, list) or not all(isinstance(uri, str) for uri in promised):
        _refuse(copy, ["its custody record does not say where its other copies are"])
    moved = 0 < len(promised) < len({open_store(uri).failure_domain(uri) for uri in known})
    found = []
    for uri in promised:
        try:
            place = check_destination(uri)
        except InvalidArgumentError:
            _refuse(copy, [] if moved else ["its custody record names another copy by a URL that cannot be used"])
            continue
        places = {"uri": place, "custody_uri": Layout.beside(place).record(copy.meeting_video_id)}
        other = StoredVideo(**{**vars(copy), **places})
        if place not in known and (not moved or _is_there(open_store, other)):
            found.append(other)
    return found


def _is_there(open_store: OpenStore, copy: StoredVideo) -> bool:
    """Tell whether there is a custody record at a place; a place that cannot be looked at is one of the past."""
    try:
        return open_store(copy.uri).read_json(copy.custody_uri)[0]
    except (StorageError, InvalidArgumentError):
        return False


def _verify_copy(
    store: Store, claim: StoredVideo, record: Mapping[str, Any], *, recheck: str, stop: Callable[[], bool]
) -> Mapping[str, Any]:
    """Look at the copy itself, and say for the receipt what was seen."""
    by_metadata = recheck == RECHECKS[1] and bool(record.get("validator"))
    _refuse(
        claim, _metadata_problems(store, claim, record) if by_metadata else _byte_problems(store, claim, record, stop)
    )
    _refuse(claim, _lock_problems(store, claim, record))
    store.fsync(claim.uri, claim.custody_uri)
    return {
        "kind": "metadata" if by_metadata else "sha256",
        "uri": claim.uri,
        "custody_uri": claim.custody_uri,
        "size": claim.size,
        "sha256": claim.sha256,
        "validator": record.get("validator"),
        **{name: record[name] for name in ("retain_until", "retention_mode") if record.get(name)},
        "checked_at": pendulum.now("UTC").isoformat(),
    }


def _stored_record(store: Store, claim: StoredVideo, api_base: str, signer: DocumentSigner | None) -> dict[str, Any]:
    """Read the custody record afresh, and compare it with the XCom and the API in use."""
    _refuse(claim, location_mismatches(claim))
    data = store.read_bytes(claim.custody_uri)
    if data is None:
        _refuse(claim, ["its custody record is gone"])
    record = parse_json(data)
    if read_stored_video(record, claim.custody_uri) is None:
        _refuse(claim, ["its custody record cannot be read"])
    problems = origin_mismatches(
        record, api_base=api_base, package_id=claim.package_id, meeting_video_id=claim.meeting_video_id
    )
    _refuse(claim, problems + expected_mismatches(record, claim))
    if signer is not None and (reason := signer.check(store, claim.custody_uri, data or b"", stored=claim).reason):
        _refuse(claim, [f"its custody record is not signed: {reason}"])
    return dict(record)


def _byte_problems(store: Store, claim: StoredVideo, record: Mapping[str, Any], stop: Callable[[], bool]) -> list[str]:
    read = store.sha256(claim.uri, stop)
    if read is None:
        return ["its copy is gone"]
    return copy_mismatches(record, size=read[1], sha256=read[0], validator=None)


def _metadata_problems(store: Store, claim: StoredVideo, record: Mapping[str, Any]) -> list[str]:
    info = store.info(claim.uri)
    if info is None:
        return ["its copy is gone"]
    return copy_mismatches(record, size=info.size or 0, sha256=None, validator=info.validator)


def _lock_problems(store: Store, claim: StoredVideo, record: Mapping[str, Any]) -> list[str]:
    """Compare the lock that the record promises with the one that the store shows now."""
    try:
        promised = recorded_lock(record)
    except ValueError as error:
        return [str(error)]
    if promised is None or promised.retain_until <= datetime.now(UTC):
        return []
    shown = {name: store.lock_of(uri) for name, uri in (("copy", claim.uri), ("record", claim.custody_uri))}
    lacking = {name: "no lock" if lock is None else lock.lacks(promised) for name, lock in shown.items()}
    return [f"the store shows {lack} of the {name}" for name, lack in lacking.items() if lack]


def _refuse(claim: StoredVideo, problems: list[str]) -> None:
    if problems:
        raise VerificationError(
            f"kept on the platform, its copy is not verified: {'; '.join(problems)} ({claim.uri}). "
            "Move record and copy away and clear the download to copy it again"
        )
