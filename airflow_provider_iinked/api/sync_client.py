"""The transport for workers: requests, one pooled session, no redirects, repeated as :mod:`.patience` decides."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from airflow_provider_iinked import __version__
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.errors import no_response_error
from airflow_provider_iinked.api.retries import RetryBudget, is_retryable
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.exceptions import IinkedSignError, TaskStoppedError

USER_AGENT = f"airflow-provider-iinked/{__version__}"

log = logging.getLogger(__name__)


class SyncClient:
    """
    Carry out the protocol's requests over one pooled session. Open it and use it in one thread.

    :param settings: where to, with which credential, how patiently.
    :param sleep: waits between tries; a test may replace it.
    :param stopping: once it is set, waits end and nothing more is sent.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        sleep: Callable[[float], object] | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        self.settings = settings
        self._stopping = stopping or threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._pace = Pace(settings.max_requests_per_second)
        self.session = open_session(settings.api_base)
        self._headers = {
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            settings.auth_header[0]: settings.auth_header[1],
        }
        self.session.headers.update(self._headers)

    def send(self, request: protocol.Request, *, max_retries: int | None = None) -> dict[str, Any]:
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
                return self._send_once(request)
            except TaskStoppedError:
                raise
            except IinkedSignError as error:
                wait = patience.wait_after(error) if is_retryable(request, error) else None
                if wait is None:
                    raise
                log.warning(
                    "%s Trying again in %.1f s (%d of %d).", error, wait, patience.failures, patience.max_retries
                )
            self._sleep(wait)

    def _send_once(self, request: protocol.Request) -> dict[str, Any]:
        self._pace.wait(self._sleep)
        if self._stopping.is_set():
            raise TaskStoppedError()
        headers = self._headers if request.body is None else {**self._headers, "Content-Type": "application/json"}
        prepared = requests.Request(
            request.method, f"{self.settings.api_base}{request.path}", headers=headers, data=request.body
        ).prepare()
        try:
            answer = self.session.send(
                prepared,
                allow_redirects=False,
                timeout=self.settings.timeout,
                proxies=self.session.proxies,
                verify=self.session.verify,
            )
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise transport_error(request, self.settings.api_base, error) from None
        if answer.status_code < 200:
            # Such as 103, which http.client takes for the answer: the real one follows, and must not be the next one's.
            self.session.close()
        response = protocol.Response(
            answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content
        )
        return protocol.read_answer(request, response, secret=self.settings.secret, now=time.time())

    def await_turn(self) -> None:
        """Wait until the next request would go out at once, under the ceiling of requests a second."""
        self._pace.await_turn(self._sleep)

    def close(self) -> None:
        """Close the session's sockets."""
        self.session.close()


class Pace:
    """
    Keep a number of requests per second.

    :param per_second: the ceiling, or None for none.
    """

    def __init__(self, per_second: float | None) -> None:
        self._interval = 1.0 / per_second if per_second else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def await_turn(self, sleep: Callable[[float], object]) -> None:
        """
        Wait until the next request is due, and leave the turn to it.

        :param sleep: how to wait.
        """
        if self._interval and (due := self._next - time.monotonic()) > 0:
            sleep(due)

    def wait(self, sleep: Callable[[float], object]) -> None:
        """
        Wait until the next request is due, and take the turn.

        :param sleep: how to wait.
        """
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            due = max(now, self._next)
            self._next = due + self._interval
        if due > now:
            sleep(due - now)


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Find none, whoever asks: this provider, or a caller with calls of their own."""
        return None


def open_session(url: str, *, pool_size: int = 1) -> requests.Session:
    """
    Open a session for one host, which follows no redirect: a credential in its headers would travel along.

    Proxies and CA bundles of the environment are settled once, here; .netrc is not read.

    :param url: an address on that host.
    :param pool_size: how many sockets it may keep.
    :return: the session.
    """
    session = _Session()
    session.trust_env = False
    session.proxies = get_environ_proxies(url)
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def transport_error(request: protocol.Request, api_base: str, error: Exception) -> IinkedSignError:
    """
    Turn an error of requests into one of ours, without its text (it would hold the URL).

    :param request: what was being sent.
    :param api_base: where to.
    :param error: what requests raised.
    :return: the error to raise.
    """
    return no_response_error(request, api_base, root_cause(error), sent=not _never_sent(error))


def root_cause(error: BaseException) -> BaseException:
    """
    Dig out what lies at the bottom of an exception of requests or urllib3.

    :param error: the exception.
    :return: the innermost exception it names.
    """
    seen = {id(error)}
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if inner is None or id(inner) in seen:
            return error
        seen.add(id(inner))
        error = inner


def _never_sent(error: BaseException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    if not isinstance(error, RequestsConnectionError):
        # Not InvalidHeader: requests raises it for an answer whose own headers contradict each other, too.
        return isinstance(error, requests.exceptions.InvalidURL)
    inner: Any = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    return isinstance(reason, (NewConnectionError, NameResolutionError))
