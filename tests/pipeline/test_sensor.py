"""The wait, poke by poke; that all modes come to the same end is shown by tests/sensors."""

from __future__ import annotations

import logging
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor
from airflow_provider_iinked.simulator import Fault


@pytest.fixture
def one(chain):
    chain.package("v", package_id="p")
    return chain


@pytest.fixture
def told(monkeypatch, caplog):
    """What the sensor logs; Airflow 3 logs past the standard library."""
    monkeypatch.setattr(IinkedVideosArchivedSensor, "log", logging.getLogger("the-sensor"))
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records if record.name == "the-sensor"]


def looks(chain):
    return chain.ledger.requests(call="list")


def test_the_xcom_is_the_list_response_without_urls(one):
    one.sim.add_video("p", "failed", state="failed")
    one.sim.add_video("p", "gone", state="deleted")
    answer = one.wait("p", on_failed="ignore")
    (video,) = answer["videos"]
    assert (answer["packageId"], video["meetingVideoId"], video["state"]) == ("p", "v", "archived")
    assert {"meetingId", "timeCreated", "duration", "size", "meetingVideoSharedId"} <= set(video)
    assert not {"url", "timeUrlExpires"} & set(video)


def test_it_looks_until_all_are_archived(chain):
    chain.package("v", {"meeting_video_id": "w", "archive_after": 1000}, package_id="p")
    sensor = chain.sensor("p")
    assert [sensor.poke({}), sensor.poke({})] == [False, False]
    chain.sim.clock.advance(1001)
    answer = sensor.poke({}).xcom_value
    assert [video["meetingVideoId"] for video in answer["videos"]] == ["v", "w"]


def test_it_waits_on_one_connection(chain):
    chain.package({"archive_after": 0.5}, package_id="p")
    chain.wait("p")
    assert chain.ledger.sockets() == 1


def test_it_says_first_which_api_it_asks_and_then_what_it_waits_for(chain, told):
    chain.package({"meeting_video_id": "v", "state": "queued"}, package_id="p")
    assert chain.sensor("p", min_videos=0).poke({}) is False
    assert told() == [f"iinked Sign API: {chain.sim.api_base}", "Package p: still waiting for v (queued)."]


@pytest.mark.parametrize(("days", "warned"), [(6.9, True), (7.1, False)])
def test_a_retention_that_ends_soon_is_warned_of(chain, told, days, warned):
    chain.package({"retention_in": days * 86400}, package_id="p")
    chain.wait("p")
    assert ("less than 7 days away" in str(told())) is warned


def test_a_deadline_that_passes_is_a_sensor_timeout(chain):
    chain.package({"state": "queued"}, package_id="p")
    with pytest.raises(AirflowSensorTimeout):
        chain.wait("p", timeout=0.3)


def test_a_deadline_that_passes_softly_is_a_skip(chain):
    chain.package({"state": "queued"}, package_id="p")
    with pytest.raises(AirflowSkipException):
        chain.wait("p", timeout=0.3, soft_fail=True)


PERMANENT = {
    "failed": ({"state": "failed"}, {}, exceptions.RecordingFailedError),
    "selected and deleted": ({"state": "deleted"}, {"meeting_video_ids": "v"}, exceptions.RecordingDeletedError),
}


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(("video", "arguments", "error"), PERMANENT.values(), ids=PERMANENT)
def test_what_cannot_get_better_ends_the_wait_at_once(chain, video, arguments, error, soft_fail):
    chain.package({"meeting_video_id": "v", **video}, package_id="p")
    with pytest.raises(AirflowSkipException if soft_fail else error):
        chain.wait("p", soft_fail=soft_fail, **arguments)
    assert len(looks(chain)) == 1


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, None, exceptions.AuthenticationError),
        (403, None, exceptions.AuthenticationError),
        (404, {"error": "package_not_found"}, exceptions.PackageNotFoundError),
        (400, {"error": "package_invalid"}, exceptions.RequestRefusedError),
        (200, {"packageId": "other", "videos": []}, exceptions.UnrequestedDeletionError),
    ],
)
def test_a_refusal_ends_the_wait_at_once(one, status, body, error):
    one.sim.faults.add(Fault(call="list", kind="status", status=status, body=body, on="always"))
    with pytest.raises(error):
        one.wait("p")
    assert len(looks(one)) == 1


PASSING = {
    "500": ({"kind": "status", "status": 500}, exceptions.ServerError),
    "429": ({"kind": "status", "status": 429}, exceptions.RateLimitError),
    "404 page": ({"kind": "status", "status": 404, "body": "<h1>no</h1>"}, exceptions.RouteNotFoundError),
    "HTML": ({"kind": "html"}, exceptions.UnexpectedAnswerError),
    "redirect": ({"kind": "redirect", "status": 302}, exceptions.UnexpectedAnswerError),
    "broken JSON": ({"kind": "broken_json"}, exceptions.UnexpectedAnswerError),
    "another JSON": ({"kind": "wrong_type"}, exceptions.UnexpectedAnswerError),
    "reset": ({"kind": "reset"}, exceptions.ServiceUnavailableError),
}


@pytest.mark.parametrize("budget", [0, 2])
@pytest.mark.parametrize(("fault", "error"), PASSING.values(), ids=PASSING)
def test_what_may_get_better_is_tolerated_so_many_times_in_a_row(one, fault, error, budget):
    one.sim.faults.add(Fault(call="list", on="always", **fault))
    with pytest.raises(error) as caught:
        one.wait("p", max_consecutive_errors=budget)
    assert type(caught.value) is error
    assert len(looks(one)) == budget + 1


@pytest.mark.parametrize(("fault", "error"), PASSING.values(), ids=PASSING)
def test_a_good_look_between_errors_renews_the_budget(one, fault, error):
    one.sim.set_state("p", "v", "queued")
    for number in (1, 2, 4, 5, 7, 8):
        one.sim.faults.add(Fault(call="list", on=number, **fault))
    one.sim.faults.add(Fault(call="list", kind="status", status=404, body={"error": "package_not_found"}, on=9))
    with pytest.raises(exceptions.PackageNotFoundError):
        one.wait("p", max_consecutive_errors=2)
    assert len(looks(one)) == 9


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_spent_budget_is_the_error_itself_or_softly_a_skip(one, soft_fail):
    one.sim.faults.add(Fault(call="list", kind="status", status=500, on="always"))
    with pytest.raises(AirflowSkipException if soft_fail else exceptions.ServerError):
        one.wait("p", max_consecutive_errors=1, soft_fail=soft_fail)


@pytest.mark.parametrize("status", [429, 503])
def test_nobody_asks_before_retry_after(one, status):
    one.sim.faults.add(Fault(call="list", kind="status", status=status, headers={"Retry-After": "1"}))
    one.wait("p")
    first, second = looks(one)
    assert second.time - first.time >= 1.0


def test_a_retry_after_spends_no_budget(one):
    one.sim.faults.add(Fault(call="list", kind="status", status=429, headers={"Retry-After": "0"}, on=range(1, 6)))
    one.wait("p", max_consecutive_errors=0)
    assert len(looks(one)) == 6


def test_a_retry_after_beyond_the_deadline_ends_at_the_deadline(one):
    one.sim.faults.add(Fault(call="list", kind="status", status=429, headers={"Retry-After": "600"}, on="always"))
    started = time.monotonic()
    with pytest.raises(AirflowSensorTimeout):
        one.wait("p", timeout=0.6)
    assert time.monotonic() - started < 60
    assert len(looks(one)) == 1


def test_a_rotated_key_is_read_from_the_connection_once_more(one, connect):
    one.sim.set_state("p", "v", "queued")
    sensor = one.sensor("p")
    assert sensor.poke({}) is False
    one.sim.rotate_api_key()
    one.sim.set_state("p", "v", "archived")
    connect(timeout=5)
    assert sensor.poke({}).is_done


RESCHEDULE = """
    from airflow.providers.common.compat.sdk import DAG
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    with DAG("{dag_id}", schedule=None) as dag:
        IinkedVideosArchivedSensor(
            task_id="wait", package_id="p", mode="reschedule", poke_interval=0.2, timeout=30, max_consecutive_errors=2
        )
"""


@pytest.mark.parametrize(("errors", "state"), [(2, "success"), (3, "failed")])
def test_in_reschedule_mode_the_budget_is_the_same(one, run_dag, errors, state):
    one.sim.faults.add(Fault(call="list", kind="status", status=500, on=range(1, errors + 1)))
    assert run_dag(RESCHEDULE).states == {"wait": state}
    assert len(looks(one)) == 3
