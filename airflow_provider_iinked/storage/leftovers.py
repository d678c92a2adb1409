"""Temporary names of killed runs: this run's own are removed at once, those of others when they are a day old."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.layout import NO_RUN, Entry, Kind, parse
from airflow_provider_iinked.storage.url import join

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.base import Store

STALE_AFTER: Final = 86400.0

log = logging.getLogger(__name__)


def remove_stale_temp_files(store: Store, folder: str, names: Sequence[str] | None = None) -> None:
    """
    Remove what killed runs left in a folder. What cannot be removed is left, with a warning.

    :param store: the storage; its token says which temporary names are this run's own.
    :param folder: the folder to look through.
    :param names: the names in it, where they were listed a moment ago.
    """
    try:
        found = store.list_names(folder) if names is None else names
        entries = [entry for entry in map(parse, found) if entry and entry.kind is Kind.TEMPORARY]
    except StorageError as error:
        log.warning("%s", error)
        return
    for entry in entries:
        url = join(folder, entry.name)
        try:
            if _is_own(store, entry) or _age(store, url) > STALE_AFTER:
                store.remove_temporary(url)
        except (OSError, StorageError) as error:
            log.warning("Left the temporary file %s in place: %s", url, type(error).__name__)


def _is_own(store: Store, entry: Entry) -> bool:
    """Work outside a Dag run shares one token; only on a disk does a lock tell which of it is alive."""
    return entry.token == store.token and (store.on_worker_disk or store.token != NO_RUN)


def _age(store: Store, url: str) -> float:
    """Seconds since an object was written; 0 where the store does not say."""
    info = store.info(url)
    return 0.0 if info is None or info.modified is None else time.time() - info.modified
