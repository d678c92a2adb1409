"""
SFTP: a temporary name, then the protocol's plain rename, which refuses a name that is taken.

sshfs is used for its connection: its ``mv`` replaces what lies there or needs a shell, its ``pipe_file`` overwrites and
shows halves, and its file object takes any block size for that of a packet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.base import READ_SIZE, Store, Upload
from airflow_provider_iinked.storage.errors import translate_errors
from airflow_provider_iinked.storage.fsspec_store import FsspecStore
from airflow_provider_iinked.storage.layout import folder_of, temporary, without_suffix
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectInfo
from airflow_provider_iinked.storage.parts import PartBuffer
from airflow_provider_iinked.storage.url import host_name

T = TypeVar("T")

_WRITE_SIZE: Final = 4 << 20


class SftpStore(FsspecStore):
    """A server that speaks SFTP, through sshfs."""

    extra: ClassVar[str | None] = "sftp"
    shows_unfinished: ClassVar[bool] = False

    def failure_domain(self, url: str) -> str:
        """Name the host that the connection leads to, which the URL may call otherwise."""
        host = self.fs.storage_options.get("host")
        return f"sftp://{host_name(host)}" if isinstance(host, str) and host else super().failure_domain(url)

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "skip_instance_cache": True}  # it knows no cache of listings, and no option for one

    def run(self, act: Callable[[Any], Awaitable[T]]) -> T:
        """
        Do something with an SFTP channel.

        :param act: what to do with asyncssh's client.
        :return: what it returns.
        """

        async def run() -> T:
            async with self.fs._pool.get() as channel:
                return await act(channel)

        return asyncio.run_coroutine_threadsafe(run(), self.fs.loop).result()

    def read_bytes(self, url: str) -> bytes | None:
        """Read a small file, over the channel that :meth:`read_chunks` takes."""
        return Store.read_bytes(self, url)

    def read_chunks(self, url: str) -> Iterator[bytes]:
        """Read a file in pieces; asyncssh splits them into packets of a size that the server takes."""
        with translate_errors("read", url):
            try:
                stream = self.run(lambda channel: _opened(channel, self.path(url), "rb"))
            except Exception as error:
                if _is_missing(error):
                    stream = None
                else:
                    raise
            if stream is not None:
                try:
                    while data := self._wait(stream.read(READ_SIZE)):
                        yield data
                finally:
                    with contextlib.suppress(Exception):
                        self._wait(stream.close())
        if stream is None:
            raise FileNotFoundError(url)

    def create_bytes(self, url: str, data: bytes, *, durable: bool = False, lock: Lock | None = None) -> bool:
        """Write a small file under a temporary name, and rename it if the name is free."""
        if lock is not None:
            self.require_locks(url)
        with translate_errors("write", url):
            written = self._write_temporary(url, data)
            try:
                self._rename(written, self.path(url))
            except FileExistsError:
                self._unlink(written)
                return False
            return True

    def replace_bytes(self, url: str, data: bytes, *, durable: bool = False) -> None:
        """Write a small file under a temporary name, and rename it; without posix-rename the old one goes first."""
        with translate_errors("write", url):
            written, path = self._write_temporary(url, data), self.path(url)
            if self.run(lambda channel: _posix_renamed(channel, written, path)):
                return
            old = temporary(path, self.token)
            with contextlib.suppress(FileNotFoundError):
                self._rename(path, old)
            self._rename(written, path)
            self._unlink(old)

    def _write_temporary(self, url: str, data: bytes) -> str:
        path = temporary(self.path(url), self.token)

        async def write(channel: Any) -> None:
            await channel.makedirs(folder_of(path), exist_ok=True)
            stream = await channel.open(path, "xb")
            try:
                await stream.write(data)
                await _synced(stream)
            finally:
                await stream.close()

        self.run(write)
        return path

    def rename_no_replace(self, source: str, target: str) -> None:
        """Rename in one step, which the server refuses when the name is taken."""
        with translate_errors("move", source):
            self._rename(self.path(source), self.path(target))

    def _rename(self, source: str, target: str) -> None:
        try:
            self.run(lambda channel: channel.rename(source, target))
        except Exception as error:
            if _is_missing(error):
                raise FileNotFoundError(source) from None
            # The protocol has one code for all that fails: look what it was.
            if self.run(lambda channel: channel.lexists(target)):
                raise FileExistsError(target) from None
            raise

    def _unlink(self, path: str) -> None:
        try:
            self.run(lambda channel: channel.unlink(path))
        except Exception as error:
            if not _is_missing(error):
                raise

    def remove(self, url: str) -> None:
        """Remove one file."""
        with translate_errors("remove", url):
            self._unlink(self.path(url))

    def fsync(self, *urls: str) -> None:
        """Sync files, where the server knows how."""
        for url in urls:
            with translate_errors("sync", url):
                self.run(partial(_sync_path, self.path(url)))

    def _start_upload(self, url: str, size: int) -> Upload:
        return SftpUpload(self, url, size)

    def _wait(self, act: Awaitable[T]) -> T:
        async def run() -> T:
            return await act

        return asyncio.run_coroutine_threadsafe(run(), self.fs.loop).result()


class SftpUpload(Upload):
    """
    A temporary name in the same folder, and a plain rename.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    """

    def __init__(self, store: SftpStore, url: str, size: int) -> None:
        super().__init__(url, size)
        self.store = store
        self._path = store.path(url)
        self._temporary = temporary(without_suffix(self._path), store.token)
        self._buffer = PartBuffer()
        self._stream: Any = store.run(self._open)

    async def _open(self, channel: Any) -> Any:
        await channel.makedirs(folder_of(self._path), exist_ok=True)
        return await channel.open(self._temporary, "xb")

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._stream is None:
            raise StorageError(f"The upload of {self.url} has ended.")
        self._buffer.add(data)
        if self._buffer.size >= _WRITE_SIZE:
            self.store._wait(self._stream.write(self._buffer.take()))

    def publish(self) -> ObjectInfo | None:
        """Sync and close the file, and rename it."""
        if self._stream is not None:
            self.store._wait(self._finish(self._buffer.take()))
            self._stream = None
        self.store._rename(self._temporary, self._path)
        return self.store.info(self.url)

    async def _finish(self, rest: bytes) -> None:
        if rest:
            await self._stream.write(rest)
        await _synced(self._stream)
        await self._stream.close()

    def _discard(self) -> None:
        """Remove the temporary file."""
        self._buffer.clear()
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self.store._wait(self._stream.close())
            self._stream = None
        with translate_errors("remove", self.url):
            self.store._unlink(self._temporary)


async def _opened(channel: Any, path: str, mode: str) -> Any:
    return await channel.open(path, mode)


async def _posix_renamed(channel: Any, source: str, target: str) -> bool:
    from asyncssh.sftp import SFTPOpUnsupported

    try:
        await channel.posix_rename(source, target)
    except SFTPOpUnsupported:
        return False
    return True


async def _sync_path(path: str, channel: Any) -> None:
    stream = await channel.open(path, "rb")
    try:
        await _synced(stream)
    finally:
        await stream.close()


async def _synced(stream: Any) -> None:
    """Sync a file; a server without that extension says so, and nothing more can be done."""
    from asyncssh.sftp import SFTPOpUnsupported

    with contextlib.suppress(SFTPOpUnsupported):
        await stream.fsync()


def _is_missing(error: BaseException) -> bool:
    from asyncssh.sftp import SFTPNoSuchFile

    return isinstance(error, (FileNotFoundError, SFTPNoSuchFile))
