"""The worker's own disk: names by hard link, never over an existing one; locks tell living writers from litter."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def give_name(source: str, target: str) -> None:
    """
    Give a file its final name in one step, and only if that name is free.

    :param source: its present path.
    :param target: the final path, in the same folder.
    :raises FileExistsError: when the name is taken.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A disk without hard links: the check and the renaming are two steps there.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "name is taken", target) from None
        os.rename(source, target)
        return
    os.unlink(source)


def open_locked(path: str) -> int:
    """
    Create a file that others can see is being written.

    :param path: the new file.
    :return: its descriptor; the lock ends when it is closed, or when the process dies.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
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


def write_whole(path: str, data: bytes, temporary: str, *, overwrite: bool, durable: bool) -> bool:
    """
    Write a small file so that it is there whole or not at all.

    :param path: the file.
    :param data: its bytes.
    :param temporary: a free name in the same folder.
    :param overwrite: whether a file of that name may be replaced.
    :param durable: whether its bytes must survive a loss of power before they get their name.
    :return: False when it exists and may not be replaced.
    """
    handle = open_locked(temporary)
    try:
        write_all(handle, data)
        if durable:
            os.fsync(handle)
        if overwrite:
            os.replace(temporary, path)
        else:
            try:
                give_name(temporary, path)
            except FileExistsError:
                return False
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
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
            sync([folder])


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
