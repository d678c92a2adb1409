"""One wait for several packages: each mode comes to the same end, and a package that fails holds up no other one."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor
from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from airflow_provider_iinked.waiting.events import read_event
from airflow_provider_iinked.waiting.wait_condition import WaitCondition
from tests.triggers.run_trigger import make_trigger, run_trigger

Wait = Callable[..., Any]


def by_sensor(package_id: Any, **arguments: Any) -> Any:
    defaults: dict[str, Any] = {"poke_interval": 0.1, "timeout": 30.0, "max_consecutive_errors": 1}
    return IinkedVideosArchivedSensor(task_id="wait", package_id=package_id, **{**defaults, **arguments}).execute({})


def by_trigger(package_id: Any, **arguments: Any) -> Any:
    timeout = arguments.pop("timeout", 30.0)
    defaults = {"poll_interval": 0.1, "end_time": time.time() + timeout, "max_consecutive_errors": 1}
    trigger = make_trigger(package_id, **{**defaults, **arguments})
    result = read_event(asyncio.run(run_trigger(trigger)), WaitCondition.from_dict(trigger.condition))
    if result.timed_out:
        raise AirflowSensorTimeout(result.message)
    if result.error is not None:
        raise result.error
    return result.response


WAYS = pytest.mark.parametrize("wait", [by_sensor, by_trigger])


def found(response: Any) -> list[tuple[str, list[str]]]:
    return [(one["packageId"], [video["meetingVideoId"] for video in one["videos"]]) for one in response]


def lists(sim: IinkedSimulator, package_id: str) -> int:
    return sum(record.package_id == package_id for record in sim.ledger.requests(call="list"))


@WAYS
def test_the_wait_is_over_when_each_package_is_ready_and_keeps_the_order(
    iinked_simulator: IinkedSimulator, wait: Wait
) -> None:
    iinked_simulator.add_package("b", videos=[{"meeting_video_id": "late", "archive_after": 0.7}])
    iinked_simulator.add_package("a", videos=["x", "y"])
    assert found(wait(["b", "a"])) == [("b", ["late"]), ("a", ["x", "y"])]


@WAYS
def test_a_package_that_is_ready_is_not_polled_any_more(iinked_simulator: IinkedSimulator, wait: Wait) -> None:
    iinked_simulator.add_package("early", videos=["x"])
    iinked_simulator.add_package("late", videos=[{"archive_after": 1.0}])
    wait(["early", "late"])
    assert lists(iinked_simulator, "early") == 1
    assert lists(iinked_simulator, "late") > 3


@WAYS
def test_an_empty_list_of_packages_is_over_at_once(iinked_simulator: IinkedSimulator, wait: Wait) -> None:
    assert wait([]) == []
    assert not iinked_simulator.ledger.requests()


@WAYS
def test_an_empty_selection_in_several_packages_is_over_at_once(iinked_simulator: IinkedSimulator, wait: Wait) -> None:
    assert found(wait(["p", "q"], meeting_video_ids=[])) == [("p", []), ("q", [])]
    assert not iinked_simulator.ledger.requests()


@WAYS
def test_a_list_of_one_package_gives_a_list(iinked_simulator: IinkedSimulator, wait: Wait) -> None:
    iinked_simulator.add_package("p", videos=["x"])
    assert found(wait(["p"])) == [("p", ["x"])]


@WAYS
def test_recordings_cannot_be_selected_in_several_packages(iinked_simulator: IinkedSimulator, wait: Wait) -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match="2 packages"):
        wait(["p", "q"], meeting_video_ids=["x"])
    assert not iinked_simulator.ledger.requests()


@WAYS
def test_packages_that_fail_for_good_hold_up_no_other_one_and_are_named_at_the_end(
    iinked_simulator: IinkedSimulator, wait: Wait
) -> None:
    iinked_simulator.add_package("broken", videos=[{"state": "failed"}])
    iinked_simulator.add_package("late", videos=[{"archive_after": 0.7}])
    with pytest.raises(exceptions.PackagesFailedError) as caught:
        wait(["unknown", "broken", "late"])
    assert "2 of 3 packages" in str(caught.value)
    assert all(f"[{name}]" in str(caught.value) for name in ("unknown", "broken"))
    assert "[late]" not in str(caught.value)
    assert lists(iinked_simulator, "late") > 3
    assert lists(iinked_simulator, "unknown") == lists(iinked_simulator, "broken") == 1


@WAYS
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_wait_for_all(iinked_simulator: IinkedSimulator, wait: Wait, status: int) -> None:
    for name in ("p", "q"):
        iinked_simulator.add_package(name, videos=[{"state": "queued"}])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=status, package_id="p", on="always"))
    with pytest.raises(exceptions.AuthenticationError):
        wait(["p", "q"])


@WAYS
def test_a_package_that_the_key_may_not_see_fails_alone(iinked_simulator: IinkedSimulator, wait: Wait) -> None:
    for name in ("p", "q"):
        iinked_simulator.add_package(name, videos=[{}])
    body = {"error": "package_not_authorized", "message": "no"}
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=403, body=body, package_id="p", on="always"))
    with pytest.raises(exceptions.PackagesFailedError, match=r"\[p\]"):
        wait(["p", "q"])


@WAYS
def test_an_answer_about_another_package_ends_the_wait_for_all(iinked_simulator: IinkedSimulator, wait: Wait) -> None:
    for name in ("p", "q"):
        iinked_simulator.add_package(name, videos=[{"state": "queued"}])
    body = {"packageId": "other", "videos": []}
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=200, body=body, package_id="q", on="always"))
    with pytest.raises(exceptions.UnrequestedDeletionError):
        wait(["p", "q"])


@WAYS
def test_a_service_in_trouble_beyond_the_budget_ends_the_wait_for_all(
    iinked_simulator: IinkedSimulator, quick: None, wait: Wait
) -> None:
    for name in ("p", "q"):
        iinked_simulator.add_package(name, videos=[{"state": "queued"}])
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=500, package_id="q", on="always"))
    with pytest.raises(exceptions.ServerError):
        wait(["p", "q"])
    assert lists(iinked_simulator, "q") == 2


def test_a_timeout_names_the_packages_that_are_late_and_those_that_failed(iinked_simulator: IinkedSimulator) -> None:
    iinked_simulator.add_package("late", videos=[{"meeting_video_id": "v", "state": "queued"}])
    iinked_simulator.add_package("early", videos=["x"])
    with pytest.raises(AirflowSensorTimeout) as caught:
        by_trigger(["late", "early", "unknown"], timeout=0.6)
    assert "Package late: v (queued)" in str(caught.value)
    assert "[unknown]" in str(caught.value)
    assert "early" not in str(caught.value)


def test_fifty_packages_of_one_trigger_are_polled_spread_over_the_interval(
    iinked_simulator: IinkedSimulator, planned: dict[Any, list[float]]
) -> None:
    names = [iinked_simulator.add_package(videos=[{"state": "queued"}]) for _ in range(50)]
    with pytest.raises(AirflowSensorTimeout):
        by_trigger(names, poll_interval=2.0, timeout=3.0)
    assert len(planned) == 50
    assert {lists(iinked_simulator, name) > 0 for name in names} == {True}
    points = sorted(at for each in planned.values() for at in each)
    assert max(sum(at <= other < at + 0.25 for other in points) for at in points) <= 2 * 50 / 8


def test_one_trigger_with_several_packages_makes_it_again_from_its_row(iinked_simulator: IinkedSimulator) -> None:
    trigger = make_trigger(["p", "q"])
    path, kwargs = trigger.serialize()
    assert kwargs["package_id"] == ["p", "q"]
    assert type(trigger)(**kwargs).serialize() == (path, kwargs)


def test_a_deferred_wait_for_several_packages_comes_back_with_a_list(iinked_simulator: IinkedSimulator) -> None:
    iinked_simulator.add_package("late", videos=[{"meeting_video_id": "y", "archive_after": 0.7}])
    iinked_simulator.add_package("early", videos=["x"])
    sensor = IinkedVideosArchivedSensor(
        task_id="wait", package_id=["late", "early"], poke_interval=0.2, timeout=10.0, deferrable=True
    )
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute({})
    event = asyncio.run(run_trigger(caught.value.trigger))
    assert found(sensor.execute_complete({}, event)) == [("late", ["y"]), ("early", ["x"])]


@pytest.mark.parametrize(
    "answer",
    [
        {"packageId": "p", "videos": []},
        [{"packageId": "p", "videos": []}],
        [{"packageId": "q", "videos": []}, {"packageId": "p", "videos": []}],
        [{"packageId": "p", "videos": []}, {"packageId": "other", "videos": []}],
        [{"packageId": "p", "videos": []}, {"packageId": "q", "videos": [{"meetingVideoId": "v", "state": "queued"}]}],
        [{"packageId": "p", "videos": []}, None],
        [],
    ],
)
def test_an_event_that_is_not_about_all_of_the_packages_in_order_is_not_taken_so(answer: Any) -> None:
    sensor = IinkedVideosArchivedSensor(task_id="wait", package_id=["p", "q"])
    with pytest.raises(exceptions.UnexpectedAnswerError):
        sensor.execute_complete({}, {"status": "ready", "answer": answer})


class Store(dict[str, Any]):
    """What Airflow 3.3 keeps between the pokes of reschedule mode."""

    set = dict.__setitem__


class Ti:
    try_number = 1
    map_index = -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def poke(package_id: Any, store: Store, ti: Ti, **arguments: Any) -> Any:
    """One poke in a process of its own."""
    sensor = IinkedVideosArchivedSensor(task_id="wait", package_id=package_id, mode="reschedule", **arguments)
    return sensor.poke({"task_state_store": store, "ti": ti})  # type: ignore[typeddict-item]


def test_what_is_ready_is_not_polled_again_by_the_next_poke_of_the_same_try(
    iinked_simulator: IinkedSimulator,
) -> None:
    iinked_simulator.add_package("early", videos=["x"])
    iinked_simulator.add_package("late", videos=[{"meeting_video_id": "y", "state": "queued"}])
    store, ti = Store(), Ti()
    assert poke(["early", "late"], store, ti) is False
    assert poke(["early", "late"], store, ti) is False
    iinked_simulator.set_state("late", "y", "archived")
    assert found(poke(["early", "late"], store, ti).xcom_value) == [("early", ["x"]), ("late", ["y"])]
    assert (lists(iinked_simulator, "early"), lists(iinked_simulator, "late")) == (1, 3)
    assert (ti.pushed["meeting_video_ids"], ti.pushed["package_id"]) == (["x", "y"], ["early", "late"])


def test_what_an_earlier_try_saw_is_not_believed(iinked_simulator: IinkedSimulator) -> None:
    iinked_simulator.add_package("early", videos=["x"])
    iinked_simulator.add_package("late", videos=[{"state": "queued"}])
    store, ti = Store(), Ti()
    poke(["early", "late"], store, ti)
    ti.try_number = 2
    poke(["early", "late"], store, ti)
    assert lists(iinked_simulator, "early") == 2


def pushed_by_the_sensor(package_id: Any, **arguments: Any) -> Any:
    ti = Ti()
    defaults: dict[str, Any] = {"poke_interval": 0.1, "timeout": 1.0, "max_consecutive_errors": 0}
    sensor = IinkedVideosArchivedSensor(task_id="wait", package_id=package_id, **{**defaults, **arguments})
    with contextlib.suppress(exceptions.IinkedSignError, AirflowSensorTimeout, AirflowSkipException):
        sensor.execute({"ti": ti})  # type: ignore[typeddict-item]
    return ti.pushed.get("package_id")


def pushed_after_a_deferral(package_id: Any, **arguments: Any) -> Any:
    ti = Ti()
    sensor = IinkedVideosArchivedSensor(
        task_id="wait",
        package_id=package_id,
        **{"poke_interval": 0.1, "timeout": 1.0, "max_consecutive_errors": 0, **arguments},
    )
    trigger = make_trigger(
        package_id, poll_interval=0.1, end_time=time.time() + sensor.timeout, max_consecutive_errors=0
    )
    with contextlib.suppress(exceptions.IinkedSignError, AirflowSensorTimeout, AirflowSkipException):
        sensor.execute_complete({"ti": ti}, asyncio.run(run_trigger(trigger)))  # type: ignore[typeddict-item]
    return ti.pushed.get("package_id")


PUSHED = pytest.mark.parametrize("pushed", [pushed_by_the_sensor, pushed_after_a_deferral])


@PUSHED
@pytest.mark.parametrize("soft_fail", [False, True])
def test_what_is_ready_is_handed_over_although_others_failed_or_are_late(
    iinked_simulator: IinkedSimulator, pushed: Wait, soft_fail: bool
) -> None:
    iinked_simulator.add_package("good", videos=["x"])
    iinked_simulator.add_package("late", videos=[{"state": "queued"}])
    assert pushed(["unknown", "good"], soft_fail=soft_fail) == ["good"]
    assert pushed(["late", "good", "unknown"], soft_fail=soft_fail) == ["good"]


@PUSHED
@pytest.mark.parametrize("soft_fail", [False, True])
def test_nothing_is_handed_over_after_an_answer_about_another_package(
    iinked_simulator: IinkedSimulator, pushed: Wait, soft_fail: bool
) -> None:
    iinked_simulator.add_package("good", videos=["x"])
    iinked_simulator.add_package("odd", videos=[{"state": "queued"}])
    body = {"packageId": "other", "videos": []}
    fault = {"call": "list", "kind": "status", "status": 200, "body": body, "package_id": "odd", "on": "always"}
    iinked_simulator.faults.add(Fault(**fault))
    assert pushed(["good", "odd"], soft_fail=soft_fail) == []


@PUSHED
def test_one_package_is_handed_over_as_it_was_given_and_not_at_all_when_it_failed(
    iinked_simulator: IinkedSimulator, pushed: Wait
) -> None:
    iinked_simulator.add_package("good", videos=["x"])
    assert pushed("good") == "good"
    assert pushed("unknown") == []


def test_an_event_cannot_hand_over_a_package_that_is_not_waited_for() -> None:
    ti = Ti()
    sensor = IinkedVideosArchivedSensor(task_id="wait", package_id=["p", "q"])
    event = {"status": "timeout", "message": "late", "ready": ["q", "other", None]}
    with pytest.raises(AirflowSensorTimeout):
        sensor.execute_complete({"ti": ti}, event)  # type: ignore[typeddict-item]
    assert ti.pushed == {"package_id": ["q"]}
