"""What a deletion is asked for: exactly one of three ways to say it, and nothing that could be read as more. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from airflow_provider_iinked.arguments import ALL, NOTSET, check_choice, check_id, check_video_ids, require_bool
from airflow_provider_iinked.custody.record import TaskIdentity, read_stored_video
from airflow_provider_iinked.deletion.target import check_exactly_one_target
from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.models import StoredVideo, VideoState
from airflow_provider_iinked.storage.layout import folder_of
from airflow_provider_iinked.storage.url import check_destination, join

RECHECKS: Final = ("sha256", "metadata")
DEFAULT_STATES: Final = (VideoState.ARCHIVED.value,)
_DELETABLE: Final = tuple(state.value for state in VideoState if state is not VideoState.DELETED)
_MOST_LEVELS: Final = 20


@dataclass(frozen=True)
class DeletionRequest:
    """
    One package's deletion, its arguments checked.

    :param package_id: the package; None only when there is nothing to delete.
    :param meeting_video_ids: the recordings; None for all that the list shows.
    :param copies: the proved copies by case-folded video id; None for a deletion without copies.
    :param states: states that may be deleted.
    :param recheck: how a copy is proved again.
    :param preview: True to check everything and send nothing.
    :param receipt_destination: where receipts of a deletion without copies go, or None.
    :param conn_id: the Airflow connection, for the receipts.
    :param stamp: the running task.
    """

    package_id: str | None
    meeting_video_ids: tuple[str, ...] | None
    copies: Mapping[str, StoredVideo] | None = None
    states: tuple[str, ...] = DEFAULT_STATES
    recheck: str = RECHECKS[0]
    preview: bool = False
    receipt_destination: str | None = None
    conn_id: str | None = None
    stamp: TaskIdentity = field(default_factory=TaskIdentity)

    def copy_of(self, meeting_video_id: str) -> StoredVideo | None:
        """
        Return the copy that was proved for a recording.

        :param meeting_video_id: the recording.
        :return: the copy; None for a deletion without copies.
        """
        return None if self.copies is None else self.copies.get(meeting_video_id.casefold())

    @property
    def folder(self) -> str | None:
        """The package's folder with copies and receipts; None where there is none."""
        if self.copies:
            return folder_of(next(iter(self.copies.values())).uri)
        if self.receipt_destination is None or self.package_id is None:
            return None
        return join(self.receipt_destination, self.package_id)


def parse_deletion_request(
    *,
    package_id: object,
    meeting_video_ids: object,
    verified_copies: object,
    delete_all: object,
    states: object,
    recheck: object,
    preview: object,
    receipt_destination: object,
    receipts_wanted: bool,
    conn_id: str,
    stamp: TaskIdentity,
) -> DeletionRequest:
    """
    Check the delete operator's arguments, as resolved at run time.

    :param package_id: the package, or NOTSET.
    :param meeting_video_ids: the recordings, or ``"*"``.
    :param verified_copies: the download's XCom, or NOTSET.
    :param delete_all: True for all that the list shows.
    :param states: states that may be deleted.
    :param recheck: ``sha256`` or ``metadata``.
    :param preview: True to send nothing.
    :param receipt_destination: where receipts go, or None.
    :param receipts_wanted: whether ``receipt_destination`` was given, although it may have turned out as None.
    :param conn_id: the Airflow connection.
    :param stamp: the running task.
    :return: the order.
    :raises InvalidArgumentError: for whatever is empty-handed, malformed or contradictory; before any request.
    """
    everything = require_bool(delete_all, "delete_all")
    copies_given = verified_copies is not NOTSET
    check_exactly_one_target(
        package_given=package_id is not NOTSET,
        ids_given=not (isinstance(meeting_video_ids, str) and meeting_video_ids == ALL),
        copies_given=copies_given,
        delete_all=everything,
    )
    package = check_id(package_id, "package_id") if package_id is not NOTSET else None
    ids = check_video_ids(meeting_video_ids)
    allowed = _check_states(states, copies_given)
    copies = None
    if copies_given:
        copies = read_copies(verified_copies)
        package = _package_of(copies, package)
        ids = _narrow(copies, ids)
    if receipts_wanted:
        receipt_destination = check_destination(receipt_destination, "receipt_destination")
    return DeletionRequest(
        package_id=package,
        meeting_video_ids=ids,
        copies=copies,
        states=allowed,
        recheck=check_choice(recheck, "recheck", RECHECKS),
        preview=require_bool(preview, "preview"),
        receipt_destination=receipt_destination if isinstance(receipt_destination, str) else None,
        conn_id=conn_id,
        stamp=stamp,
    )


def read_copies(value: object) -> dict[str, StoredVideo]:
    """
    Read ``verified_copies``: the download's XCom, also that of mapped tasks.

    :param value: a record in short form, or (nested) lists of them.
    :return: the copies by case-folded video id, in their order.
    :raises InvalidArgumentError: for anything else, and for records that disagree or share a place.
    """
    copies: dict[str, StoredVideo] = {}
    places: dict[str, str] = {}
    for position, item in enumerate(_flatten(value)):
        copy = _read_copy(item, f"verified_copies[{position}]")
        key = copy.meeting_video_id.casefold()
        if copies.setdefault(key, copy) != copy:
            raise InvalidArgumentError(
                f"verified_copies: two records of video {copy.meeting_video_id} disagree. Nothing was sent."
            )
        for place in (copy.uri, copy.custody_uri):
            if places.setdefault(place, key) != key:
                raise InvalidArgumentError(f"verified_copies: two records share {place}. Nothing was sent.")
    return copies


def _flatten(value: object, levels: int = _MOST_LEVELS) -> Iterator[object]:
    if isinstance(value, (str, bytes)):
        raise InvalidArgumentError(
            "verified_copies is text; pass `task.output` of the download itself, not a template. Nothing was sent."
        )
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, Sequence):
        if not levels:
            raise InvalidArgumentError(f"verified_copies holds lists more than {_MOST_LEVELS} deep. Nothing was sent.")
        for item in value:
            yield from _flatten(item, levels - 1)
    else:
        raise InvalidArgumentError(
            f"verified_copies is empty-handed or no list of records, but {type(value).__name__}. Nothing was sent."
        )


def _read_copy(item: object, where: str) -> StoredVideo:
    custody_uri = item.get("custody_uri") if isinstance(item, Mapping) else None
    copy = read_stored_video(item, custody_uri) if isinstance(custody_uri, str) else None
    if copy is None or not re.fullmatch(r"[0-9a-f]{64}", copy.sha256):
        raise InvalidArgumentError(f"{where} is no custody record in short form. Nothing was sent.")
    check_id(copy.package_id, f"{where}.package_id")
    check_id(copy.meeting_video_id, f"{where}.meeting_video_id")
    for name, uri in (("uri", copy.uri), ("custody_uri", copy.custody_uri)):
        if check_destination(uri, f"{where}.{name}") != uri:
            raise InvalidArgumentError(f"{where}.{name} is not written as the download writes it. Nothing was sent.")
    return copy


def _package_of(copies: Mapping[str, StoredVideo], given: str | None) -> str | None:
    packages = {copy.package_id for copy in copies.values()}
    if len(packages) > 1:
        raise InvalidArgumentError(
            f"verified_copies belong to several packages ({', '.join(sorted(packages))}); one package a task. "
            "Map the task over them. Nothing was sent."
        )
    recorded = next(iter(packages), given)
    if given is not None and recorded is not None and given.casefold() != recorded.casefold():
        raise InvalidArgumentError(f"package_id is {given}, but verified_copies are of {recorded}. Nothing was sent.")
    return recorded


def _narrow(copies: Mapping[str, StoredVideo], ids: tuple[str, ...] | None) -> tuple[str, ...]:
    if ids is None:
        return tuple(copy.meeting_video_id for copy in copies.values())
    missing = [video_id for video_id in ids if video_id.casefold() not in copies]
    if missing:
        raise InvalidArgumentError(
            f"meeting_video_ids names videos without a verified copy: {', '.join(missing)}. Nothing was sent."
        )
    return ids


def _check_states(value: object, copies_given: bool) -> tuple[str, ...]:
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, (list, tuple, set, frozenset)) or not given:
        raise InvalidArgumentError("states must name the states that may be deleted. Nothing was sent.")
    states = tuple(check_choice(state, "states", _DELETABLE) for state in given)
    if copies_given and set(states) != set(DEFAULT_STATES):
        raise InvalidArgumentError(
            "states does not go with verified_copies: what is proved was archived, and is deleted only then. "
            "Nothing was sent."
        )
    return states
