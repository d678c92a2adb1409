"""
The transport for workers: requests, one pooled session, no redirects, retried as :mod:`.retries` decides.

Threads may share a client: requests go out within one ceiling, and a pause that the service asks for holds for all.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestsConnectionError
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.answer_cutoff import CutOffConnection
from airflow_provider_iinked.api.errors import no_response_error, root_cause
from airflow_provider_iinked.api.live_connections import LiveConnections, live_adapter
from airflow_provider_iinked.api.network import JSON_BODY, MAX_BODY, MAX_IDLE, Route, api_headers, find_route
from airflow_provider_iinked.api.rate_limit import RateLimiter
from airflow_provider_iinked.api.retries import MAX_TOTAL_WAIT, RetryLoop
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.api.stopping import StopFlag
from airflow_provider_iinked.exceptions import IinkedSignError, TaskStoppedError, UnexpectedAnswerError

_CHUNK: Final = 65_536
_MAX_SOCKETS: Final = 32


class SyncClient:
    """
    Carry out the protocol's requests over one pooled session.

    :param settings: where to, with which credential, how patiently.
    :param sleep: waits between tries; a test may replace it.
    :param stopping: once it is set, waits end and nothing more is sent.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        sleep: Callable[[float], object] | None = None,
        stopping: StopFlag | None = None,
    ) -> None:
        self.settings = settings
        self.limiter = RateLimiter(settings.max_requests_per_second)
        self._stopping = stopping or StopFlag()
        self._sleep = sleep or self._stopping.wait
        self._live = LiveConnections()
        self._route = find_route(settings.api_base)
        self.session = _open_session(self._route, live_adapter(self._live, CutOffConnection, pool_size=_MAX_SOCKETS))
        self.session.headers.update(api_headers(settings))
        self._lock = threading.Lock()
        self._in_flight = 0
        self._deletions = 0
        self._last_used = time.monotonic()

    def send(self, request: protocol.Request, *, max_retries: int | None = None) -> dict[str, Any]:
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
                response = self._exchange(request)
                return protocol.read_answer(request, response, secret=self.settings.secret, now=time.time())
            except IinkedSignError as error:
                if self._stopping.is_set():
                    raise
                wait = loop.wait_after(error)
            self._sleep(wait)

    def wait_for_slot(self) -> None:
        """Wait until the next request could go out at once, without sending one."""
        if (due := self.limiter.next_free(time.monotonic()) - time.monotonic()) > 0:
            self._sleep(due)

    def close(self) -> None:
        """Close the session's idle sockets."""
        self.session.close()

    def stop(self) -> None:
        """
        Send nothing more, and break off what only reads; a deletion on its way is completed.

        A signal's handler may call it, in the middle of a call of :meth:`send`: no lock is waited for.
        """
        self._stopping.set()
        self._live.stop(connecting_only=self._deletions > 0)

    def abort(self) -> None:
        """Close all sockets, those of requests in flight included, and send nothing more; for what only reads."""
        self._stopping.set()
        self._live.stop()

    def _exchange(self, request: protocol.Request) -> protocol.Response:
        self._take_slot()
        if self._stopping.is_set():
            raise TaskStoppedError()
        self._begin(request)
        try:
            response = self._request(request)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            if self._stopping.is_set() and (request.idempotent or _never_sent(error)):
                raise TaskStoppedError() from None
            # Without its own text, which would hold the URL.
            raise no_response_error(
                request.name, self.settings.api_base, root_cause(error), sent=not _never_sent(error), route=self._route
            ) from None
        finally:
            self._end(request)
        pause = protocol.pause_asked(response, time.time())
        if pause is not None and pause <= MAX_TOTAL_WAIT:  # a longer one ends the call, and says when to come back
            self.limiter.pause(time.monotonic() + pause)
        return response

    def _take_slot(self) -> None:
        """Wait for the end of a pause, and for the ceiling; whatever comes up meanwhile is waited for as well."""
        waited_until = -math.inf
        while True:
            pause = self.limiter.paused_until
            if pause > waited_until and self.limiter.is_paused(now := time.monotonic()):
                waited_until = pause
                self._sleep(pause - now)
                continue
            now = time.monotonic()
            if (leave := self.limiter.reserve(now)) > now:
                self._sleep(leave - now)
            if self.limiter.depart(max(time.monotonic(), leave, waited_until)):
                return

    def _begin(self, request: protocol.Request) -> None:
        with self._lock:
            self._deletions += not request.idempotent
            if not self._in_flight and time.monotonic() - self._last_used > MAX_IDLE:
                self.session.close()
            self._in_flight += 1

    def _end(self, request: protocol.Request) -> None:
        with self._lock:
            self._deletions -= not request.idempotent
            self._in_flight -= 1
            self._last_used = time.monotonic()

    def _request(self, request: protocol.Request) -> protocol.Response:
        headers = api_headers(self.settings) | ({} if request.body is None else JSON_BODY)
        prepared = requests.Request(
            request.method, f"{self.settings.api_base}{request.path}", headers=headers, data=request.body
        ).prepare()
        answer = self.session.send(
            prepared,
            stream=True,
            allow_redirects=False,
            timeout=self.settings.timeout,
            proxies=self.session.proxies,
            verify=self.session.verify,
        )
        try:
            body = _read(request, answer)
        finally:
            answer.close()
        if answer.status_code < 200:
            # Such as 103, which http.client takes for the answer: the real one follows, and must not be the next one's.
            self.session.close()
        return protocol.Response(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, body)


def _read(request: protocol.Request, answer: requests.Response) -> bytes:
    pieces, size = [], 0
    for piece in answer.iter_content(_CHUNK):
        size += len(piece)
        if size > MAX_BODY:
            raise UnexpectedAnswerError(f"Could not {request.name}: the answer is longer than {MAX_BODY} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Find none, whoever asks: this provider, or a caller with calls of their own."""
        return None


def _open_session(route: Route, adapter: HTTPAdapter) -> requests.Session:
    """Open a session that follows no redirect (a credential would travel along) and reads no .netrc."""
    session = _Session()
    session.trust_env = False
    session.proxies = {"http": route.proxy, "https": route.proxy} if route.proxy else {}
    session.verify = route.ca_bundle
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _never_sent(error: BaseException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    if not isinstance(error, RequestsConnectionError):
        # Not InvalidHeader: requests raises it for an answer whose own headers contradict each other, too.
        return isinstance(error, requests.exceptions.InvalidURL)
    inner: Any = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    reason = getattr(reason, "original_error", reason)  # of urllib3's ProxyError: the proxy was not reached
    return isinstance(reason, (NewConnectionError, NameResolutionError))
