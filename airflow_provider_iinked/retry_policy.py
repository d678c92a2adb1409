"""
A retry policy for Airflow 3.3 and newer, made from the provider's exception types.

A permanent error fails at once, a pause that the service demands is kept, and the rest is left to the task's own
``retries`` and ``retry_delay``. Errors that are not this provider's are not judged.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_iinked.exceptions import (
    DeletionNotConfirmedError,
    IinkedSignError,
    IinkedSignPermanentError,
    NotArchivedError,
)

if TYPE_CHECKING:
    from airflow.sdk import RetryPolicy
else:
    try:
        from airflow.sdk import RetryPolicy
    except ImportError:  # Airflow below 3.3
        RetryPolicy = None

PLATFORM_DELAY: Final = timedelta(minutes=10)
"""Pause before the next try when the platform needs time: to archive, or to delete."""


class IinkedRetryPolicy(RetryPolicy or object):  # type: ignore[misc]
    """
    Retry errors that may pass, when they may. Give it to a task, or to a Dag's ``default_args``, as ``retry_policy``.

    :param platform_delay: pause before the next try when a recording was not archived yet, or was still listed after
        its deletion.
    :raises RuntimeError: on Airflow below 3.3, which has no retry policies; the exception types alone already keep a
        task from retrying permanent errors.
    """

    def __init__(self, *, platform_delay: timedelta = PLATFORM_DELAY) -> None:
        if RetryPolicy is None:
            raise RuntimeError("Retry policies need Airflow 3.3. Leave retry_policy out, and set retries.")
        self.platform_delay = platform_delay

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> Any:
        """
        Decide whether and when to try again; Airflow calls this on the worker.

        :param exception: what the task failed with.
        :param try_number: which try it was; not needed.
        :param max_tries: how many there are; a policy cannot raise it.
        :param context: Airflow's context; not needed.
        :return: a ``RetryDecision``.
        """
        from airflow.sdk import RetryDecision

        if isinstance(exception, IinkedSignPermanentError):
            return RetryDecision.fail(f"{type(exception).__name__} is permanent.")
        if not isinstance(exception, IinkedSignError):
            return RetryDecision.default()
        if exception.retry_after is not None:
            pause = max(1.0, exception.retry_after)
            return RetryDecision.retry(timedelta(seconds=pause), f"The service asked to wait {pause:.0f} s.")
        if isinstance(exception, (NotArchivedError, DeletionNotConfirmedError)):
            return RetryDecision.retry(self.platform_delay, "The platform needs time.")
        return RetryDecision.retry(reason=f"{type(exception).__name__} may pass.")
