"""
The transport for the triggerer: aiohttp, one client for all waits of a connection, no redirects.

Get a client by :func:`airflow_provider_iinked.api.shared_client.acquire`. Nothing here raises anything but the errors
of :mod:`airflow_provider_iinked.exceptions` and what cancels a task.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from typing import Any, Final

import aiohttp
from yarl import URL

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.errors import no_response_error
from airflow_provider_iinked.api.network import JSON_BODY, MAX_BODY, MAX_IDLE, Route, api_headers, require_async_proxy
from airflow_provider_iinked.api.poll_schedule import PollSchedule, Slot
from airflow_provider_iinked.api.rate_limit import RateLimiter
from airflow_provider_iinked.api.retries import MAX_READS, AnswerClock, RetryLoop, backoff
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.exceptions import IinkedSignError, UnexpectedAnswerError

MAX_SOCKETS: Final = 64
"""Requests of one connection in flight at a time; 64 carry 320 polls a second at 200 ms each."""
_GRACE: Final = 30.0
_MAX_LINE: Final = 65_536


class AsyncClient:
    """
    Carry out the protocol's requests over one pooled session of one event loop.

    :param settings: where to, with which credential, how patiently.
    :param route: proxy and CA bundle on the way.
    :param tls: the TLS context, built outside the event loop; None for plain http.
    :param limiter: ceiling and pauses; one that is still paused stays so.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        route: Route,
        tls: ssl.SSLContext | None = None,
        limiter: RateLimiter | None = None,
    ) -> None:
        self.settings = settings
        self.limiter = limiter or RateLimiter(settings.max_requests_per_second)
        self.schedule = PollSchedule(self.limiter)
        self.loop = asyncio.get_running_loop()
        self._semaphore = asyncio.Semaphore(MAX_SOCKETS)
        self._too_many = 0
        self._route = route
        self._proxy = require_async_proxy(route)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_SOCKETS, ssl=tls or True, resolver=aiohttp.ThreadedResolver(), keepalive_timeout=MAX_IDLE
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=api_headers(settings),
            # The clocks are in _request: aiohttp's own cost a timer for each read, a third of all that a poll costs.
            timeout=aiohttp.ClientTimeout(),
            # As http.client takes; a proxy's policies can be longer than aiohttp's 8 KiB.
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
        )

    def prepare(self, request: protocol.Request) -> URL:
        """
        Make a request's address once, for a poll that is repeated often.

        :param request: the request.
        :return: the address.
        """
        return URL(f"{self.settings.api_base}{request.path}")

    async def poll(self, request: protocol.Request, url: URL, slot: Slot, deadline: float) -> protocol.Response | None:
        """
        Poll once, at the slot's next point; at the deadline when that comes first.

        :param request: the request.
        :param url: its address, from :meth:`prepare`.
        :param slot: the wait's slot.
        :param deadline: the event loop's time after which there is nothing left to ask.
        :return: the answer, whatever its status; None when a pause lasts beyond the deadline.
        :raises IinkedSignError: when there was no answer.
        """
        while True:
            due = self.schedule.next_poll(slot, self.loop.time())
            if due > deadline:
                await sleep_until(self.loop, min(due, deadline))
                if self.limiter.is_paused(self.loop.time()):
                    return None
            else:
                await sleep_until(self.loop, due)
            answer = await self._send_unless_paused(request, url, deadline + _GRACE)
            if answer is not None:
                return answer
            if self.loop.time() >= deadline:
                return None

    async def send(self, request: protocol.Request, *, max_retries: int | None = None) -> dict[str, Any]:
        """
        Send a request and return the JSON object of its answer.

        :param request: the call.
        :param max_retries: how often to retry; the connection's setting where it is None.
        :return: the JSON object.
        :raises IinkedSignError: what is wrong, when it is not retried.
        """
        loop = RetryLoop(request, self.settings.max_retries if max_retries is None else max_retries)
        while True:
            try:
                response = await self._send_after_pause(request)
                return protocol.read_answer(request, response, secret=self.settings.secret, now=time.time())
            except IinkedSignError as error:
                wait = loop.wait_after(error)
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Close the session's sockets."""
        await self._session.close()

    async def _send_after_pause(self, request: protocol.Request) -> protocol.Response:
        """Send as soon as no pause holds."""
        url = self.prepare(request)
        while True:
            if self.limiter.is_paused(self.loop.time()):
                # Whoever was held back returns within a second, not at one moment.
                await sleep_until(self.loop, self.limiter.paused_until + random.random())  # noqa: S311 - spreads load
            answer = await self._send_unless_paused(request, url, None)
            if answer is not None:
                return answer

    async def _send_unless_paused(
        self, request: protocol.Request, url: URL, latest: float | None
    ) -> protocol.Response | None:
        """Send below the ceiling of requests a second; None when a pause, or the latest moment, came before that."""
        while not self.limiter.is_paused(now := self.loop.time()):
            leave = self.limiter.reserve(now)
            if leave > now:
                await sleep_until(self.loop, leave if latest is None else min(leave, latest))
                if latest is not None and leave > latest:
                    return None
            async with self._semaphore:
                if not self.limiter.depart(max(leave, self.loop.time())):
                    continue
                response = await self._exchange(request, url, latest)
            self._apply_retry_after(response)
            return response
        return None

    async def _exchange(self, request: protocol.Request, url: URL, latest: float | None) -> protocol.Response:
        near = latest is not None and latest - self.loop.time() < MAX_READS * self.settings.timeout
        try:
            if not near:
                return await self._request(request, url)
            async with asyncio.timeout_at(latest):
                return await self._request(request, url)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Without its own text, which would hold the URL.
            raise no_response_error(
                request.name, self.settings.api_base, _cause_of(error), sent=not _never_sent(error), route=self._route
            ) from None

    async def _request(self, request: protocol.Request, url: URL) -> protocol.Response:
        headers = None if request.body is None else JSON_BODY
        clock = AnswerClock(self.settings.timeout, self.loop.time())
        async with asyncio.timeout_at(clock.head_until):
            answer = await self._session.request(
                request.method, url, data=request.body, headers=headers, allow_redirects=False, proxy=self._proxy
            )
        async with answer:
            return protocol.Response(answer.status, answer.headers, await self._read(request, answer.content, clock))

    async def _read(self, request: protocol.Request, content: aiohttp.StreamReader, clock: AnswerClock) -> bytes:
        pieces, size = [], 0
        while not content.at_eof():
            if content.is_eof():
                piece = await content.readany()  # what came along with the head needs no clock
            else:
                async with asyncio.timeout_at(clock.read_until(self.loop.time())):
                    piece = await content.readany()
            size += len(piece)
            if size > MAX_BODY:
                raise UnexpectedAnswerError(f"Could not {request.name}: the answer is longer than {MAX_BODY} bytes.")
            pieces.append(piece)
        return b"".join(pieces)

    def _apply_retry_after(self, response: protocol.Response) -> None:
        """Let nobody send for as long as the service asks."""
        if response.status == 200:
            self._too_many = 0
            return
        wait = protocol.pause_asked(response, time.time())
        if wait is None and response.status == 429:
            self._too_many += 1
            wait = backoff(self._too_many)
        if wait is not None:
            self.limiter.pause(self.loop.time() + wait)


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
    timer = loop.call_at(due, _wake, alarm)
    try:
        await alarm
    finally:
        timer.cancel()


def _wake(alarm: asyncio.Future[None]) -> None:
    if not alarm.done():
        alarm.set_result(None)


def _cause_of(error: BaseException) -> BaseException:
    """Dig out what lies below an error of aiohttp."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error  # it is a connector's error too, but has no cause of one before aiohttp 3.14
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error


def _never_sent(error: BaseException) -> bool:
    return isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL))
