"""The timetable: spread evenly, within the ceiling, quiet during a pause. Pure, with a clock of the test's own."""

from __future__ import annotations

import bisect
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.api.poll_schedule import MIN_INTERVAL, TICK, PollSchedule

MOMENTS = st.floats(min_value=0, max_value=1e6)


def polls(gate: PollSchedule, count: int, interval: float, until: float) -> list[float]:
    """All points of so many waits from 0 to a moment."""
    times = []
    for seat in [gate.join(interval) for _ in range(count)]:
        now = gate.next_slot(seat, 0.0)
        while now < until:
            times.append(now)
            now = gate.next_slot(seat, now)
    return sorted(times)


def most_within(times: list[float], width: float) -> int:
    return max(bisect.bisect_left(times, at + width - 1e-9) - index for index, at in enumerate(times))


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1000])
def test_each_wait_asks_once_an_interval(count: int) -> None:
    times = polls(PollSchedule(), count, 5.0, 500.0)
    assert abs(len(times) / 100 - count) <= 0.02 * count


@pytest.mark.parametrize("count", [20, 100, 1000, 1357])
def test_waits_that_start_together_are_spread_over_the_interval(count: int) -> None:
    share = count / 5.0 * 0.25
    assert most_within(polls(PollSchedule(), count, 5.0, 20.0), 0.25) <= share * 1.3 + 3


def test_waits_that_stay_when_others_leave_are_still_spread() -> None:
    gate = PollSchedule()
    seats = [gate.join(5.0) for _ in range(1000)][::3]
    times = sorted(gate.next_slot(seat, 0.0) for seat in seats)
    assert most_within(times, 0.25) <= len(seats) / 20 * 1.4 + 2


@given(now=MOMENTS, interval=st.floats(min_value=0.05, max_value=3600), joined=st.integers(1, 50))
def test_the_next_point_lies_ahead_and_within_an_interval_and_a_tick(now: float, interval: float, joined: int) -> None:
    gate = PollSchedule()
    seat = [gate.join(interval) for _ in range(joined)][-1]
    due = gate.next_slot(seat, now)
    assert now < due + 1e-6
    assert due <= now + interval + TICK + 1e-6


@given(now=MOMENTS, pause=st.floats(min_value=0.1, max_value=1e5))
def test_nobody_is_due_during_a_pause(now: float, pause: float) -> None:
    gate = PollSchedule()
    seats = [gate.join(5.0) for _ in range(20)]
    gate.hold(now + pause)
    assert all(gate.next_slot(seat, now) >= now + pause for seat in seats)
    assert gate.is_held(now)
    assert not gate.is_held(now + pause)


def test_after_a_pause_they_come_back_spread_out() -> None:
    gate = PollSchedule()
    seats = [gate.join(5.0) for _ in range(1000)]
    gate.hold(103.0)
    assert most_within(sorted(gate.next_slot(seat, 100.0) for seat in seats), 0.25) <= 65


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    gate = PollSchedule()
    gate.hold(10.0)
    gate.hold(5.0)
    assert gate.is_held(9.0)


@given(per_second=st.floats(min_value=0.1, max_value=1000), gaps=st.lists(st.floats(0, 2), min_size=2, max_size=50))
def test_places_keep_the_ceiling(per_second: float, gaps: list[float]) -> None:
    gate, now, places = PollSchedule(per_second), 0.0, []
    for gap in gaps:
        now += gap
        places.append(gate.reserve(now))
        assert places[-1] >= now
    assert all(later - earlier >= 1 / per_second - 1e-9 for earlier, later in itertools.pairwise(places))


def test_a_pause_shorter_than_the_queue_lets_no_two_go_at_a_time() -> None:
    gate = PollSchedule(10.0)
    queue = [gate.reserve(0.0) for _ in range(100)]
    gate.hold(3.0)
    lapsed = [gate.reserve(3.0) for place in queue if place < 3.0]
    kept = [place for place in queue if place >= 3.0]
    assert most_within(sorted(lapsed + kept), 1.0) <= 11


def test_without_a_ceiling_nobody_queues_at_the_end_of_a_pause() -> None:
    gate = PollSchedule()
    gate.hold(10.0)
    assert gate.reserve(5.0) == 5.0


@pytest.mark.parametrize("interval", [0.0, -1.0, 1e-9])
def test_no_interval_makes_a_wait_spin(interval: float) -> None:
    assert PollSchedule().join(interval).interval == MIN_INTERVAL
