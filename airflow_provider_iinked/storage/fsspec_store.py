"""Any store that fsspec can open: the common ground of the object stores. Only this folder knows fsspec."""

from __future__ import annotations

import contextlib
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError
from airflow_provider_iinked.storage.base import READ_SIZE, Store, Upload
from airflow_provider_iinked.storage.errors import storage_error, translate_errors
from airflow_provider_iinked.storage.layout import NO_RUN, temporary, without_suffix
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.object_info import ObjectInfo, read_info

_BLOCK: Final = 16 << 20
_LOOKS: Final = 10
_MAX_LOOKS: Final = 600
_LOOK_EVERY: Final = 0.1
_MAX_BLOCKS: Final = 9_000


class FsspecStore(Store):
    """
    A store through ObjectStoragePath, with a file system of its own that caches nothing.

    Right for any file system whose ``mode="create"`` refuses a taken name; what a store can do better, or must do
    otherwise, stands in its own class.
    """

    extra: ClassVar[str | None] = None
    """The extra of this package that brings what the store needs."""
    shows_unfinished: ClassVar[bool] = True
    """True: a file system may copy piece by piece."""

    def __init__(self, url: str, token: str = NO_RUN) -> None:
        super().__init__(url, token)
        try:
            fs = ObjectStoragePath(url).fs
            self.fs = type(fs)(*fs.storage_args, **self._options(fs.storage_options))
        except (ValueError, ImportError) as error:
            install = f"pip install 'airflow-provider-iinked[{self.extra}]'" if self.extra else "its fsspec package"
            raise InvalidArgumentError(
                f"Airflow knows no file system for {self.scheme}:// ({type(error).__name__}). Nothing was sent. "
                f"Install what it needs: {install}."
            ) from None
        except Exception as error:
            raise storage_error("open the storage of", url, error) from None

        if hasattr(self.fs, "dircache") and hasattr(self.fs.dircache, "use_listings_cache"):
            self.fs.dircache.use_listings_cache = False

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of a second instance of the file system, which remembers nothing."""
        return {**options, "skip_instance_cache": True, "use_listings_cache": False}

    def path(self, url: str) -> str:
        """
        Turn a URL of this store into the file system's own path.

        :param url: the URL, with or without a connection id.
        :return: the path.
        """
        scheme, _, rest = url.partition("://")
        netloc, slash, key = rest.partition("/")
        return str(self.fs._strip_protocol(f"{scheme}://{netloc.rpartition('@')[2]}{slash}{key}"))

    def info(self, url: str) -> ObjectInfo | None:
        """Look at an object."""
        with translate_errors("look at", url):
            try:
                self.fs.invalidate_cache()
                found: dict[str, Any] = self.fs.info(self.path(url))
            except FileNotFoundError:
                return None
            return read_info(found) if found.get("type") != "directory" else None

    def list_names(self, url: str, prefix: str = "") -> list[str]:
        """List the names right below a folder."""
        with translate_errors("list", url):
            try:
                self.fs.invalidate_cache()
                found = self.fs.ls(self.path(url), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            names = (str(name).rstrip("/").rpartition("/")[2] for name in found)
            return sorted(name for name in names if name.startswith(prefix))

    def list_objects(self, url: str) -> list[tuple[str, ObjectInfo]]:
        """List the objects right below a folder."""
        with translate_errors("list", url):
            path = self.path(url).rstrip("/")
            try:
                self.fs.invalidate_cache()
                found: list[dict[str, Any]] = self.fs.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
            # Some file systems answer for a file, or for the folder's own marker, with that itself.
            objects = [(str(item["name"]), item) for item in found if item.get("type") != "directory"]
            return [(name.rpartition("/")[2], read_info(item)) for name, item in objects if name.rstrip("/") != path]

    def read_bytes(self, url: str) -> bytes | None:
        """Read a small object."""
        with translate_errors("read", url):
            try:
                self.fs.invalidate_cache()
                return bytes(self.fs.cat_file(self.path(url)))
            except FileNotFoundError:
                return None

    def read_chunks(self, url: str) -> Iterator[bytes]:
        """Read an object in pieces."""
        missing = False
        with translate_errors("read", url):
            try:
                self.fs.invalidate_cache()
                with self.fs.open(self.path(url), "rb", block_size=READ_SIZE, cache_type="readahead") as stream:
                    while data := stream.read(READ_SIZE):
                        yield data
            except FileNotFoundError:
                missing = True
        if missing:
            raise FileNotFoundError(url)

    def create_bytes(self, url: str, data: bytes, *, durable: bool = False, lock: Lock | None = None) -> bool:
        """Write a small object if its name is free; the store itself sees to that where it knows conditions."""
        if lock is not None:
            self.require_locks(url)
        with translate_errors("write", url):
            if self.info(url) is not None:
                return False
            try:
                self.fs.pipe_file(self.path(url), data, mode="create")
            except FileExistsError:
                return False
            except Exception:
                if self.info(url) is None:
                    raise
                return False
            return True

    def replace_bytes(self, url: str, data: bytes, *, durable: bool = False) -> None:
        """Write a small object, whether its name is taken or not."""
        with translate_errors("write", url):
            self.fs.pipe_file(self.path(url), data)

    def rename_no_replace(self, source: str, target: str) -> None:
        """Copy on the store's side, look at both, then remove the source."""
        with translate_errors("move", source):
            if self.info(target) is not None:
                raise FileExistsError(target)
            seen = self.info(source)
            self._copy(source, target)
            after = self.settled(target, None if seen is None else seen.size)
            if seen is None or after is None or after.size is None or after.size != seen.size:
                raise StorageError(f"The store copied {source} to {target}, but not whole. Nothing was removed.")
            if self.identity(source) != seen.identity:
                raise StorageError(f"{source} changed while it was moved to {target}. Nothing was removed.")
            with contextlib.suppress(FileNotFoundError):  # removed by a call whose answer was lost
                self.fs.rm_file(self.path(source))

    def settled(self, url: str, size: int | None) -> ObjectInfo | None:
        """
        Look at a copy; while another run copies the same bytes over it, it changes: wait for the end of that.

        :param url: the copy.
        :param size: its bytes when it is whole.
        :return: what the store says about it; None when it does not exist.
        """
        found, unchanged = self.info(url), 0
        for _ in range(_MAX_LOOKS):
            if unchanged == _LOOKS or (found is not None and found.size == size):
                break
            time.sleep(_LOOK_EVERY)
            before, found = found, self.info(url)
            unchanged = unchanged + 1 if found == before else 0
        return found

    def _copy(self, source: str, target: str) -> None:
        self.fs.cp_file(self.path(source), self.path(target))

    def remove(self, url: str) -> None:
        """Remove one object."""
        with translate_errors("remove", url), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path(url))

    def _start_upload(self, url: str, size: int) -> Upload:
        return TempThenRenameUpload(self, url, size)


class ConditionalStore(FsspecStore):
    """A store whose own requests carry the condition that a name is free."""

    shows_unfinished: ClassVar[bool] = False

    def create_bytes(self, url: str, data: bytes, *, durable: bool = False, lock: Lock | None = None) -> bool:
        """Write a small object if its name is free."""
        if lock is not None:
            self.require_locks(url)
        with translate_errors("write", url):
            try:
                self.put_new(url, data)
            except FileExistsError:
                return False
            return True

    @abstractmethod
    def put_new(self, url: str, data: bytes) -> ObjectInfo:
        """
        Write an object in one request, only if its name is free.

        :param url: the object.
        :param data: its bytes.
        :return: what the store says about it.
        :raises FileExistsError: when the name is taken, be it by ourselves, if only the answer was lost.
        """


class StreamUpload(Upload):
    """
    An upload through a file object of fsspec.

    :param store: where to.
    :param url: the final name.
    :param size: its bytes, as expected.
    """

    _options: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, store: FsspecStore, url: str, size: int) -> None:
        super().__init__(url, size)
        self.store = store

    def _open(self, path: str) -> Any:
        block = max(_BLOCK, -(-self.size // _MAX_BLOCKS))
        return self.store.fs.open(path, "wb", block_size=block, **self._options)

    def _refuse_taken_name(self) -> None:
        if self.store.info(self.url) is not None:
            raise FileExistsError(self.url)


class TempThenRenameUpload(StreamUpload):
    """A temporary name in the same folder, and a rename on the store's side."""

    def __init__(self, store: FsspecStore, url: str, size: int) -> None:
        super().__init__(store, url, size)
        self._temporary = temporary(without_suffix(url), store.token)
        self._stream = self._open(store.path(self._temporary))

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)

    def publish(self) -> ObjectInfo | None:
        """Rename the object to its final name."""
        self._stream.close()
        self._refuse_taken_name()
        self.store.rename_no_replace(self._temporary, self.url)
        return self.store.settled(self.url, self.size)

    def _discard(self) -> None:
        """Remove the temporary object."""
        with contextlib.suppress(Exception):
            self._stream.close()
        self.store.remove(self._temporary)
