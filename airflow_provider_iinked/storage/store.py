"""One opened file system without caches, addressed by URL. The only place that knows ObjectStoragePath and fsspec."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec import AbstractFileSystem

from airflow_provider_iinked.exceptions import InvalidArgumentError, StorageError, reason_of
from airflow_provider_iinked.storage import local
from airflow_provider_iinked.storage.leftovers import ADHOC as ADHOC
from airflow_provider_iinked.storage.leftovers import TEMPORARY, sweep
from airflow_provider_iinked.storage.url import is_local, scheme_of

READ_SIZE: Final = 4 << 20
_LONGEST_NAME: Final = 255

log = logging.getLogger(__name__)

# Names under which fsspec's file systems report the store's own validators, by what they mean.
_VALIDATORS: Mapping[str, tuple[str, ...]] = {
    "etag": ("ETag", "etag"),
    "version_id": ("VersionId", "version_id", "generation"),
}


# What tells one object under a name from the next one under the same name; each store gives some of them.
_IDENTITY = (
    *(name for names in _VALIDATORS.values() for name in names),
    "LastModified",
    "last_modified",
    "ino",
    "mtime",
    "size",
)

ObjectIdentity = tuple[tuple[str, str], ...]
"""What lay under a name at a moment."""


class Store:
    """
    The file system behind a URL, opened afresh: nothing that it answers comes from a cache.

    Open it in the task's own thread (the storage's connection is looked up there); afterwards threads may use it.

    :param url: a checked destination, or the URL of an object.
    :param token: marks the temporary names of this run, so that its next try may remove what a killed one left.
    :raises InvalidArgumentError: when Airflow knows no file system for the URL's scheme.
    :raises StorageError: when the file system cannot be opened.
    """

    def __init__(self, url: str, token: str = ADHOC) -> None:
        self.token = token
        self.is_local = is_local(url)
        self.scheme = scheme_of(url)
        self._settled: set[str] = set()
        try:
            path = ObjectStoragePath(url)
            self.fs = _without_caches(path.fs)
        except ValueError as error:
            raise InvalidArgumentError(
                f"Airflow knows no file system for {self.scheme}:// ({type(error).__name__}). Nothing was sent. "
                "Install the provider and the fsspec package of that store."
            ) from None
        except Exception as error:
            raise StorageError(
                f"The storage behind {self.scheme}:// could not be opened ({type(error).__name__}). Nothing was sent. "
                "Check the connection in the URL."
            ) from None

    @property
    def is_s3(self) -> bool:
        """True for S3 and what speaks like it, through s3fs."""
        return hasattr(self.fs, "call_s3")

    @property
    def is_azure(self) -> bool:
        """True for Azure Blob Storage, through adlfs."""
        return hasattr(self.fs, "service_client") and hasattr(self.fs, "split_path")

    def path(self, url: str) -> str:
        """
        Turn a URL of this store into the file system's own path.

        :param url: the URL, with or without a connection id.
        :return: the path.
        """
        scheme, _, rest = url.partition("://")
        netloc, slash, key = rest.partition("/")
        return str(self.fs._strip_protocol(f"{scheme}://{netloc.rpartition('@')[2]}{slash}{key}"))

    def info(self, url: str) -> dict[str, Any] | None:
        """
        Look at an object.

        :param url: the object.
        :return: what the store tells of it; None when it does not exist.
        :raises StorageError: when it cannot be looked at.
        """
        with self._speaking_of("look at", url):
            try:
                self.fs.invalidate_cache()
                found: dict[str, Any] = self.fs.info(self.path(url))
            except FileNotFoundError:
                return None
            return found if found.get("type") != "directory" else None

    def mark(self, url: str) -> ObjectIdentity | None:
        """
        Note what lies under a name now, to tell later whether it is still the same.

        :param url: the object.
        :return: its identity, as far as the store tells; None when it does not exist.
        :raises StorageError: when it cannot be looked at.
        """
        info = self.info(url)
        return None if info is None else tuple((name, str(info[name])) for name in _IDENTITY if name in info)

    def list_names(self, url: str) -> list[str]:
        """
        List the names right below a folder.

        :param url: the folder.
        :return: names without their path; empty when the folder does not exist.
        :raises StorageError: when it cannot be listed.
        """
        with self._speaking_of("list", url):
            try:
                self.fs.invalidate_cache()
                found = self.fs.ls(self.path(url), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return [str(name).rstrip("/").rsplit("/", 1)[-1] for name in found]

    def read_json(self, url: str) -> tuple[bool, Any]:
        """
        Read a small JSON object afresh.

        :param url: the object.
        :return: whether it exists, and its value (None when it is no JSON).
        :raises StorageError: when it cannot be read.
        """
        with self._speaking_of("read", url):
            try:
                self.fs.invalidate_cache()
                text = self.fs.cat_file(self.path(url))
            except FileNotFoundError:
                return False, None
        try:
            return True, json.loads(text)
        except (ValueError, RecursionError):
            return True, None

    def write_json(self, url: str, value: Mapping[str, Any], *, overwrite: bool = False, durable: bool = False) -> bool:
        """
        Write a small JSON object, whole or not at all.

        :param url: the object.
        :param value: what to write.
        :param overwrite: whether an object of that name may be replaced.
        :param durable: whether it must survive a loss of power before this returns.
        :return: False when it exists and may not be replaced.
        :raises StorageError: when it cannot be written.
        """
        with self._speaking_of("write", url):
            data = json.dumps(value, indent=2).encode() + b"\n"
            if self.is_local:
                path = self.path(url)
                written = local.write_whole(path, data, self.temporary(path), overwrite=overwrite, durable=durable)
                if durable:
                    self._settle_folder(os.path.dirname(path))
                return written
            if overwrite:
                self.fs.pipe_file(self.path(url), data)
                return True
            return self._create(url, data)

    def sha256(self, url: str, stop: Callable[[], bool] = lambda: False) -> tuple[str, int] | None:
        """
        Read an object from its first byte to its last.

        :param url: the object.
        :param stop: asked between two reads; True ends the reading with an error.
        :return: hex digest and number of bytes; None when it does not exist.
        :raises StorageError: when it cannot be read.
        """
        digest = hashlib.sha256()
        size = 0
        with self._speaking_of("read", url):
            try:
                self.fs.invalidate_cache()
                with self.fs.open(self.path(url), "rb", block_size=READ_SIZE, cache_type="readahead") as stream:
                    while data := stream.read(READ_SIZE):
                        if stop():
                            raise StorageError(f"Reading {url} was stopped.")
                        digest.update(data)
                        size += len(data)
            except FileNotFoundError:
                return None
        return digest.hexdigest(), size

    def _create(self, url: str, data: bytes) -> bool:
        """Write an object if its name is free; the store itself sees to that where it knows conditional writes."""
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

    def move(self, source: str, target: str) -> None:
        """
        Give an object another name on the store's side.

        :param source: the object.
        :param target: its new name, which must be free.
        :raises StorageError: when it cannot be moved, or another lies there meanwhile; nothing is removed then.
        """
        with self._speaking_of("move", source):
            if self.is_local:
                # In one step: whatever lies there by now, its bytes have a name all along.
                os.rename(self.path(source), self.path(target))
                return
            if type(self.fs).mv is not AbstractFileSystem.mv:
                # Its own, in one step as a rule; some of these (sftp, smb) cannot copy on their side at all.
                self.fs.mv(self.path(source), self.path(target))
                return
            seen = self.mark(source)
            self.fs.cp_file(self.path(source), self.path(target))
            if self.is_azure:
                from airflow_provider_iinked.storage.azure import finish_copy

                finish_copy(self, target)
            after = dict(self.mark(target) or ())
            if seen is None or after.get("size") is None or after["size"] != dict(seen).get("size"):
                raise StorageError(f"The store copied {source} to {target}, but not whole. Nothing was removed.")
            if self.mark(source) != seen:
                raise StorageError(f"{source} changed while it was moved to {target}. Nothing was removed.")
            self.fs.rm_file(self.path(source))

    def remove(self, url: str) -> None:
        """
        Remove an object that is this provider's own litter.

        :param url: the object.
        :raises StorageError: when it cannot be removed.
        """
        with self._speaking_of("remove", url), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path(url))

    def settle(self, *urls: str) -> None:
        """
        See to it that what was written survives a loss of power; object stores do so by themselves.

        :param urls: the objects.
        :raises StorageError: when the disk cannot be synced.
        """
        if not self.is_local:
            return
        with self._speaking_of("sync", urls[0]):
            paths = [self.path(url) for url in urls]
            local.sync(paths)
            for folder in {os.path.dirname(path) for path in paths}:
                self._settle_folder(folder)

    def _settle_folder(self, folder: str) -> None:
        """Sync the names in a folder, and those above it; there once a task is enough, since they are made once."""
        local.sync([folder])
        if folder not in self._settled:
            local.sync_folders_above(folder)
            self._settled.add(folder)

    def temporary(self, path: str) -> str:
        """
        Make a temporary name beside a final one; it carries the run.

        :param path: the final name, or the stem of it.
        :return: a name that nobody else uses.
        """
        folder, slash, name = path.rpartition("/")
        mark = f".{self.token}-{os.urandom(4).hex()}{TEMPORARY}"
        return f"{folder}{slash}{name[: _LONGEST_NAME - len(mark)]}{mark}"

    def remove_litter(self, folder: str) -> None:
        """
        Remove temporary names that a killed run left: this run's own, and strangers' older than a day.

        What cannot be removed is left for another day.

        :param folder: the folder to look through.
        """
        sweep(self, folder)

    @contextlib.contextmanager
    def _speaking_of(self, act: str, url: str) -> Iterator[None]:
        """Turn whatever a file system raises into one error of ours; its own text may hold credentials."""
        try:
            yield
        except StorageError:
            raise
        except Exception as error:
            raise StorageError(
                f"Could not {act} {url} ({reason_of(error)}). Check the storage and its connection; "
                "clearing the task is safe."
            ) from None


def validator_of(info: Mapping[str, Any]) -> dict[str, str] | None:
    """
    Pick the store's own validators out of what it tells of an object.

    :param info: the file system's info.
    :return: ``etag`` and ``version_id`` as far as the store gives them; None where it gives none.
    """
    found = {
        meaning: str(info[name]).strip('"')
        for meaning, names in _VALIDATORS.items()
        for name in names
        if info.get(name) not in (None, "", "null")
    }
    return found or None


def _without_caches(fs: Any) -> Any:
    """Build a second instance of a file system that remembers nothing."""
    options = {**fs.storage_options, "skip_instance_cache": True}
    try:
        fresh = type(fs)(*fs.storage_args, **options, use_listings_cache=False)
    except TypeError:
        fresh = type(fs)(*fs.storage_args, **options)
    if hasattr(fresh, "dircache") and hasattr(fresh.dircache, "use_listings_cache"):
        fresh.dircache.use_listings_cache = False
    return fresh
