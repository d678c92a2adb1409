"""What killed runs left under temporary names: this run's own is removed at once, strangers' when it is a day old."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage import local
from airflow_provider_iinked.storage.url import join

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.store import Store

ADHOC: Final = "adhoc"
"""Token of work that is no task of a Dag run."""
TEMPORARY: Final = ".part"
STRANGERS_LITTER_AGE: Final = 86400.0

log = logging.getLogger(__name__)


def sweep(store: Store, folder: str) -> None:
    """
    Remove what killed runs left in a folder. What cannot be removed is left for another day.

    :param store: the storage; its token says which litter is this run's own.
    :param folder: the folder to look through.
    """
    try:
        litter = [name for name in store.list_names(folder) if name.endswith(TEMPORARY)]
    except StorageError as error:
        log.warning("%s", error)
        return
    for name in litter:
        url = join(folder, name)
        try:
            own = f".{store.token}-" in name and (store.is_local or store.token != ADHOC)
            if own or _age(store, url) > STRANGERS_LITTER_AGE:
                _remove(store, url)
        except (OSError, StorageError) as error:
            log.warning("Left the temporary file %s where it is: %s", url, type(error).__name__)


def _remove(store: Store, url: str) -> None:
    if store.is_local:
        local.remove_if_abandoned(store.path(url))
    elif store.is_s3:
        from airflow_provider_iinked.storage.s3 import abort_marked

        abort_marked(store, url)
    else:
        store.remove(url)


def _age(store: Store, url: str) -> float:
    """Seconds since an object was written; 0 where the store does not tell."""
    info = store.info(url) or {}
    written = info.get("mtime") or info.get("LastModified") or info.get("last_modified") or info.get("updated")
    if isinstance(written, datetime):
        return time.time() - written.timestamp()
    return time.time() - written if isinstance(written, (int, float)) else 0.0
