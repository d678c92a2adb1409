"""Quarantine: what cannot be relied on gets a name that says so; nothing is ever overwritten or removed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.layout import quarantined

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.base import Store
    from airflow_provider_iinked.storage.object_info import ObjectIdentity

log = logging.getLogger(__name__)


def quarantine(store: Store, url: str, reason: str, *, seen: ObjectIdentity | None) -> bool:
    """
    Rename an object that cannot be relied on, unless another lies there by now.

    :param store: the storage.
    :param url: the object.
    :param reason: why, for the log.
    :param seen: what lay there when the check failed; None for nothing.
    :return: False when something else lies there now, which nobody has checked; nothing is renamed then.
    :raises StorageError: when it cannot be renamed.
    """
    if store.identity(url) != seen:
        log.warning("%s changed during the check; another run is writing to it.", url)
        return False
    if seen is None:
        return True
    target = quarantined(url, pendulum.now("UTC"))
    try:
        store.rename_no_replace(url, target)
    except FileExistsError:
        raise StorageError(f"{target} is taken; {url} stays in place. Clearing the task is safe.") from None
    log.warning("Quarantined %s as %s: %s.", url, target, reason)
    return True
