"""What one wait in the triggerer tells, against the simulator."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_iinked.simulator import Fault, IinkedSimulator
from tests.triggers.run_trigger import make_trigger, run_trigger


def wait(package_id: str, **arguments: Any) -> dict[str, Any]:
    return asyncio.run(run_trigger(make_trigger(package_id, **arguments)))


def test_archived_recordings_end_the_wait_without_urls(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=[{"meeting_video_id": "a", "archive_after": 0.6}])
    event = wait(package)
    assert event["status"] == "ready"
    (video,) = event["answer"]["videos"]
    assert video["meetingVideoId"] == "a"
    assert "url" not in video
    assert "timeUrlExpires" not in video


def test_an_empty_selection_is_over_before_any_request(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package()
    assert wait(package, meeting_video_ids=[])["answer"] == {"packageId": package, "videos": []}
    assert not iinked_simulator.ledger.requests()


def test_the_deadline_ends_the_wait_and_says_what_was_missing(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=[{"meeting_video_id": "late", "state": "queued"}])
    begun = time.time()
    event = wait(package, end_time=begun + 0.9)
    assert event["status"] == "timeout"
    assert "late (queued)" in event["message"]
    assert 0.85 < time.time() - begun < 20  # 30 s of grace belong to an answer under way


def test_what_is_archived_right_before_the_deadline_is_seen(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=[{"archive_after": 0.5}])
    assert wait(package, poll_interval=60.0, end_time=time.time() + 1.0)["status"] == "ready"


def test_a_deadline_in_the_past_still_allows_one_look(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    assert wait(package, end_time=time.time() - 100)["status"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"package_id": ""}, "InvalidArgumentError"),
        ({"package_id": "unknown"}, "PackageNotFoundError"),
        ({"on_failed": "never"}, "InvalidArgumentError"),
        ({"iinked_sign_conn_id": "None"}, "InvalidArgumentError"),
        ({"end_time": float("nan")}, "InvalidArgumentError"),
        ({"poll_interval": None}, "InvalidArgumentError"),
    ],
    ids=["empty id", "unknown package", "unknown word", "empty connection id", "end_time NaN", "no interval"],
)
def test_what_cannot_get_better_is_reported_at_once(
    iinked_simulator: IinkedSimulator, arguments: dict[str, Any], kind: str
) -> None:
    package = iinked_simulator.add_package()
    event = wait(**{"package_id": package, **arguments})
    assert (event["status"], event["type"]) == ("error", kind)


def test_a_missing_connection_is_tolerated_as_often_as_any_error(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.time()
    event = wait("p", iinked_sign_conn_id="nowhere", poll_interval=0.1, max_consecutive_errors=2)
    assert (event["status"], event["type"]) == ("error", "ServiceUnavailableError")
    assert time.time() - begun > 0.25


def test_errors_are_counted_from_those_before_the_deferral(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package()
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=500, on="always"))
    assert wait(package, max_consecutive_errors=3, consecutive_errors=2)["type"] == "ServerError"
    assert len(iinked_simulator.ledger.requests(call="list")) == 2


def test_a_good_answer_clears_the_count(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=[{"archive_after": 2.0}])
    iinked_simulator.faults.add(
        *(Fault(call="list", kind="status", status=500, on=number) for number in (1, 2, 4, 5, 7))
    )
    assert wait(package, max_consecutive_errors=2)["status"] == "ready"


@pytest.mark.parametrize("kind", ["refuse", "reset", "cut", "html", "broken_json", "wrong_type", "redirect"])
def test_passing_trouble_is_outlived(iinked_simulator: IinkedSimulator, kind: Any) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    extra = {"status": 302} if kind == "redirect" else {"after": 10}
    iinked_simulator.faults.add(Fault(call="list", kind=kind, **extra))
    assert wait(package)["status"] == "ready"


def test_a_stalled_answer_ends_with_the_timeout_of_the_connection(
    iinked_simulator: IinkedSimulator, connect: Callable[..., None]
) -> None:
    connect(timeout=1.0)
    package = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(Fault(call="list", kind="stall", seconds=100))
    begun = time.time()
    assert wait(package)["status"] == "ready"
    assert time.time() - begun < 50


def test_no_request_follows_a_redirect(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package(videos=["a"])
    iinked_simulator.faults.add(Fault(call="list", kind="redirect", status=307, on="always"))
    assert wait(package)["type"] == "UnexpectedAnswerError"
    assert {record.headers["host"].split(":")[0] for record in iinked_simulator.ledger.requests()} == {"127.0.0.1"}


def test_an_answer_about_another_package_stops_at_once(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package()
    iinked_simulator.faults.add(
        Fault(call="list", kind="status", status=200, body={"packageId": "other", "videos": []}, on="always")
    )
    assert wait(package)["type"] == "UnrequestedDeletionError"


def test_a_rotated_key_goes_on(iinked_simulator: IinkedSimulator, connect: Callable[..., None]) -> None:
    package = iinked_simulator.add_package(videos=[{"archive_after": 1.5}])

    async def rotate() -> dict[str, Any]:
        running = asyncio.create_task(run_trigger(make_trigger(package)))
        await asyncio.sleep(0.7)
        iinked_simulator.rotate_api_key()
        connect()
        return await running

    assert asyncio.run(rotate())["status"] == "ready"
    assert 401 in {record.status for record in iinked_simulator.ledger.requests()}


def test_a_key_that_stays_refused_fails_after_one_more_reading(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package()
    iinked_simulator.rotate_api_key()
    assert wait(package)["type"] == "AuthenticationError"
    assert len(iinked_simulator.ledger.requests()) == 1


def test_its_row_holds_no_secret_and_makes_it_again(iinked_simulator: IinkedSimulator) -> None:
    trigger = make_trigger("p", meeting_video_ids=("a", "b"), consecutive_errors=3)
    path, kwargs = trigger.serialize()
    assert iinked_simulator.api_key not in json.dumps(kwargs)
    assert type(trigger)(**json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)
    module, name = path.rsplit(".", 1)
    assert (module, name) == (type(trigger).__module__, type(trigger).__name__)


def test_the_event_holds_no_secret_whatever_goes_wrong(iinked_simulator: IinkedSimulator) -> None:
    package = iinked_simulator.add_package()
    key = iinked_simulator.api_key
    body = {"error": "odd", "message": f"your key {key} is odd"}
    iinked_simulator.faults.add(Fault(call="list", kind="status", status=400, body=body))
    event = wait(package)
    assert event["type"] == "RequestRefusedError"
    assert key not in json.dumps(event)


def test_an_error_that_nobody_foresaw_is_an_event_too(
    iinked_simulator: IinkedSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_iinked.waiting import listing_monitor

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret text")

    monkeypatch.setattr(listing_monitor, "evaluate", broken)
    event = wait(iinked_simulator.add_package())
    assert (event["status"], event["type"]) == ("error", "UnexpectedAnswerError")
    assert "secret text" not in event["message"]
