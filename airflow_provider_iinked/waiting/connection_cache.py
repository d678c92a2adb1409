"""A trigger's way to the API: the connection read without blocking the event loop, the client shared by all."""

from __future__ import annotations

import asyncio
import random
from typing import Final
from weakref import WeakKeyDictionary

from airflow_provider_iinked.api import async_client as aio
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.exceptions import IinkedSignError, ServiceUnavailableError
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

FRESH: Final = 10.0
"""Seconds for which waits that start together share one reading of their connection."""
SPREAD: Final = 0.25
"""Seconds over which those go on that waited for the same reading."""


class TriggerClient:
    """
    The settings and the leased client of one trigger.

    :param conn_id: the Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self._lease: aio.SharedClient | None = None

    @property
    def is_open(self) -> bool:
        """Whether a client is leased."""
        return self._lease is not None

    async def open(self) -> aio.AsyncClient:
        """
        Return the client; the connection is read for the first call only.

        :return: the client.
        :raises ConnectionSettingsError: when the connection cannot be used.
        :raises ServiceUnavailableError: when it could not be read; a retry may help.
        """
        if self._lease is None:
            loop = asyncio.get_running_loop()
            settings = await read_connection(self.conn_id, not_before=loop.time() - FRESH)
            self._lease = await aio.lease(settings)
        return self._lease.client

    async def renew(self, refused_at: float) -> bool:
        """
        Read the connection once more after the key was refused, since it may have been rotated.

        :param refused_at: the event loop's time when the refusal came; an older reading may miss the rotation.
        :return: whether there is another key now; :meth:`open` returns the client for it.
        :raises IinkedSignError: as :meth:`open`.
        """
        refused = self._lease.client.settings.auth_header if self._lease is not None else None
        settings = await read_connection(self.conn_id, not_before=refused_at, refused=refused)
        if settings.auth_header == refused:
            return False
        lease = await aio.lease(settings)
        # Taken before the other is given back: whoever is cancelled meanwhile gives this one back by close().
        former, self._lease = self._lease, lease
        if former is not None:
            await former.release()
        return True

    async def close(self) -> None:
        """Give the client back. Calling it again does nothing."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await lease.release()


class _Reading:
    """One reading of a connection: under way, or what it gave. A finished task would keep its event loop alive."""

    def __init__(self, conn_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self.begun = loop.time()
        self.settings: ApiSettings | None = None
        # A task of its own: the trigger that asked first may be cancelled, the others still want to know.
        self.task: asyncio.Task[ApiSettings] | None = loop.create_task(_read(conn_id))
        self.task.add_done_callback(self._done)

    def serves(self, not_before: float, refused: tuple[str, str] | None) -> bool:
        """Tell whether it is recent enough, or knows another credential than the one that was refused."""
        if self.settings is None:
            return self.task is not None and self.begun >= not_before
        return self.begun >= not_before or (refused is not None and self.settings.auth_header != refused)

    def _done(self, task: asyncio.Task[ApiSettings]) -> None:
        self.task = None
        # Asking for the exception keeps asyncio from complaining about one that nobody waited for.
        if not task.cancelled() and task.exception() is None:
            self.settings = task.result()


_readings: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Reading]] = WeakKeyDictionary()


async def read_connection(conn_id: str, *, not_before: float, refused: tuple[str, str] | None = None) -> ApiSettings:
    """
    Read an Airflow connection. A thousand triggers that ask together cause one reading.

    :param conn_id: the connection.
    :param not_before: the event loop's time before which a reading is too old.
    :param refused: a credential that was refused: a reading that gave another one is never too old.
    :return: its settings.
    :raises ConnectionSettingsError: when the connection cannot be used.
    :raises ServiceUnavailableError: when it could not be read; a retry may help.
    """
    loop = asyncio.get_running_loop()
    readings = _readings.setdefault(loop, {})
    reading = readings.get(conn_id)
    waited = False
    if refused is not None and reading is not None and reading.task is not None:
        # One under way may tell the new credential, however early it began: no reading for each refusal meanwhile.
        await asyncio.wait([reading.task])
        waited, reading = True, readings.get(conn_id)
    if reading is None or not reading.serves(not_before, refused):
        reading = readings[conn_id] = _Reading(conn_id, loop)
    settings = reading.settings
    if settings is None:
        task = reading.task
        settings = await (asyncio.shield(task) if task is not None else _read(conn_id))
        waited = True
    if waited:
        # All that waited wake in one turn of the event loop; going on one after the other, they do not hold it up.
        await asyncio.sleep(random.random() * SPREAD)  # noqa: S311 - spreads load, guards nothing
    return settings


async def _read(conn_id: str) -> ApiSettings:
    try:
        return await IinkedSignHook(conn_id).aget_settings()
    except IinkedSignError:
        raise
    except Exception as error:
        # The text of a backend's error may hold what was looked up.
        raise ServiceUnavailableError(
            f"The Airflow connection {conn_id} could not be read ({type(error).__name__}). A retry may help.",
            sent=False,
        ) from None
