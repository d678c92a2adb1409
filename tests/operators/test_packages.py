"""The list of packages: side by side, in batches, what ends soon first, and nothing half."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import threading
import time
from typing import Any

import pytest

from airflow_provider_iinked import exceptions, metrics, progress
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.rate_limit import SLACK
from airflow_provider_iinked.api.sync_client import SyncClient
from airflow_provider_iinked.operators.packages import IinkedListPackagesOperator
from airflow_provider_iinked.simulator import Fault
from tests.conftest import Departures, when

numbers = itertools.count(1)


def list_packages(**arguments: Any) -> Any:
    return IinkedListPackagesOperator(task_id=f"packages_{next(numbers)}", **arguments).execute({})


def add(chain: Any, name: str, *ends: float | None, state: str = "archived") -> None:
    """A package whose recordings end in so many days."""
    videos = [{"state": state, **({} if end is None else {"retention_in": end * 86_400.0})} for end in ends]
    chain.package(*videos, package_id=name)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    monkeypatch.setattr(IinkedListPackagesOperator, "log", logging.getLogger("the-operator"))
    caplog.set_level(logging.INFO)
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def test_the_package_whose_retention_ends_first_comes_first(chain: Any) -> None:
    add(chain, "late", 30)
    add(chain, "never", None)
    add(chain, "soon", 40, 3)
    assert list_packages(with_archived_videos=True) == ["soon", "late", "never"]


def test_the_limit_keeps_those_that_end_first(chain: Any) -> None:
    for name, end in (("c", 30), ("a", 1), ("b", 2)):
        add(chain, name, end)
    assert list_packages(with_archived_videos=True, limit=2) == ["a", "b"]


def test_batches_hold_at_most_so_many_packages_in_order(chain: Any) -> None:
    for number in range(5):
        add(chain, f"p{number}", 10 + number)
    assert list_packages(with_archived_videos=True, batch_size=2) == [["p0", "p1"], ["p2", "p3"], ["p4"]]


def test_no_package_gives_no_batch(chain: Any) -> None:
    assert list_packages(batch_size=2) == []


def test_in_batches_more_than_a_thousand_packages_are_listed_by_default(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_iinked.operators.packages.DEFAULT_LIMIT", 3)
    for _ in range(5):
        chain.package({})
    assert len(list_packages()) == 3
    assert sum(map(len, list_packages(batch_size=2))) == 5


def test_what_ends_within_a_week_is_counted_in_log_and_gauge(
    chain: Any, logged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(metrics, "gauge", lambda name, value: sent.append((name, value)))
    add(chain, "p", 3, 6.9, 8)
    add(chain, "q", 0.5)
    add(chain, "r", 1, state="queued")
    list_packages(with_archived_videos=True)
    assert sent == [("retention_within_days", 3)]
    assert "3 archived recordings whose retention ends within 7 days" in logged()


def test_a_retention_too_near_fails_the_task_and_names_the_packages(chain: Any) -> None:
    add(chain, "far", 30)
    add(chain, "near", 2)
    add(chain, "nearer", 1)
    with pytest.raises(exceptions.RetentionEndsSoonError, match="of 2 packages ends within 3 days: nearer, near"):
        list_packages(with_archived_videos=True, fail_if_retention_within=3)


def test_a_retention_far_enough_fails_nothing(chain: Any) -> None:
    add(chain, "far", 30)
    assert list_packages(with_archived_videos=True, fail_if_retention_within=3) == ["far"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"batch_size": "2"},
        {"max_parallel": 0},
        {"limit": 0},
        {"fail_if_retention_within": 3},
        {"fail_if_retention_within": 0, "with_archived_videos": True},
        {"with_archived_videos": "True"},
    ],
)
def test_a_number_that_makes_no_sense_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgumentError):
        IinkedListPackagesOperator(task_id="packages", **arguments)


@pytest.mark.parametrize("arguments", [{"search": ""}, {"search": ["a"]}, {"states": None}, {"member_id": "None"}])
def test_a_filter_that_is_empty_or_of_the_wrong_kind_reaches_no_server(chain: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgumentError):
        list_packages(**arguments)
    assert chain.ledger.requests() == []


def test_packages_are_asked_side_by_side(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of eight requests waits until the other seven are on their way."""
    for _ in range(24):
        chain.package({})
    together, really = threading.Barrier(8), SyncClient._request

    def request(self: SyncClient, call: protocol.Request) -> protocol.Response:
        if call.name.startswith("list the videos"):
            together.wait(60)
        return really(self, call)

    monkeypatch.setattr(SyncClient, "_request", request)
    assert len(list_packages(with_archived_videos=True, max_parallel=8)) == 24


def test_the_connections_ceiling_holds_for_all_of_them(chain: Any, connect: Any, departures: Departures) -> None:
    connect(max_requests_per_second=20)
    for _ in range(20):
        chain.package({})
    list_packages(with_archived_videos=True)
    assert len(chain.ledger.requests()) == len(departures.times) == 21
    assert departures.most_within(0.5) <= 20 * (0.5 + SLACK) + 1


def test_a_package_that_is_refused_is_left_out_and_named(chain: Any, logged: Any) -> None:
    add(chain, "kept", 9)
    add(chain, "refused", 9)
    body = {"error": "package_not_authorized", "message": "no"}
    chain.sim.faults.add(Fault(call="list", kind="status", status=403, body=body, package_id="refused", on="always"))
    assert list_packages(with_archived_videos=True) == ["kept"]
    assert "Package refused is left out" in logged()


def test_trouble_of_the_service_beyond_patience_returns_nothing(chain: Any, connect: Any) -> None:
    connect(max_retries=1)
    for name in ("p", "q"):
        add(chain, name, 9)
    chain.sim.faults.add(Fault(call="list", kind="status", status=500, package_id="q", on="always"))
    with pytest.raises(exceptions.ServerError):
        list_packages(with_archived_videos=True)


def test_retry_after_is_waited_for_by_all(chain: Any, departures: Departures) -> None:
    for _ in range(10):
        chain.package({})
    headers = {"Retry-After": "1"}
    chain.sim.faults.add(Fault(call="list", kind="status", status=429, headers=headers, body={"error": "x"}, on=1))
    assert len(list_packages(with_archived_videos=True, max_parallel=2)) == 10
    later = departures.after_pause()
    assert len(later) >= 8
    assert min(later) >= 0


def test_on_kill_breaks_off_what_is_in_flight(chain: Any, connect: Any) -> None:
    for _ in range(4):
        chain.package({})
    chain.sim.faults.add(Fault(call="list", kind="stall", seconds=300, on="always"))
    connect(timeout=120)
    operator = IinkedListPackagesOperator(task_id="packages_killed", with_archived_videos=True)
    when(lambda: len(chain.ledger.requests(call="list")) == 4, operator.on_kill)
    begun = time.monotonic()
    with pytest.raises(exceptions.IinkedSignError):
        operator.execute({})
    assert time.monotonic() - begun < 60


def test_every_ten_seconds_a_line_says_how_many_packages_were_asked(
    chain: Any, logged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    for number in range(3):
        add(chain, f"p{number}", 10)
    list_packages(with_archived_videos=True)
    assert "3 packages asked, " in logged()
    assert "2 have an archived recording." in logged()


# --- what ends soon and has no copy -----------------------------------------------------------------------------------


class Ti:
    """A task instance that keeps its XComs."""

    map_index = -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def ends_soon(**arguments: Any) -> Any:
    """The XCom of this name, whatever became of the task."""
    ti = Ti()
    operator = IinkedListPackagesOperator(task_id=f"packages_{next(numbers)}", with_archived_videos=True, **arguments)
    with contextlib.suppress(exceptions.RetentionEndsSoonError):
        operator.execute({"ti": ti})  # type: ignore[typeddict-item]
    return ti.pushed["ends_soon"]


def test_what_ends_soon_is_an_xcom_of_plain_values_the_first_in_front(chain: Any) -> None:
    chain.package({"meeting_video_id": "x", "retention_in": 5.5 * 86_400.0}, package_id="p")
    chain.package(
        {"meeting_video_id": "late", "retention_in": 90 * 86_400.0},
        {"meeting_video_id": "b", "retention_in": 3.5 * 86_400.0},
        {"meeting_video_id": "a", "retention_in": 2.5 * 86_400.0},
        package_id="q",
    )
    add(chain, "r", 8, None)
    found = ends_soon()
    assert json.loads(json.dumps(found)) == found
    assert [(one["package_id"], one["meeting_video_ids"], one["days_left"]) for one in found] == [
        ("q", ["a", "b"], 2),
        ("p", ["x"], 5),
    ]
    assert found[0]["text"] == f"Package q: 2 recordings end from {found[0]['ends']} on, in 2 days"


def test_the_days_of_the_warning_are_those_of_the_xcom_also_when_the_task_fails(chain: Any) -> None:
    add(chain, "p", 20)
    assert ends_soon() == []
    assert [one["package_id"] for one in ends_soon(fail_if_retention_within=30)] == ["p"]


def test_recordings_that_have_their_copy_count_no_more(chain: Any) -> None:
    chain.package({"meeting_video_id": "x", "retention_in": 86_400.0}, package_id="copied")
    chain.package({"meeting_video_id": "y", "retention_in": 86_400.0}, package_id="half")
    chain.download(["copied", "half"])
    chain.sim.add_video("half", "Z", retention_in=2.5 * 86_400.0)
    assert list_packages(with_archived_videos=True, without_copy_at=chain.destination) == ["half"]
    assert [one["meeting_video_ids"] for one in ends_soon(without_copy_at=chain.destination)] == [["Z"]]


def test_a_copy_without_its_record_is_no_copy(chain: Any) -> None:
    chain.package({"meeting_video_id": "x", "retention_in": 86_400.0}, package_id="p")
    chain.download("p")
    chain.path("p", "x.custody.json").unlink()
    assert [one["package_id"] for one in ends_soon(without_copy_at=chain.destination)] == ["p"]


def test_of_several_destinations_each_must_have_the_copy(chain: Any, tmp_path: Any) -> None:
    chain.package({"meeting_video_id": "x", "retention_in": 86_400.0}, package_id="p")
    chain.download("p")
    other = f"file://{tmp_path}/other"
    assert [one["package_id"] for one in ends_soon(without_copy_at=[chain.destination, other])] == ["p"]
    chain.download("p", destination=other)
    assert ends_soon(without_copy_at=[chain.destination, other]) == []


def test_a_folder_that_cannot_be_listed_counts_as_not_copied_and_a_store_that_cannot_is_an_error(
    chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_iinked.storage.local import LocalStore

    add(chain, "good", 1)
    add(chain, "odd", 1)
    chain.download(["good", "odd"])
    refused, list_names = {"odd"}, LocalStore.list_names

    def list_or_refuse(self: Any, url: str, prefix: str = "") -> Any:
        if url.rpartition("/")[2] in refused:
            raise exceptions.StorageError("forbidden")
        return list_names(self, url, prefix)

    monkeypatch.setattr(LocalStore, "list_names", list_or_refuse)
    assert [one["package_id"] for one in ends_soon(without_copy_at=chain.destination)] == ["odd"]
    refused.add("good")
    with pytest.raises(exceptions.StorageError, match="forbidden"):
        ends_soon(without_copy_at=chain.destination)


@pytest.mark.parametrize("destination", ["", "None", [], "memory://x", "relative/path"])
def test_an_empty_destination_is_refused_before_any_request(chain: Any, destination: Any) -> None:
    with pytest.raises(exceptions.InvalidArgumentError):
        list_packages(with_archived_videos=True, without_copy_at=destination)
    assert chain.ledger.requests() == []


@pytest.mark.parametrize(
    "arguments", [{"with_archived_videos": True, "without_copy_at": None}, {"without_copy_at": "x"}]
)
def test_a_destination_that_means_nothing_is_refused_in_the_dag_file(arguments: Any) -> None:
    with pytest.raises(exceptions.InvalidArgumentError, match="without_copy_at"):
        IinkedListPackagesOperator(task_id="packages", **arguments)
