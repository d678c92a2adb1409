"""
When a request is sent again, after what wait, and how long an answer may take. No I/O; both transports, deletions and
downloads ask here.
"""

from __future__ import annotations

import logging
import random
from typing import Final

from airflow_provider_iinked.api.protocol import Request
from airflow_provider_iinked.exceptions import (
    IinkedSignError,
    RateLimitError,
    RouteNotFoundError,
    ServerError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)

MAX_TOTAL_WAIT: Final = 300.0
"""Seconds that a worker waits for Retry-After within one call."""
MAX_READS: Final = 10
"""An answer is cut off after so many times ``timeout``, however steadily it drips."""

log = logging.getLogger(__name__)


def is_retryable(request: Request, error: IinkedSignError) -> bool:
    """
    Check whether the same request may be sent again after an error.

    A deletion is repeated only when it is certain that it was not carried out; what is unclear is for the list to
    decide.

    :param request: the request.
    :param error: what became of it.
    :return: True when sending it again is safe and may help.
    """
    if isinstance(error, RateLimitError):
        return True
    if isinstance(error, ServiceUnavailableError):
        return request.idempotent or not error.sent
    if isinstance(error, RouteNotFoundError):
        return False
    return request.idempotent and isinstance(error, (ServerError, UnexpectedAnswerError))


class RetryBudget:
    """
    Count the tries of one request, and the seconds for which the server has made it wait.

    :param max_retries: how often it may be sent again.
    """

    def __init__(self, max_retries: int) -> None:
        self.max_retries = max_retries
        self.failures = 0
        self._waited = 0.0

    def wait_after(self, error: IinkedSignError) -> float | None:
        """
        Decide how long to wait before the request is sent again.

        :param error: what became of it; :func:`is_retryable` has said that it may be.
        :return: seconds, or None when it is not sent again.
        """
        self.failures += 1
        if self.failures > self.max_retries:
            return None
        if error.retry_after is None:
            return backoff(self.failures)
        self._waited += error.retry_after
        return error.retry_after if self._waited <= MAX_TOTAL_WAIT else None


class RetryLoop:
    """
    The tries of one request. A transport sends, and hands over each error; the loop says how long to wait, or raises.

    :param request: the request.
    :param max_retries: how often it may be sent again.
    """

    def __init__(self, request: Request, max_retries: int) -> None:
        self._request = request
        self._budget = RetryBudget(max_retries)

    def wait_after(self, error: IinkedSignError) -> float:
        """
        Decide what follows an error.

        :param error: what became of the request.
        :return: seconds to wait before it is sent again.
        :raises IinkedSignError: the error itself, when it is not sent again.
        """
        wait = self._budget.wait_after(error) if is_retryable(self._request, error) else None
        if wait is None:
            raise error
        log.warning("%s Retrying in %.1f s (%d of %d).", error, wait, self._budget.failures, self._budget.max_retries)
        return wait


class AnswerClock:
    """
    How long one answer may take: ``timeout`` for its head, connecting included; ``timeout`` for each further read; and
    :data:`MAX_READS` times that for all of it.

    :param timeout: the connection's ``timeout``, seconds.
    :param now: the clock when the request begins.
    """

    def __init__(self, timeout: float, now: float) -> None:
        self._timeout = timeout
        self.head_until = now + timeout
        self._until = now + MAX_READS * timeout

    def read_until(self, now: float) -> float:
        """
        Return when the next read of the body is cut off.

        :param now: the clock.
        :return: that moment.
        """
        return min(self._until, now + self._timeout)


def backoff(failures: int) -> float:
    """
    Grow the pause between two tries, with jitter so that many workers do not return together.

    :param failures: how many tries have failed so far, from 1.
    :return: seconds: half to all of 0.5, 1, 2, 4 ... 30.
    """
    ceiling = min(30.0, 0.5 * 2.0 ** min(failures - 1, 10))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
