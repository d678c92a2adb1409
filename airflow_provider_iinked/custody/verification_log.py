"""
When each package was verified last, so that a budgeted verification goes on with the one that waits longest.

It is one object below the destination, a convenience and no evidence: without it every package counts as never
verified.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import pendulum

from airflow_provider_iinked.storage import Store
from airflow_provider_iinked.storage.layout import VERIFICATION_LOG
from airflow_provider_iinked.storage.url import join

FORMAT: Final = 1
_SAVE_EVERY: Final = 60.0


class VerificationLog:
    """
    The last verification of each package.

    :param store: the storage.
    :param destination: URL below which the packages' folders lie.
    """

    def __init__(self, store: Store, destination: str) -> None:
        self._store = store
        self._url = join(destination, VERIFICATION_LOG)
        self._times = self._load()
        self._saved_at = time.monotonic()

    def oldest_first(self, packages: Iterable[str]) -> list[str]:
        """
        Sort packages by how long ago they were verified.

        :param packages: their ids.
        :return: first those that never were, then by time.
        """
        return sorted(packages, key=lambda package_id: (self._times.get(package_id, ""), package_id))

    def note(self, package_id: str) -> None:
        """
        Note that a package has been verified just now; saved once a minute.

        :param package_id: the package.
        """
        self._times[package_id] = pendulum.now("UTC").isoformat()
        if time.monotonic() - self._saved_at >= _SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """
        Save it.

        :raises StorageError: when it cannot be written.
        """
        self._store.replace_json(self._url, {"format": FORMAT, "verified_at": self._times})
        self._saved_at = time.monotonic()

    def _load(self) -> dict[str, str]:
        _, value = self._store.read_json(self._url)
        times = value.get("verified_at") if isinstance(value, dict) and value.get("format") == FORMAT else None
        known = times if isinstance(times, dict) else {}
        return {package: at for package, at in known.items() if isinstance(at, str)}
