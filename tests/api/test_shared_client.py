"""All waits of a connection share one client and one timetable, and leave nothing behind."""

from __future__ import annotations

import asyncio
import bisect
import gc
import itertools
import time
import weakref
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from airflow_provider_iinked.api import async_client, shared_client
from airflow_provider_iinked.api.poll_schedule import TICK, Slot
from airflow_provider_iinked.api.rate_limit import SLACK
from airflow_provider_iinked.api.settings import ApiSettings
from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from tests.conftest import Departures
from tests.triggers.run_trigger import make_trigger, run_trigger


async def start(triggers: list[Any]) -> list[asyncio.Task[dict[str, Any]]]:
    return [asyncio.create_task(run_trigger(trigger)) for trigger in triggers]


def waiting(sim: IinkedSimulator, count: int, **arguments: Any) -> list[Any]:
    return [
        make_trigger(sim.add_package(videos=[{"state": "queued"}]), **{"end_time": time.time() + 600, **arguments})
        for _ in range(count)
    ]


async def until(condition: Callable[[], bool], tasks: list[asyncio.Task[Any]]) -> None:
    """Return once something has come about; fail when a wait ends before."""
    while not condition():
        assert [task.result() for task in tasks if task.done()] == []
        await asyncio.sleep(0.05)


def asked_of(sim: IinkedSimulator) -> set[str | None]:
    return {record.package_id for record in sim.ledger.requests()}


async def cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def most_within(times: list[float], width: float) -> int:
    return max(bisect.bisect_left(times, at + width - 1e-9) - index for index, at in enumerate(times))


def archive_all(sim: IinkedSimulator) -> None:
    for package in sim.packages():
        for video in package.videos:
            sim.set_state(package.package_id, video, "archived")


def sessions() -> int:
    gc.collect()
    # By type, not isinstance: asking a lazy proxy of Airflow for its class would make it import.
    return sum(type(thing) is aiohttp.ClientSession and not thing.closed for thing in gc.get_objects())


def test_two_hundred_waits_share_one_client_and_close_it(iinked_simulator: IinkedSimulator) -> None:
    async def run() -> tuple[int, int, list[dict[str, Any]], int]:
        tasks = await start(waiting(iinked_simulator, 200, poll_interval=2.0))
        await until(lambda: len(asked_of(iinked_simulator)) == 200, tasks)
        during, sockets = shared_client.open_clients(), iinked_simulator.ledger.sockets(host="api")
        archive_all(iinked_simulator)
        return during, sockets, await asyncio.gather(*tasks), shared_client.open_clients()

    during, sockets, events, after = asyncio.run(run())
    assert (during, after) == (1, 0)
    assert sockets <= async_client.MAX_SOCKETS
    assert {event["status"] for event in events} == {"ready"}
    assert sessions() == 0


def test_polls_are_spread_over_the_interval(
    iinked_simulator: IinkedSimulator, planned: dict[Slot, list[float]]
) -> None:
    interval, polls = 2.0, 2

    async def run() -> None:
        tasks = await start(waiting(iinked_simulator, 200, poll_interval=interval))
        await until(lambda: len(planned) == 200 and min(map(len, planned.values())) > polls, tasks)
        await cancel(tasks)

    asyncio.run(run())
    assert len(planned) == 200
    for points in planned.values():
        intervals = [(later - earlier) / interval for earlier, later in itertools.pairwise(points)]
        assert all(abs(number - round(number)) * interval <= TICK and round(number) >= 1 for number in intervals)
    every = sorted(itertools.chain.from_iterable(planned.values()))
    assert most_within(every, interval) <= 200 + 10
    assert most_within(every, 0.25) <= 25 * 2
    # Each poll has a point of its own; those that were cancelled had not been sent.
    sent = len(iinked_simulator.ledger.requests())
    assert 200 * polls <= sent <= len(every) <= sent + 200


@pytest.mark.parametrize("steps", [0, 1, 5, 50])
def test_a_wait_cancelled_at_any_step_gives_its_share_back(iinked_simulator: IinkedSimulator, steps: int) -> None:
    async def run() -> int:
        (trigger,) = waiting(iinked_simulator, 1, poll_interval=0.1)

        async def drive() -> None:
            async for _ in trigger.run():
                pass

        task = asyncio.create_task(drive())
        for _ in range(steps):
            await asyncio.sleep(0.005 if steps > 10 else 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await trigger.cleanup()
        await trigger.cleanup()
        return shared_client.open_clients()

    assert asyncio.run(run()) == 0
    assert sessions() == 0


def test_releasing_twice_does_not_close_what_others_use(iinked_simulator: IinkedSimulator) -> None:
    async def run() -> tuple[int, int]:
        settings = ApiSettings(iinked_simulator.api_base, iinked_simulator.api_key)
        first, second = await shared_client.acquire(settings), await shared_client.acquire(settings)
        await first.release()
        await first.release()
        between = shared_client.open_clients()
        await second.release()
        return between, shared_client.open_clients()

    assert asyncio.run(run()) == (1, 0)


def test_other_settings_are_another_client(iinked_simulator: IinkedSimulator) -> None:
    async def run() -> int:
        base = iinked_simulator.api_base
        shares = [
            await shared_client.acquire(settings)
            for settings in (
                ApiSettings(base, "a"),
                ApiSettings(base, "b"),
                ApiSettings(base, "a", timeout=1.0),
            )
        ]
        count = shared_client.open_clients()
        for share in shares:
            await share.release()
        return count

    assert asyncio.run(run()) == 3


def test_after_a_429_nobody_asks_before_retry_after_and_nobody_is_lost(
    iinked_simulator: IinkedSimulator, departures: Departures, planned: dict[Slot, list[float]]
) -> None:
    interval = 2.0

    async def run() -> list[dict[str, Any]]:
        tasks = await start(waiting(iinked_simulator, 100, poll_interval=interval))
        await until(lambda: len(asked_of(iinked_simulator)) == 100, tasks)
        iinked_simulator.faults.add(
            Fault(call="list", kind="status", status=429, headers={"Retry-After": "2"}, body={"error": "too_many"})
        )
        await until(lambda: departures.pauses != [], tasks)
        archive_all(iinked_simulator)
        return await asyncio.gather(*tasks)

    events = asyncio.run(run())
    assert [record.status for record in iinked_simulator.ledger.requests()].count(429) == 1
    later = departures.after_pause()
    assert min(later) >= 0
    assert len(later) >= 100
    assert {event["status"] for event in events} == {"ready"}
    assert len(events) == 100
    ((end, _),) = departures.pauses
    points = sorted(at for points in planned.values() for at in points if at >= end)
    assert most_within(points, 0.25) <= 13 * 2


def test_a_pause_outlasts_the_client_that_took_it(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(
        Fault(call="list", kind="status", status=429, headers={"Retry-After": "2"}, body={"error": "too_many"})
    )

    async def run() -> None:
        await run_trigger(make_trigger(package, end_time=time.time() + 0.5))
        assert shared_client.open_clients() == 0
        await run_trigger(make_trigger(package))

    asyncio.run(run())
    first, second = [record.time for record in iinked_simulator.ledger.requests()]
    assert second >= first + 2


@pytest.mark.parametrize("stall", [0.0, 1.5])
def test_all_waits_together_keep_the_ceiling(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None], departures: Departures, stall: float
) -> None:
    connect(max_requests_per_second=20)

    async def run() -> None:
        tasks = await start(waiting(iinked_simulator, 60, poll_interval=1.0))
        await until(lambda: len(departures.times) >= 30, tasks)
        time.sleep(stall)  # noqa: ASYNC251 - a loop that stands still has thirty moments behind it
        await until(lambda: len(departures.times) >= 90 and len(asked_of(iinked_simulator)) == 60, tasks)
        await cancel(tasks)

    asyncio.run(run())
    # Judged by when the client sends: what the simulator receives may bunch together on its way.
    assert departures.most_within(1.0) <= 20 * (1 + SLACK) + 1


def test_waits_whose_key_is_refused_together_fail_and_ask_no_more(iinked_simulator: IinkedSimulator) -> None:
    async def run() -> list[dict[str, Any]]:
        tasks = await start(waiting(iinked_simulator, 30, poll_interval=1.0))
        await asyncio.sleep(1.5)
        iinked_simulator.rotate_api_key()
        return await asyncio.gather(*tasks)

    events = asyncio.run(run())
    assert {event["type"] for event in events} == {"AuthenticationError"}
    assert sum(record.status == 401 for record in iinked_simulator.ledger.requests()) == 30


def test_waits_that_start_together_read_their_connection_once(
    iinked_simulator: IinkedSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

    readings = []
    real = IinkedSignHook.aget_settings

    async def counted(self: IinkedSignHook) -> ApiSettings:
        readings.append(self.iinked_sign_conn_id)
        return await real(self)

    monkeypatch.setattr(IinkedSignHook, "aget_settings", counted)

    async def run() -> None:
        tasks = await start(waiting(iinked_simulator, 50, poll_interval=0.5))
        await asyncio.sleep(1)
        archive_all(iinked_simulator)
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert readings == ["iinked_sign_default"]


def test_the_hook_lists_without_blocking_and_shares_the_client(iinked_simulator: IinkedSimulator) -> None:
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

    packages = [iinked_simulator.add_package(videos=["a"] if not number else []) for number in range(7)]

    async def run() -> tuple[list[str], list[str], int, int]:
        one, two = IinkedSignHook(), IinkedSignHook()
        videos = [video.meeting_video_id for video in await one.alist_videos(packages[0])]
        found = [package.package_id async for package in two.alist_packages(page_size=3, all_members=True)]
        during = shared_client.open_clients()
        await one.aclose()
        await two.aclose()
        return videos, found, during, shared_client.open_clients()

    videos, found, during, after = asyncio.run(run())
    assert (videos, sorted(found), during, after) == (["a"], sorted(packages), 1, 0)


def test_an_answer_that_is_too_long_is_refused(
    iinked_simulator: IinkedSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_client, "MAX_BODY", 100)
    package = iinked_simulator.add_package(videos=["a"])
    event = asyncio.run(run_trigger(make_trigger(package, max_consecutive_errors=0)))
    assert event["type"] == "UnexpectedAnswerError"
    assert "longer" in event["message"]


def test_nothing_keeps_an_event_loop_alive(iinked_simulator: IinkedSimulator) -> None:
    loops = []

    async def run() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await run_trigger(make_trigger(iinked_simulator.add_package(videos=[{}])))

    asyncio.run(run())
    # asgiref, below Airflow, remembers the last event loop that used it.
    asyncio.run(run())
    gc.collect()
    assert loops[0]() is None
