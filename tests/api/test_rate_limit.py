"""The ceiling of requests a second and pauses, with a clock of the test's own; and how threads keep them."""

from __future__ import annotations

import bisect
import heapq
import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.rate_limit import SLACK, RateLimiter
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.api.sync_client import SyncClient
from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from tests.conftest import Departures


def most_within(times: list[float], width: float) -> int:
    return max(bisect.bisect_left(times, at + width - 1e-9) - index for index, at in enumerate(times))


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    limiter = RateLimiter()
    limiter.pause(10.0)
    limiter.pause(5.0)
    assert limiter.is_paused(9.0)


@given(per_second=st.floats(min_value=0.1, max_value=1000), gaps=st.lists(st.floats(0, 2), min_size=2, max_size=50))
def test_places_keep_the_ceiling(per_second: float, gaps: list[float]) -> None:
    limiter, now, places = RateLimiter(per_second), 0.0, []
    for gap in gaps:
        now += gap
        places.append(limiter.reserve(now))
        assert places[-1] >= now
    assert all(later - earlier >= 1 / per_second - 1e-9 for earlier, later in itertools.pairwise(places))


@given(
    per_second=st.floats(min_value=0.5, max_value=500),
    lags=st.lists(st.floats(0, 5) | st.just(0.0), min_size=1, max_size=60),
)
def test_departures_keep_the_ceiling_however_late_the_timers_are(per_second: float, lags: list[float]) -> None:
    limiter = RateLimiter(per_second)
    due = [(limiter.reserve(0.0), number) for number in range(len(lags))]
    now, left = 0.0, []
    while due:
        moment, number = heapq.heappop(due)
        now = max(now, moment + lags[number])  # a late one holds up all that come after it
        lags[number] = 0.0
        if limiter.depart(now):
            left.append(now)
        else:
            heapq.heappush(due, (limiter.reserve(now), number))
    assert len(left) == len(lags)
    assert most_within(left, 1.0) <= per_second * (1 + SLACK) + 1 + 1e-6


def test_a_timer_that_is_a_little_late_costs_nothing() -> None:
    limiter = RateLimiter(100.0)
    places = [limiter.reserve(0.0) for _ in range(200)]
    late = itertools.cycle([0.0, 0.9 * SLACK, 0.3 * SLACK])
    assert all(limiter.depart(place + lag) for place, lag in zip(places, late, strict=False))


def test_without_a_ceiling_everybody_departs() -> None:
    limiter = RateLimiter()
    assert all(limiter.depart(1.0) for _ in range(1000))


def test_a_pause_shorter_than_the_queue_lets_no_two_go_at_a_time() -> None:
    limiter = RateLimiter(10.0)
    queue = [limiter.reserve(0.0) for _ in range(100)]
    limiter.pause(3.0)
    lapsed = [limiter.reserve(3.0) for place in queue if place < 3.0]
    kept = [place for place in queue if place >= 3.0]
    assert most_within(sorted(lapsed + kept), 1.0) <= 11


def test_without_a_ceiling_nobody_queues_at_the_end_of_a_pause() -> None:
    limiter = RateLimiter()
    limiter.pause(10.0)
    assert limiter.reserve(5.0) == 5.0


def test_looking_for_the_next_free_moment_does_not_take_it() -> None:
    limiter = RateLimiter(10.0)
    assert limiter.reserve(0.0) == 0.0
    assert [limiter.next_free(0.0) for _ in range(3)] == [0.1] * 3
    assert limiter.reserve(0.0) == 0.1


def test_the_next_free_moment_lies_after_a_pause() -> None:
    limiter = RateLimiter()
    limiter.pause(7.0)
    assert (limiter.next_free(5.0), limiter.next_free(8.0)) == (7.0, 8.0)


def client_of(sim: IinkedSimulator, **settings: float) -> SyncClient:
    return SyncClient(ApiSettings(sim.api_base, sim.api_key, **settings))  # type: ignore[arg-type]


def test_waiting_for_a_slot_leaves_the_slot_to_the_request() -> None:
    slept: list[float] = []
    client = SyncClient(ApiSettings("http://localhost:1/api/v1", "k", max_requests_per_second=10.0), sleep=slept.append)
    client.limiter.reserve(time.monotonic())
    client.wait_for_slot()
    client.wait_for_slot()
    assert len(slept) == 2
    assert all(0 < seconds <= 0.1 for seconds in slept)


def test_threads_that_share_a_client_keep_its_ceiling(
    iinked_simulator: IinkedSimulator, departures: Departures
) -> None:
    client = client_of(iinked_simulator, max_requests_per_second=20.0)
    request = protocol.list_videos(iinked_simulator.add_package())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: client.send(request), range(30)))
    client.close()
    assert len(iinked_simulator.ledger.requests()) == len(departures.times) == 30
    assert departures.most_within(0.5) <= 20 * (0.5 + SLACK) + 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_for_all_threads_of_a_client(
    iinked_simulator: IinkedSimulator, departures: Departures, status: int
) -> None:
    client = client_of(iinked_simulator)
    package = iinked_simulator.add_package()
    headers = {"Retry-After": "1"}
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=status, headers=headers, on=2))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.send(protocol.list_videos(package)), range(40)))
    client.close()
    assert [record.status for record in iinked_simulator.ledger.requests()].count(status) == 1
    later = departures.after_pause()
    assert min(later) >= 0
    # How many were sent before the answer was read is a matter of the machine; the rest of forty came after the pause.
    assert len(later) >= 4


def test_nobody_departs_during_a_pause() -> None:
    limiter = RateLimiter()
    limiter.pause(7.0)
    assert [limiter.depart(at) for at in (6.9, 7.0)] == [False, True]
