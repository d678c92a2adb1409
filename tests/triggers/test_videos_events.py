"""The event trigger tells of each archived recording, at least once and in quiet times no more."""

from __future__ import annotations

import asyncio
import itertools
import json
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import InvalidArgumentError
from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedEventTrigger
from airflow_provider_iinked.waiting import connection_cache, seen_store
from airflow_provider_iinked.waiting.package_poller import PackagePoller
from tests.servers.raw import Asked, http, listing, raw_server


class Store:
    """Airflow's asset state store, as the triggerer hands it out, with values kept as JSON."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.broken = False
        self.readings = 0

    async def aget(self, key: str, default: Any = None) -> Any:
        self.readings += 1
        if self.broken:
            raise RuntimeError("the store is away")
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


async def collect(
    trigger: IinkedVideosArchivedEventTrigger, enough: Callable[[list[str]], bool]
) -> list[dict[str, Any]]:
    """Run it until it is enough, judged by the ids that were told, as a triggerer does that then shuts down."""
    events: list[dict[str, Any]] = []

    async def run() -> None:
        async for event in trigger.run():
            events.append(event.payload)

    task = asyncio.create_task(run())
    try:
        async with asyncio.timeout(90):
            while not enough(ids(events)):
                assert not task.done()
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await trigger.cleanup()
    return events


def told(*expected: str) -> Callable[[list[str]], bool]:
    """Enough is when all these were told."""
    return lambda told: set(expected) <= set(told)


def later(sim: IinkedSimulator, rounds: int, first: Callable[[list[str]], bool] = told()) -> Callable[..., bool]:  # noqa: B008
    """Enough is so many whole rounds after something else was enough."""
    begun: list[int] = []

    def enough(told: list[str]) -> bool:
        asked = len(sim.ledger.requests(call="packages"))
        if not begun and first(told):
            begun.append(asked)
        # One was under way, perhaps; the next ones are whole when yet another begins.
        return bool(begun) and asked >= begun[0] + rounds + 1

    return enough


def kept(store: Store, *expected: bytes) -> Callable[[list[str]], bool]:
    """Enough is when the store keeps just these."""

    def enough(_: list[str]) -> bool:
        values = [seen_store.unpack(json.loads(value)) for value in store.values.values()]
        return set(expected) in values

    return enough


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
    events = asyncio.run(collect(follower(), later(iinked_simulator, 1, told("a", "b", "c"))))
    assert sorted(ids(events)) == ["a", "b", "c"]
    assert {event["package_id"] for event in events} == {first, second}
    assert "http" not in json.dumps(events)


def test_what_was_reported_survives_a_new_triggerer(iinked_simulator: IinkedSimulator, save_at_once: None) -> None:
    store = Store()
    package = iinked_simulator.add_package(videos=["a"])
    first = asyncio.run(collect(follower(store), kept(store, seen_store.fingerprint(package, "a"))))
    assert ids(first) == ["a"]
    iinked_simulator.add_video(package, "b")
    assert ids(asyncio.run(collect(follower(store), later(iinked_simulator, 1, told("b"))))) == ["b"]


def test_what_was_reported_only_just_is_reported_again_by_a_new_triggerer(iinked_simulator: IinkedSimulator) -> None:
    store = Store()
    iinked_simulator.add_package(videos=["a"])
    assert ids(asyncio.run(collect(follower(store), told("a")))) == ["a"]
    assert ids(asyncio.run(collect(follower(store), told("a")))) == ["a"]


def test_memory_forgets_what_is_not_listed_as_archived_any_more(
    iinked_simulator: IinkedSimulator, save_at_once: None
) -> None:
    store = Store()
    package = iinked_simulator.add_package(videos=["a", "b"])
    a, b = seen_store.fingerprint(package, "a"), seen_store.fingerprint(package, "b")

    def enough(told: list[str]) -> bool:
        if kept(store, a, b)(told):
            iinked_simulator.set_state(package, "a", "deleted")
        return kept(store, b)(told)

    assert sorted(ids(asyncio.run(collect(follower(store), enough)))) == ["a", "b"]


def test_watchers_with_different_filters_keep_lists_of_their_own(
    iinked_simulator: IinkedSimulator, save_at_once: None
) -> None:
    store = Store()
    iinked_simulator.add_package(videos=["a"])
    for count, arguments in ((1, {}), (2, {"search": "*"})):
        enough = later(iinked_simulator, 0, lambda _, count=count: len(store.values) == count)  # type: ignore[misc]
        assert ids(asyncio.run(collect(follower(store, **arguments), enough))) == ["a"]
    for arguments in ({}, {"search": "*"}):
        assert ids(asyncio.run(collect(follower(store, **arguments), later(iinked_simulator, 1)))) == []
    assert len(store.values) == 2


def test_a_store_that_cannot_be_read_delays_and_repeats_nothing(
    iinked_simulator: IinkedSimulator, save_at_once: None
) -> None:
    store = Store()
    package = iinked_simulator.add_package(videos=["a"])
    asyncio.run(collect(follower(store), kept(store, seen_store.fingerprint(package, "a"))))
    store.broken = True
    assert asyncio.run(collect(follower(store), lambda _: store.readings > 2)) == []


@pytest.mark.parametrize("status", [401, 404, 500, 429])
def test_trouble_never_spins(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None], status: int, quick: None
) -> None:
    connect(max_retries=0)
    iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(Fault(call="packages", kind="status", status=status, on="always"))
    begun = time.monotonic()
    asked = iinked_simulator.ledger.requests
    assert asyncio.run(collect(follower(), lambda _: len(asked()) >= 3)) == []
    assert len(asked()) <= time.monotonic() - begun + 2


def test_a_package_in_trouble_does_not_hold_up_the_others(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None]
) -> None:
    connect(max_retries=0)
    bad = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.add_package(videos=["b"])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=500, on="always", package_id=bad))
    assert ids(asyncio.run(collect(follower(), later(iinked_simulator, 1, told("b"))))) == ["b"]


def test_a_rotated_key_goes_on(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_cache, "FRESH", 1.0)
    iinked_simulator.rotate_api_key()
    iinked_simulator.add_package(videos=["a"])

    def enough(told: list[str]) -> bool:
        if any(record.status == 401 for record in iinked_simulator.ledger.requests()):
            connect()
        return told == ["a"]

    assert ids(asyncio.run(collect(follower(), enough))) == ["a"]


def test_a_key_rotated_between_two_rounds_goes_on_at_once(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    rotated: list[bool] = []

    def enough(told: list[str]) -> bool:
        if told == ["a"] and not rotated:
            rotated.append(True)
            iinked_simulator.rotate_api_key()
            connect()
            iinked_simulator.add_video(package, "b")
        return "b" in told

    assert ids(asyncio.run(collect(follower(), enough))) == ["a", "b"]
    assert "the round is retried in" not in caplog.text


def test_a_package_that_pages_hide_for_a_round_is_not_reported_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def answer(number: int, asked: Asked) -> list[bytes]:
        if asked.path.endswith("/videos"):
            return [http(listing("p", a="archived"))]
        begun.append(number)
        hidden = len(begun) == 2
        return [http({"items": [] if hidden else [{"packageId": "p"}], "total": 1, "take": 100, "skip": 0})]

    with raw_server(answer) as server:
        monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", server.connection())
        assert ids(asyncio.run(collect(follower(), lambda _: len(begun) > 3))) == ["a"]


def test_its_requests_are_spread_over_the_interval(
    iinked_simulator: IinkedSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        iinked_simulator.add_package()
    due: list[float] = []
    rest = PackagePoller._rest

    async def noted(self: PackagePoller, until: float) -> None:
        due.append(until)
        await rest(self, until)
        assert time.monotonic() >= until

    monkeypatch.setattr(PackagePoller, "_rest", noted)
    asyncio.run(collect(follower(poll_interval=2.0), lambda _: len(due) > 10))
    assert len(iinked_simulator.ledger.requests(call="list")) == 10
    assert [later - earlier for earlier, later in itertools.pairwise(due[:11])] == pytest.approx([0.2] * 10)


def test_filters_reach_the_request_in_the_spelling_of_the_api(iinked_simulator: IinkedSimulator) -> None:
    asked = iinked_simulator.ledger.requests
    filters = follower(team_id="t", is_executed=True, types=["video_closing_room"])
    asyncio.run(collect(filters, lambda _: asked(call="packages") != []))
    body = asked(call="packages")[0].body
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
