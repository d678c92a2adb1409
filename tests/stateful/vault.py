"""A store that locks objects until a date, as buckets with Object Lock do; its locks are seen past the provider."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage import register_store
from airflow_provider_iinked.storage.base import ObjectInfo, Upload
from airflow_provider_iinked.storage.local import LocalStore, LocalUpload
from airflow_provider_iinked.storage.lock import Lock
from airflow_provider_iinked.storage.url import failure_domain

SCHEME = "vault"
LOCKS_FOLDER = "VAULT_LOCKS"
"""Environment variable with the folder of locks that processes share."""


class FileLocks(MutableMapping[Path, Lock]):
    """
    Locks that several processes share.

    :param folder: where they are noted; None for the one that the environment names.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def _note(self, path: Path) -> Path:
        folder = self._folder or Path(os.environ[LOCKS_FOLDER])
        return folder / hashlib.sha256(str(path).encode()).hexdigest()

    def __getitem__(self, path: Path) -> Lock:
        try:
            mode, end = self._note(path).read_text().split()
        except FileNotFoundError:
            raise KeyError(path) from None
        return Lock(mode, datetime.fromisoformat(end))

    def __setitem__(self, path: Path, lock: Lock) -> None:
        note = self._note(path)
        note.with_suffix(".new").write_text(f"{lock.mode} {lock.retain_until.isoformat()}")
        note.with_suffix(".new").replace(note)

    def __delitem__(self, path: Path) -> None:
        self._note(path).unlink()

    def __iter__(self) -> Iterator[Path]:
        raise NotImplementedError("names are noted as digests")

    def __len__(self) -> int:
        return len(list((self._folder or Path(os.environ[LOCKS_FOLDER])).iterdir()))


class VaultStore(LocalStore):
    """The local disk under a scheme of its own; its first part is the bucket."""

    locks: ClassVar[MutableMapping[Path, Lock]] = {}
    ignores_locks: ClassVar[bool] = False
    """A store that accepts a lock and drops it, as some do."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__("file:///", token)

    def path(self, url: str) -> str:
        return "/" + url.partition("://")[2].partition("/")[2]

    def failure_domain(self, url: str) -> str:
        return failure_domain(url)

    def require_locks(self, url: str) -> None:
        """It says that it can lock, even when it drops the locks."""

    def lock_of(self, url: str) -> Lock | None:
        return self.locks.get(Path(self.path(url)))

    def ensure_lock(self, url: str, lock: Lock) -> Lock:
        """Set what got lost on the way, as S3 does, and read it back."""
        found = self.lock_of(url)
        if found is None or found.lacks(lock):
            self.set_lock(url, lock)
        return super().ensure_lock(url, lock)

    def create_bytes(self, url: str, data: bytes, *, durable: bool = False, lock: Lock | None = None) -> bool:
        created = super().create_bytes(url, data, durable=durable)
        if created:
            self.set_lock(url, lock)
        return created

    def replace_bytes(self, url: str, data: bytes, *, durable: bool = False) -> None:
        self._refuse_locked(url)
        super().replace_bytes(url, data, durable=durable)

    def rename_no_replace(self, source: str, target: str) -> None:
        self._refuse_locked(source)
        super().rename_no_replace(source, target)

    def remove(self, url: str) -> None:
        self._refuse_locked(url)
        super().remove(url)

    def set_lock(self, url: str, lock: Lock | None) -> None:
        if lock is not None and not self.ignores_locks:
            self.locks[Path(self.path(url))] = lock

    def _start_locked_upload(self, url: str, size: int, lock: Lock) -> Upload:
        return VaultUpload(self, url, size, lock)

    def _refuse_locked(self, url: str) -> None:
        if self.lock_of(url) is not None:
            raise StorageError(f"{url} is locked.")


class VaultUpload(LocalUpload):
    """An upload whose object is locked as it gets its name."""

    def __init__(self, store: VaultStore, url: str, size: int, lock: Lock) -> None:
        super().__init__(store, url, size)
        self._vault, self._lock_wanted = store, lock

    def publish(self) -> ObjectInfo | None:
        info = super().publish()
        self._vault.set_lock(self.url, self._lock_wanted)
        return info


def open_vaults() -> None:
    """Let destinations name the scheme."""
    register_store(SCHEME, VaultStore)


def shown_lock(path: Path) -> Any:
    """The lock of a file as the store shows it: mode and end; None for none."""
    lock = VaultStore.locks.get(path)
    return None if lock is None else (lock.mode, lock.retain_until)
