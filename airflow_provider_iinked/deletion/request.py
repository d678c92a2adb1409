"""What is to be deleted: exactly one way to say it, and nothing that could be read as more. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from airflow_provider_iinked.arguments import (
    ALL,
    NOTSET,
    RECHECKS,
    PackageIds,
    check_choice,
    check_id,
    check_package_ids,
    check_selection,
    require_bool,
    require_int,
)
from airflow_provider_iinked.custody.record import TaskIdentity, read_stored_video
from airflow_provider_iinked.deletion.approval import Approval, parse_approval
from airflow_provider_iinked.deletion.target import check_approval_without_preview, check_exactly_one_target
from airflow_provider_iinked.exceptions import ApprovalError, InvalidArgumentError
from airflow_provider_iinked.models import StoredVideo, VideoState
from airflow_provider_iinked.storage.layout import Layout, folder_of
from airflow_provider_iinked.storage.url import check_destination

if TYPE_CHECKING:
    from airflow_provider_iinked.custody.signing import DocumentSigner

DEFAULT_STATES: Final = (VideoState.ARCHIVED.value,)
_DELETABLE: Final = tuple(state.value for state in VideoState if state is not VideoState.DELETED)
_MAX_DEPTH: Final = 20

CopiesById = Mapping[str, tuple[StoredVideo, ...]]
"""The copies of recordings by case-folded video id; those of one recording lie in different places."""


@dataclass(frozen=True)
class PackageTarget:
    """
    What is to be deleted of one package.

    :param package_id: the package.
    :param meeting_video_ids: the recordings; None for all that the list shows.
    :param copies: the verified copies; None for a deletion without copies.
    """

    package_id: str
    meeting_video_ids: tuple[str, ...] | None
    copies: CopiesById | None = None

    def copies_of(self, meeting_video_id: str) -> tuple[StoredVideo, ...]:
        """
        Return the copies of a recording.

        :param meeting_video_id: the recording.
        :return: its copies; none for a deletion without copies.
        """
        return () if self.copies is None else self.copies.get(meeting_video_id.casefold(), ())


@dataclass(frozen=True)
class DeletionRequest:
    """
    A deletion, its arguments checked.

    :param packages: what is to be deleted, package by package.
    :param as_list: whether the result is a list, one response a package.
    :param states: states that may be deleted.
    :param recheck: how a copy is verified again.
    :param min_copies: in how many failure domains verified copies of a recording must lie.
    :param max_parallel: how many recordings are verified at a time.
    :param preview: True to check everything and send nothing.
    :param receipt_destination: where receipts of a deletion without copies go, or None.
    :param conn_id: the Airflow connection, for the receipts.
    :param task: the running task.
    :param approval: a person's yes to exactly this deletion; None where nobody is asked.
    :param signer: signs the receipts; None for nobody.
    """

    packages: tuple[PackageTarget, ...]
    as_list: bool = False
    states: tuple[str, ...] = DEFAULT_STATES
    recheck: str = RECHECKS[0]
    min_copies: int = 1
    max_parallel: int = 8
    preview: bool = False
    receipt_destination: str | None = None
    conn_id: str | None = None
    task: TaskIdentity = field(default_factory=TaskIdentity)
    approval: Approval | None = None
    signer: DocumentSigner | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it names no recording; nothing is asked of the API then."""
        return all(target.meeting_video_ids == () for target in self.packages)

    @property
    def sees_holds(self) -> bool:
        """Whether it knows an archive, and so the legal holds in it: one of copies, or one of receipts."""
        return self.receipt_destination is not None or all(target.copies is not None for target in self.packages)

    @property
    def ids(self) -> PackageIds:
        """The packages."""
        return PackageIds(tuple(target.package_id for target in self.packages), self.as_list)

    @property
    def folder(self) -> str | None:
        """The first package's folder with copies and receipts; None where there is none."""
        for target in self.packages:
            for copies in (target.copies or {}).values():
                return folder_of(copies[0].uri)
            if self.receipt_destination is not None:
                return Layout.of(self.receipt_destination, target.package_id).folder
        return None


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
    task: TaskIdentity,
    min_copies: object = 1,
    max_parallel: object = 8,
    approval: object = NOTSET,
    signer: DocumentSigner | None = None,
) -> DeletionRequest:
    """
    Check the delete operator's arguments, as resolved at run time.

    :param package_id: the package or packages, or NOTSET.
    :param meeting_video_ids: the recordings, or ``"*"``.
    :param verified_copies: the download's XCom, or NOTSET.
    :param delete_all: True for all that the list shows.
    :param states: states that may be deleted.
    :param recheck: ``sha256`` or ``metadata``.
    :param preview: True to send nothing.
    :param receipt_destination: where receipts go, or None.
    :param receipts_wanted: whether ``receipt_destination`` was given, although it may have turned out as None.
    :param conn_id: the Airflow connection.
    :param task: the running task.
    :param min_copies: in how many failure domains verified copies must lie.
    :param max_parallel: how many recordings are verified at a time.
    :param approval: the approval task's XCom, or NOTSET.
    :param signer: signs the receipts; None for nobody.
    :return: the request.
    :raises ApprovalError: when ``approval`` is no person's yes, and there is something to delete.
    :raises InvalidArgumentError: for whatever is empty, malformed or contradictory; before any request.
    """
    everything = require_bool(delete_all, "delete_all")
    copies_given = verified_copies is not NOTSET
    check_exactly_one_target(
        package_given=package_id is not NOTSET,
        ids_given=not (isinstance(meeting_video_ids, str) and meeting_video_ids == ALL),
        copies_given=copies_given,
        delete_all=everything,
    )
    packages = check_package_ids(package_id) if package_id is not NOTSET else None
    allowed = _check_states(states, copies_given)
    copies_wanted = require_int(min_copies, "min_copies", minimum=1)
    if copies_given:
        targets, as_list = _guarded_targets(read_copies(verified_copies), packages, meeting_video_ids)
    else:
        if copies_wanted > 1:
            raise InvalidArgumentError("min_copies needs verified_copies. Nothing was sent.")
        targets, as_list = _targets_by_id(packages, meeting_video_ids)
    check_approval_without_preview(approval_given=approval is not NOTSET, preview=require_bool(preview, "preview"))
    if receipts_wanted:
        receipt_destination = check_destination(receipt_destination, "receipt_destination")
    return DeletionRequest(
        packages=targets,
        as_list=as_list,
        states=allowed,
        recheck=check_choice(recheck, "recheck", RECHECKS),
        min_copies=copies_wanted,
        max_parallel=require_int(max_parallel, "max_parallel", minimum=1),
        preview=require_bool(preview, "preview"),
        receipt_destination=receipt_destination if isinstance(receipt_destination, str) else None,
        conn_id=conn_id,
        task=task,
        approval=_check_approval(approval, targets) if approval is not NOTSET else None,
        signer=signer,
    )


def read_copies(value: object) -> dict[str, dict[str, tuple[StoredVideo, ...]]]:
    """
    Read ``verified_copies``: the download's XCom, also that of mapped tasks.

    :param value: a record in short form, or (nested) lists of them.
    :return: the copies by case-folded package id and video id, in their order.
    :raises InvalidArgumentError: for anything else, and for records that disagree or share a place.
    """
    packages: dict[str, dict[str, tuple[StoredVideo, ...]]] = {}
    places: dict[str, StoredVideo] = {}
    for position, item in enumerate(_flatten(value)):
        copy = _read_copy(item, f"verified_copies[{position}]")
        if any(places.setdefault(place, copy) != copy for place in (copy.uri, copy.custody_uri)):
            raise InvalidArgumentError(f"verified_copies: two records share {copy.uri}. Nothing was sent.")
        found = packages.setdefault(copy.package_id.casefold(), {})
        others = found.get(copy.meeting_video_id.casefold(), ())
        if any((copy.size, copy.sha256) != (other.size, other.sha256) for other in others):
            raise InvalidArgumentError(
                f"verified_copies: two records of video {copy.meeting_video_id} disagree. Nothing was sent."
            )
        found[copy.meeting_video_id.casefold()] = others if copy in others else (*others, copy)
    return packages


def _targets_by_id(packages: PackageIds | None, meeting_video_ids: object) -> tuple[tuple[PackageTarget, ...], bool]:
    if packages is None:
        raise InvalidArgumentError("package_id is missing; only verified_copies can do without it. Nothing was sent.")
    ids = check_selection(packages, meeting_video_ids)
    return tuple(PackageTarget(package_id, ids) for package_id in packages.ids), packages.as_list


def _guarded_targets(
    copies: dict[str, dict[str, tuple[StoredVideo, ...]]], packages: PackageIds | None, meeting_video_ids: object
) -> tuple[tuple[PackageTarget, ...], bool]:
    """Say what is to be deleted of each package that copies are given of, or that the Dag names."""
    named = {key: next(iter(found.values()))[0].package_id for key, found in copies.items()}
    if packages is None:
        packages = PackageIds(tuple(named.values()), as_list=len(named) > 1)
    given = {package_id.casefold() for package_id in packages.ids}
    if others := [package_id for key, package_id in named.items() if key not in given]:
        raise InvalidArgumentError(
            f"package_id is {packages.label}, but verified_copies are of {', '.join(others)} too. Nothing was sent."
        )
    ids = check_selection(packages, meeting_video_ids)
    if ids and not packages.ids:
        raise InvalidArgumentError(
            f"meeting_video_ids names videos without a verified copy: {', '.join(ids)}. Nothing was sent."
        )
    targets = []
    for package_id in packages.ids:
        found = copies.get(package_id.casefold(), {})
        # The spelling in the records: they are compared with it letter by letter.
        spelled = named.get(package_id.casefold(), package_id)
        targets.append(PackageTarget(spelled, _narrow(found, ids), found))
    return tuple(targets), packages.as_list


def _flatten(value: object, levels: int = _MAX_DEPTH) -> Iterator[object]:
    if isinstance(value, (str, bytes)):
        raise InvalidArgumentError(
            "verified_copies is text; pass `task.output` of the download itself, not a template. Nothing was sent."
        )
    if isinstance(value, Mapping):
        yield value
    elif isinstance(value, Sequence):
        if not levels:
            raise InvalidArgumentError(f"verified_copies holds lists more than {_MAX_DEPTH} deep. Nothing was sent.")
        for item in value:
            yield from _flatten(item, levels - 1)
    else:
        raise InvalidArgumentError(
            f"verified_copies is empty or no list of records: {type(value).__name__}. Nothing was sent."
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


def _narrow(copies: CopiesById, ids: tuple[str, ...] | None) -> tuple[str, ...]:
    if ids is None:
        return tuple(places[0].meeting_video_id for places in copies.values())
    missing = [video_id for video_id in ids if video_id.casefold() not in copies]
    if missing:
        raise InvalidArgumentError(
            f"meeting_video_ids names videos without a verified copy: {', '.join(missing)}. Nothing was sent."
        )
    return ids


def _check_approval(approval: object, targets: Sequence[PackageTarget]) -> Approval | None:
    try:
        return parse_approval(approval)
    except ApprovalError:
        if all(target.meeting_video_ids == () for target in targets):
            return None  # Nothing is deleted anyway.
        raise


def _check_states(value: object, copies_given: bool) -> tuple[str, ...]:
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, (list, tuple, set, frozenset)) or not given:
        raise InvalidArgumentError("states must name the states that may be deleted. Nothing was sent.")
    states = tuple(check_choice(state, "states", _DELETABLE) for state in given)
    if copies_given and set(states) != set(DEFAULT_STATES):
        raise InvalidArgumentError(
            "states does not go with verified_copies: only archived recordings have verified copies. Nothing was sent."
        )
    return states
