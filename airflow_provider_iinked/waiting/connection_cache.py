"""
A trigger's way to the API: the connection is read without blocking the event loop, once for all waits that start
together, and the client is shared by all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakKeyDictionary

from airflow_provider_iinked.api.async_client import AsyncClient
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.api.shared_client import SharedClient, acquire
from airflow_provider_iinked.exceptions import IinkedSignError, ServiceUnavailableError

ReadSettings = Callable[[str], Awaitable[ApiSettings]]
"""Reads an Airflow connection by its id, without blocking the event loop."""

FRESH: Final = 10.0
"""Seconds for which waits that start together share one read of their connection."""
SPREAD: Final = 0.25
"""Seconds over which those go on that waited for the same read."""


class TriggerClient:
    """
    The settings and the shared client of one trigger.

    :param conn_id: the Airflow connection.
    :param read_settings: reads it.
    """

    def __init__(self, conn_id: str, read_settings: ReadSettings) -> None:
        self.conn_id = conn_id
        self._read_settings = read_settings
        self._shared: SharedClient | None = None

    async def open(self) -> AsyncClient:
        """
        Return the client; the connection is read for the first call only.

        :return: the client.
        :raises ConnectionSettingsError: when the connection cannot be used.
        :raises ServiceUnavailableError: when it could not be read; a retry may help.
        """
        if self._shared is None:
            now = asyncio.get_running_loop().time()
            settings = await read_connection(self.conn_id, self._read_settings, not_before=now - FRESH)
            shared = await acquire(settings)
            if self._shared is None:
                self._shared = shared
            else:  # several packages of one trigger opened it at a time
                await shared.release()
        return self._shared.client

    async def renew(self, refused: AsyncClient) -> bool:
        """
        Read the connection once more after the key was refused, since it may have been rotated.

        :param refused: the client whose key was refused.
        :return: whether there is another key now; :meth:`open` returns the client for it.
        :raises IinkedSignError: as :meth:`open`.
        """
        key = refused.settings.auth_header
        settings = await read_connection(
            self.conn_id, self._read_settings, not_before=asyncio.get_running_loop().time(), refused=key
        )
        if settings.auth_header == key:
            return False
        if self._shared is not None and self._shared.client.settings == settings:
            return True  # another package of this trigger was quicker
        shared = await acquire(settings)
        # Taken before the other is given back: whoever is cancelled meanwhile gives this one back by close().
        former, self._shared = self._shared, shared
        if former is not None:
            await former.release()
        return True

    async def close(self) -> None:
        """Give the client back. Calling it again does nothing."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.release()


class _PendingRead:
    """One read of a connection: under way, or what it gave. A finished task would keep its event loop alive."""

    def __init__(self, conn_id: str, read: ReadSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.begun = loop.time()
        self.settings: ApiSettings | None = None
        # A task of its own: the trigger that asked first may be cancelled, the others still want to know.
        self.task: asyncio.Task[ApiSettings] | None = loop.create_task(_read(conn_id, read))
        self.task.add_done_callback(self._done)

    def serves(self, not_before: float, refused: tuple[str, str] | None) -> bool:
        """Check whether it is recent enough, or knows another credential than the one that was refused."""
        if self.settings is None:
            return self.task is not None and self.begun >= not_before
        return self.begun >= not_before or (refused is not None and self.settings.auth_header != refused)

    def _done(self, task: asyncio.Task[ApiSettings]) -> None:
        self.task = None
        # Asking for the exception keeps asyncio from complaining about one that nobody waited for.
        if not task.cancelled() and task.exception() is None:
            self.settings = task.result()


_reads: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _PendingRead]] = WeakKeyDictionary()


async def read_connection(
    conn_id: str, read: ReadSettings, *, not_before: float, refused: tuple[str, str] | None = None
) -> ApiSettings:
    """
    Read an Airflow connection. A thousand triggers that ask together cause one read.

    :param conn_id: the connection.
    :param read: reads it.
    :param not_before: the event loop's time before which a read is too old.
    :param refused: a credential that was refused: a read that gave another one is never too old.
    :return: its settings.
    :raises ConnectionSettingsError: when the connection cannot be used.
    :raises ServiceUnavailableError: when it could not be read; a retry may help.
    """
    loop = asyncio.get_running_loop()
    reads = _reads.setdefault(loop, {})
    pending = reads.get(conn_id)
    waited = False
    if refused is not None and pending is not None and pending.task is not None:
        # One under way may give the new credential, however early it began: no further one for each refusal.
        await asyncio.wait([pending.task])
        waited, pending = True, reads.get(conn_id)
    if pending is None or not pending.serves(not_before, refused):
        pending = reads[conn_id] = _PendingRead(conn_id, read, loop)
    settings = pending.settings
    if settings is None:
        task = pending.task
        settings = await (asyncio.shield(task) if task is not None else _read(conn_id, read))
        waited = True
    if waited:
        # All that waited wake in one turn of the event loop; going on one after the other, they do not hold it up.
        await asyncio.sleep(random.random() * SPREAD)  # noqa: S311 - spreads load, guards nothing
    return settings


async def _read(conn_id: str, read: ReadSettings) -> ApiSettings:
    try:
        return await read(conn_id)
    except IinkedSignError:
        raise
    except Exception as error:
        # The text of a backend's error may hold what was looked up.
        raise ServiceUnavailableError(
            f"The Airflow connection {conn_id} could not be read ({type(error).__name__}). A retry may help.",
            sent=False,
        ) from None
