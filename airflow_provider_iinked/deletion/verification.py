"""Proving one copy again, a moment before its source is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pendulum

from airflow_provider_iinked.custody.record import (
    copy_mismatches,
    expected_mismatches,
    location_mismatches,
    origin_mismatches,
    read_stored_video,
)
from airflow_provider_iinked.exceptions import VerificationError
from airflow_provider_iinked.models import StoredVideo
from airflow_provider_iinked.storage import Store


@dataclass(frozen=True)
class Proof:
    """
    That a copy is whole and is what its record says.

    :param record: the stored custody record, read afresh.
    :param facts: what the receipt says about it.
    """

    record: Mapping[str, Any]
    facts: Mapping[str, Any]


def prove(store: Store, claim: StoredVideo, *, api_base: str, recheck: str) -> Proof:
    """
    Read the custody record afresh, compare it with the XCom and the API in use, and look at the copy itself.

    :param store: the storage, opened afresh and without caches.
    :param claim: the XCom.
    :param api_base: the API in use.
    :param recheck: ``sha256`` reads the copy from end to end; ``metadata`` relies on size and the store's validator,
        and reads where the store gives none.
    :return: the proof.
    :raises VerificationError: when anything does not agree; the recording must not be deleted.
    :raises StorageError: when it cannot be looked at; the recording must not be deleted.
    """
    record = _stored_record(store, claim, api_base)
    by_metadata = recheck == "metadata" and bool(record.get("validator"))
    problems = _metadata_problems(store, claim, record) if by_metadata else _byte_problems(store, claim, record)
    _refuse(claim, problems)
    store.fsync(claim.uri, claim.custody_uri)
    facts = {
        "kind": "metadata" if by_metadata else "sha256",
        "uri": claim.uri,
        "custody_uri": claim.custody_uri,
        "size": claim.size,
        "sha256": claim.sha256,
        "validator": record.get("validator"),
        "checked_at": pendulum.now("UTC").isoformat(),
    }
    return Proof(record, facts)


def _stored_record(store: Store, claim: StoredVideo, api_base: str) -> dict[str, Any]:
    _refuse(claim, location_mismatches(claim))
    exists, record = store.read_json(claim.custody_uri)
    if not exists:
        _refuse(claim, ["its custody record is gone"])
    if read_stored_video(record, claim.custody_uri) is None:
        _refuse(claim, ["its custody record cannot be read"])
    problems = origin_mismatches(
        record, api_base=api_base, package_id=claim.package_id, meeting_video_id=claim.meeting_video_id
    )
    _refuse(claim, problems + expected_mismatches(record, claim))
    return dict(record)


def _byte_problems(store: Store, claim: StoredVideo, record: Mapping[str, Any]) -> list[str]:
    read = store.sha256(claim.uri)
    if read is None:
        return ["its copy is gone"]
    return copy_mismatches(record, size=read[1], sha256=read[0], validator=None)


def _metadata_problems(store: Store, claim: StoredVideo, record: Mapping[str, Any]) -> list[str]:
    info = store.info(claim.uri)
    if info is None:
        return ["its copy is gone"]
    return copy_mismatches(record, size=info.size or 0, sha256=None, validator=info.validator)


def _refuse(claim: StoredVideo, problems: list[str]) -> None:
    if problems:
        raise VerificationError(
            f"kept on the platform, its copy is not proved: {'; '.join(problems)} ({claim.uri}). "
            "Move record and copy away and clear the download to copy it anew"
        )
