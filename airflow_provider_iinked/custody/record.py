"""
The custody record: what a copy is, where it came from, and which task verified it. Pure.

It is written last, so it exists only when the copy is whole. Its format is versioned; a reader that does not know a
format refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from airflow_provider_iinked.models import FIXED_VIDEO_FIELDS, StoredVideo, Video, parse_time
from airflow_provider_iinked.storage.layout import Kind, Layout, folder_of, name_of, parse
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.url import join

FORMAT: Final = 1


@dataclass(frozen=True)
class TaskIdentity:
    """
    Which task did something; all None outside a Dag run.

    :param dag_id: the Dag.
    :param run_id: its run.
    :param task_id: the task.
    :param map_index: index of a mapped task, else -1.
    :param try_number: which try of it.
    """

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None


@dataclass(frozen=True)
class VerifiedCopy:
    """
    What publication found out about a copy.

    :param uri: where it lies.
    :param size: its bytes.
    :param sha256: hex digest of its bytes.
    :param content_type: as the recording's host named it.
    :param validator: the store's own validator, or None.
    :param modified: time of the file's last change, where the store gives no validator.
    """

    uri: str
    size: int
    sha256: str
    content_type: str
    validator: Mapping[str, str] | None
    modified: float | None


def build_record(
    *,
    api_base: str,
    package_id: str,
    video: Video,
    copy: VerifiedCopy,
    time: str,
    stamp: TaskIdentity,
    provider_version: str,
    package_fields: Mapping[str, Any],
    media: Mapping[str, Any] | None = None,
    copies: Sequence[str] = (),
    lock: Lock | None = None,
) -> dict[str, Any]:
    """
    Put a custody record together.

    :param api_base: base URL of the API that the recording came from.
    :param package_id: the package.
    :param video: the recording as listed; its signed URL is left out.
    :param copy: the copy.
    :param time: ISO 8601 time of the publication.
    :param stamp: which task.
    :param provider_version: version of this provider.
    :param package_fields: package fields that the Dag author wants to keep.
    :param media: what checking that it plays found out; None where that was not requested.
    :param copies: URIs of the same recording's copies at the task's other destinations.
    :param lock: the lock that copy and record are written with; None for none.
    :return: the record, ready for JSON.
    """
    return {
        "format": FORMAT,
        "api_base": api_base,
        "package_id": package_id,
        "meeting_video_id": video.meeting_video_id,
        "video": video.public_fields(),
        **asdict(copy),
        "time": time,
        **asdict(stamp),
        "provider_version": provider_version,
        "package_fields": dict(package_fields),
        **({"copies": list(copies)} if copies else {}),
        **({"media": dict(media)} if media is not None else {}),
        **(lock_facts(lock) if lock is not None else {}),
    }


def lock_facts(lock: Lock) -> dict[str, Any]:
    """
    Say in a record how its copy is locked.

    :param lock: the lock.
    :return: the record's fields.
    """
    return {"retain_until": lock.retain_until.isoformat(), "retention_mode": lock.mode}


def recorded_lock(record: Mapping[str, Any]) -> Lock | None:
    """
    Read the lock that a record promises.

    :param record: the stored record.
    :return: the lock; None where none is promised.
    :raises ValueError: when it cannot be read.
    """
    until, mode = record.get("retain_until"), record.get("retention_mode")
    if until is None and mode is None:
        return None
    time = parse_time(until)
    if time is None or not isinstance(mode, str):
        raise ValueError("the record's lock cannot be read")
    return Lock(mode, time)


def read_stored_video(record: object, custody_uri: str) -> StoredVideo | None:
    """
    Read the short form out of a record, or out of an XCom.

    :param record: the JSON value.
    :param custody_uri: where the record lies.
    :return: the short form; None when something is missing or of the wrong type.
    """
    if not isinstance(record, Mapping):
        return None
    texts: dict[str, Any] = {name: record.get(name) for name in ("package_id", "meeting_video_id", "uri", "sha256")}
    size = record.get("size")
    if not all(isinstance(value, str) and value for value in texts.values()):
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        return None
    return StoredVideo(**texts, size=size, custody_uri=custody_uri)


def stored_beside(record: object, custody_uri: str) -> StoredVideo | None:
    """
    Read the short form out of a record, its copy being where the record is now: what the record says of places is
    history once a folder has been moved as a whole (another prefix, bucket or connection id).

    :param record: the JSON value of the stored record.
    :param custody_uri: where the record is.
    :return: the short form; None when something is missing or of the wrong type.
    """
    written = read_stored_video(record, custody_uri)
    return written and replace(written, uri=join(folder_of(custody_uri), name_of(written.uri)))


def origin_mismatches(record: Mapping[str, Any], *, api_base: str, package_id: str, meeting_video_id: str) -> list[str]:
    """
    Compare a record with the requested recording.

    :param record: the stored record.
    :param api_base: the API in use.
    :param package_id: the package.
    :param meeting_video_id: the recording.
    :return: the differences, as text; empty when it is the right record.
    """
    if record.get("format") != FORMAT or isinstance(record.get("format"), bool):
        return [f"the record's format {record.get('format')!r} is not known (known: {FORMAT})"]
    expected = {"api_base": api_base, "package_id": package_id, "meeting_video_id": meeting_video_id}
    return [
        f"the record names {name} {str(record.get(name))[:100]!r}, not {value!r}"
        for name, value in expected.items()
        if record.get(name) != value
    ]


def location_mismatches(claim: StoredVideo) -> list[str]:
    """
    Compare the places of a copy and its record with those that publication gives them.

    :param claim: what names them.
    :return: the differences, as text; empty when they lie beside each other under the recording's name.
    """
    layout = Layout.beside(claim.uri)
    problems = []
    entry = parse(name_of(claim.uri))
    is_copy = entry is not None and entry.kind is Kind.COPY and entry.is_current
    if entry is None or not is_copy or entry.video_id != claim.meeting_video_id:
        problems.append("the copy's name is not that of the recording")
    if layout.package_id != claim.package_id:
        problems.append("the copy does not lie in its package's folder")
    if claim.custody_uri != layout.record(claim.meeting_video_id):
        problems.append("the record does not lie beside the copy under the recording's name")
    return problems


def expected_mismatches(record: Mapping[str, Any], claim: StoredVideo) -> list[str]:
    """
    Compare the stored record with an XCom. Of the record's ``uri`` only the last two parts count: copies that were
    moved as a whole are judged by where they lie now.

    :param record: the stored record.
    :param claim: the XCom.
    :return: the differences, as text; empty when they are equal.
    """
    names = [
        name
        for name in ("package_id", "meeting_video_id", "size", "sha256")
        if record.get(name) != getattr(claim, name) or isinstance(record.get(name), bool)
    ]
    if _package_and_name(record.get("uri")) != _package_and_name(claim.uri):
        names.append("uri")
    return [f"the stored record and the XCom disagree on {name}" for name in names]


def listing_mismatches(record: Mapping[str, Any], video: Video) -> list[str]:
    """
    Compare a recording as listed now with what was copied.

    :param record: the stored record.
    :param video: the recording as listed now.
    :return: the differences, as text; empty when it is the same recording.
    """
    then = record.get("video")
    if not isinstance(then, Mapping):
        return ["the record does not say what the recording was"]
    now = video.public_fields()
    return [
        f"the recording's {name} is now {_short(now.get(name))}, when copied it was {_short(then.get(name))}"
        for name in FIXED_VIDEO_FIELDS
        if not _same(then.get(name), now.get(name))
    ]


def copy_mismatches(record: Mapping[str, Any], *, size: int, sha256: str | None, validator: object) -> list[str]:
    """
    Compare a copy as it lies there now with its record.

    :param record: the stored record.
    :param size: the copy's bytes.
    :param sha256: digest of what was read; None where the store's validator is relied on instead.
    :param validator: the store's validator now.
    :return: the differences, as text; empty when the copy agrees.
    """
    problems = []
    if size != record.get("size"):
        problems.append(f"the copy has {size} bytes, its record says {record.get('size')}")
    if sha256 is not None:
        if sha256 != record.get("sha256"):
            problems.append("the copy's sha256 is not that of its record")
    elif not validator or validator != record.get("validator"):
        problems.append("the store's validator of the copy is not that of its record")
    return problems


def _package_and_name(uri: object) -> list[str] | None:
    return uri.split("/")[-2:] if isinstance(uri, str) else None


def _same(then: object, now: object) -> bool:
    """Equal values, or two spellings of one time (the API writes 0 to 7 fractional digits)."""
    if then == now:
        return True
    instant = parse_time(then)
    return instant is not None and instant == parse_time(now)


def _short(value: object) -> str:
    return repr(value)[:60]
