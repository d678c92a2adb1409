"""How far a task with many packages is: a line an interval, with what is done and what is left."""

from __future__ import annotations

import pytest

from airflow_provider_iinked import progress
from airflow_provider_iinked.progress import Every, describe, size


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_line_is_due_once_an_interval(clock: Clock) -> None:
    due = Every()
    clock.now += 9.9
    assert not due.is_due()
    clock.now += 0.1
    assert [due.is_due(), due.is_due()] == [True, False]
    clock.now += 25
    assert [due.is_due(), due.is_due()] == [True, False]
    assert due.elapsed == pytest.approx(35)


def test_the_line_says_packages_recordings_bytes_rate_and_time_left() -> None:
    known = {"packages": 50, "recordings_done": 25, "bytes_done": 10 << 20, "verb": "verified", "elapsed": 10.0}
    assert describe(packages_done=10, **known) == (
        "10 of 50 packages, 25 recordings done; 10.0 MiB verified, 1.0 MiB/s, about 40 s left"
    )
    assert describe(packages_done=0, **known).endswith("1.0 MiB/s")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3072.0 GiB")]
)
def test_bytes_are_shown_in_a_unit_that_reads_well(count: int, text: str) -> None:
    assert size(count) == text
