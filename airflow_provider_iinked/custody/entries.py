"""
The entries that seals add: one line of JSON for each version of a document. Pure, but for gzip files on the local disk.

An entry is a leaf of the archive's Merkle tree. The newest entry of a path says what must lie there now.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from airflow_provider_iinked.custody.archive_files import CHUNK, FileInfo
from airflow_provider_iinked.custody.archive_paths import sort_key
from airflow_provider_iinked.custody.errors import SealError
from airflow_provider_iinked.custody.merkle import Frontier, leaf_hash
from airflow_provider_iinked.custody.statement import canonical_json, is_time

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Act(StrEnum):
    """Why an entry was added."""

    ADDED = "added"
    """The path had no entry."""
    CHANGED = "changed"
    """A newer signed version took the place of the one before."""
    REVALIDATED = "revalidated"
    """The bytes are the same, the storage's validators are not: the archive was moved or written again."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """
    A file as it was sealed.

    :param size: its bytes.
    :param sha256: hex digest of its bytes.
    :param validator: the storage's validator at that time, None where it has none.
    """

    size: int
    sha256: str
    validator: str | None

    def is_unchanged(self, info: FileInfo | None) -> bool:
        """
        Say whether the storage's listing alone shows that a file is still the same.

        :param info: the file as listed now; None when it is not.
        :return: True when size and validator agree.
        """
        return (
            info is not None
            and self.validator is not None
            and (info.size, info.validator) == (self.size, self.validator)
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One version of a record, a receipt or a tombstone.

    :param act: why the entry was added.
    :param path: the document's path below the destination.
    :param file: the document.
    :param envelope: its envelope; None for a document that was sealed unsigned.
    :param signed_at: time of the signature; None without one.
    :param copy_path: path of the copy that a custody record is about; None for other documents.
    :param copy: that copy.
    :param status: what a receipt or tombstone says has been done; None for a record.
    """

    act: Act
    path: str
    file: FileDigest
    envelope: FileDigest | None
    signed_at: str | None
    copy_path: str | None
    copy: FileDigest | None
    status: str | None

    @property
    def package_id(self) -> str:
        """The package."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The document's name within its package's folder."""
        return self.path.partition("/")[2]

    def line(self) -> bytes:
        """Return the line that is a leaf of the tree, without its line end."""
        return canonical_json(
            {
                "act": str(self.act),
                "path": self.path,
                "file": _as_json(self.file),
                "envelope": _as_json(self.envelope),
                "signed_at": self.signed_at,
                "copy_path": self.copy_path,
                "copy": _as_json(self.copy),
                "status": self.status,
            }
        )

    def is_same_content(self, other: Entry) -> bool:
        """
        Compare contents, whatever the storage's validators are.

        :param other: another version of the document.
        :return: True when document and envelope have the same bytes.
        """
        return (self.file.sha256, self.envelope and self.envelope.sha256) == (
            other.file.sha256,
            other.envelope and other.envelope.sha256,
        )


def parse_entry(line: bytes) -> Entry:
    """
    Read a line.

    :param line: the line, without its line end.
    :return: the entry.
    :raises SealError: when it is malformed, or is not the one way to write that entry.
    """
    try:
        value = json.loads(line)
        entry = Entry(
            act=Act(value["act"]),
            path=_text(value["path"]),
            file=_file(value["file"]),
            envelope=_file(value["envelope"]) if value["envelope"] is not None else None,
            signed_at=value["signed_at"],
            copy_path=value["copy_path"],
            copy=_file(value["copy"]) if value["copy"] is not None else None,
            status=value["status"],
        )
        usable = (
            entry.path.count("/") == 1
            and (entry.envelope is None) == (entry.signed_at is None)
            and (entry.signed_at is None or is_time(entry.signed_at))
            and (entry.copy is None) == (entry.copy_path is None)
        )
        if not usable or entry.line() != line:
            raise ValueError("not canonical")
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SealError(f"An entry of a seal is malformed: {line[:80]!r}") from None
    return entry


def write_entries(entries: Iterable[Entry], target: Path, frontier: Frontier | None = None) -> int:
    """
    Write entries to a gzip file on the local disk.

    :param entries: the entries, sorted by path.
    :param target: the file.
    :param frontier: the tree that they are added to; None when they are not.
    :return: how many there were.
    """
    count = 0
    with open(target, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as out:
        for count, entry in enumerate(entries, start=1):  # noqa: B007 - the last number is the count
            line = entry.line()
            if frontier is not None:
                frontier.append(leaf_hash(line))
            out.write(line + b"\n")
    return count


def read_entries(source: Path, frontier: Frontier | None = None) -> Iterator[Entry]:
    """
    Read entries from a gzip file on the local disk whose digest has been verified.

    :param source: the file.
    :param frontier: the tree that they are added to; None when they are not.
    :return: the entries.
    :raises SealError: when the file is malformed or not sorted.
    """
    last: tuple[str, ...] = ()
    try:
        with gzip.open(source, "rb") as lines:
            for line in lines:
                bare = line.removesuffix(b"\n")
                entry = parse_entry(bare)
                if (key := sort_key(entry.path)) <= last:
                    raise SealError(f"The entries of a seal are not sorted at {entry.path}.")
                last = key
                if frontier is not None:
                    frontier.append(leaf_hash(bare))
                yield entry
    except (OSError, EOFError) as error:
        raise SealError(f"The entries of a seal cannot be read: {type(error).__name__}.") from None


def newest(streams: Iterable[Iterable[Entry]]) -> Iterator[Entry]:
    """
    Merge sorted streams of entries; of each path the entry of the last stream wins. Holds one entry of each stream.

    :param streams: the streams, oldest first.
    :return: the newest entry of each path, sorted.
    """

    def numbered(number: int, stream: Iterable[Entry]) -> Iterator[tuple[tuple[str, ...], int, Entry]]:
        return ((sort_key(entry.path), number, entry) for entry in stream)

    merged = heapq.merge(*itertools.starmap(numbered, enumerate(streams)), key=lambda item: item[:2])
    for _, versions in itertools.groupby(merged, key=lambda item: item[0]):
        *_, (_, _, entry) = versions
        yield entry


def as_state(entry: Entry) -> Entry:
    """
    Return an entry as it stands in a file of the whole state, where it does not matter why it was added.

    :param entry: the entry.
    :return: it, as ``added``.
    """
    return replace(entry, act=Act.ADDED)


def sha256_of_file(path: Path) -> str:
    """
    Digest a file on the local disk.

    :param path: the file.
    :return: hex digest.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_sha256(value: object) -> bool:
    """
    Say whether a value is a SHA-256 in lower-case hex.

    :param value: the value.
    :return: True when it is.
    """
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _as_json(file: FileDigest | None) -> dict[str, Any] | None:
    return None if file is None else {"size": file.size, "sha256": file.sha256, "validator": file.validator}


def _file(value: Any) -> FileDigest:
    size, validator = value["size"], value["validator"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not is_sha256(value["sha256"]):
        raise ValueError("size or sha256")
    return FileDigest(size, value["sha256"], None if validator is None else _text(validator))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value
