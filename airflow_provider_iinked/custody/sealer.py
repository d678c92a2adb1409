"""
Sealing an archive: what was added or changed since the last seal is read, verified, and sealed in a new one.

Nothing is visible before the seal itself, which is created under the condition that its number is free. A sealer that
was killed leaves at most files that no seal names.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from airflow_provider_iinked.custody.archive_files import Archive, sha256_of
from airflow_provider_iinked.custody.archive_paths import (
    Kind,
    entries_path,
    parse_name,
    seal_path,
    state_path,
    timestamp_path,
)
from airflow_provider_iinked.custody.chain import StoredSeal, load_tail, sealed_entries
from airflow_provider_iinked.custody.differences import Difference
from airflow_provider_iinked.custody.document import ERASED
from airflow_provider_iinked.custody.entries import (
    Act,
    Entry,
    as_state,
    newest,
    read_entries,
    sha256_of_file,
    write_entries,
)
from airflow_provider_iinked.custody.errors import SealConflictError, SealError
from airflow_provider_iinked.custody.examine import PackageResult, Policy, Reading, examine_packages
from airflow_provider_iinked.custody.keys import PublicKey, SigningKey
from airflow_provider_iinked.custody.merkle import Frontier
from airflow_provider_iinked.custody.seal import EntriesFile, Seal, sign_seal
from airflow_provider_iinked.custody.statement import format_time

log = logging.getLogger(__name__)

STATE_EVERY: Final = 64
"""Each seal whose number this divides holds the whole state, so that the next ones need not go back to the first."""


@dataclass(frozen=True)
class SealResult:
    """
    What a sealer did.

    :param seal: the seal.
    :param sha256: hex digest of its file. Keep it elsewhere: it shows later that no newer seal was removed.
    :param differences: what differs from what was signed and sealed; none of it was sealed.
    :param recordings: how many recordings have a custody record.
    :param files_read: how many files were read.
    :param bytes_read: how many bytes these have.
    :param clock_was_behind: whether the clock was behind the seal before, whose time the seal bears then.
    """

    seal: Seal
    sha256: str
    differences: tuple[Difference, ...]
    recordings: int
    files_read: int
    bytes_read: int
    clock_was_behind: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "number": self.seal.number,
            "sha256": self.sha256,
            "time": self.seal.time,
            "timestamped": self.seal.timestamped,
            "changes": dict(self.seal.changes),
            "documents": self.seal.documents,
            "recordings": self.recordings,
            "files_read": self.files_read,
            "bytes_read": self.bytes_read,
            "clock_was_behind": self.clock_was_behind,
            "differences": [
                {"kind": str(item.kind), "path": item.path, "text": item.text} for item in self.differences
            ],
        }


@dataclass(frozen=True)
class SealOptions:
    """
    How to seal.

    :param public_keys: trusted keys besides the signing key's own: those that signed before it.
    :param request_timestamp: sends the seal's bytes to a time stamp authority and returns its answer; None for no time
        stamp.
    :param allow_unsigned: seal documents that have no envelope, for an archive that was begun before it was signed.
    :param max_parallel: how many packages are looked at side by side.
    :param state_every: each seal whose number this divides holds the whole state.
    """

    public_keys: Sequence[PublicKey] = ()
    request_timestamp: Callable[[bytes], bytes] | None = None
    allow_unsigned: bool = False
    max_parallel: int = 4
    state_every: int = STATE_EVERY


def seal_archive(archive: Archive, key: SigningKey, options: SealOptions | None = None) -> SealResult:
    """
    Seal what is new and what has changed.

    Only what the storage's listing does not show as unchanged is read. What differs from what was signed or sealed is
    reported and not sealed: its entry stays as it was.

    :param archive: the archive.
    :param key: signs the seal.
    :param options: how.
    :return: what was done.
    :raises SealError: when the seals that are there cannot be relied on; nothing is sealed.
    :raises SealConflictError: when another sealer was first; nothing is sealed.
    :raises TimestampError: when the time stamp authority fails; nothing is sealed.
    """
    with tempfile.TemporaryDirectory(prefix="iinked-seal-") as folder:
        return _Sealer(archive, key, options or SealOptions(), Path(folder)).seal()


@dataclass
class _Counts:
    """What is counted while the packages pass by."""

    changes: dict[str, int] = field(default_factory=lambda: {**{str(act): 0 for act in Act}, ERASED: 0})
    differences: list[Difference] = field(default_factory=list)
    documents: int = 0
    recordings: int = 0
    files_read: int = 0
    bytes_read: int = 0

    def add(self, result: PackageResult) -> None:
        for entry in result.entries:
            self.changes[str(entry.act)] += 1
            parsed = parse_name(entry.name)
            if parsed and parsed.kind is Kind.TOMBSTONE and entry.status == ERASED and entry.act is not Act.REVALIDATED:
                self.changes[ERASED] += 1
        self.differences += result.differences
        self.documents += result.documents
        self.recordings += result.recordings
        self.files_read += result.files_read
        self.bytes_read += result.bytes_read


class _Sealer:
    """One run of a sealer."""

    def __init__(self, archive: Archive, key: SigningKey, options: SealOptions, folder: Path) -> None:
        self._archive = archive
        self._key = key
        self._options = options
        self._folder = folder
        self._keys = [key.public, *options.public_keys]

    def seal(self) -> SealResult:
        time = format_time(datetime.now(UTC))
        tail = load_tail(self._archive, self._keys)
        last = tail[-1] if tail else None
        clock_was_behind = last is not None and time < last.seal.time
        if last and clock_was_behind:
            # One clock that was wrong once must not keep the archive from being sealed until its time has come.
            log.warning(
                "The last seal was made at %s, and the clock says %s. One of them is wrong.", last.seal.time, time
            )
            time = last.seal.time
        number = last.seal.number + 1 if last else 1
        frontier = Frontier(last.seal.frontier.size, last.seal.frontier.hashes) if last else Frontier()
        counts = _Counts()
        local = self._folder / "entries.gz"
        count = write_entries(self._new_entries(tail, counts), local, frontier)
        entries = self._publish(local, lambda digest: entries_path(number, digest), count)
        state = self._publish_state(tail, local, number) if number % self._options.state_every == 0 else None
        seal = Seal(
            number=number,
            previous=last.sha256 if last else None,
            time=time,
            frontier=frontier,
            entries=entries,
            changes=counts.changes,
            state=state,
            documents=counts.documents,
            differences=len(counts.differences),
            timestamped=self._options.request_timestamp is not None,
        )
        sha256 = self._write(seal)
        for difference in counts.differences:
            log.error("Not sealed: %s", difference)
        return SealResult(
            seal,
            sha256,
            tuple(counts.differences),
            counts.recordings,
            counts.files_read,
            counts.bytes_read,
            clock_was_behind,
        )

    def _new_entries(self, tail: Sequence[StoredSeal], counts: _Counts) -> Iterator[Entry]:
        policy = Policy(self._keys, Reading.CHANGED, self._options.allow_unsigned)
        sealed = sealed_entries(self._archive, tail, self._workspace("sealed"))
        for result in examine_packages(self._archive, sealed, policy, self._options.max_parallel):
            counts.add(result)
            yield from result.entries

    def _publish_state(self, tail: Sequence[StoredSeal], added: Path, number: int) -> EntriesFile:
        before = sealed_entries(self._archive, tail, self._workspace("state"))
        local = self._folder / "state.gz"
        count = write_entries(map(as_state, newest([before, read_entries(added)])), local)
        return self._publish(local, lambda digest: state_path(number, digest), count)

    def _publish(self, local: Path, path_of: Callable[[str], str], count: int) -> EntriesFile:
        """Two sealers cannot get in each other's way here: the name holds the digest."""
        file = EntriesFile(path_of(sha256 := sha256_of_file(local)), sha256, count)
        with open(local, "rb") as source:
            created = self._archive.create(file.path, source)
        if not created and (found := sha256_of(self._archive, file.path)) and found[0] != sha256:
            raise SealError(
                f"{file.path} has other bytes than its name says. Nothing was sealed. Look who put it there."
            )
        return file

    def _write(self, seal: Seal) -> str:
        data = sign_seal(seal, self._key)
        sha256 = hashlib.sha256(data).hexdigest()
        if self._options.request_timestamp:
            token = self._options.request_timestamp(data)
            self._archive.create(timestamp_path(seal.number, sha256), io.BytesIO(token))
        if not self._archive.create(seal_path(seal.number), io.BytesIO(data)):
            raise SealConflictError(
                f"Another sealer wrote seal {seal.number} first. Nothing was sealed by this one. "
                "Run it again; it then seals what is new since that seal."
            )
        return sha256

    def _workspace(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder
