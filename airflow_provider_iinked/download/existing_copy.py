"""What lies at the destination already, and whether it still agrees with its custody record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from airflow_provider_iinked.custody.record import (
    copy_mismatches,
    expected_mismatches,
    listing_mismatches,
    location_mismatches,
    origin_mismatches,
    read_stored_video,
)
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.models import StoredVideo, Video
from airflow_provider_iinked.storage import ObjectIdentity, Store
from airflow_provider_iinked.storage.layout import Layout


class Verdict(Enum):
    """What is to be thought of what lies there."""

    ABSENT = auto()
    """There is no custody record."""
    WHOLE = auto()
    """Record and copy agree."""
    STALE = auto()
    """They do not agree; while the source is there, set aside and fetch anew."""
    FOREIGN = auto()
    """The record is another data centre's, or of a format not known here; not ours to touch."""


@dataclass(frozen=True)
class Existing:
    """
    What lies there for one recording.

    :param verdict: what is to be thought of it.
    :param stored: the copy, when it is whole.
    :param reason: what is wrong, when something is.
    :param set_aside: URLs to set aside before it is fetched anew, in this order.
    :param judged: what lay under each of them when it was found wanting.
    """

    verdict: Verdict
    stored: StoredVideo | None = None
    reason: str = ""
    set_aside: tuple[str, ...] = ()
    judged: tuple[ObjectIdentity | None, ...] = ()


def look(
    store: Store, folder: str, *, api_base: str, package_id: str, meeting_video_id: str, video: Video | None
) -> Existing:
    """
    Look at the copy and the record of one recording.

    Bytes are read only where the store gives no validator and the file's time has changed.

    :param store: the storage.
    :param folder: the package's folder.
    :param api_base: the API in use.
    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param video: the recording as listed now; None when it is gone.
    :return: what is to be thought of it.
    :raises StorageError: when it cannot be looked at, or another run changes it meanwhile; it is left alone then.
    """

    def judge() -> Existing:
        return _judge(store, Layout(folder).record(meeting_video_id), api_base, package_id, meeting_video_id, video)

    existing = judge()
    if existing.verdict is not Verdict.STALE:
        return existing
    # Only what was found wanting may be set aside: noted first, then judged again.
    judged = tuple(store.identity(url) for url in existing.set_aside)
    again = judge()
    if again.set_aside != existing.set_aside:
        raise StorageError(
            f"What lies at {folder} for video {meeting_video_id} changed while it was looked at: another run is at "
            "work there. Clearing the task is safe"
        )
    return replace(again, judged=judged)


def _judge(
    store: Store, url: str, api_base: str, package_id: str, meeting_video_id: str, video: Video | None
) -> Existing:
    exists, record = store.read_json(url)
    if not exists:
        return Existing(Verdict.ABSENT)
    claim = read_stored_video(record, url)
    if claim is None:
        return Existing(Verdict.STALE, reason="the custody record cannot be read", set_aside=(url,))
    if foreign := _foreign(record, api_base):
        return Existing(Verdict.FOREIGN, reason=foreign)
    problems = origin_mismatches(
        record, api_base=api_base, package_id=package_id, meeting_video_id=meeting_video_id
    ) + location_mismatches(claim)
    if problems:
        return Existing(Verdict.STALE, reason="; ".join(problems), set_aside=(url,))
    problems = listing_mismatches(record, video) if video is not None else []
    problems = problems or _copy_now_problems(store, claim, record)
    if problems:
        return Existing(Verdict.STALE, reason="; ".join(problems), set_aside=(url, claim.uri))
    return Existing(Verdict.WHOLE, stored=claim)


def read_through(store: Store, claim: StoredVideo, record: dict[str, Any]) -> list[str]:
    """
    Read a copy from its first byte to its last and compare it with its record.

    :param store: the storage.
    :param claim: names the copy.
    :param record: its stored record.
    :return: the differences in words; empty when it agrees.
    :raises StorageError: when it cannot be read.
    """
    read = store.sha256(claim.uri)
    if read is None:
        return ["the copy is gone"]
    return expected_mismatches(record, claim) + copy_mismatches(record, size=read[1], sha256=read[0], validator=None)


def _foreign(record: dict[str, Any], api_base: str) -> str:
    problems = origin_mismatches(
        record,
        api_base=api_base,
        package_id=record.get("package_id", ""),
        meeting_video_id=record.get("meeting_video_id", ""),
    )
    return "; ".join(problems)


def _copy_now_problems(store: Store, claim: StoredVideo, record: dict[str, Any]) -> list[str]:
    info = store.info(claim.uri)
    if info is None:
        return ["the copy is gone"]
    if record.get("validator"):
        return copy_mismatches(record, size=info.size or 0, sha256=None, validator=info.validator)
    if info.size == claim.size and info.modified is not None and info.modified == record.get("modified"):
        return []
    return read_through(store, claim, record)
