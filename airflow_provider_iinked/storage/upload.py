"""
Writing one object that becomes visible only when it is whole, by what each kind of store can do.

fsspec publishes a partial object when an exception leaves ``with fs.open(path, "wb")``; so no upload is a context
manager here, and a failed one is discarded before anything can close it.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from airflow_provider_iinked.exceptions import StorageError, reason_of
from airflow_provider_iinked.storage import local
from airflow_provider_iinked.storage.store import Store

_RESUMABLE: Final = frozenset({"gs", "gcs"})
_LEAST_BLOCK: Final = 16 << 20
_MOST_BLOCKS: Final = 9_000


class Upload(ABC):
    """
    One object on its way.

    :param store: where to.
    :param url: its final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, store: Store, url: str, size: int) -> None:
        self.store = store
        self.url = url
        self.size = size

    @abstractmethod
    def write(self, data: bytes) -> None:
        """
        Append bytes.

        :param data: the bytes.
        """

    @abstractmethod
    def publish(self) -> None:
        """
        Give the whole object its final name.

        :raises FileExistsError: when that name is taken; nothing is overwritten, the upload can be discarded.
        """

    @abstractmethod
    def discard(self) -> None:
        """Leave nothing behind. May be called twice, and after :meth:`publish`."""


def start_upload(store: Store, url: str, size: int) -> Upload:
    """
    Start an upload in the way that fits the store.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    :return: the upload; nothing is visible under the final name yet.
    :raises StorageError: when the store refuses.
    """
    try:
        return _kind(store)(store, url, size)
    except Exception as error:
        raise StorageError(
            f"Could not begin to write {url} ({reason_of(error)}). Check the storage and its connection."
        ) from None


def _kind(store: Store) -> type[Upload]:
    if store.is_local:
        return LocalUpload
    if store.is_s3:
        from airflow_provider_iinked.storage.s3 import S3Upload

        return S3Upload
    if store.is_azure:
        from airflow_provider_iinked.storage.azure import BlockUpload

        return BlockUpload
    return ResumableUpload if store.scheme in _RESUMABLE else MovedUpload


class LocalUpload(Upload):
    """A temporary file beside the final name, which it gets by hard link."""

    def __init__(self, store: Store, url: str, size: int) -> None:
        super().__init__(store, url, size)
        self._path = store.path(url)
        self._temporary = store.temporary(os.path.splitext(self._path)[0])
        self._handle: int | None = local.open_locked(self._temporary)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._handle is None:
            raise StorageError(f"The upload of {self.url} has ended.")
        local.write_all(self._handle, data)

    def publish(self) -> None:
        """Link the file to its final name."""
        local.give_name(self._temporary, self._path)
        self.discard()

    def discard(self) -> None:
        """Remove the temporary file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._temporary)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class _StreamUpload(Upload):
    """An upload through a file object of fsspec."""

    _options: ClassVar[Mapping[str, Any]] = {}

    def _open(self, path: str) -> Any:
        block = max(_LEAST_BLOCK, -(-self.size // _MOST_BLOCKS))
        return self.store.fs.open(path, "wb", block_size=block, **self._options)

    def _exists(self) -> bool:
        return self.store.info(self.url) is not None


class ResumableUpload(_StreamUpload):
    """A resumable upload of Google Cloud Storage: nothing is visible before it is completed."""

    _options: ClassVar[Mapping[str, Any]] = {"autocommit": False}

    def __init__(self, store: Store, url: str, size: int) -> None:
        super().__init__(store, url, size)
        self._stream = self._open(store.path(url))
        self._open_yet = True

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)

    def publish(self) -> None:
        """Complete the upload."""
        self._stream.close()
        if self._exists():
            raise FileExistsError(self.url)
        self._stream.commit()
        self._open_yet = False

    def discard(self) -> None:
        """Abort the upload."""
        if self._open_yet:
            self._open_yet = False
            self._stream.discard()
            self._stream.closed = True


class MovedUpload(_StreamUpload):
    """A temporary name in the same folder, and a move on the store's side."""

    def __init__(self, store: Store, url: str, size: int) -> None:
        super().__init__(store, url, size)
        self._temporary = store.temporary(store.path(url).rpartition(".")[0])
        self._stream = self._open(self._temporary)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)

    def publish(self) -> None:
        """Move the object to its final name."""
        self._stream.close()
        if self._exists():
            raise FileExistsError(self.url)
        scheme = f"{self.store.scheme}://"
        self.store.move(f"{scheme}{self._temporary.removeprefix(scheme)}", self.url)

    def discard(self) -> None:
        """Remove the temporary object."""
        with contextlib.suppress(Exception):
            self._stream.close()
        with contextlib.suppress(FileNotFoundError):
            self.store.fs.rm_file(self._temporary)
