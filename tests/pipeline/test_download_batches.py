"""Many packages in one download: side by side, isolated from each other, in the order given."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from airflow_provider_iinked import exceptions, progress
from airflow_provider_iinked.download import workflow
from airflow_provider_iinked.download.errors import batch_failure_error
from airflow_provider_iinked.download.progress import BatchState, describe_batch
from airflow_provider_iinked.simulator import Fault


@pytest.fixture
def packages(chain):
    """Five packages with two recordings each."""
    ids = [f"p{number}" for number in range(5)]
    for package_id in ids:
        chain.package(f"{package_id}-a", f"{package_id}-b", package_id=package_id)
    return ids


def videos(copies):
    return [(copy["package_id"], copy["meeting_video_id"]) for copy in copies]


def test_several_packages_are_copied_in_one_task_in_the_order_given(chain, packages):
    order = [packages[3], packages[0], packages[4]]
    copies = chain.download(order)
    assert videos(copies) == [(package_id, f"{package_id}-{video}") for package_id in order for video in "ab"]
    for package_id in order:
        assert chain.names(package_id) == [
            *(f"{package_id}-a.custody.json", f"{package_id}-a.mp4"),
            *(f"{package_id}-b.custody.json", f"{package_id}-b.mp4"),
        ]
    assert chain.names(packages[1]) == []


def test_an_empty_list_of_packages_does_nothing(chain):
    assert chain.download([]) == []
    assert chain.ledger.requests() == []


def test_recordings_may_not_be_named_beside_several_packages(chain, packages):
    with pytest.raises(exceptions.InvalidArgumentError, match="meeting_video_ids"):
        chain.download(packages, meeting_video_ids="p0-a")
    assert chain.ledger.requests() == []


def test_a_package_that_is_named_twice_is_copied_once(chain, packages):
    assert len(chain.download(["p0", "P0", "p0"])) == 2
    assert len(chain.ledger.requests(call="list")) == 1


def test_a_package_that_fails_holds_up_no_other_one_and_each_is_named(chain, packages, paper, caplog):
    chain.download("p1")
    paper(chain.path("p1", "p1-a.custody.json"), api_base="https://other.example/api/v1")
    chain.folder.joinpath("p2").write_text("no folder")
    chain.sim.faults.add(Fault(call="recording", kind="status", status=451, video_id="p4-b", on="always"))
    with pytest.raises(exceptions.IinkedSignError) as caught:
        chain.download([*packages, "unknown"])
    text = str(caught.value)
    for words in ("4 of 6 packages failed", "[p1]", "[p2]", "[p4]", "[unknown]", "HTTP 451", "another origin"):
        assert words.replace("another origin", "of another origin") in text
    assert "The other 2 are copied and verified" in text
    assert chain.names("p0") == chain.names("p0")
    assert len(chain.names("p3")) == len(chain.names("p0")) == 4
    assert "p4-a.custody.json" in chain.names("p4")
    assert "Package unknown failed" in caplog.text


def test_a_retry_does_only_what_is_missing(chain, packages):
    chain.sim.faults.add(Fault(call="recording", kind="status", status=451, video_id="p4-b", on="always"))
    with pytest.raises(exceptions.TransferError):
        chain.download(packages)
    chain.sim.faults.clear()
    before = len(chain.ledger.requests(host="recordings"))
    assert len(chain.download(packages)) == 10
    assert len(chain.ledger.requests(host="recordings")) == before + 1


@pytest.mark.parametrize(("status", "error"), [(401, "AuthenticationError"), (503, "ServerError")])
def test_what_concerns_the_whole_service_ends_the_task_for_all_packages(chain, packages, status, error):
    chain.sim.faults.add(Fault(call="list", kind="status", status=status, package_id="p1", on="always"))
    with pytest.raises(getattr(exceptions, error), match=r"Not begun: .*p4"):
        chain.download(packages, max_parallel=1)
    assert chain.names("p4") == []
    assert {request.package_id for request in chain.ledger.requests(call="list")} <= {"p0", "p1"}


def test_a_list_about_another_package_ends_the_task_for_all_packages(chain, packages):
    body = {"packageId": "another", "videos": []}
    chain.sim.faults.add(Fault(call="list", kind="status", status=200, body=body, package_id="p0", on="always"))
    with pytest.raises(exceptions.UnrequestedDeletionError):
        chain.download(packages, max_parallel=1)
    assert chain.ledger.requests(host="recordings") == []


def test_nothing_is_handed_over_after_an_answer_about_another_package(chain, packages):
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    class Ti:
        def xcom_push(self, key, value):
            pushed[key] = value

    pushed = {}
    body = {"packageId": "another", "videos": []}
    chain.sim.faults.add(Fault(call="list", kind="status", status=200, body=body, package_id="p4", on="always"))
    task = IinkedDownloadVideosOperator(task_id="hand_over", package_id=packages, destination=chain.destination)
    with pytest.raises(exceptions.UnrequestedDeletionError):
        task.execute({"ti": Ti()})
    assert "p0-a.custody.json" in chain.names("p0")
    assert pushed["return_value"] == []


def test_max_parallel_counts_recordings_over_all_packages(chain, packages, monkeypatch):
    from airflow_provider_iinked.download.recording import RecordingCopy

    running, most, lock, together = [0], [0], threading.Lock(), threading.Event()
    download = RecordingCopy.download

    def counted(self, url):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
            if running[0] == 3:
                together.set()
        together.wait(60)
        time.sleep(0.05)
        try:
            return download(self, url)
        finally:
            with lock:
                running[0] -= 1

    monkeypatch.setattr(RecordingCopy, "download", counted)
    assert len(chain.download(packages, max_parallel=3)) == 10
    assert most[0] == 3


def test_recordings_are_published_and_recorded_side_by_side(chain, packages, monkeypatch):
    """Each publication waits until another one has begun."""
    from airflow_provider_iinked.download.publication import Publisher

    publish, together = Publisher.publish, threading.Barrier(2)

    def waiting(self, *arguments, **options):
        together.wait(20)
        return publish(self, *arguments, **options)

    monkeypatch.setattr(Publisher, "publish", waiting)
    assert len(chain.download(packages, max_parallel=4)) == 10


def test_a_record_is_written_while_the_next_recording_is_fetched(chain, packages, monkeypatch):
    """Two workers publish a third copy although no record was written yet."""
    from airflow_provider_iinked.download.publication import Publisher

    publish, record, published, third = Publisher.publish, Publisher.record, [], threading.Event()

    def noting(self, *arguments, **options):
        published.append(arguments)
        if len(published) == 3:
            third.set()
        return publish(self, *arguments, **options)

    def waiting(self, *arguments, **options):
        assert third.wait(20)
        return record(self, *arguments, **options)

    monkeypatch.setattr(Publisher, "publish", noting)
    monkeypatch.setattr(Publisher, "record", waiting)
    assert len(chain.download(packages, max_parallel=2)) == 10


def test_urls_do_not_end_while_their_packages_wait(chain, packages, monkeypatch):
    """No more packages are listed ahead than keep the workers busy."""
    from airflow_provider_iinked.download.recording import RecordingCopy

    listed, download = [], RecordingCopy.download

    def noting(self, url):
        listed.append(len(chain.ledger.requests(call="list")))
        return download(self, url)

    monkeypatch.setattr(RecordingCopy, "download", noting)
    chain.download(packages, max_parallel=1)
    assert listed[0] <= 2
    assert listed[-1] == 5


def test_the_api_is_called_in_the_tasks_own_thread_only(chain, packages, monkeypatch):
    from airflow_provider_iinked.api.sync_client import SyncClient

    threads, send = set(), SyncClient.send

    def noting(self, *arguments, **options):
        threads.add(threading.current_thread())
        return send(self, *arguments, **options)

    monkeypatch.setattr(SyncClient, "send", noting)
    chain.sim.quirks.expire_after_bytes = 150_000
    chain.download(packages, package_fields=("name",))
    assert threads == {threading.current_thread()}


def test_every_ten_seconds_a_line_says_how_far_the_batch_is(chain, packages, monkeypatch, caplog):
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    monkeypatch.setattr(workflow, "_TICK", 0.01)
    caplog.set_level(logging.INFO)
    chain.download(packages)
    lines = [line for line in caplog.messages if " packages, " in line]
    assert lines
    assert "of 5 packages" in lines[-1]


@pytest.mark.parametrize(
    ("state", "rate", "elapsed", "line"),
    [
        (BatchState(50, 0, 0, 4, 0), 0, 10, "0 of 50 packages, 0 recordings done, 4 at work; 0 B, 0 B/s"),
        (
            BatchState(50, 10, 25, 4, 5 << 20),
            1 << 20,
            10,
            "10 of 50 packages, 25 recordings done, 4 at work; 5.0 MiB, 1.0 MiB/s, about 40 s left",
        ),
    ],
)
def test_the_line_of_a_batch_says_packages_recordings_bytes_rate_and_time_left(state, rate, elapsed, line):
    assert describe_batch(state, rate, elapsed) == line


def test_the_error_of_a_batch_counts_and_names():
    failures = {"a": exceptions.PackageNotFoundError("unknown"), "b": exceptions.StorageError("disk full")}
    error = batch_failure_error(failures, packages=5, not_begun=["c"])
    assert type(error) is exceptions.StorageError
    for words in ("2 of 5", "[a] unknown", "[b] disk full", "Not begun: c", "The other 2 are copied"):
        assert words in str(error)
