"""
The transport for the triggerer: aiohttp, one client for all waits of a connection, no redirects.

Waits lease the client of their event loop and settings; the last one to leave closes it. Nothing here raises anything
but the errors of :mod:`airflow_provider_iinked.exceptions` and what cancels a task.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
import ssl
import time
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from yarl import URL

from airflow_provider_iinked import __version__
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.errors import no_response_error
from airflow_provider_iinked.api.poll_schedule import PollSchedule, Slot
from airflow_provider_iinked.api.retries import RetryBudget, backoff, is_retryable
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.exceptions import (
    IinkedSignError,
    UnexpectedAnswerError,
)

USER_AGENT: Final = f"airflow-provider-iinked/{__version__}"
MAX_SOCKETS: Final = 64
"""Requests of one connection in flight at a time; 64 carry 320 polls a second at 200 ms each."""
MAX_BODY: Final = 16 << 20
"""Bytes. Parsing stops the event loop, so a longer answer is refused unread."""
_GRACE: Final = 30.0
_MOST_READS: Final = 10
_LONGEST_LINE: Final = 65_536

log = logging.getLogger(__name__)


class AsyncClient:
    """
    Carry out the protocol's requests over one pooled session of one event loop. Get it by :func:`lease`.

    :param settings: where to, with which credential, how patiently.
    :param tls: the TLS context, built outside the event loop; None for plain http.
    :param gate: the timetable; one that is still holding back goes on doing so.
    """

    def __init__(
        self, settings: ApiSettings, *, tls: ssl.SSLContext | None = None, gate: PollSchedule | None = None
    ) -> None:
        self.settings = settings
        self.gate = gate or PollSchedule(settings.max_requests_per_second)
        self.loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(MAX_SOCKETS)
        self._too_many = 0
        # Settled once: with trust_env, proxies and .netrc would be looked up again for each request.
        self._proxy = select_proxy(settings.api_base, get_environ_proxies(settings.api_base))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_SOCKETS, ssl=tls or True, resolver=aiohttp.ThreadedResolver(), keepalive_timeout=60
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                settings.auth_header[0]: settings.auth_header[1],
            },
            # The clocks are in _request: aiohttp's own cost a timer for each read, a third of all that a poll costs.
            timeout=aiohttp.ClientTimeout(),
            # As http.client takes; a proxy's policies can be longer than aiohttp's 8 KiB.
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )

    def prepare(self, request: protocol.Request) -> URL:
        """
        Make a request's address once, for a poll that is repeated often.

        :param request: the request.
        :return: the address.
        """
        return URL(f"{self.settings.api_base}{request.path}")

    async def poll(self, request: protocol.Request, url: URL, seat: Slot, deadline: float) -> protocol.Response | None:
        """
        Ask once, at the seat's next point; at the deadline when that comes first.

        :param request: the request.
        :param url: its address, from :meth:`prepare`.
        :param seat: the wait's seat.
        :param deadline: the event loop's time after which there is nothing left to ask.
        :return: the answer, whatever its status; None when a pause lasts beyond the deadline.
        :raises IinkedSignError: when there was no answer.
        """
        while True:
            due = self.gate.next_slot(seat, self.loop.time())
            if due > deadline:
                await sleep_until(self.loop, min(due, deadline))
                if self.gate.is_held(self.loop.time()):
                    return None
            else:
                await sleep_until(self.loop, due)
            answer = await self._ask_unless_held(request, url, deadline + _GRACE)
            if answer is not None:
                return answer
            if self.loop.time() >= deadline:
                return None

    async def send(self, request: protocol.Request, *, max_retries: int | None = None) -> dict[str, Any]:
        """
        Send a request and return the JSON object of its answer.

        :param request: the call.
        :param max_retries: how often to try again; the connection's setting where it is None.
        :return: the JSON object.
        :raises IinkedSignError: what is wrong, when no further try is allowed.
        """
        patience = RetryBudget(self.settings.max_retries if max_retries is None else max_retries)
        while True:
            try:
                return protocol.read_answer(
                    request, await self._ask(request), secret=self.settings.secret, now=time.time()
                )
            except IinkedSignError as error:
                wait = patience.wait_after(error) if is_retryable(request, error) else None
                if wait is None:
                    raise
                log.warning(
                    "%s Trying again in %.1f s (%d of %d).", error, wait, patience.failures, patience.max_retries
                )
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Close the session's sockets."""
        await self._session.close()

    async def _ask(self, request: protocol.Request) -> protocol.Response:
        """Ask as soon as the gate lets it."""
        url = self.prepare(request)
        while True:
            if self.gate.is_held(self.loop.time()):
                # Whoever was held back returns within a second, not at one moment.
                await sleep_until(self.loop, self.gate.hold_until + random.random())  # noqa: S311 - spreads load
            answer = await self._ask_unless_held(request, url, None)
            if answer is not None:
                return answer

    async def _ask_unless_held(
        self, request: protocol.Request, url: URL, latest: float | None
    ) -> protocol.Response | None:
        """Ask below the ceiling of requests a second; None when a pause, or the latest moment, came before that."""
        now = self.loop.time()
        if self.gate.is_held(now):
            return None
        leave = self.gate.reserve(now)
        if leave > now:
            await sleep_until(self.loop, leave if latest is None else min(leave, latest))
            if latest is not None and leave > latest:
                return None
        async with self._places:
            if self.gate.is_held(self.loop.time()):
                return None
            response = await self._exchange(request, url, latest)
        self._heed(response)
        return response

    async def _exchange(self, request: protocol.Request, url: URL, latest: float | None) -> protocol.Response:
        near = latest is not None and latest - self.loop.time() < _MOST_READS * self.settings.timeout
        try:
            if not near:
                return await self._request(request, url)
            async with asyncio.timeout_at(latest):
                return await self._request(request, url)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise transport_error(request, self.settings.api_base, error) from None

    async def _request(self, request: protocol.Request, url: URL) -> protocol.Response:
        """Ask, as patiently as on a worker: so long for the head of the answer, and for each further read."""
        headers = None if request.body is None else {"Content-Type": "application/json"}
        until = self.loop.time() + _MOST_READS * self.settings.timeout
        async with asyncio.timeout(self.settings.timeout):
            answer = await self._session.request(
                request.method, url, data=request.body, headers=headers, allow_redirects=False, proxy=self._proxy
            )
        async with answer:
            return protocol.Response(answer.status, answer.headers, await self._read(request, answer.content, until))

    async def _read(self, request: protocol.Request, content: aiohttp.StreamReader, until: float) -> bytes:
        pieces, size = [], 0
        while not content.at_eof():
            if content.is_eof():
                piece = await content.readany()  # what came along with the head needs no clock
            else:
                async with asyncio.timeout_at(min(until, self.loop.time() + self.settings.timeout)):
                    piece = await content.readany()
            size += len(piece)
            if size > MAX_BODY:
                raise UnexpectedAnswerError(f"Could not {request.name}: the answer is longer than {MAX_BODY} bytes.")
            pieces.append(piece)
        return b"".join(pieces)

    def _heed(self, response: protocol.Response) -> None:
        """Hold everybody back for as long as the service asks."""
        if response.status == 200:
            self._too_many = 0
            return
        if response.status != 429 and response.status < 500:
            return
        wait = protocol.retry_after(response.headers, time.time())
        if wait is None and response.status == 429:
            self._too_many += 1
            wait = backoff(self._too_many)
        if wait is not None:
            self.gate.hold(self.loop.time() + wait)


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
        await _leave(self.client)


class _Registry:
    """The clients of one event loop, how many waits share each, and pauses that outlast their client."""

    def __init__(self) -> None:
        self.shares: dict[ApiSettings, tuple[AsyncClient, int]] = {}
        self.pauses: dict[ApiSettings, PollSchedule] = {}


_registries: WeakKeyDictionary[asyncio.AbstractEventLoop, _Registry] = WeakKeyDictionary()


async def lease(settings: ApiSettings) -> SharedClient:
    """
    Share the client of this event loop and these settings.

    :param settings: where to, with which credential, how patiently.
    :return: the share; release it.
    """
    tls = None
    if settings.api_base.startswith("https://"):
        tls = await asyncio.to_thread(_tls_context, _ca_bundle())
    # No await from here on: whoever is cancelled has either a lease or nothing.
    loop = asyncio.get_running_loop()
    registry = _registries.setdefault(loop, _Registry())
    registry.pauses = {key: gate for key, gate in registry.pauses.items() if gate.is_held(loop.time())}
    client, count = registry.shares.get(settings, (None, 0))
    if client is None:
        client = AsyncClient(settings, tls=tls, gate=registry.pauses.pop(settings, None))
    registry.shares[settings] = (client, count + 1)
    return SharedClient(client)


async def _leave(client: AsyncClient) -> None:
    registry = _registries.get(client.loop)
    shared, count = registry.shares.get(client.settings, (None, 0)) if registry else (None, 0)
    if registry is None or shared is not client:
        return
    if count > 1:
        registry.shares[client.settings] = (client, count - 1)
        return
    del registry.shares[client.settings]
    if client.gate.is_held(client.loop.time()):
        registry.pauses[client.settings] = client.gate
    await client.close()


def open_clients() -> int:
    """
    Count the clients of this event loop that are open, for tests and for the curious.

    :return: how many.
    """
    registry = _registries.get(asyncio.get_running_loop())
    return len(registry.shares) if registry else 0


async def sleep_until(loop: asyncio.AbstractEventLoop, due: float) -> None:
    """
    Sleep until a moment. Waits that are due at the same one wake in one turn of the event loop.

    :param loop: the running event loop.
    :param due: a moment of its clock.
    """
    if due <= loop.time():
        await asyncio.sleep(0)
        return
    alarm: asyncio.Future[None] = loop.create_future()
    timer = loop.call_at(due, _ring, alarm)
    try:
        await alarm
    finally:
        timer.cancel()


def _ring(alarm: asyncio.Future[None]) -> None:
    if not alarm.done():
        alarm.set_result(None)


def _ca_bundle() -> str:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH


@functools.lru_cache(maxsize=4)
def _tls_context(bundle: str) -> ssl.SSLContext:
    """Trust what the transport for workers trusts."""
    if os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


def transport_error(request: protocol.Request, api_base: str, error: BaseException) -> IinkedSignError:
    """
    Turn an error of aiohttp into one of ours, without its text (it would hold the URL).

    :param request: what was being sent.
    :param api_base: where to.
    :param error: what aiohttp raised.
    :return: the error to raise.
    """
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error  # it is a connector's error too, but has no cause of one before aiohttp 3.14
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    sent = not isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL))
    return no_response_error(request, api_base, cause, sent=sent)
