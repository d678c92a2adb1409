"""Putting aside what cannot be relied on, under a name that says so: nothing is ever overwritten or removed."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import pendulum

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.store import Store

SET_ASIDE: Final = ".set-aside-"
"""What stands in the name of an object that was put aside."""

log = logging.getLogger(__name__)


def set_aside(store: Store, url: str, reason: str) -> None:
    """
    Give an object that cannot be relied on a name that says so.

    :param store: the storage.
    :param url: the object; nothing happens when it does not exist.
    :param reason: why, for the log.
    :raises StorageError: when it cannot be moved.
    """
    if store.info(url) is None:
        return
    target = f"{url}{SET_ASIDE}{pendulum.now('UTC').format('YYYYMMDDTHHmmss')}Z-{os.urandom(2).hex()}"
    store.move(url, target)
    log.warning("Set aside %s as %s: %s.", url, target, reason)
