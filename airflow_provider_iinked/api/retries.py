"""When is a request sent again, and after what wait. Pure; for both transports, deletions and downloads."""

from __future__ import annotations

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


def is_retryable(request: Request, error: IinkedSignError) -> bool:
    """
    Tell whether the same request may be sent again after an error.

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
        :return: seconds, or None when patience ends.
        """
        self.failures += 1
        if self.failures > self.max_retries:
            return None
        if error.retry_after is None:
            return backoff(self.failures)
        self._waited += error.retry_after
        return error.retry_after if self._waited <= MAX_TOTAL_WAIT else None


def backoff(failures: int) -> float:
    """
    Grow the pause between two tries, with jitter so that many workers do not return together.

    :param failures: how many tries have failed so far, from 1.
    :return: seconds: half to all of 0.5, 1, 2, 4 ... 30.
    """
    ceiling = min(30.0, 0.5 * 2.0 ** min(failures - 1, 10))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
