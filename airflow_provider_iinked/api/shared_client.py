"""Which waits share a client: those of one event loop with the same settings. The last one closes it."""

from __future__ import annotations

import asyncio
import ssl
from weakref import WeakKeyDictionary

from airflow_provider_iinked.api.async_client import AsyncClient
from airflow_provider_iinked.api.network import Route, find_route
from airflow_provider_iinked.api.rate_limit import RateLimiter
from airflow_provider_iinked.api.settings import ApiSettings


class SharedClient:
    """
    One wait's share of a client.

    :param client: the client.
    """

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._released = False

    async def release(self) -> None:
        """Give the share back; the last one closes the client. Calling it again does nothing."""
        if self._released:
            return
        self._released = True
        await _release(self.client)


class _Registry:
    """The clients of one event loop, how many waits share each, and pauses that outlast their client."""

    def __init__(self) -> None:
        self.shares: dict[ApiSettings, tuple[AsyncClient, int]] = {}
        self._pauses: dict[ApiSettings, RateLimiter] = {}
        self._preparing: dict[ApiSettings, asyncio.Task[tuple[Route, ssl.SSLContext | None]]] = {}

    def prepare(self, settings: ApiSettings) -> asyncio.Task[tuple[Route, ssl.SSLContext | None]]:
        """Find the way to the API, once for all waits that start together."""

        def done(task: asyncio.Task[tuple[Route, ssl.SSLContext | None]]) -> None:
            del self._preparing[settings]
            if not task.cancelled():
                task.exception()  # asking for it keeps asyncio from complaining about one that nobody waited for

        task = self._preparing.get(settings)
        if task is None:
            task = self._preparing[settings] = asyncio.create_task(asyncio.to_thread(_prepare, settings))
            task.add_done_callback(done)
        return task

    def open(self, settings: ApiSettings, route: Route, tls: ssl.SSLContext | None) -> AsyncClient:
        """Open a client, under the pause that its predecessor keeps, if that still holds."""
        now = asyncio.get_running_loop().time()
        self._pauses = {key: limiter for key, limiter in self._pauses.items() if limiter.is_paused(now)}
        return AsyncClient(settings, route=route, tls=tls, limiter=self._pauses.pop(settings, None))

    def keep_pause(self, client: AsyncClient) -> None:
        """Keep the pause of a client that is closed."""
        if client.limiter.is_paused(client.loop.time()):
            self._pauses[client.settings] = client.limiter


_registries: WeakKeyDictionary[asyncio.AbstractEventLoop, _Registry] = WeakKeyDictionary()


async def acquire(settings: ApiSettings) -> SharedClient:
    """
    Share the client of this event loop and these settings.

    :param settings: where to, with which credential, how patiently.
    :return: the share; release it.
    :raises ConnectionSettingsError: for a proxy or CA bundle of the environment that cannot be used.
    """
    registry = _registries.setdefault(asyncio.get_running_loop(), _Registry())
    if settings not in registry.shares:
        route, tls = await asyncio.shield(registry.prepare(settings))
        # No await from here on: whoever is cancelled has either a share or nothing.
        if settings not in registry.shares:
            registry.shares[settings] = (registry.open(settings, route, tls), 0)
    client, count = registry.shares[settings]
    registry.shares[settings] = (client, count + 1)
    return SharedClient(client)


async def _release(client: AsyncClient) -> None:
    registry = _registries.get(client.loop)
    shared, count = registry.shares.get(client.settings, (None, 0)) if registry else (None, 0)
    if registry is None or shared is not client:
        return
    if count > 1:
        registry.shares[client.settings] = (client, count - 1)
        return
    del registry.shares[client.settings]
    registry.keep_pause(client)
    await client.close()


def _prepare(settings: ApiSettings) -> tuple[Route, ssl.SSLContext | None]:
    """Read certificates and the system's settings, in a thread: it takes milliseconds."""
    route = find_route(settings.api_base)
    return route, route.tls_context() if settings.api_base.startswith("https://") else None


def open_clients() -> int:
    """
    Count the clients of this event loop that are open, for tests and for the curious.

    :return: how many.
    """
    registry = _registries.get(asyncio.get_running_loop())
    return len(registry.shares) if registry else 0
