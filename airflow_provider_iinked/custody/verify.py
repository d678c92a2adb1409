"""Reading every copy below a destination again and comparing it with its custody record; needs no API."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from airflow_provider_iinked.arguments import RECHECKS
from airflow_provider_iinked.custody.record import (
    copy_mismatches,
    origin_mismatches,
    read_stored_video,
)
from airflow_provider_iinked.custody.tombstone import tombstone_problems
from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.layout import Kind, Layout, copies_of, ids_of, is_package_folder, name_of
from airflow_provider_iinked.storage.url import check_destination, join

log = logging.getLogger(__name__)

_TRACES: Final = (Kind.RECORD, Kind.RECEIPT, Kind.TOMBSTONE, Kind.COPY)


class Status(StrEnum):
    """What was found out about one recording's copy."""

    OK = "ok"
    """It is what its record says."""
    CHANGED = "changed"
    """Copy or record is not what it was."""
    MISSING = "missing"
    """The copy or its record is gone, and nobody says that this was meant."""
    ERASED = "erased"
    """It was erased on purpose; its tombstone says why."""
    UNRECORDED = "unrecorded"
    """There is a copy without a record: a run was killed before it wrote one, or is at it now."""
    UNREADABLE = "unreadable"
    """It could not be looked at."""
    NO_COPY = "no copy"
    """The recording was deleted on purpose without a copy; its receipt says so."""


_FINE: Final = frozenset({Status.OK, Status.ERASED, Status.NO_COPY})


@dataclass(frozen=True)
class Finding:
    """
    One recording.

    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param status: what was found out.
    :param source: ``deleted`` or ``requested`` as the deletion receipt says, ``kept`` without one.
    :param problems: what is wrong, or why it was erased, in words.
    """

    package_id: str
    meeting_video_id: str
    status: Status
    source: str
    problems: tuple[str, ...] = ()

    @property
    def is_difference(self) -> bool:
        """True when somebody has to look at it."""
        return self.status not in _FINE

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**asdict(self), "status": str(self.status), "problems": list(self.problems)}


@dataclass(frozen=True)
class Verification:
    """
    What was found below a destination.

    :param destination: the URL.
    :param findings: every recording that left a trace there, by package and id.
    """

    destination: str
    findings: tuple[Finding, ...]

    @property
    def differences(self) -> list[Finding]:
        """Those that somebody has to look at."""
        return [finding for finding in self.findings if finding.is_difference]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each status, of those that were found."""
        statuses = [str(finding.status) for finding in self.findings]
        return {status: statuses.count(status) for status in map(str, Status) if status in statuses}


def verify_copies(
    destination: str,
    *,
    package_ids: Sequence[str] | None = None,
    recheck: str = RECHECKS[0],
    max_parallel: int = 4,
) -> Verification:
    """
    Verify every copy below a destination against its custody record.

    Where a copy lies counts, not the URL in its record: a store that was moved, or is named through another
    connection, is verified as well.

    :param destination: URL below which the packages' folders lie.
    :param package_ids: packages to look at; None for all that lie there.
    :param recheck: ``sha256`` reads each copy from end to end; ``metadata`` compares size and the store's validator.
    :param max_parallel: how many copies are read at a time.
    :return: what was found; empty when nothing lies there.
    :raises InvalidArgumentError: for a destination that cannot be used.
    :raises StorageError: when the destination cannot be listed.
    """
    if recheck not in RECHECKS:
        raise InvalidArgumentError(f"recheck must be one of {', '.join(RECHECKS)}, not {recheck!r}.")
    url = check_destination(destination)
    store = open_store(url)
    packages = sorted(name for name in store.list_names(url) if is_package_folder(name))
    if package_ids is not None:
        packages = list(dict.fromkeys(package_ids))
    findings: list[Finding] = []
    with ThreadPoolExecutor(max_parallel, thread_name_prefix="iinked-verify") as pool:
        for package_id in packages:
            folder = _Folder(store, join(url, package_id), package_id, recheck)
            found = list(pool.map(folder.look, folder.ids()))
            if package_ids is not None and not found:
                found = [Finding(package_id, "*", Status.MISSING, "kept", ("nothing of this package lies there",))]
            for finding in found:
                log.log(
                    logging.ERROR if finding.is_difference else logging.INFO,
                    "Package %s, video %s: %s, source %s%s",
                    package_id,
                    finding.meeting_video_id,
                    finding.status,
                    finding.source,
                    "".join(f"; {problem}" for problem in finding.problems),
                )
            findings += found
    return Verification(url, tuple(findings))


class _Folder:
    """One package's folder."""

    def __init__(self, store: Store, url: str, package_id: str, recheck: str) -> None:
        self._store = store
        self._layout = Layout(url)
        self._package_id = package_id
        self._recheck = recheck
        self._names = store.list_names(url)

    def ids(self) -> list[str]:
        """Every recording that left a trace: a record, a receipt, a tombstone or a copy. Other files are not ours."""
        return sorted({video_id for kind in _TRACES for video_id in ids_of(self._names, kind)})

    def look(self, video_id: str) -> Finding:
        """Look at one recording; a store that fails is a finding, so that the others are looked at."""
        source = "kept"
        try:
            receipt = self._json(self._layout.receipt(video_id)) if self._has(self._layout.receipt(video_id)) else None
            source = _source(receipt)
            status, problems = self._judge(video_id, receipt)
        except StorageError as error:
            status, problems = Status.UNREADABLE, [str(error)]
        return Finding(self._package_id, video_id, status, source, tuple(problems))

    def _judge(self, video_id: str, receipt: object) -> tuple[Status, list[str]]:
        copies = copies_of(self._names, video_id)
        if self._has(self._layout.tombstone(video_id)):
            return self._judge_erased(video_id, copies)
        if self._has(self._layout.record(video_id)):
            return self._judge_recorded(video_id)
        if isinstance(receipt, dict) and receipt.get("proof") is None and not copies:
            return Status.NO_COPY, []
        if receipt is not None:
            return Status.MISSING, ["there is a deletion receipt, but no custody record"]
        return Status.UNRECORDED, [f"{', '.join(copies)} has no custody record"]

    def _judge_erased(self, video_id: str, copies: list[str]) -> tuple[Status, list[str]]:
        tombstone = self._json(self._layout.tombstone(video_id))
        problems = tombstone_problems(tombstone, package_id=self._package_id, meeting_video_id=video_id)
        if copies:
            problems.append(f"there is a tombstone, but {', '.join(copies)} is still there")
        if problems or not isinstance(tombstone, dict):
            return Status.CHANGED, problems
        return Status.ERASED, [str(tombstone.get("reason"))]

    def _judge_recorded(self, video_id: str) -> tuple[Status, list[str]]:
        url = self._layout.record(video_id)
        record = self._json(url)
        claim = read_stored_video(record, url)
        if claim is None or not isinstance(record, dict):
            return Status.CHANGED, ["the custody record cannot be read"]
        base = record.get("api_base")
        problems = origin_mismatches(
            record,
            api_base=base if isinstance(base, str) and base else "(some API)",
            package_id=self._package_id,
            meeting_video_id=video_id,
        )
        name = name_of(claim.uri)
        if name not in copies_of([name], video_id):
            problems.append(f"the record names {name[:100]!r} as the copy of {video_id}")
        if problems:
            return Status.CHANGED, problems
        return self._compare(join(self._layout.folder, name), record)

    def _compare(self, uri: str, record: dict[str, Any]) -> tuple[Status, list[str]]:
        if self._recheck == "metadata" and record.get("validator"):
            info = self._store.info(uri)
            if info is None:
                return Status.MISSING, ["the copy is gone"]
            problems = copy_mismatches(record, size=info.size or 0, sha256=None, validator=info.validator)
        else:
            read = self._store.sha256(uri)
            if read is None:
                return Status.MISSING, ["the copy is gone"]
            problems = copy_mismatches(record, size=read[1], sha256=read[0], validator=None)
        return (Status.CHANGED if problems else Status.OK), problems

    def _has(self, url: str) -> bool:
        return name_of(url) in self._names

    def _json(self, url: str) -> Any:
        return self._store.read_json(url)[1]


def _source(receipt: object) -> str:
    """What the deletion receipt says about the recording on the platform."""
    if receipt is None:
        return "kept"
    status = receipt.get("status") if isinstance(receipt, dict) else None
    # A withdrawn one was written for a request that never went out, or did nothing.
    said = {"deleted": "deleted", "requested": "requested", "withdrawn": "kept"}
    return said.get(status, "unclear") if isinstance(status, str) else "unclear"
