"""Putting aside what cannot be relied on, under a name that says so: nothing is ever overwritten or removed."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import pendulum

if TYPE_CHECKING:
    from airflow_provider_iinked.storage.store import ObjectIdentity, Store

SET_ASIDE: Final = ".set-aside-"
"""What stands in the name of an object that was put aside."""

log = logging.getLogger(__name__)


def set_aside(store: Store, url: str, reason: str, *, judged: ObjectIdentity | None) -> bool:
    """
    Give an object that cannot be relied on a name that says so, unless another lies there by now.

    :param store: the storage.
    :param url: the object.
    :param reason: why, for the log.
    :param judged: what lay there when it was found wanting; None for nothing.
    :return: False when something else lies there now, which nobody has found wanting; nothing is moved then.
    :raises StorageError: when it cannot be moved.
    """
    if store.mark(url) != judged:
        log.warning("%s changed while it was looked at; another run is at work there.", url)
        return False
    if judged is None:
        return True
    target = f"{url}{SET_ASIDE}{pendulum.now('UTC').format('YYYYMMDDTHHmmss')}Z-{os.urandom(8).hex()}"
    store.move(url, target)
    log.warning("Set aside %s as %s: %s.", url, target, reason)
    return True
