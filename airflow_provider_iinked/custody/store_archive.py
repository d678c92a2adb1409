"""An archive in any store that the provider knows, as signing, sealing and verifying see it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, cast

from airflow_provider_iinked.custody.archive_files import CHUNK, FileInfo
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage import ObjectInfo, Store, open_store
from airflow_provider_iinked.storage.layout import is_package_folder
from airflow_provider_iinked.storage.url import check_destination, join

SMALL: Final = 4 << 20
"""Bytes up to which a file is written with one request."""
_INODE_TIME: Final = "ctime_ns"


class StoreArchive:
    """
    An archive below a destination.

    A file's validator is what the store's listing says of it, and only where nobody can put that back by hand: an ETag
    or a version, or on a disk the time of the inode's last change. Where a store lists neither (SFTP), every file
    counts as changed and is read.

    :param store: the opened store; threads may share it.
    :param destination: URL below which the packages' folders lie.
    """

    def __init__(self, store: Store, destination: str) -> None:
        self._store = store
        self._destination = destination

    @classmethod
    def at(cls, destination: str) -> StoreArchive:
        """
        Open the archive below a destination, in the task's own thread.

        :param destination: the URL, as given to the download.
        :return: the archive.
        :raises InvalidArgumentError: for a destination that cannot be used.
        :raises StorageError: when the store cannot be opened.
        """
        checked = check_destination(destination)
        return cls(open_store(checked), checked)

    @property
    def destination(self) -> str:
        """The checked URL."""
        return self._destination

    def folders(self) -> list[str]:
        """
        List the names of the packages' folders below the destination, sorted.

        :return: the names; one of a file that could be a folder's is among them, and has no files.
        :raises StorageError: when it cannot be listed.
        """
        return sorted(filter(is_package_folder, self._store.list_names(self._destination)))

    def files(self, folder: str) -> list[FileInfo]:
        """
        List the files of a folder.

        :param folder: its name.
        :return: them, sorted by name; none when there is no such folder.
        :raises StorageError: when it cannot be listed.
        """
        found = self._store.list_objects(join(self._destination, folder))
        infos = [FileInfo(name, info.size if info.size is not None else -1, _validator(info)) for name, info in found]
        return sorted(infos, key=lambda info: info.name)

    def open(self, path: str) -> BinaryIO:
        """
        Open a file for reading, in constant memory.

        :param path: its path.
        :return: its bytes.
        :raises FileNotFoundError: when there is none.
        :raises StorageError: when it cannot be read, also while it is read.
        """
        chunks = self._store.read_chunks(join(self._destination, *path.split("/")))
        first = next(chunks, b"")  # asks the store now, whether it is there
        return cast(BinaryIO, io.BufferedReader(_Chunks(first, chunks), CHUNK))

    def create(self, path: str, source: BinaryIO) -> bool:
        """
        Write a file unless one of that name is there: whole or not at all, and durable.

        :param path: its path.
        :param source: its bytes, from where it stands to its end.
        :return: False when the name was taken; nothing was written then.
        :raises StorageError: when it cannot be written.
        """
        url = join(self._destination, *path.split("/"))
        size = _bytes_left(source)
        if size <= SMALL:
            return self._store.create_bytes(url, source.read(), durable=True)
        upload = self._store.upload(url, size)
        try:
            while chunk := source.read(CHUNK):
                upload.write(chunk)
            info = upload.publish()
        except FileExistsError:
            return False
        finally:
            upload.discard()
        if info is None or info.size not in (None, size):
            raise StorageError(f"{url} was written, but the store does not show {size} bytes there.")
        self._store.fsync(url)
        return True


class _Chunks(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, first: bytes, rest: Iterator[bytes]) -> None:
        self._piece = memoryview(first)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._piece:
            piece = next(self._rest, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._piece))
        target[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def close(self) -> None:
        close = getattr(self._rest, "close", None)
        if close is not None:
            close()  # ends the request of a file that was not read to its end
        super().close()


def _validator(info: ObjectInfo) -> str | None:
    if info.validator is None and _INODE_TIME not in dict(info.identity):
        return None
    return " ".join(f"{name}={value}" for name, value in info.identity)


def _bytes_left(source: BinaryIO) -> int:
    here = source.tell()
    size = source.seek(0, io.SEEK_END) - here
    source.seek(here)
    return size
