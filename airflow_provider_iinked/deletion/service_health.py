"""Whether an error concerns one recording, one package, or the service as a whole. Pure."""

from __future__ import annotations

from typing import Final

from airflow_provider_iinked.exceptions import (
    AuthenticationError,
    ConnectionSettingsError,
    IinkedSignError,
    RateLimitError,
    RouteNotFoundError,
    ServerError,
    ServiceUnavailableError,
    UnrequestedDeletionError,
)

FATAL: Final = (AuthenticationError, ConnectionSettingsError, UnrequestedDeletionError)
"""After one of these nothing more is sent, however often it would be tried again."""
_SERVICE_WIDE: Final = (*FATAL, RateLimitError, ServiceUnavailableError, ServerError, RouteNotFoundError)
_MAX_FAILURES_IN_A_ROW: Final = 3


class ServiceHealth:
    """Count recordings in a row that the service could not delete: hammering it does not help."""

    def __init__(self) -> None:
        self._failures_in_a_row = 0

    def worked(self) -> None:
        """Note that a recording is settled."""
        self._failures_in_a_row = 0

    def is_down_after(self, error: IinkedSignError) -> bool:
        """
        Note that the retries of one recording are spent.

        :param error: what its last request met.
        :return: whether nothing more is to be sent, for any recording.
        """
        self._failures_in_a_row += 1
        asked_to_wait = error.retry_after is not None
        return asked_to_wait or is_service_wide(error) or self._failures_in_a_row >= _MAX_FAILURES_IN_A_ROW


def is_service_wide(error: IinkedSignError) -> bool:
    """
    Tell whether an error concerns the service as a whole, and not one package or recording.

    :param error: the error of a request, after the client's own retries.
    :return: True when nothing more is to be sent, for any package.
    """
    return isinstance(error, _SERVICE_WIDE)
