"""What signing and sealing need of a storage, and a local folder that offers it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

CHUNK: Final = 1 << 20
TEMPORARY: Final = ".tmp-"
"""How names of files begin that are not written yet."""
MAX_DOCUMENT: Final = 16 << 20
"""Bytes of the largest record, receipt, tombstone, envelope or seal that is read."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """
    A file as the storage lists it.

    :param name: its name within its folder.
    :param size: its bytes.
    :param validator: text that changes when the file's bytes do (ETag, version id, time of the last change); None where
        the storage has none, and then the file is always read.
    """

    name: str
    size: int
    validator: str | None


class ArchiveReader(Protocol):
    """An archive that can be read. Paths are relative to the destination, with ``/``."""

    def folders(self) -> list[str]:
        """List the names of the folders below the destination, sorted."""

    def files(self, folder: str) -> list[FileInfo]:
        """
        List the files of a folder.

        :param folder: its name.
        :return: them, sorted by name; none when there is no such folder.
        """

    def open(self, path: str) -> BinaryIO:
        """
        Open a file for reading.

        :param path: its path.
        :return: its bytes.
        :raises FileNotFoundError: when there is none.
        """


class Archive(ArchiveReader, Protocol):
    """An archive that seals can be written to."""

    def create(self, path: str, source: BinaryIO) -> bool:
        """
        Write a file unless one of that name is there: whole or not at all, and durable.

        :param path: its path.
        :param source: its bytes, from where it stands to its end.
        :return: False when the name was taken; nothing was written then.
        """


def read_document(archive: ArchiveReader, path: str) -> bytes | None:
    """
    Read a small file whole.

    :param archive: the archive.
    :param path: its path.
    :return: its bytes, at most one more than :data:`MAX_DOCUMENT`; None when there is none.
    """
    try:
        with archive.open(path) as file:
            return file.read(MAX_DOCUMENT + 1)
    except FileNotFoundError:
        return None


def sha256_of(archive: ArchiveReader, path: str) -> tuple[str, int] | None:
    """
    Read a file from end to end.

    :param archive: the archive.
    :param path: its path.
    :return: hex digest and number of its bytes; None when there is none.
    """
    try:
        with archive.open(path) as file:
            digest, size = hashlib.sha256(), 0
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
            return digest.hexdigest(), size
    except FileNotFoundError:
        return None


class LocalArchive:
    """
    An archive in a local folder.

    Its validator is a file's number and the time at which its inode changed: unlike the time of the last write, nobody
    can put that back.

    :param root: the destination's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folders(self) -> list[str]:
        """List the names of the folders below the destination, sorted."""
        try:
            with os.scandir(self._root) as found:
                return sorted(item.name for item in found if item.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def files(self, folder: str) -> list[FileInfo]:
        """
        List the files of a folder.

        :param folder: its name.
        :return: them, sorted by name; none when there is no such folder.
        """
        try:
            with os.scandir(self._root / folder) as found:
                return sorted(self._infos(found), key=lambda info: info.name)
        except (FileNotFoundError, NotADirectoryError):
            return []

    @staticmethod
    def _infos(found: Iterator[os.DirEntry[str]]) -> Iterator[FileInfo]:
        for item in found:
            if item.is_file(follow_symlinks=False):
                status = item.stat(follow_symlinks=False)
                yield FileInfo(item.name, status.st_size, f"{status.st_ino}-{status.st_ctime_ns}")

    def open(self, path: str) -> BinaryIO:
        """
        Open a file for reading.

        :param path: its path.
        :return: its bytes.
        :raises FileNotFoundError: when there is none.
        """
        return open(self._root / path, "rb")

    def create(self, path: str, source: BinaryIO) -> bool:
        """
        Write a file unless one of that name is there: whole or not at all, and durable.

        :param path: its path.
        :param source: its bytes, from where it stands to its end.
        :return: False when the name was taken; nothing was written then.
        """
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                while chunk := source.read(CHUNK):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, target)  # refuses a taken name, which a rename would not
            except FileExistsError:
                return False
        finally:
            os.unlink(temporary)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some disks cannot sync a folder
                os.fsync(folder)
        finally:
            os.close(folder)
        return True
