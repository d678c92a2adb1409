"""What every store can do: the interface that download, deletion and custody know. Never a scheme, never fsspec."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError, reason_of
from airflow_provider_iinked.storage.errors import translate_errors
from airflow_provider_iinked.storage.layout import NO_RUN
from airflow_provider_iinked.storage.leftovers import remove_stale_temp_files
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectIdentity, ObjectInfo
from airflow_provider_iinked.storage.url import failure_domain

READ_SIZE: Final = 4 << 20

log = logging.getLogger(__name__)


class Upload(ABC):
    """
    One object on its way; it becomes visible only when it is whole.

    :param url: its final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, url: str, size: int) -> None:
        self.url = url
        self.size = size

    @property
    def keeps_name(self) -> bool:
        """
        Whether the store itself refuses whoever publishes under this name later.

        False where a store knows no condition, or may ignore it: what is there is looked at once more then.
        """
        return False

    @property
    def local_path(self) -> str | None:
        """Path of the unpublished bytes, where they are a file of this worker; None elsewhere."""
        return None

    @abstractmethod
    def write(self, data: bytes) -> None:
        """
        Append bytes.

        :param data: the bytes.
        """

    @abstractmethod
    def publish(self) -> ObjectInfo | None:
        """
        Give the whole object its final name.

        :return: what the store says about it now; None when it is not there, although the store took it.
        :raises FileExistsError: when that name is taken; nothing is overwritten, the upload can be discarded.
        """

    def discard(self) -> None:
        """
        Leave nothing behind. May be called twice, and after :meth:`publish`.

        It never raises: what cannot be removed is left for the next run, with a warning, and hides no other error.
        """
        try:
            self._discard()
        except Exception as error:
            reason = str(error) if isinstance(error, StorageError) else reason_of(error)
            log.warning("Could not clean up after the upload of %s: %s", self.url, reason)

    @abstractmethod
    def _discard(self) -> None: ...


class Store(ABC):
    """
    One opened store, without caches: each answer is the store's own, of this moment.

    Open it in the task's own thread (the connection is looked up there); afterwards threads may share it.

    :param url: a checked destination, or the URL of an object.
    :param token: marks the temporary names of this run, so that its next try may remove what a killed one left.
    """

    on_worker_disk: ClassVar[bool] = False
    """True where the objects lie on the worker's own disk, and may go with the worker."""
    shows_unfinished: ClassVar[bool] = False
    """True where an object can be seen under its final name before it is whole."""

    def __init__(self, url: str, token: str = NO_RUN) -> None:
        self.token = token
        self.scheme = url.partition("://")[0]

    def failure_domain(self, url: str) -> str:
        """
        Name what is lost together with an object: two copies in one failure domain are one copy.

        :param url: the object.
        :return: a text that is the same for all objects of the domain.
        :raises StorageError: when it cannot be found out.
        """
        return failure_domain(url)

    def require_locks(self, url: str) -> None:
        """
        Refuse a place where objects cannot be locked until a date.

        :param url: the folder that they go to.
        :raises InvalidArgumentError: when the store has no such locks, or this one has none.
        :raises StorageError: when it cannot be found out.
        """
        raise InvalidArgumentError(
            f"retain_for: {url} cannot lock objects. Nothing was sent. Leave retain_for out there, and have the "
            "store's own rules keep the copies."
        )

    def lock_of(self, url: str) -> Lock | None:
        """
        Read the lock of an object, as the store shows it now.

        :param url: the object.
        :return: the lock; None where there is none, or the store knows no locks.
        :raises StorageError: when it cannot be read.
        """
        return None

    def ensure_lock(self, url: str, lock: Lock) -> Lock:
        """
        Read back the lock that an object was written with; where it got lost on the way, set it now.

        :param url: the object.
        :param lock: the requested lock.
        :return: the lock as the store shows it.
        :raises StorageError: when it is missing, weaker or ends earlier.
        """
        found = self.lock_of(url)
        if found is None or found.lacks(lock):
            shown = "no lock" if found is None else found.lacks(lock)
            raise StorageError(f"{url} is there, but the store shows {shown}. Its recording is kept on the platform.")
        return found

    @abstractmethod
    def info(self, url: str) -> ObjectInfo | None:
        """
        Look at an object.

        :param url: the object.
        :return: what the store says about it; None when it does not exist.
        :raises StorageError: when it cannot be looked at.
        """

    def identity(self, url: str) -> ObjectIdentity | None:
        """
        Note what lies under a name now, to tell later whether it is still the same.

        :param url: the object.
        :return: its identity; None when it does not exist.
        :raises StorageError: when it cannot be looked at.
        """
        info = self.info(url)
        return None if info is None else info.identity

    @abstractmethod
    def list_names(self, url: str, prefix: str = "") -> list[str]:
        """
        List the names right below a folder.

        :param url: the folder.
        :param prefix: only those that begin with it; a store that can list them alone does so.
        :return: names without their path; empty when the folder does not exist.
        :raises StorageError: when it cannot be listed.
        """

    @abstractmethod
    def list_objects(self, url: str) -> list[tuple[str, ObjectInfo]]:
        """
        List the objects right below a folder with what the listing itself says about them.

        No request is made for each of them, so an object may say less here than in :meth:`info`.

        :param url: the folder.
        :return: names without their path, no folders; empty when the folder does not exist.
        :raises StorageError: when it cannot be listed.
        """

    def read_bytes(self, url: str) -> bytes | None:
        """
        Read a small object.

        :param url: the object.
        :return: its bytes; None when it does not exist.
        :raises StorageError: when it cannot be read.
        """
        try:
            return b"".join(self.read_chunks(url))
        except FileNotFoundError:
            return None

    def read_json(self, url: str) -> tuple[bool, Any]:
        """
        Read a small JSON object.

        :param url: the object.
        :return: whether it exists, and its value (None when it is no JSON).
        :raises StorageError: when it cannot be read.
        """
        data = self.read_bytes(url)
        return data is not None, parse_json(data)

    @abstractmethod
    def read_chunks(self, url: str) -> Iterator[bytes]:
        """
        Read an object from its first byte to its last, in constant memory.

        :param url: the object.
        :return: its bytes, in pieces.
        :raises FileNotFoundError: when it does not exist.
        :raises StorageError: when it cannot be read.
        """

    def sha256(self, url: str, stop: Callable[[], bool] = lambda: False) -> tuple[str, int] | None:
        """
        Read an object from its first byte to its last and hash it.

        :param url: the object.
        :param stop: asked between two reads; True ends the reading with an error.
        :return: hex digest and number of bytes; None when it does not exist.
        :raises StorageError: when it cannot be read.
        """
        digest = hashlib.sha256()
        size = 0
        try:
            for data in self.read_chunks(url):
                if stop():
                    raise StorageError(f"Reading {url} was stopped.")
                digest.update(data)
                size += len(data)
        except FileNotFoundError:
            return None
        return digest.hexdigest(), size

    @abstractmethod
    def create_bytes(self, url: str, data: bytes, *, durable: bool = False, lock: Lock | None = None) -> bool:
        """
        Write a small object, whole or not at all, and only if its name is free.

        :param url: the object.
        :param data: its bytes.
        :param durable: whether it must survive a loss of power before this returns.
        :param lock: the lock that it gets as it is written; :meth:`ensure_lock` reads it back.
        :return: False when the name is taken.
        :raises StorageError: when it cannot be written.
        """

    @abstractmethod
    def replace_bytes(self, url: str, data: bytes, *, durable: bool = False) -> None:
        """
        Write a small object, whole or not at all, whether its name is taken or not.

        :param url: the object.
        :param data: its bytes.
        :param durable: whether it must survive a loss of power before this returns.
        :raises StorageError: when it cannot be written.
        """

    def create_json(
        self, url: str, value: Mapping[str, Any], *, durable: bool = False, lock: Lock | None = None
    ) -> bool:
        """
        Write a small JSON object, whole or not at all, and only if its name is free.

        :param url: the object.
        :param value: what to write.
        :param durable: whether it must survive a loss of power before this returns.
        :param lock: the lock that it gets as it is written; :meth:`ensure_lock` reads it back.
        :return: False when the name is taken.
        :raises StorageError: when it cannot be written.
        """
        return self.create_bytes(url, json_bytes(value), durable=durable, lock=lock)

    def replace_json(self, url: str, value: Mapping[str, Any], *, durable: bool = False) -> None:
        """
        Write a small JSON object, whole or not at all, whether its name is taken or not.

        :param url: the object.
        :param value: what to write.
        :param durable: whether it must survive a loss of power before this returns.
        :raises StorageError: when it cannot be written.
        """
        self.replace_bytes(url, json_bytes(value), durable=durable)

    @abstractmethod
    def rename_no_replace(self, source: str, target: str) -> None:
        """
        Give an object another name on the store's side.

        :param source: the object.
        :param target: its new name, which must be free.
        :raises FileExistsError: when the new name is taken; nothing is renamed then.
        :raises StorageError: when it cannot be renamed, or another lies there meanwhile; nothing is removed then.
        """

    @abstractmethod
    def remove(self, url: str) -> None:
        """
        Remove one object, named literally.

        :param url: the object; one that does not exist is fine.
        :raises StorageError: when it cannot be removed.
        """

    def fsync(self, *urls: str) -> None:
        """
        Make sure that objects survive a loss of power; object stores do so by themselves.

        :param urls: the objects.
        :raises StorageError: when the disk cannot be synced.
        """
        return

    def upload(self, url: str, size: int, *, lock: Lock | None = None) -> Upload:
        """
        Start to write an object.

        :param url: the final name.
        :param size: its bytes, as expected.
        :param lock: the lock that it gets as it is written; :meth:`ensure_lock` reads it back.
        :return: the upload; nothing is visible under the final name yet.
        :raises InvalidArgumentError: for a lock in a store that knows none.
        :raises StorageError: when the store refuses.
        """
        if lock is not None:
            return self._start_locked_upload(url, size, lock)
        with translate_errors("begin to write", url):
            return self._start_upload(url, size)

    @abstractmethod
    def _start_upload(self, url: str, size: int) -> Upload: ...

    def _start_locked_upload(self, url: str, size: int, lock: Lock) -> Upload:
        self.require_locks(url)
        raise NotImplementedError("a store that has locks starts locked uploads itself")

    def remove_stale(self, folder: str, names: Sequence[str] | None = None) -> None:
        """
        Remove temporary names that a killed run left: this run's own, and those of others older than a day.

        What cannot be removed is left, with a warning.

        :param folder: the folder to look through.
        :param names: the names in it, where they were listed a moment ago.
        """
        remove_stale_temp_files(self, folder, names)

    def remove_temporary(self, url: str) -> None:
        """
        Remove one temporary name of a run that is dead, and what belongs to it.

        :param url: the object.
        :raises StorageError: when it cannot be removed.
        """
        self.remove(url)

    @classmethod
    def console_url(cls, folder: str) -> str | None:
        """
        Name the page of a cloud console that shows a folder.

        :param folder: the folder's URL, as the provider writes it.
        :return: the page; None where there is none that a browser can open.
        """
        return None

    @classmethod
    def dataset_name(cls, url: str) -> tuple[str, str]:
        """
        Name an object or a folder as OpenLineage does, without an Airflow connection id.

        :param url: its URL.
        :return: namespace and name.
        """
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.strip("/") or "/"


def parse_json(data: bytes | None) -> Any:
    """
    Read the JSON of a small object.

    :param data: its bytes; None when there is no object.
    :return: the value; None when there is none, or it is no JSON.
    """
    try:
        return None if data is None else json.loads(data)
    except (ValueError, RecursionError):
        return None


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """
    Write a JSON object as it lies in the archive.

    :param value: the object.
    :return: its bytes.
    """
    return json.dumps(value, indent=2).encode() + b"\n"
