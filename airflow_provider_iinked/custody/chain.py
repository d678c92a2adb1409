"""The chain of seals as it lies in an archive: reading it, verifying it, and following it to what was sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_iinked.custody.archive_files import CHUNK, ArchiveReader, read_document
from airflow_provider_iinked.custody.archive_paths import SEALS, seal_number, seal_path
from airflow_provider_iinked.custody.entries import Entry, newest, read_entries
from airflow_provider_iinked.custody.errors import EnvelopeError, SealError
from airflow_provider_iinked.custody.keys import PublicKey
from airflow_provider_iinked.custody.seal import EntriesFile, Seal, read_seal


@dataclass(frozen=True)
class StoredSeal:
    """
    A seal whose signature has been verified.

    :param seal: the seal.
    :param sha256: hex digest of its file; what the next seal names as ``previous``.
    :param key: who signed it.
    """

    seal: Seal
    sha256: str
    key: PublicKey


def seal_numbers(archive: ArchiveReader) -> list[int]:
    """
    List the seals of an archive.

    :param archive: the archive.
    :return: their numbers, sorted.
    """
    return sorted(
        number for info in archive.files(SEALS) if (number := seal_number(info.name)) is not None and number > 0
    )


def load_seal(archive: ArchiveReader, number: int, keys: Sequence[PublicKey]) -> StoredSeal:
    """
    Read a seal and verify its signature.

    :param archive: the archive.
    :param number: its number.
    :param keys: the trusted keys.
    :return: the seal.
    :raises SealError: when it is not there, is malformed, or no trusted key signed it.
    """
    data = read_document(archive, seal_path(number))
    if data is None:
        raise SealError(f"Seal {number} is not there.")
    try:
        seal, key = read_seal(data, keys)
    except EnvelopeError as error:
        raise SealError(f"Seal {number} cannot be relied on: {error}.") from None
    if seal.number != number:
        raise SealError(f"The file of seal {number} holds seal {seal.number}.")
    return StoredSeal(seal, hashlib.sha256(data).hexdigest(), key)


def check_succession(before: StoredSeal, after: StoredSeal) -> None:
    """
    Check that one seal follows another.

    :param before: the seal before.
    :param after: the seal after.
    :raises SealError: when it does not.
    """
    number = after.seal.number
    if number != before.seal.number + 1 or after.seal.previous != before.sha256:
        raise SealError(f"Seal {number} does not follow seal {before.seal.number}: it names another seal before it.")
    if after.seal.time < before.seal.time:
        raise SealError(f"Seal {number} was made at {after.seal.time}, before the seal that it follows.")
    if after.seal.frontier.size != before.seal.frontier.size + after.seal.entries.count:
        raise SealError(f"The tree of seal {number} has not grown by its entries.")


def load_tail(archive: ArchiveReader, keys: Sequence[PublicKey]) -> list[StoredSeal]:
    """
    Read the seals that the next one rests on: back from the newest to one that holds the whole state.

    :param archive: the archive.
    :param keys: the trusted keys.
    :return: the seals, oldest first; none in an archive without seals.
    :raises SealError: when one of them cannot be relied on; nothing may be sealed on top of it.
    """
    numbers = seal_numbers(archive)
    tail: list[StoredSeal] = []
    for number in range(numbers[-1] if numbers else 0, 0, -1):
        stored = load_seal(archive, number, keys)
        if tail:
            check_succession(stored, tail[0])
        tail.insert(0, stored)
        if stored.seal.state:
            break
    return tail


def fetch_entries(archive: ArchiveReader, file: EntriesFile, target: Path) -> Path:
    """
    Copy a file of entries to the local disk and verify its digest.

    :param archive: the archive.
    :param file: the file.
    :param target: where to put it.
    :return: the same path.
    :raises SealError: when it is not there or has other bytes.
    """
    digest = hashlib.sha256()
    try:
        with archive.open(file.path) as source, open(target, "wb") as out:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                out.write(chunk)
    except FileNotFoundError:
        raise SealError(f"{file.path} is not there.") from None
    if digest.hexdigest() != file.sha256:
        raise SealError(f"{file.path} has other bytes than were sealed.")
    return target


def sealed_entries(archive: ArchiveReader, tail: Sequence[StoredSeal], workspace: Path) -> Iterator[Entry]:
    """
    Follow the seals to what was sealed last of every path.

    :param archive: the archive.
    :param tail: seals without a gap to the newest; the first one is number 1 or holds the whole state.
    :param workspace: an empty folder on the local disk.
    :return: the newest entry of every path, sorted; holds one entry of each seal at a time.
    :raises SealError: when a file of entries is gone or has other bytes.
    """
    files = [stored.seal.state or stored.seal.entries for stored in tail[:1]]
    files += [stored.seal.entries for stored in tail[1:]]
    local = [fetch_entries(archive, file, workspace / f"{number}.gz") for number, file in enumerate(files)]
    return newest([read_entries(path) for path in local])
