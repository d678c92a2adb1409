"""What goes from the sensor to its trigger and back: nothing is lost on the way, and nothing else is believed."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor
from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from tests.conftest import when
from tests.triggers.run_trigger import run_trigger

GARBAGE: tuple[Any, ...] = (
    None,
    {},
    [],
    "ready",
    7,
    {"status": None},
    {"status": ["ready"]},
    {"status": "success"},
    {"status": "ready"},
    {"status": "ready", "answer": {"packageId": "p"}},
    {"status": "ready", "answer": {"packageId": "other", "videos": []}},
    {"status": "ready", "answer": {"packageId": None, "videos": []}},
    {"status": "ready", "answer": {"packageId": "p", "videos": [{}]}},
    {"status": "ready", "answer": {"packageId": "p", "videos": [{"meetingVideoId": "", "state": "archived"}]}},
    {"status": "ready", "answer": {"packageId": "p", "videos": [{"meetingVideoId": "a", "state": "queued"}]}},
    {"status": "ready", "answer": {"packageId": "p", "videos": [{"meetingVideoId": "b", "state": "archived"}]}},
    {"status": "error"},
    {"status": "error", "type": "AirflowSkipException", "message": "skip it"},
)


def sensor(package_id: str = "p", **arguments: Any) -> IinkedVideosArchivedSensor:
    arguments = {"poke_interval": 0.2, "timeout": 10.0, **arguments}
    return IinkedVideosArchivedSensor(task_id="wait", package_id=package_id, **arguments)


def deferred(package_id: str, **arguments: Any) -> Any:
    """The trigger, made again from what Airflow keeps of it."""
    with pytest.raises(TaskDeferred) as caught:
        sensor(package_id, deferrable=True, **arguments).execute({})
    _, kwargs = caught.value.trigger.serialize()
    return type(caught.value.trigger)(**json.loads(json.dumps(kwargs)))


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize("event", GARBAGE, ids=str)
def test_an_event_that_does_not_say_archived_is_not_taken_so(event: Any, soft_fail: bool) -> None:
    with pytest.raises(AirflowSkipException if soft_fail else exceptions.UnexpectedAnswerError):
        sensor(meeting_video_ids=["a"], soft_fail=soft_fail).execute_complete({}, event)


def test_an_event_with_urls_is_passed_on_without() -> None:
    video = {"meetingVideoId": "A", "state": "archived", "url": "https://x/?a=b", "timeUrlExpires": "later"}
    event = {"status": "ready", "answer": {"packageId": "p", "videos": [video]}}
    answer = sensor(meeting_video_ids=["a"]).execute_complete({}, event)
    assert answer == {"packageId": "p", "videos": [{"meetingVideoId": "A", "state": "archived"}]}


def test_a_timeout_in_the_triggerer_is_a_sensor_timeout() -> None:
    with pytest.raises(AirflowSensorTimeout, match="still waiting"):
        sensor().execute_complete({}, {"status": "timeout", "message": "still waiting"})


def test_an_error_from_the_triggerer_says_when_to_come_back(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=[{"state": "queued"}])
    trigger = deferred(package, max_consecutive_errors=0)
    headers = {"Retry-After": "7"}
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=503, headers=headers, on="always"))
    event = asyncio.run(run_trigger(trigger))
    with pytest.raises(exceptions.ServerError) as caught:
        sensor(package).execute_complete({}, event)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("wait", [10**400, -1, float("nan"), True, "7"])
def test_a_time_to_come_back_that_cannot_be_is_left_out(wait: object) -> None:
    event = {"status": "error", "type": "ServerError", "message": "in trouble", "retry_after": wait}
    with pytest.raises(exceptions.ServerError) as caught:
        sensor().execute_complete({}, event)
    assert caught.value.retry_after is None


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_from_before_deferring_is_kept_by_the_trigger(iinked_simulator: IinkedSimulator, status: int) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=status, headers={"Retry-After": "2"}))
    assert asyncio.run(run_trigger(deferred(package)))["status"] == "ready"
    first, second = iinked_simulator.ledger.requests()
    assert second.time - first.time >= 2.0


class Store(dict[str, Any]):
    """What Airflow 3.3 keeps between the pokes of reschedule mode."""

    set = dict.__setitem__


def test_errors_before_a_deferral_are_counted_by_the_trigger_alone(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=500))
    store = Store()
    with pytest.raises(TaskDeferred) as caught:
        sensor(package, deferrable=True, mode="reschedule").execute({"task_state_store": store})  # type: ignore[typeddict-item]
    assert (store, caught.value.trigger.consecutive_errors) == ({}, 1)


def test_a_poke_that_spends_the_budget_in_place_keeps_retry_after(
    iinked_simulator: IinkedSimulator, quick: None
) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    headers = {"Retry-After": "1"}
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=503, headers=headers, on="always"))
    with pytest.raises(exceptions.ServerError):
        sensor(package, mode="reschedule", max_consecutive_errors=2).poke({})
    times = [record.time for record in iinked_simulator.ledger.requests()]
    assert len(times) == 3
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(times))


def test_a_poke_waits_in_place_for_no_longer_than_the_timeout(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=503, headers={"Retry-After": "200"}))
    begun = time.monotonic()
    assert sensor(package, mode="reschedule").poke({}) is False
    assert time.monotonic() - begun < 60


@pytest.mark.parametrize("slow", [0.0, 0.7])
def test_after_a_rotation_a_reading_or_two_serve_all_waits(
    slow: float, iinked_simulator: IinkedSimulator, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

    readings = []
    real = IinkedSignHook.aget_settings

    async def counted(self: IinkedSignHook) -> Any:
        readings.append(self.iinked_sign_conn_id)
        await asyncio.sleep(slow)
        return await real(self)

    monkeypatch.setattr(IinkedSignHook, "aget_settings", counted)
    packages = [iinked_simulator.add_package(videos=[{"archive_after": 3.0}]) for _ in range(30)]
    triggers = [deferred(package, poke_interval=0.5) for package in packages]

    async def run() -> list[dict[str, Any]]:
        tasks = [asyncio.create_task(run_trigger(trigger)) for trigger in triggers]
        await asyncio.sleep(1.0 + slow)
        iinked_simulator.rotate_api_key()
        connect()
        return await asyncio.gather(*tasks)

    assert {event["status"] for event in asyncio.run(run())} == {"ready"}
    # The first; one that was under way, perhaps, when the last key was refused; one after it.
    assert len(readings) <= 3


def test_a_wait_cancelled_while_its_key_is_exchanged_gives_both_shares_back(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_iinked.api import async_client as aio
    from airflow_provider_iinked.api import shared_client
    from airflow_provider_iinked.hooks.iinked_sign import aread_settings
    from airflow_provider_iinked.waiting.connection_cache import TriggerClient

    real = aio.AsyncClient.close

    async def slow(self: aio.AsyncClient) -> None:
        await real(self)
        await asyncio.sleep(5)

    async def run() -> int:
        access = TriggerClient("iinked_sign_default", aread_settings)
        refused = await access.open()
        iinked_simulator.rotate_api_key()
        connect()
        monkeypatch.setattr(aio.AsyncClient, "close", slow)
        renewing = asyncio.create_task(access.renew(refused))
        await asyncio.sleep(1.0)
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        monkeypatch.setattr(aio.AsyncClient, "close", real)
        await access.close()
        return shared_client.open_clients()

    assert asyncio.run(run()) == 0


@pytest.mark.parametrize("name", ["never_fail", "silent_fail"])
def test_what_has_no_meaning_in_the_triggerer_is_refused_when_the_dag_is_parsed(name: str) -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match=rf"^{name} .*soft_fail"):
        sensor(deferrable=True, **{name: True})
    sensor(deferrable=False, **{name: True})


def test_on_kill_ends_the_poke_in_flight_and_sends_nothing_more(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None]
) -> None:
    connect(timeout=100)
    package = iinked_simulator.add_package(videos=[{"state": "queued"}])
    iinked_simulator.faults.add(Fault(call="list", kind="stall", seconds=300, on=2))
    waiting = sensor(package, timeout=600.0)
    assert waiting.poke({}) is False
    when(lambda: len(iinked_simulator.ledger.requests()) == 2, waiting.on_kill)
    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailableError):
            waiting.poke({})
    assert time.monotonic() - begun < 60
    assert len(iinked_simulator.ledger.requests()) == 2
