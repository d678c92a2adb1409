"""The timetable: spread evenly, quiet during a pause. Pure, with a clock of the test's own."""

from __future__ import annotations

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.api.poll_schedule import MIN_INTERVAL, TICK, PollSchedule
from airflow_provider_iinked.api.rate_limit import RateLimiter

MOMENTS = st.floats(min_value=0, max_value=1e6)


def polls(schedule: PollSchedule, count: int, interval: float, until: float) -> list[float]:
    """All points of so many waits from 0 to a moment."""
    times = []
    for slot in [schedule.join(interval) for _ in range(count)]:
        now = schedule.next_poll(slot, 0.0)
        while now < until:
            times.append(now)
            now = schedule.next_poll(slot, now)
    return sorted(times)


def most_within(times: list[float], width: float) -> int:
    return max(bisect.bisect_left(times, at + width - 1e-9) - index for index, at in enumerate(times))


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1000])
def test_each_wait_asks_once_an_interval(count: int) -> None:
    times = polls(PollSchedule(RateLimiter()), count, 5.0, 500.0)
    assert abs(len(times) / 100 - count) <= 0.02 * count


@pytest.mark.parametrize("count", [20, 100, 1000, 1357])
def test_waits_that_start_together_are_spread_over_the_interval(count: int) -> None:
    share = count / 5.0 * 0.25
    assert most_within(polls(PollSchedule(RateLimiter()), count, 5.0, 20.0), 0.25) <= share * 1.3 + 3


def test_waits_that_stay_when_others_leave_are_still_spread() -> None:
    schedule = PollSchedule(RateLimiter())
    slots = [schedule.join(5.0) for _ in range(1000)][::3]
    times = sorted(schedule.next_poll(slot, 0.0) for slot in slots)
    assert most_within(times, 0.25) <= len(slots) / 20 * 1.4 + 2


@given(now=MOMENTS, interval=st.floats(min_value=0.05, max_value=3600), joined=st.integers(1, 50))
def test_the_next_point_lies_ahead_and_within_an_interval_and_a_tick(now: float, interval: float, joined: int) -> None:
    schedule = PollSchedule(RateLimiter())
    slot = [schedule.join(interval) for _ in range(joined)][-1]
    due = schedule.next_poll(slot, now)
    assert now < due + 1e-6
    assert due <= now + interval + TICK + 1e-6


@given(now=MOMENTS, pause=st.floats(min_value=0.1, max_value=1e5))
def test_nobody_is_due_during_a_pause(now: float, pause: float) -> None:
    limiter = RateLimiter()
    schedule = PollSchedule(limiter)
    slots = [schedule.join(5.0) for _ in range(20)]
    limiter.pause(now + pause)
    assert all(schedule.next_poll(slot, now) >= now + pause for slot in slots)
    assert limiter.is_paused(now)
    assert not limiter.is_paused(now + pause)


def test_after_a_pause_they_come_back_spread_out() -> None:
    limiter = RateLimiter()
    schedule = PollSchedule(limiter)
    slots = [schedule.join(5.0) for _ in range(1000)]
    limiter.pause(103.0)
    assert most_within(sorted(schedule.next_poll(slot, 100.0) for slot in slots), 0.25) <= 65


@pytest.mark.parametrize("interval", [0.0, -1.0, 1e-9])
def test_no_interval_makes_a_wait_spin(interval: float) -> None:
    assert PollSchedule(RateLimiter()).join(interval).interval == MIN_INTERVAL
