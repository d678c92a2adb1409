"""
Every error the provider raises, sorted by one question: can a retry of the task help?

:class:`IinkedSignPermanentError` and what descends from it also descends from ``AirflowFailException``, so Airflow
fails the task for good; everything else leaves the task's ``retries`` to work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from airflow.providers.common.compat.sdk import AirflowFailException


def reason_of(error: BaseException) -> str:
    """
    Name an error of another library without its own text, which may hold credentials or a signed URL.

    :param error: the error.
    :return: its type and, where it has a number of the operating system's, what that number means.
    """
    number = getattr(error, "errno", None)
    meaning = f": {os.strerror(number)}" if isinstance(number, int) and number > 0 else ""
    return f"{type(error).__name__}{meaning}"


class IinkedSignError(Exception):
    """
    Base class of all errors of this provider, never raised directly. A retry may help unless the type says otherwise.

    :param message: what was wrong, what was not done, what to do next; never a secret.
    :param status: HTTP status of the answer, where there was one.
    :param error_code: the API's own error code, where there was one.
    :param retry_after: seconds the server asked to wait before the next request.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_code = error_code
        self.retry_after = retry_after


class IinkedSignPermanentError(IinkedSignError, AirflowFailException):
    """A permanent error. A retry does not help; the task fails for good."""


# --- permanent errors -----------------------------------------------------------------------------------------------


class InvalidArgumentError(IinkedSignPermanentError):
    """An argument is missing, empty or malformed; raised before any request. No retry helps."""


class ConnectionSettingsError(IinkedSignPermanentError):
    """The Airflow connection cannot be used: host, environment, key or an extra is wrong. No retry helps."""


class UnknownHostError(ConnectionSettingsError):
    """The host's name does not resolve. No retry helps."""


class CertificateError(ConnectionSettingsError):
    """A certificate on the way to the API is not accepted; nothing was sent. No retry helps before it is corrected."""


class AuthenticationError(IinkedSignPermanentError):
    """The API refused the key or token (401, 403 or a ``..._not_authorized`` code). No retry helps."""


class RequestRefusedError(IinkedSignPermanentError):
    """The API refused the request itself (400 and its like, with an error code). No retry helps."""


class NotFoundError(RequestRefusedError):
    """The API knows nothing under that id, or the key may not see it (``..._not_found``). No retry helps."""


class PackageNotFoundError(NotFoundError):
    """The package does not exist in this data centre, or the key may not see it. No retry helps."""


class RetentionError(RequestRefusedError):
    """A retention policy forbids the deletion. No retry helps before the retention ends."""


class StateNotAllowedError(IinkedSignPermanentError):
    """A recording is in a state that must not be deleted; nothing was sent. No retry helps before that changes."""


class UnrequestedDeletionError(IinkedSignPermanentError):
    """An answer names a recording or a package that was not requested; everything stops at once. No retry helps."""


class VerificationError(IinkedSignPermanentError):
    """A copy or its custody record does not agree with the other, or with the recording. No retry helps."""


class ApprovalError(IinkedSignPermanentError):
    """No person approved exactly this deletion: refused, timed out, or of another plan. No retry helps."""


class LegalHoldError(IinkedSignPermanentError):
    """The package is under legal hold: nothing of it is deleted or erased. No retry helps before its release."""


class RecordingFailedError(IinkedSignPermanentError):
    """The platform says that a recording that is waited for has failed. No retry helps by itself."""


class RetentionEndsSoonError(IinkedSignPermanentError):
    """The platform drops recordings within the days that the Dag asked to be stopped for. No retry helps."""


class PackagesFailedError(IinkedSignPermanentError):
    """Some of a task's packages failed for good; the message names each. No retry helps them by itself."""


class RecordingDeletedError(IinkedSignPermanentError):
    """A recording that is waited for, or selected, is deleted on the platform. No retry helps."""


# --- retryable errors -----------------------------------------------------------------------------------------------


class ServiceUnavailableError(IinkedSignError):
    """
    The service was not reached, or broke off before answering. A retry may help.

    :param message: what was wrong, what to do next; never a secret.
    :param sent: whether the request may have reached the server; False only when that is certain.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class TaskStoppedError(ServiceUnavailableError):
    """The task was stopped (SIGTERM, "mark failed", a timeout); the request was not sent. A retry may help."""

    def __init__(self, message: str = "The task was stopped; nothing more was sent.") -> None:
        super().__init__(message, sent=False)


class ServerError(IinkedSignError):
    """The service answered with a 5xx status. A retry may help."""


class RateLimitError(IinkedSignError):
    """Too many requests (429), beyond what is waited for in place. A retry helps after ``retry_after`` seconds."""


class UnexpectedAnswerError(IinkedSignError):
    """The answer is not what the API documents: HTML, broken JSON, a redirect. A retry may help."""


class RouteNotFoundError(UnexpectedAnswerError):
    """The path itself does not exist there (404 or 405 without an API error code). A retry may help."""


class NotArchivedError(IinkedSignError):
    """A selected recording is not archived yet, or not listed yet. A retry may help later."""


class TransferError(IinkedSignError):
    """A recording could not be fetched whole; nothing was published. A retry may help."""


class StorageError(IinkedSignError):
    """The company's own storage refused or failed. A retry may help."""


class DeletionNotConfirmedError(IinkedSignError):
    """The list still shows a recording after its deletion was requested. A retry may help."""


# --- one error for several ------------------------------------------------------------------------------------------


def most_retryable(errors: Iterable[IinkedSignError], message: str) -> IinkedSignError:
    """
    Choose the type of the error that stands for several: a retryable one comes first, since a retry does the rest.

    :param errors: the errors, at least one.
    :param message: the message of the one to raise.
    :return: the error to raise, with the status, code and pause of the chosen one.
    """
    found = list(errors)
    chosen = next((error for error in found if not isinstance(error, IinkedSignPermanentError)), found[0])
    raised = type(chosen)(message)
    raised.status, raised.error_code, raised.retry_after = chosen.status, chosen.error_code, chosen.retry_after
    return raised
