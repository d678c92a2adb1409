"""Counters and gauges through Airflow's own Stats (StatsD or OpenTelemetry, as Airflow is configured)."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Final

log = logging.getLogger(__name__)

POLLS: Final = "polls"
"""Requests of sensors and triggers for a package's list."""
VIDEOS_COPIED: Final = "videos_copied"
"""Recordings copied and verified by a task; not those whose copies were there already."""
BYTES_COPIED: Final = "bytes_copied"
"""Bytes of these copies."""
VIDEOS_DELETED: Final = "videos_deleted"
"""Recordings that a task deleted, or found gone when it came to delete them."""
VIDEOS_REFUSED: Final = "videos_refused"
"""Recordings that a task was asked to delete and kept, or whose deletion could not be confirmed."""
RETENTION_WITHIN_DAYS: Final = "retention_within_days"
"""A gauge: recordings that are archived and whose retention ends within 7 days, of the packages last listed."""


def count(name: str, value: int = 1, *, in_triggerer: bool = False) -> None:
    """
    Add to the counter ``iinked_sign.<name>``. Never fails: a lost count must not stop a task.

    :param name: one of this module's names.
    :param value: how much to add; nothing is sent for 0.
    :param in_triggerer: whether a trigger counts: Airflow 3.3 has two sets of Stats, and a triggerer sets up the one
        that tasks do not use.
    """
    if value <= 0:
        return
    try:
        _stats(in_triggerer).incr(f"iinked_sign.{name}", value)
    except Exception:
        log.debug("The counter %s was not sent.", name, exc_info=True)


def gauge(name: str, value: int) -> None:
    """
    Set the gauge ``iinked_sign.<name>``. Never fails: a lost value must not stop a task.

    :param name: one of this module's names.
    :param value: the value.
    """
    try:
        _stats(False).gauge(f"iinked_sign.{name}", value)
    except Exception:
        log.debug("The gauge %s was not sent.", name, exc_info=True)


@cache
def _stats(in_triggerer: bool) -> Any:
    if in_triggerer:
        with suppress(ImportError):
            return import_module("airflow.observability.stats").Stats
    from airflow.providers.common.compat.sdk import Stats

    return Stats
