"""The event trigger tells of each archived recording, at least once and in quiet times no more."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedEventTrigger
from airflow_provider_iinked.waiting import seen_store
from tests.servers.raw import Asked, http, listing, raw_server


class Store:
    """Airflow's asset state store, as the triggerer hands it out, with values kept as JSON."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.broken = False

    async def aget(self, key: str, default: Any = None) -> Any:
        if self.broken:
            raise RuntimeError("the store is away")
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


async def collect(trigger: IinkedVideosArchivedEventTrigger, seconds: float) -> list[dict[str, Any]]:
    """Run it for a while, as a triggerer does that then shuts down."""
    events: list[dict[str, Any]] = []

    async def run() -> None:
        async for event in trigger.run():
            events.append(event.payload)

    task = asyncio.create_task(run())
    await asyncio.sleep(seconds)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await trigger.cleanup()
    return events


def follower(store: Store | None = None, **arguments: Any) -> IinkedVideosArchivedEventTrigger:
    trigger = IinkedVideosArchivedEventTrigger(**{"poll_interval": 1.0, "all_members": True, **arguments})
    trigger.asset_state_store = store  # type: ignore[assignment]
    return trigger


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [one for event in events for one in event["meeting_video_ids"]]


@pytest.fixture
def save_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_store, "SAVE_AFTER", 0.2)


def test_each_recording_is_reported_once_when_it_is_archived(iinked_simulator: IinkedSimulator) -> None:
    first = iinked_simulator.add_package(videos=["a", {"meeting_video_id": "b", "archive_after": 1.5}])
    second = iinked_simulator.add_package(videos=["c", {"meeting_video_id": "d", "state": "failed"}])
    events = asyncio.run(collect(follower(), 4))
    assert sorted(ids(events)) == ["a", "b", "c"]
    assert {event["package_id"] for event in events} == {first, second}
    assert "http" not in json.dumps(events)


def test_what_was_reported_survives_a_new_triggerer(iinked_simulator: IinkedSimulator, save_at_once: None) -> None:
    store = Store()
    package = iinked_simulator.add_package(videos=["a"])
    assert ids(asyncio.run(collect(follower(store), 2.5))) == ["a"]
    iinked_simulator.add_video(package, "b")
    assert ids(asyncio.run(collect(follower(store), 2.5))) == ["b"]


def test_what_was_reported_only_just_is_reported_again_by_a_new_triggerer(iinked_simulator: IinkedSimulator) -> None:
    store = Store()
    iinked_simulator.add_package(videos=["a"])
    assert ids(asyncio.run(collect(follower(store), 1.5))) == ["a"]
    assert ids(asyncio.run(collect(follower(store), 1.5))) == ["a"]


def test_memory_forgets_what_is_not_listed_as_archived_any_more(
    iinked_simulator: IinkedSimulator, save_at_once: None
) -> None:
    store = Store()
    package = iinked_simulator.add_package(videos=["a", "b"])

    async def run() -> list[dict[str, Any]]:
        running = asyncio.create_task(collect(follower(store), 4.5))
        await asyncio.sleep(1.5)
        iinked_simulator.set_state(package, "a", "deleted")
        return await running

    assert sorted(ids(asyncio.run(run()))) == ["a", "b"]
    assert seen_store.unpack(json.loads(*store.values.values())) == {seen_store.fingerprint(package, "b")}


def test_watchers_with_different_filters_keep_lists_of_their_own(
    iinked_simulator: IinkedSimulator, save_at_once: None
) -> None:
    store = Store()
    iinked_simulator.add_package(videos=["a"])
    for arguments in ({}, {"search": "*"}, {}, {"search": "*"}):
        asyncio.run(collect(follower(store, **arguments), 2.0))
    assert len(store.values) == 2
    assert ids(asyncio.run(collect(follower(store), 1.5))) == []


def test_a_store_that_cannot_be_read_delays_and_repeats_nothing(
    iinked_simulator: IinkedSimulator, save_at_once: None
) -> None:
    store = Store()
    iinked_simulator.add_package(videos=["a"])
    asyncio.run(collect(follower(store), 2.5))
    store.broken = True
    assert asyncio.run(collect(follower(store), 2.0)) == []


@pytest.mark.parametrize("status", [401, 404, 500, 429])
def test_trouble_never_spins(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None], status: int, quick: None
) -> None:
    connect(max_retries=0)
    iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(Fault(call="packages", kind="status", status=status, on="always"))
    assert asyncio.run(collect(follower(), 3.2)) == []
    assert 1 <= len(iinked_simulator.ledger.requests()) <= 5


def test_a_package_in_trouble_does_not_hold_up_the_others(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None]
) -> None:
    connect(max_retries=0)
    bad = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.add_package(videos=["b"])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=500, on="always", package_id=bad))
    assert ids(asyncio.run(collect(follower(), 2.5))) == ["b"]


def test_a_rotated_key_goes_on(iinked_simulator: IinkedSimulator, connect: Callable[..., None]) -> None:
    iinked_simulator.rotate_api_key()
    iinked_simulator.add_package(videos=["a"])

    async def run() -> list[dict[str, Any]]:
        running = asyncio.create_task(collect(follower(), 13))
        await asyncio.sleep(0.7)
        connect()
        return await running

    assert ids(asyncio.run(run())) == ["a"]


def test_a_key_rotated_between_two_rounds_goes_on_at_once(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None]
) -> None:
    package = iinked_simulator.add_package(videos=["a"])

    async def run() -> list[dict[str, Any]]:
        running = asyncio.create_task(collect(follower(), 3.5))
        await asyncio.sleep(1.5)
        iinked_simulator.rotate_api_key()
        connect()
        iinked_simulator.add_video(package, "b")
        return await running

    assert ids(asyncio.run(run())) == ["a", "b"]


def test_a_package_that_pages_hide_for_a_round_is_not_reported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = itertools.count(1)

    def answer(number: int, asked: Asked) -> list[bytes]:
        if asked.path.endswith("/videos"):
            return [http(listing("p", a="archived"))]
        hidden = next(rounds) == 2
        return [http({"items": [] if hidden else [{"packageId": "p"}], "total": 1, "take": 100, "skip": 0})]

    with raw_server(answer) as server:
        monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", server.connection())
        assert ids(asyncio.run(collect(follower(), 4.5))) == ["a"]
    assert next(rounds) > 4


def test_its_requests_are_spread_over_the_interval(iinked_simulator: IinkedSimulator) -> None:
    for _ in range(10):
        iinked_simulator.add_package()
    asyncio.run(collect(follower(poll_interval=2.0), 2.1))
    times = [record.time for record in iinked_simulator.ledger.requests(call="list")][:10]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 0.6
    assert times[-1] - times[0] > 1.5


def test_filters_reach_the_request_in_the_spelling_of_the_api(iinked_simulator: IinkedSimulator) -> None:
    asyncio.run(collect(follower(team_id="t", is_executed=True, types=["video_closing_room"]), 0.5))
    body = iinked_simulator.ledger.requests(call="packages")[0].body
    assert {
        "allMembers": True,
        "teamId": "t",
        "isExecuted": True,
        "types": ["video_closing_room"],
    }.items() <= body.items()


def test_its_row_makes_it_again() -> None:
    trigger = follower(search="x*", states=["open"])
    path, kwargs = trigger.serialize()
    assert IinkedVideosArchivedEventTrigger(**json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)


@pytest.mark.parametrize(
    "arguments", [{"search": ""}, {"states": []}, {"member_id": "None"}, {"poll_interval": 0}, {"all_members": "yes"}]
)
def test_an_argument_that_is_empty_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        IinkedVideosArchivedEventTrigger(**arguments)


@pytest.mark.parametrize("count", [0, 1, seen_store.PER_PART, seen_store.PER_PART + 1, 10_000])
def test_what_was_reported_is_packed_into_values_below_64_kib(count: int) -> None:
    digests = {seen_store.fingerprint("p", str(number)) for number in range(count)}
    values = seen_store.pack(digests)
    assert all(len(json.dumps(value)) < 64 * 1024 for value in values)
    assert seen_store.parts(values[0]) == len(values)
    assert set().union(*map(seen_store.unpack, values)) == digests


@pytest.mark.parametrize(
    "value", [None, "", 7, {}, {"format": 2, "told": "AAAA"}, {"format": 1, "told": "%%"}, {"format": 1}]
)
def test_a_value_that_is_not_understood_holds_nothing(value: Any) -> None:
    assert seen_store.unpack(value) == set()


def test_the_example_dag_is_scheduled_on_the_asset_that_the_trigger_watches(airflow_db: None) -> None:
    pytest.importorskip("airflow.sdk", reason="event-driven scheduling came with Airflow 3")
    path = Path(__file__).parents[2] / "example_dags" / "iinked_sign_event_driven.py"
    module = runpy.run_path(str(path))
    (watcher,) = module["recordings"].watchers
    classpath = watcher.trigger["classpath"] if isinstance(watcher.trigger, dict) else watcher.trigger.serialize()[0]
    assert classpath == "airflow_provider_iinked.triggers.videos.IinkedVideosArchivedEventTrigger"
    assert set(module["dag"].task_ids) == {"archived", "take.download", "take.delete"}
