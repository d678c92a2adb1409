"""Which errors end a task for good."""

from __future__ import annotations

import errno
import inspect

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_iinked import exceptions

ALL = {
    name: kind
    for name, kind in inspect.getmembers(exceptions, inspect.isclass)
    if kind.__module__ == exceptions.__name__
}
PASSING = {
    "IinkedSignError",
    "ServiceUnavailableError",
    "TaskStoppedError",
    "ServerError",
    "RateLimitError",
    "UnexpectedAnswerError",
    "RouteNotFoundError",
    "NotArchivedError",
    "TransferError",
    "StorageError",
    "DeletionNotConfirmedError",
}
PERMANENT = {
    "IinkedSignPermanentError",
    "InvalidArgumentError",
    "ConnectionSettingsError",
    "UnknownHostError",
    "CertificateError",
    "PackagesFailedError",
    "RetentionEndsSoonError",
    "AuthenticationError",
    "RequestRefusedError",
    "NotFoundError",
    "PackageNotFoundError",
    "RetentionError",
    "StateNotAllowedError",
    "UnrequestedDeletionError",
    "VerificationError",
    "ApprovalError",
    "LegalHoldError",
    "RecordingFailedError",
    "RecordingDeletedError",
}


def test_each_error_is_sorted_here_into_permanent_or_passing():
    assert set(ALL) == PASSING | PERMANENT


@pytest.mark.parametrize("name", sorted(PERMANENT))
def test_what_cannot_get_better_fails_the_task_for_good(name):
    assert issubclass(ALL[name], AirflowFailException)
    assert issubclass(ALL[name], exceptions.IinkedSignError)


@pytest.mark.parametrize("name", sorted(PASSING))
def test_what_may_get_better_leaves_the_retries_to_airflow(name):
    assert issubclass(ALL[name], exceptions.IinkedSignError)
    assert not issubclass(ALL[name], AirflowException)


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_docstring_says_whether_a_retry_helps(name):
    text = inspect.getdoc(ALL[name]) or ""
    assert "retry" in text.casefold()


def test_an_error_keeps_what_the_answer_said():
    error = exceptions.RateLimitError("words", status=429, error_code="too_many", retry_after=3.0)
    assert (str(error), error.status, error.error_code, error.retry_after) == ("words", 429, "too_many", 3.0)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "https://host/v?sig=secret"), "OSError: No space left on device"),
        (PermissionError(errno.EACCES, "key AKIA"), "PermissionError: Permission denied"),
        (OSError("https://host/v?sig=secret"), "OSError"),
        (ValueError("sig=secret"), "ValueError"),
    ],
)
def test_an_error_of_others_is_named_by_type_and_number_never_by_its_text(error, reason):
    assert exceptions.reason_of(error) == reason


def test_a_retryable_error_stands_for_several_with_its_status_code_and_pause():
    passing = exceptions.RateLimitError("429", status=429, error_code="busy", retry_after=7.0)
    error = exceptions.most_retryable([exceptions.VerificationError("x"), passing], "2 failed")
    assert (type(error), str(error)) == (exceptions.RateLimitError, "2 failed")
    assert (error.status, error.error_code, error.retry_after) == (429, "busy", 7.0)


def test_permanent_errors_alone_are_stood_for_by_the_first():
    errors = [exceptions.VerificationError("x"), exceptions.PackageNotFoundError("y")]
    assert type(exceptions.most_retryable(errors, "2 failed")) is exceptions.VerificationError
