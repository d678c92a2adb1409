"""When a request is sent again, and after what wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.retries import MAX_TOTAL_WAIT, RetryBudget, backoff, is_retryable

LIST = protocol.list_videos("p")
DELETE, _ = protocol.delete_video("p", "v")

REPEATS = [
    # error, a read may be repeated, a deletion may be repeated
    (exceptions.RateLimitError("x"), True, True),
    (exceptions.ServiceUnavailableError("x", sent=False), True, True),
    (exceptions.ServiceUnavailableError("x", sent=True), True, False),
    (exceptions.ServerError("x"), True, False),
    (exceptions.UnexpectedAnswerError("x"), True, False),
    (exceptions.RouteNotFoundError("x"), False, False),
    (exceptions.AuthenticationError("x"), False, False),
    (exceptions.RequestRefusedError("x"), False, False),
    (exceptions.PackageNotFoundError("x"), False, False),
    (exceptions.RetentionError("x"), False, False),
    (exceptions.UnknownHostError("x"), False, False),
]


@pytest.mark.parametrize(("error", "reading", "deleting"), REPEATS, ids=lambda value: type(value).__name__)
def test_a_deletion_is_repeated_only_when_it_was_certainly_not_carried_out(error, reading, deleting):
    assert is_retryable(LIST, error) is reading
    assert is_retryable(DELETE, error) is deleting


PATIENCE = [
    # Retry-After of each failure in turn (None: the server named none), retries allowed, the last wait
    ([3.0], 5, 3.0),
    ([0.0], 5, 0.0),
    ([MAX_TOTAL_WAIT], 5, MAX_TOTAL_WAIT),
    ([MAX_TOTAL_WAIT + 1], 5, None),
    ([100.0, 200.0], 5, 200.0),
    ([101.0, 200.0], 5, None),
    ([None], 0, None),
    ([1.0] * 5, 5, 1.0),
    ([1.0] * 6, 5, None),
    ([None] * 6, 5, None),
]


@pytest.mark.parametrize(("asked", "max_retries", "last"), PATIENCE)
def test_patience_ends_with_the_tries_or_after_five_minutes(asked, max_retries, last):
    patience = RetryBudget(max_retries)
    waits = [patience.wait_after(exceptions.RateLimitError("x", retry_after=seconds)) for seconds in asked]
    assert waits[-1] == last
    assert None not in waits[:-1]
    assert patience.failures == len(asked)


@given(st.lists(st.none() | st.floats(0, 1000), min_size=1, max_size=12), st.integers(0, 10))
def test_no_call_waits_longer_for_retry_after_than_patience_lasts(asked, max_retries):
    patience, waited = RetryBudget(max_retries), 0.0
    for tries, seconds in enumerate(asked, start=1):
        wait = patience.wait_after(exceptions.RateLimitError("x", retry_after=seconds))
        if wait is None:
            break
        assert tries <= max_retries
        waited += seconds or 0.0
    assert waited <= MAX_TOTAL_WAIT


@given(st.integers(1, 10_000))
def test_backoff_grows_to_half_a_minute_and_never_further(attempt):
    ceiling = min(30.0, 0.5 * 2.0 ** min(attempt - 1, 20))
    assert ceiling / 2 <= backoff(attempt) <= ceiling


def test_backoff_is_spread():
    assert len({backoff(3) for _ in range(20)}) > 10
