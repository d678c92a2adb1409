"""
Verifying an archive from its files and public keys alone: seals, time stamps, entries, documents, copies.

Memory holds a few packages at a time, whatever the archive's size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_iinked.custody.archive_files import ArchiveReader, read_document
from airflow_provider_iinked.custody.archive_paths import seal_path, timestamp_path
from airflow_provider_iinked.custody.chain import (
    StoredSeal,
    check_succession,
    fetch_entries,
    load_seal,
    seal_numbers,
)
from airflow_provider_iinked.custody.differences import Difference, DifferenceKind
from airflow_provider_iinked.custody.entries import Entry, as_state, newest, read_entries
from airflow_provider_iinked.custody.errors import SealError, TimestampError
from airflow_provider_iinked.custody.examine import PackageResult, Policy, Reading, examine_packages
from airflow_provider_iinked.custody.keys import PublicKey
from airflow_provider_iinked.custody.merkle import Frontier
from airflow_provider_iinked.custody.timestamp import read_timestamp

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@dataclass(frozen=True)
class AuditOptions:
    """
    How to verify.

    :param expected_seal: hex digest of a seal that was kept elsewhere: it must be part of the chain. Only this shows
        that the newest seals were removed, or that an old state of the whole archive was put back.
    :param tsa_certificates: trusted time stamp authorities; without any, a time stamp's digest is compared, its
        authority is not verified.
    :param reading: what is read.
    :param packages: only these packages; None for all. Seals and entries are verified as a whole.
    :param require_seals: an archive without any seal is a difference.
    :param max_parallel: how many packages are looked at side by side.
    """

    expected_seal: str | None = None
    tsa_certificates: Sequence[Certificate] = ()
    reading: Reading = Reading.ALL
    packages: frozenset[str] | None = None
    require_seals: bool = True
    max_parallel: int = 4


@dataclass
class AuditResult:
    """
    What was found.

    :param differences: what somebody has to look at; none in an archive that is what was signed and sealed.
    :param seals: how many seals were verified.
    :param last_seal: the newest of them.
    :param timestamps: time that each time-stamped seal's stamp names, by the seal's number.
    :param authority_verified: whether these were compared with certificates of trusted authorities.
    :param recordings: how many recordings have a custody record.
    :param copies: how many copies are what their record says.
    :param documents: how many records, receipts and tombstones there are.
    :param erased: recordings whose copy was erased on purpose, as ``package/recording``.
    :param unsealed: documents that were added or changed since the newest seal; their signatures have been verified.
    :param files_read: how many files were read, seals and entries aside.
    :param bytes_read: how many bytes these have.
    """

    differences: list[Difference] = field(default_factory=list)
    seals: int = 0
    last_seal: StoredSeal | None = None
    timestamps: dict[int, datetime] = field(default_factory=dict)
    authority_verified: bool = False
    recordings: int = 0
    copies: int = 0
    documents: int = 0
    erased: list[str] = field(default_factory=list)
    unsealed: list[str] = field(default_factory=list)
    files_read: int = 0
    bytes_read: int = 0

    @property
    def is_intact(self) -> bool:
        """True when there is no difference."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        last = self.last_seal
        return {
            "intact": self.is_intact,
            "differences": [
                {"kind": str(item.kind), "path": item.path, "text": item.text} for item in self.differences
            ],
            "seals": self.seals,
            "last_seal": {"number": last.seal.number, "sha256": last.sha256, "time": last.seal.time} if last else None,
            "timestamps": {str(number): time.isoformat() for number, time in self.timestamps.items()},
            "authority_verified": self.authority_verified,
            "recordings": self.recordings,
            "copies": self.copies,
            "documents": self.documents,
            "erased": self.erased,
            "unsealed": self.unsealed,
            "files_read": self.files_read,
            "bytes_read": self.bytes_read,
        }

    def differs(self, kind: DifferenceKind, path: str, text: str) -> None:
        """
        Note a difference.

        :param kind: what is wrong.
        :param path: where.
        :param text: what exactly, as text.
        """
        self.differences.append(Difference(kind, path, text))

    def add(self, package: PackageResult) -> None:
        """
        Add what was found in a package.

        :param package: what was found.
        """
        self.differences += package.differences
        self.recordings += package.recordings
        self.copies += package.copies
        self.documents += package.documents
        self.erased += [f"{package.package_id}/{video_id}" for video_id in package.erased]
        self.unsealed += [entry.path for entry in package.entries if entry.act != "revalidated"]
        self.files_read += package.files_read
        self.bytes_read += package.bytes_read


def audit_archive(
    archive: ArchiveReader, keys: Sequence[PublicKey], options: AuditOptions | None = None
) -> AuditResult:
    """
    Verify an archive.

    :param archive: the archive.
    :param keys: the trusted public keys.
    :param options: how.
    :return: what was found. A seal that cannot be relied on is a difference, and what it would have added is unknown.
    :raises OSError: when the storage cannot be read.
    """
    options = options or AuditOptions()
    result = AuditResult(authority_verified=bool(options.tsa_certificates))
    seals = _verify_seals(archive, keys, options, result)
    _verify_timestamps(archive, seals, options, result)
    with tempfile.TemporaryDirectory(prefix="iinked-audit-") as folder:
        log = _Log(archive, Path(folder), result)
        for stored in seals:
            log.follow(stored)
        policy = Policy(keys, options.reading)
        for package in examine_packages(archive, log.state(), policy, options.max_parallel, options.packages):
            result.add(package)
    return result


# --- seals


def _verify_seals(
    archive: ArchiveReader, keys: Sequence[PublicKey], options: AuditOptions, result: AuditResult
) -> list[StoredSeal]:
    """The seals up to the first that cannot be relied on: nothing after it can be."""
    numbers = seal_numbers(archive)
    good: list[StoredSeal] = []
    for number in range(1, numbers[-1] + 1 if numbers else 1):
        path = seal_path(number)
        if number not in numbers:
            result.differs(DifferenceKind.SEAL_MISSING, path, f"there is a seal {numbers[-1]}, but no seal {number}")
            break
        try:
            stored = load_seal(archive, number, keys)
            if good:
                check_succession(good[-1], stored)
        except SealError as error:
            result.differs(DifferenceKind.SEAL_WRONG, path, str(error))
            break
        good.append(stored)
    if not numbers and options.require_seals:
        result.differs(DifferenceKind.SEAL_MISSING, seal_path(1), "there is no seal")
    expected = options.expected_seal
    if expected and expected.lower() not in {stored.sha256 for stored in good}:
        last = f"the newest seal is {good[-1].seal.number}" if good else "there is no seal that can be relied on"
        text = f"the seal with the digest {expected[:64]} is not there; {last}"
        result.differs(DifferenceKind.SEAL_MISSING, seal_path(len(good) + 1), text)
    result.seals, result.last_seal = len(good), good[-1] if good else None
    return good


def _verify_timestamps(
    archive: ArchiveReader, seals: Sequence[StoredSeal], options: AuditOptions, result: AuditResult
) -> None:
    for stored in (stored for stored in seals if stored.seal.timestamped):
        path = timestamp_path(stored.seal.number, stored.sha256)
        token, data = read_document(archive, path), read_document(archive, seal_path(stored.seal.number))
        if token is None:
            result.differs(DifferenceKind.TIMESTAMP_MISSING, path, "the seal says that it was time-stamped")
            continue
        try:
            time = read_timestamp(token, data or b"", options.tsa_certificates)
        except TimestampError as error:
            result.differs(DifferenceKind.TIMESTAMP_WRONG, path, str(error))
            continue
        result.timestamps[stored.seal.number] = time


# --- what was sealed


class _Log:
    """The entries of all seals, followed one after the other; keeps local copies since the last whole state only."""

    def __init__(self, archive: ArchiveReader, folder: Path, result: AuditResult) -> None:
        self._archive = archive
        self._folder = folder
        self._result = result
        self._files: list[Path] = []
        self._frontier = Frontier()

    def follow(self, stored: StoredSeal) -> None:
        """Verify the entries of a seal: digest, order, number, and that they give the tree that the seal names."""
        seal = stored.seal
        path = self._folder / f"{seal.number}.entries.gz"
        try:
            fetch_entries(self._archive, seal.entries, path)
            frontier = Frontier(self._frontier.size, self._frontier.hashes)
            count = sum(1 for _ in read_entries(path, frontier))
            if (count, frontier.size, frontier.root) != (seal.entries.count, seal.frontier.size, seal.frontier.root):
                raise SealError("They do not give the number and the root that the seal names.")
            self._files.append(path)
            if seal.state:
                self._follow_state(stored)
        except SealError as error:
            self._result.differs(DifferenceKind.ENTRIES_WRONG, seal.entries.path, str(error))
        self._frontier = seal.frontier

    def _follow_state(self, stored: StoredSeal) -> None:
        """A file of the whole state says again what the entries before it say; from then on it stands for them."""
        file = stored.seal.state
        if file is None:
            return
        path = fetch_entries(self._archive, file, self._folder / f"{stored.seal.number}.state.gz")
        followed = map(as_state, self.state())
        agrees = all(one == other for one, other in zip_longest(followed, read_entries(path)))
        for old in self._files:
            old.unlink()
        self._files = [path]
        if not agrees:
            raise SealError(f"{file.path} is not what the entries up to it give.")

    def state(self) -> Iterator[Entry]:
        """The newest entry of every path, sorted."""
        return newest([read_entries(path) for path in self._files])
