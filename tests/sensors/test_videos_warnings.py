"""A warning is given in the same words and as often in every mode: once per change and once a day."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, TaskDeferred

from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor
from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from airflow_provider_iinked.triggers.videos import IinkedVideosArchivedTrigger
from tests.sensors.test_videos_several_packages import Store, Ti
from tests.triggers.run_trigger import make_trigger, run_trigger

DAY = 86_400.0
Logged = Callable[[], list[str]]


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Logged:
    """The retention warnings of sensor and trigger; Airflow 3 logs past the standard library."""
    monkeypatch.setattr(IinkedVideosArchivedSensor, "log", logging.getLogger("a-wait"))
    monkeypatch.setattr(IinkedVideosArchivedTrigger, "log", logging.getLogger("a-wait"))
    caplog.set_level(logging.INFO)
    return lambda: [
        r.getMessage() for r in caplog.records if "retention" in r.getMessage() and r.levelname == "WARNING"
    ]


def ending(sim: IinkedSimulator, *days: float, state: str = "queued") -> str:
    return sim.add_package("p", videos=[{"state": state, "retention_in": one * DAY} for one in days])


def archived_at_look(sim: IinkedSimulator, number: int) -> None:
    """Let the list say from this look on that the recording is archived: the wait is over, however long looks take."""
    body = {"packageId": "p", "videos": [{"meetingVideoId": "v", "state": "archived"}]}
    sim.faults.add(Fault(call="list", kind="status", status=200, body=body, on=range(number, 1000)))


def sensor(**arguments: Any) -> IinkedVideosArchivedSensor:
    defaults: dict[str, Any] = {"poke_interval": 0.1, "timeout": 60.0}
    return IinkedVideosArchivedSensor(task_id="wait", package_id="p", **{**defaults, **arguments})


def test_poke_mode_warns_once_of_an_unchanged_list(iinked_simulator: IinkedSimulator, warned: Logged) -> None:
    ending(iinked_simulator, 3)
    archived_at_look(iinked_simulator, 4)
    sensor().execute({})
    assert len(iinked_simulator.ledger.requests(call="list")) == 4
    assert len(warned()) == 1


def test_a_trigger_warns_once_of_an_unchanged_list(iinked_simulator: IinkedSimulator, warned: Logged) -> None:
    ending(iinked_simulator, 3)
    archived_at_look(iinked_simulator, 4)
    asyncio.run(run_trigger(make_trigger("p")))
    assert len(iinked_simulator.ledger.requests(call="list")) == 4
    assert len(warned()) == 1


def test_sensor_and_trigger_use_the_same_words(iinked_simulator: IinkedSimulator, warned: Logged) -> None:
    ending(iinked_simulator, 3)
    with pytest.raises(AirflowSensorTimeout):
        sensor(timeout=0.3).execute({})
    asyncio.run(run_trigger(make_trigger("p", end_time=time.time() + 0.3)))
    first, second = warned()
    assert first == second


def test_what_the_sensor_warned_of_before_deferring_is_not_repeated_by_the_trigger(
    iinked_simulator: IinkedSimulator, warned: Logged
) -> None:
    ending(iinked_simulator, 3)
    archived_at_look(iinked_simulator, 4)
    with pytest.raises(TaskDeferred) as caught:
        sensor(deferrable=True).execute({})
    asyncio.run(run_trigger(caught.value.trigger))
    assert len(iinked_simulator.ledger.requests(call="list")) == 4
    assert len(warned()) == 1


def test_in_deferrable_mode_an_unchanged_list_is_warned_of_when_its_retention_comes_near(
    iinked_simulator: IinkedSimulator, warned: Logged
) -> None:
    ending(iinked_simulator, 7 + 1.0 / DAY)
    asyncio.run(run_trigger(make_trigger("p", end_time=time.time() + 2.5)))
    assert len(warned()) == 1


def test_reschedule_mode_warns_once_where_the_task_keeps_its_state(
    iinked_simulator: IinkedSimulator, warned: Logged
) -> None:
    ending(iinked_simulator, 3)
    store, ti = Store(), Ti()
    for _ in range(3):
        assert sensor(mode="reschedule").poke({"task_state_store": store, "ti": ti}) is False  # type: ignore[typeddict-item]
    assert len(warned()) == 1


def test_reschedule_mode_warns_at_each_poke_where_nothing_is_kept(
    iinked_simulator: IinkedSimulator, warned: Logged
) -> None:
    ending(iinked_simulator, 3)
    for _ in range(2):
        assert sensor(mode="reschedule").poke({}) is False
    assert len(warned()) == 2
