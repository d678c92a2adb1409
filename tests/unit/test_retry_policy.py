"""The retry policy: what it decides, and what a real task then does."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked import retry_policy as retry
from airflow_provider_iinked.exceptions import IinkedSignError, IinkedSignPermanentError, RateLimitError
from airflow_provider_iinked.retry_policy import IinkedRetryPolicy

has_policies = retry.RetryPolicy is not None
needs_policies = pytest.mark.skipif(not has_policies, reason="Airflow below 3.3")
KINDS = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, IinkedSignError) and kind is not IinkedSignError
]


def decide(error, **options):
    return IinkedRetryPolicy(**options).evaluate(error, 1, 3)


@needs_policies
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_get_better_fails_and_the_rest_is_tried_again(kind):
    assert decide(kind("words")).action.value == ("fail" if issubclass(kind, IinkedSignPermanentError) else "retry")


@needs_policies
def test_a_rate_limit_waits_as_long_as_the_service_says():
    assert decide(RateLimitError("later", retry_after=420.0)).retry_delay == timedelta(seconds=420)


@needs_policies
def test_a_permanent_error_fails_whatever_pause_the_service_wants():
    assert decide(exceptions.RetentionError("no", retry_after=5)).action.value == "fail"


@needs_policies
@pytest.mark.parametrize("kind", [exceptions.NotArchivedError, exceptions.DeletionNotConfirmedError])
def test_the_platform_is_given_time(kind):
    assert decide(kind("not yet"), platform_delay=timedelta(minutes=3)).retry_delay == timedelta(minutes=3)


@needs_policies
def test_passing_trouble_uses_the_delay_of_the_task():
    assert decide(exceptions.TransferError("cut")).retry_delay is None


@needs_policies
def test_errors_of_others_are_left_to_airflow():
    assert decide(ValueError("not ours")).action.value == "default"


@pytest.mark.skipif(has_policies, reason="Airflow 3.3 or newer")
def test_older_airflow_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"Airflow 3\.3.*set retries"):
        IinkedRetryPolicy()


@needs_policies
def test_an_operator_takes_it():
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator

    task = IinkedDeleteVideosOperator(
        task_id="delete", package_id="p", meeting_video_ids="v", retries=2, retry_policy=IinkedRetryPolicy()
    )
    assert task.has_retry_policy
