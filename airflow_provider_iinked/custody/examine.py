"""
Comparing one package's folder with what was sealed of it. The sealer and the audit ask the same function.

What differs is never taken over: the old entry stays, so that the difference shows until it is mended or a signed
tombstone explains it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum

from airflow_provider_iinked.custody.archive_files import ArchiveReader, FileInfo, read_document, sha256_of
from airflow_provider_iinked.custody.archive_paths import (
    Kind,
    Name,
    document_name,
    envelope_of,
    is_package_folder,
    parse_name,
)
from airflow_provider_iinked.custody.differences import Difference, DifferenceKind
from airflow_provider_iinked.custody.document import ERASED, RejectedError, check_replacement, read_signed_document
from airflow_provider_iinked.custody.entries import Act, Entry, FileDigest
from airflow_provider_iinked.custody.keys import PublicKey


class Reading(StrEnum):
    """What is read, and what is taken from the storage's listing."""

    CHANGED = "changed"
    """Only what the listing does not show as unchanged since it was sealed; new copies are compared by size."""
    DOCUMENTS = "documents"
    """Every document; of the copies only those that the listing does not show as unchanged."""
    ALL = "all"
    """Everything, from end to end."""


@dataclass(frozen=True)
class Policy:
    """
    How packages are examined.

    :param keys: the trusted public keys.
    :param reading: what is read.
    :param allow_unsigned: take documents without an envelope over, for an archive that was begun before it was signed.
    """

    keys: Sequence[PublicKey]
    reading: Reading
    allow_unsigned: bool = False


@dataclass
class PackageResult:
    """
    What was found in one package.

    :param package_id: the package.
    :param entries: entries that the next seal adds, sorted by path.
    :param differences: what is wrong.
    :param documents: how many paths have an entry, those to be added included.
    :param recordings: how many recordings have a custody record.
    :param copies: how many copies were found to be what was recorded.
    :param erased: recordings whose copy was erased on purpose, as a signed or sealed tombstone says.
    :param files_read: how many files were read.
    :param bytes_read: how many bytes these have.
    """

    package_id: str
    entries: list[Entry] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    documents: int = 0
    recordings: int = 0
    copies: int = 0
    erased: list[str] = field(default_factory=list)
    files_read: int = 0
    bytes_read: int = 0


def examine_package(
    archive: ArchiveReader, package_id: str, sealed: Mapping[str, Entry], policy: Policy
) -> PackageResult:
    """
    Compare a package's folder with what was sealed of it.

    :param archive: the archive.
    :param package_id: the package.
    :param sealed: the newest entry of each document of it, by name.
    :param policy: how.
    :return: what was found.
    """
    return _Package(archive, package_id, sealed, policy).examine()


class _Package:
    """One package's folder."""

    def __init__(self, archive: ArchiveReader, package_id: str, sealed: Mapping[str, Entry], policy: Policy) -> None:
        self._archive = archive
        self._sealed = sealed
        self._policy = policy
        self._files = {info.name: info for info in archive.files(package_id)}
        self._names = {name: parsed for name in self._files if (parsed := parse_name(name))}
        self._result = PackageResult(package_id)
        self._current: dict[str, Entry] = {}
        """What each document must be: verified now, or as it was sealed."""

    def examine(self) -> PackageResult:
        kinds = (Kind.ENVELOPE, Kind.COPY)
        present = {name for name, parsed in self._names.items() if parsed.kind not in kinds}
        for name in sorted(present | self._sealed.keys()):
            self._examine_document(name)
        for name in sorted(self._current):
            if self._kind(name) is Kind.RECORD:
                self._examine_copy(self._current[name])
        self._examine_rest(present)
        for name, entry in sorted(self._current.items()):
            self._add_if_new(self._sealed.get(name), entry)
        self._result.documents = len(self._current)
        return self._result

    def _kind(self, name: str) -> Kind | None:
        parsed = parse_name(name)
        return parsed.kind if parsed else None

    # --- documents

    def _examine_document(self, name: str) -> None:
        sealed = self._sealed.get(name)
        try:
            self._current[name] = self._verified(name, sealed)
        except RejectedError as error:
            self._differs(error.kind, name, error.text)
            if sealed:
                self._current[name] = sealed

    def _verified(self, name: str, sealed: Entry | None) -> Entry:
        """What lies under the name, as an entry; the sealed one where nothing has changed."""
        info, envelope_info = self._files.get(name), self._files.get(envelope_of(name))
        if sealed and self._policy.reading is Reading.CHANGED and _is_unchanged(sealed, info, envelope_info):
            return sealed
        data = self._read(name, info)
        parsed = parse_name(name)
        if data is None or info is None or parsed is None:
            raise RejectedError(DifferenceKind.DOCUMENT_MISSING, "it is gone" + (", and was sealed" if sealed else ""))
        envelope = self._read(envelope_of(name), envelope_info)
        if envelope is None and (sealed.envelope if sealed else not self._policy.allow_unsigned):
            raise RejectedError(DifferenceKind.SIGNATURE_MISSING, "there is no envelope beside it")
        current = self._read_signed(parsed, (data, info), (envelope, envelope_info), sealed)
        if sealed is None:
            return current
        if not current.is_same_content(sealed):
            check_replacement(sealed, current)
            return _with_known_copy(current, sealed)
        return replace(sealed, file=current.file, envelope=current.envelope)  # at most the validators differ

    def _read_signed(
        self,
        parsed: Name,
        document: tuple[bytes, FileInfo],
        envelope: tuple[bytes | None, FileInfo | None],
        sealed: Entry | None,
    ) -> Entry:
        data, info = envelope
        signature = (data, info) if data is not None and info is not None else None
        package_id = self._result.package_id
        return read_signed_document(package_id, parsed, document, signature, self._policy.keys)

    def _read(self, name: str, info: FileInfo | None) -> bytes | None:
        data = read_document(self._archive, f"{self._result.package_id}/{name}") if info else None
        if data is not None:
            self._count(len(data))
        return data

    # --- copies

    def _examine_copy(self, record: Entry) -> None:
        self._result.recordings += 1
        parsed = parse_name(record.name)
        if record.copy is None or record.copy_path is None or parsed is None:
            return  # an entry of a record always has its copy; parse_entry and _copy see to it
        copy_name = record.copy_path.partition("/")[2]
        info = self._files.get(copy_name)
        tombstone = self._current.get(document_name(parsed.meeting_video_id, Kind.TOMBSTONE))
        if tombstone is not None:
            self._examine_erasure(parsed.meeting_video_id, tombstone, copy_name, info)
        elif info is None:
            self._differs(DifferenceKind.COPY_MISSING, copy_name, "there is its custody record, but no tombstone")
        else:
            self._compare_copy(record, record.copy, copy_name, info)

    def _examine_erasure(self, video_id: str, tombstone: Entry, copy_name: str, info: FileInfo | None) -> None:
        if info is not None:
            self._differs(DifferenceKind.NOT_ERASED, copy_name, "there is a tombstone, and the copy is there")
        elif tombstone.status != ERASED:
            self._differs(DifferenceKind.NOT_ERASED, tombstone.name, "its erasure was begun and not finished")
        else:
            self._result.erased.append(video_id)

    def _compare_copy(self, record: Entry, copy: FileDigest, copy_name: str, info: FileInfo) -> None:
        if info.size != copy.size:
            text = f"it has {info.size} bytes, its record says {copy.size}"
            self._differs(DifferenceKind.COPY_CHANGED, copy_name, text)
            return
        if not self._is_known(record, copy_name, info):
            found = sha256_of(self._archive, record.copy_path or "")
            self._count(found[1] if found else 0)
            if found is None or found[0] != copy.sha256:
                self._differs(DifferenceKind.COPY_CHANGED, copy_name, "its sha256 is not that of its record")
                return
        self._result.copies += 1
        if copy.validator != info.validator:
            self._current[record.name] = replace(record, copy=replace(copy, validator=info.validator))

    def _is_known(self, record: Entry, copy_name: str, info: FileInfo) -> bool:
        """Whether the listing alone is enough."""
        if self._policy.reading is Reading.ALL or record.copy is None:
            return False
        if record.copy.is_unchanged(info):
            return True
        # A copy that was published a moment ago was verified then; reading it again is the audit's work.
        sealed = self._sealed.get(record.name)
        is_new = sealed is None or sealed.copy is None or sealed.copy.sha256 != record.copy.sha256
        return is_new and self._policy.reading is Reading.CHANGED

    # --- what nothing claims

    def _examine_rest(self, present: set[str]) -> None:
        claimed = {entry.copy_path.partition("/")[2] for entry in self._current.values() if entry.copy_path}
        for name, parsed in sorted(self._names.items()):
            if parsed.kind is Kind.COPY and name not in claimed:
                self._differs(DifferenceKind.UNRECORDED, name, "it has no custody record that can be relied on")
            elif parsed.kind is Kind.ENVELOPE and parsed.of not in present:
                self._differs(DifferenceKind.UNRECORDED, name, "its document is not there")

    # --- bookkeeping

    def _add_if_new(self, sealed: Entry | None, current: Entry) -> None:
        if sealed is None:
            self._result.entries.append(current)
        elif current != sealed:
            act = Act.REVALIDATED if current.is_same_content(sealed) else Act.CHANGED
            self._result.entries.append(replace(current, act=act))

    def _count(self, size: int) -> None:
        self._result.files_read += 1
        self._result.bytes_read += size

    def _differs(self, kind: DifferenceKind, name: str, text: str) -> None:
        self._result.differences.append(Difference(kind, f"{self._result.package_id}/{name}", text))


def _is_unchanged(sealed: Entry, info: FileInfo | None, envelope_info: FileInfo | None) -> bool:
    if not sealed.file.is_unchanged(info):
        return False
    return envelope_info is None if sealed.envelope is None else sealed.envelope.is_unchanged(envelope_info)


def _with_known_copy(current: Entry, sealed: Entry) -> Entry:
    """A record that was written again for the same copy: what is known of the copy stays known."""
    if (
        current.copy
        and sealed.copy
        and (current.copy_path, current.copy.sha256)
        == (
            sealed.copy_path,
            sealed.copy.sha256,
        )
    ):
        return replace(current, copy=replace(current.copy, validator=sealed.copy.validator))
    return current


def examine_packages(
    archive: ArchiveReader,
    sealed: Iterable[Entry],
    policy: Policy,
    max_parallel: int,
    only: Collection[str] | None = None,
) -> Iterator[PackageResult]:
    """
    Compare every package with what was sealed of it, several at a time. Holds a few packages in memory, not all.

    :param archive: the archive.
    :param sealed: the newest entry of every path, sorted.
    :param policy: how.
    :param max_parallel: how many packages at a time.
    :param only: packages to look at; None for all.
    :return: what was found in each, sorted by package.
    """
    with ThreadPoolExecutor(max_parallel, thread_name_prefix="iinked-examine") as pool:
        running: deque[Future[PackageResult]] = deque()
        try:
            for package_id, entries in _by_package(archive, sealed):
                if only is not None and package_id not in only:
                    continue
                running.append(pool.submit(examine_package, archive, package_id, entries, policy))
                if len(running) >= 2 * max_parallel:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _by_package(archive: ArchiveReader, sealed: Iterable[Entry]) -> Iterator[tuple[str, dict[str, Entry]]]:
    """Every package that lies there or was sealed; a package that is gone comes with what was sealed of it."""
    there = deque(name for name in archive.folders() if is_package_folder(name))
    for package_id, entries in itertools.groupby(sealed, key=lambda entry: entry.package_id):
        while there and there[0] < package_id:
            yield there.popleft(), {}
        if there and there[0] == package_id:
            there.popleft()
        yield package_id, {entry.name: entry for entry in entries}
    for package_id in there:
        yield package_id, {}
