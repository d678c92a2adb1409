"""Which errors concern one recording, one package, or the service as a whole."""

from __future__ import annotations

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.deletion.service_health import ServiceHealth, is_service_wide
from tests.deletion.rule_books import KEY, LATER, LOST, RETENTION, SERVER


def test_three_failures_in_a_row_mean_that_the_service_is_down():
    health = ServiceHealth()
    passing = exceptions.UnexpectedAnswerError("HTML")
    assert [health.is_down_after(passing) for _ in range(3)] == [False, False, True]
    health.worked()
    assert not health.is_down_after(passing)


@pytest.mark.parametrize(
    ("error", "wide"),
    [
        (KEY, True),
        (LATER, True),
        (SERVER, True),
        (LOST, True),
        (exceptions.RouteNotFoundError("404"), True),
        (exceptions.UnrequestedDeletionError("more"), True),
        (exceptions.PackageNotFoundError("unknown"), False),
        (RETENTION, False),
        (exceptions.StorageError("full"), False),
        (exceptions.StateNotAllowedError("started"), False),
    ],
)
def test_which_errors_concern_every_package(error, wide):
    assert is_service_wide(error) is wide
