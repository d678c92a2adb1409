"""The worker's own disk: names by hard link, never over a taken one; locks tell a living writer from a dead one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Sequence
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.base import Upload
from airflow_provider_iinked.storage.errors import translate_errors
from airflow_provider_iinked.storage.fsspec_store import FsspecStore
from airflow_provider_iinked.storage.layout import NO_RUN, temporary, without_suffix
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectIdentity, ObjectInfo
from airflow_provider_iinked.storage.shared_call import SharedCall
from airflow_provider_iinked.storage.url import failure_domain

_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})

log = logging.getLogger(__name__)


class LocalStore(FsspecStore):
    """A disk of this worker, or one that is mounted there."""

    on_worker_disk: ClassVar[bool] = True

    def __init__(self, url: str, token: str = NO_RUN) -> None:
        super().__init__(url, token)
        self._syncs: dict[str, SharedCall] = {}

    @classmethod
    def dataset_name(cls, url: str) -> tuple[str, str]:
        """Name a file as OpenLineage does."""
        return "file", urlsplit(url).path

    def failure_domain(self, url: str) -> str:
        """Name the file system that a file is on, or will be on."""
        with translate_errors("look at", url):
            path = self.path(url)
            while not os.path.lexists(path) and path != os.path.dirname(path):
                path = os.path.dirname(path)
            return f"{failure_domain(url)} device {os.stat(path).st_dev}"

    def list_names(self, url: str, prefix: str = "") -> list[str]:
        """List the names right below a folder; nothing is asked about each of them."""
        with translate_errors("list", url), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(name for name in os.listdir(self.path(url)) if name.startswith(prefix))
        return []

    def list_objects(self, url: str) -> list[tuple[str, ObjectInfo]]:
        """List the files right below a folder; the time of an inode's last change cannot be put back by anybody."""
        with translate_errors("list", url), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            with os.scandir(self.path(url)) as found:
                files = [(item.name, item.stat(follow_symlinks=False)) for item in found if _is_plain_file(item)]
            return [
                (name, ObjectInfo(seen.st_size, None, seen.st_mtime, _identity_of_inode(seen))) for name, seen in files
            ]
        return []

    def create_bytes(self, url: str, data: bytes, *, durable: bool = False, lock: Lock | None = None) -> bool:
        """Write a small file if its name is free."""
        if lock is not None:
            self.require_locks(url)
        return self._write(url, data, overwrite=False, durable=durable)

    def replace_bytes(self, url: str, data: bytes, *, durable: bool = False) -> None:
        """Write a small file, whether its name is taken or not."""
        self._write(url, data, overwrite=True, durable=durable)

    def _write(self, url: str, data: bytes, *, overwrite: bool, durable: bool) -> bool:
        with translate_errors("write", url):
            path = self.path(url)
            written = write_atomic(path, data, temporary(path, self.token), overwrite=overwrite, durable=durable)
            if durable:
                self._sync_folder(os.path.dirname(path))
            return written

    def rename_no_replace(self, source: str, target: str) -> None:
        """Rename in one step: whatever lies there by now, its bytes have a name all along."""
        with translate_errors("move", source):
            if os.path.lexists(self.path(target)):
                raise FileExistsError(target)
            os.rename(self.path(source), self.path(target))

    def fsync(self, *urls: str) -> None:
        """Sync files, and the names of the folders that they lie in."""
        with translate_errors("sync", urls[0]):
            paths = [self.path(url) for url in urls]
            sync(paths)
            for folder in {os.path.dirname(path) for path in paths}:
                self._sync_folder(folder)

    def _sync_folder(self, folder: str) -> None:
        """Sync the names in a folder, once for all that have changed by now, and those above it: once a task."""
        if folder not in self._syncs:
            sync_folders_above(folder)
        self._syncs.setdefault(folder, SharedCall(partial(sync_folder, folder)))()

    def remove_temporary(self, url: str) -> None:
        """Remove a temporary file unless a living process writes it."""
        remove_if_abandoned(self.path(url))

    def _start_upload(self, url: str, size: int) -> Upload:
        return LocalUpload(self, url, size)


class LocalUpload(Upload):
    """
    A temporary file beside the final name, which it gets by hard link.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, store: LocalStore, url: str, size: int) -> None:
        super().__init__(url, size)
        self._store = store
        self._path = store.path(url)
        self._temporary = temporary(without_suffix(self._path), store.token)
        self._handle: int | None = open_locked(self._temporary)

    @property
    def local_path(self) -> str | None:
        """Path of the temporary file."""
        return self._temporary

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._handle is None:
            raise StorageError(f"The upload of {self.url} has ended.")
        write_all(self._handle, data)

    def publish(self) -> ObjectInfo | None:
        """Link the file to its final name."""
        link_no_replace(self._temporary, self._path)
        self.discard()
        return self._store.info(self.url)

    def _discard(self) -> None:
        """Remove the temporary file."""
        try:
            _unlink(self._temporary)
        finally:
            handle, self._handle = self._handle, None
            if handle is not None:
                os.close(handle)


def _is_plain_file(item: os.DirEntry[str]) -> bool:
    return item.is_file(follow_symlinks=False)


def _identity_of_inode(seen: os.stat_result) -> ObjectIdentity:
    return (("ino", str(seen.st_ino)), ("ctime_ns", str(seen.st_ctime_ns)), ("size", str(seen.st_size)))


def link_no_replace(source: str, target: str) -> None:
    """
    Give a file its final name in one step, and only if that name is free.

    :param source: its present path.
    :param target: the final path, in the same folder.
    :raises FileExistsError: when the name is taken.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # A disk without hard links says so in many ways: the check and the renaming are two steps there.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "name is taken", target) from None
        os.rename(source, target)
        return
    _unlink(source)


def open_locked(path: str) -> int:
    """
    Create a file that others can see is being written.

    :param path: the new file.
    :return: its descriptor; the lock ends when it is closed, or when the process dies.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle = os.open(path, flags, 0o666)
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle


def remove_if_abandoned(path: str) -> bool:
    """
    Remove a temporary file unless a living process writes it.

    :param path: the file.
    :return: whether it was removed.
    """
    try:
        handle = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return False
    finally:
        os.close(handle)
    return True


def write_atomic(path: str, data: bytes, temporary: str, *, overwrite: bool, durable: bool) -> bool:
    """
    Write a small file so that it is there whole or not at all.

    :param path: the file.
    :param data: its bytes.
    :param temporary: a free name in the same folder.
    :param overwrite: whether a file of that name may be replaced.
    :param durable: whether its bytes must survive a loss of power before they get their name.
    :return: False when it exists and may not be replaced.
    """
    handle, is_named = open_locked(temporary), False
    try:
        write_all(handle, data)
        if durable:
            os.fsync(handle)
        if overwrite:
            os.replace(temporary, path)
        else:
            try:
                link_no_replace(temporary, path)
            except FileExistsError:
                return False
        is_named = True
        return True
    finally:
        if not is_named:
            _unlink(temporary)
        os.close(handle)


def sync_folders_above(folder: str) -> None:
    """
    See to it that the names of folders that were just made survive a loss of power.

    Those that may not be opened, or do not know what that means, are not ours to have made.

    :param folder: the lowest of them.
    """
    while (above := os.path.dirname(folder)) != folder:
        folder = above
        with contextlib.suppress(OSError):
            sync_folder(folder)


def sync_folder(folder: str) -> None:
    """
    Make sure that the names in a folder survive a loss of power.

    Some disks cannot sync a folder at all; that is noted and no reason to stop. An error of the disk is one.

    :param folder: the folder.
    """
    try:
        sync([folder])
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
        log.info(
            "The disk of %s cannot sync a folder (%s); its names are as safe as that disk keeps them.",
            folder,
            os.strerror(error.errno),
        )


def _unlink(path: str) -> None:
    """Remove a temporary name; the bytes have their final name, or are not wanted: a failure is a warning."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("Left the temporary file %s in place: %s", path, os.strerror(error.errno or 0))


def write_all(handle: int, data: bytes | memoryview) -> None:
    """
    Write all bytes to a descriptor.

    :param handle: the descriptor.
    :param data: the bytes.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def sync(paths: Sequence[str]) -> None:
    """
    See to it that the bytes of files, and the names in folders, survive a loss of power.

    :param paths: files and folders.
    """
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
