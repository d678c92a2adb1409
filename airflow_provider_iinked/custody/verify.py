"""Reading every copy below a destination again and comparing it with its custody record; needs no API."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, Final

from airflow_provider_iinked import progress
from airflow_provider_iinked.arguments import RECHECKS, check_choice
from airflow_provider_iinked.custody.finding import Finding, Status, Verification
from airflow_provider_iinked.custody.parallel import ordered_map
from airflow_provider_iinked.custody.record import (
    copy_mismatches,
    origin_mismatches,
    read_stored_video,
)
from airflow_provider_iinked.custody.tombstone import tombstone_problems
from airflow_provider_iinked.custody.verification_log import VerificationLog
from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError
from airflow_provider_iinked.storage import Store, open_store
from airflow_provider_iinked.storage.layout import Kind, Layout, copies_of, ids_of, is_package_folder, name_of, parse
from airflow_provider_iinked.storage.url import check_destination, join

log = logging.getLogger(__name__)

_TRACES: Final = (Kind.RECORD, Kind.RECEIPT, Kind.TOMBSTONE, Kind.COPY)


@dataclass(frozen=True)
class Budget:
    """
    How much one verification may do. It ends after the package in which a limit is reached.

    :param max_bytes: bytes of copies to read; None for no limit.
    :param max_seconds: seconds to work; None for no limit.
    """

    max_bytes: int | None = None
    max_seconds: float | None = None

    @property
    def is_limited(self) -> bool:
        """True when there is any limit."""
        return self.max_bytes is not None or self.max_seconds is not None


def verify_copies(
    destination: str,
    *,
    package_ids: Sequence[str] | None = None,
    recheck: str = RECHECKS[0],
    max_parallel: int = 4,
    budget: Budget | None = None,
) -> Verification:
    """
    Verify every copy below a destination against its custody record, and keep all findings in memory.

    :param destination: URL below which the packages' folders lie.
    :param package_ids: packages to look at; None for all that lie there.
    :param recheck: ``sha256`` reads each copy from end to end; ``metadata`` compares size and the store's validator.
    :param max_parallel: how many copies are read at a time, over all packages.
    :param budget: how much to do; None for all.
    :return: what was found; empty when nothing lies there.
    :raises InvalidArgumentError: for a destination that cannot be used.
    :raises StorageError: when the destination cannot be listed.
    """
    verifier = Verifier(
        destination, package_ids=package_ids, recheck=recheck, max_parallel=max_parallel, budget=budget or Budget()
    )
    findings = tuple(verifier.findings())
    return Verification(verifier.destination, findings, tuple(verifier.held))


class Verifier:
    """
    Verify an archive in constant memory: findings come one after the other, by package and recording.

    Where a copy lies counts, not the URL in its record: a store that was moved, or is named through another connection,
    is verified as well. With a budget, the package that was verified longest ago comes first, and the next run goes on
    where this one stopped.

    :param destination: URL below which the packages' folders lie.
    :param package_ids: packages to look at; None for all that lie there.
    :param recheck: ``sha256`` reads each copy from end to end; ``metadata`` compares size and the store's validator.
    :param max_parallel: how many copies are read at a time, over all packages.
    :param budget: how much to do.
    :raises InvalidArgumentError: for an argument that cannot be used.
    :raises StorageError: when the destination cannot be listed.
    """

    def __init__(
        self,
        destination: str,
        *,
        package_ids: Sequence[str] | None = None,
        recheck: str = RECHECKS[0],
        max_parallel: int = 4,
        budget: Budget = Budget(),
    ) -> None:
        self._recheck = check_choice(recheck, "recheck", RECHECKS)
        if budget.is_limited and package_ids is not None:
            raise InvalidArgumentError("A budget chooses the packages; leave package_ids out, or the budget.")
        self.destination = check_destination(destination)
        self.held: list[str] = []
        """Packages under legal hold, as far as they have been looked at."""
        self.differences = 0
        """How many findings somebody has to look at, so far."""
        self._named = package_ids is not None
        self._parallel = max_parallel
        self._budget = budget
        self._store = open_store(self.destination)
        self._log = VerificationLog(self._store, self.destination) if budget.is_limited else None
        self._packages = self._list_packages() if package_ids is None else list(dict.fromkeys(package_ids))
        self._progress = _Progress(len(self._packages))
        self._unfinished: deque[_Unfinished] = deque()

    def findings(self) -> Generator[Finding, None, None]:
        """
        Verify.

        :return: a finding for each recording that left a trace; call it once.
        """
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="iinked-verify") as pool:
            # Two stages share the pool: folders are listed a little ahead of the copies that are read.
            for finding in ordered_map(pool, _call, self._looks(pool), ahead=2 * self._parallel):
                log.log(
                    logging.ERROR if finding.is_difference else logging.INFO,
                    "Package %s, video %s: %s, source %s%s",
                    finding.package_id,
                    finding.meeting_video_id,
                    finding.status,
                    finding.source,
                    "".join(f"; {problem}" for problem in finding.problems),
                )
                self._progress.count_recording()
                self.differences += finding.is_difference
                yield finding
                self._note_verified(finding.package_id)
        self._note_verified()
        if self._log is not None:
            self._log.save()

    def _list_packages(self) -> list[str]:
        packages = sorted(name for name in self._store.list_names(self.destination) if is_package_folder(name))
        return self._log.oldest_first(packages) if self._log is not None else packages

    def _looks(self, pool: ThreadPoolExecutor) -> Iterator[Callable[[], Finding]]:
        """Go through the packages within the budget, and give a call for each of their recordings."""
        for folder in ordered_map(pool, self._open, self._within_budget(), ahead=self._parallel):
            if isinstance(folder, Finding):
                yield _Known(folder)
                continue
            if folder.held:
                self.held.append(folder.package_id)
            ids = folder.ids()
            if not ids and self._named:
                nothing = ("nothing of this package lies there",)
                yield _Known(Finding(folder.package_id, "*", Status.MISSING, "kept", nothing))
            self._unfinished.append(_Unfinished(folder.package_id, len(ids)))
            for video_id in ids:
                yield partial(folder.look, video_id)

    def _note_verified(self, package_id: str | None = None) -> None:
        """
        Note the packages whose last recording has been looked at, so that a run that is killed goes on with the others.

        :param package_id: the package of the finding that came just now.
        """
        # A package without a trace has no finding, and is done when those before it are.
        while self._unfinished and not self._unfinished[0].recordings:
            self._note_first()
        if package_id is not None and self._unfinished and self._unfinished[0].package_id == package_id:
            self._unfinished[0].recordings -= 1
            if not self._unfinished[0].recordings:
                self._note_first()

    def _note_first(self) -> None:
        done = self._unfinished.popleft()
        self._progress.count_package()
        if self._log is not None:
            self._log.note(done.package_id)

    def _within_budget(self) -> Iterator[str]:
        begun = time.monotonic()
        for number, package_id in enumerate(self._packages):
            seconds = time.monotonic() - begun
            spent = self._budget.max_seconds is not None and seconds >= self._budget.max_seconds
            if spent or (self._budget.max_bytes is not None and self._progress.bytes >= self._budget.max_bytes):
                left = len(self._packages) - number
                log.info("The budget is used up; %d packages are left for the next run.", left)
                return
            yield package_id

    def _open(self, package_id: str) -> _Folder | Finding:
        """List a package's folder; one that cannot be listed is a finding, so that the others are verified."""
        try:
            return _Folder(self._store, self.destination, package_id, self._recheck, self._progress)
        except StorageError as error:
            return Finding(package_id, "*", Status.UNREADABLE, "unclear", (str(error),))


class _Progress:
    """How far a verification is, logged every ten seconds."""

    def __init__(self, packages: int) -> None:
        self.bytes = 0
        self._packages = packages
        self._packages_done = 0
        self._recordings = 0
        self._log_due = progress.Every()
        self._lock = Lock()

    def count_bytes(self, count: int) -> None:
        with self._lock:
            self.bytes += count

    def count_package(self) -> None:
        self._packages_done += 1

    def count_recording(self) -> None:
        self._recordings += 1
        if self._log_due.is_due():
            line = progress.describe(
                packages=self._packages,
                packages_done=self._packages_done,
                recordings_done=self._recordings,
                bytes_done=self.bytes,
                verb="verified",
                elapsed=self._log_due.elapsed,
            )
            log.info("%s", line)


@dataclass
class _Unfinished:
    """A package, and how many of its recordings have not been looked at."""

    package_id: str
    recordings: int


@dataclass(frozen=True)
class _Known:
    """A finding that needs no look."""

    finding: Finding

    def __call__(self) -> Finding:
        return self.finding


def _call(look: Callable[[], Finding]) -> Finding:
    return look()


class _Folder:
    """One package's folder, as listed."""

    def __init__(self, store: Store, destination: str, package_id: str, recheck: str, progress: _Progress) -> None:
        self.package_id = package_id
        self._store = store
        self._layout = Layout.of(destination, package_id)
        self._recheck = recheck
        self._progress = progress
        self._names = frozenset(store.list_names(self._layout.folder))
        entries = map(parse, self._names)
        self.held = any(entry is not None and entry.kind is Kind.HOLD and entry.is_current for entry in entries)

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
        return Finding(self.package_id, video_id, status, source, tuple(problems))

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
        problems = tombstone_problems(tombstone, package_id=self.package_id, meeting_video_id=video_id)
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
            package_id=self.package_id,
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
            self._progress.count_bytes(read[1])
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
    said = {"deleted": "deleted", "requested": "requested", "unconfirmed": "unconfirmed", "withdrawn": "kept"}
    return said.get(status, "unclear") if isinstance(status, str) else "unclear"
