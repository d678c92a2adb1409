"""A task that is to end: at most the request on its way is completed, and nothing is sent any more."""

from __future__ import annotations

import json
import signal
import threading
import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.deletion import preparation
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator
from airflow_provider_iinked.simulator import Fault
from tests.conftest import when

COUNT = 12


class TimedOut(BaseException):
    """Stands for AirflowTaskTimeout, which is raised wherever the main thread is."""


@pytest.fixture
def dozen(chain):
    """A dozen recordings and their copies."""
    package, videos = chain.package(*({} for _ in range(COUNT)))
    copies = chain.download(package)
    chain.ledger.clear()
    return chain, package, videos, copies


def receipts(chain, package):
    return {
        path.name.split(".")[0]: json.loads(path.read_text()) for path in chain.path(package).glob("*.deletion.json")
    }


def judge(chain, package, deleted):
    """Nothing goes out later, and no receipt claims too much."""
    assert [request.video_id for request in chain.ledger.delete_requests] == deleted
    calls = len(chain.ledger.requests())
    time.sleep(0.3)
    assert len(chain.ledger.requests()) == calls, "something was sent after the task had ended"
    for video, receipt in receipts(chain, package).items():
        allowed = ("requested", "unconfirmed", "deleted") if video in deleted else ("withdrawn",)
        assert receipt["status"] in allowed, video


def test_on_kill_lets_the_request_on_its_way_end_and_nothing_more_is_sent(dozen, meanwhile):
    chain, package, videos, copies = dozen
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    meanwhile.after_first_deletion(task.on_kill)
    with pytest.raises(exceptions.TaskStoppedError, match=f"Deleted by this task: {videos[0]}"):
        task.execute({})
    judge(chain, package, videos[:1])
    receipt = receipts(chain, package)[videos[0]]
    assert (receipt["status"], receipt["answer"]["state"], receipt["deleted_at"]) == ("unconfirmed", "deleted", None)


def test_the_next_run_completes_what_was_unconfirmed(dozen, meanwhile):
    chain, package, videos, copies = dozen
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    meanwhile.after_first_deletion(task.on_kill)
    with pytest.raises(exceptions.TaskStoppedError):
        task.execute({})
    chain.delete(verified_copies=copies)
    assert sorted(chain.ledger.deletions) == sorted(videos)
    assert {receipt["status"] for receipt in receipts(chain, package).values()} == {"deleted"}
    assert receipts(chain, package)[videos[0]]["answer"]["state"] == "deleted"


def test_on_kill_from_another_thread_while_a_request_is_on_its_way(dozen):
    chain, package, videos, copies = dozen
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    chain.sim.faults.add(Fault(call="delete", kind="stall", seconds=1.0, video_id=videos[2], on="always"))
    killer = when(lambda: len(chain.ledger.delete_requests) == 3, task.on_kill)
    with pytest.raises(exceptions.TaskStoppedError):
        task.execute({})
    killer.join()
    judge(chain, package, videos[:3])


def test_on_kill_before_the_first_request_sends_none(dozen):
    chain, package, _, copies = dozen
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    chain.sim.faults.add(Fault(call="list", kind="stall", seconds=1.0))
    when(chain.ledger.requests, task.on_kill)
    with pytest.raises(exceptions.TaskStoppedError):
        task.execute({})
    judge(chain, package, [])


def test_on_kill_before_the_task_has_begun_lets_it_send_nothing(dozen):
    chain, _, _, copies = dozen
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    task.on_kill()
    with pytest.raises(exceptions.TaskStoppedError):
        task.execute({})
    assert chain.ledger.requests() == []


@pytest.mark.parametrize("call", ["list", "delete"])
def test_a_wait_for_retry_after_ends_at_once(dozen, call):
    chain, _, _, copies = dozen
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    headers = {"Retry-After": "200"}
    chain.sim.faults.add(Fault(call=call, kind="status", status=429, headers=headers, on="always"))
    when(lambda: chain.ledger.requests(call=call), lambda: (time.sleep(0.3), task.on_kill()))
    began = time.monotonic()
    with pytest.raises(exceptions.IinkedSignError):
        task.execute({})
    assert time.monotonic() - began < 60.0
    assert chain.ledger.deletions == []


@pytest.mark.parametrize("after", [0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_timeout_that_is_raised_anywhere_in_the_main_thread_ends_all_requests(dozen, after):
    chain, package, _, copies = dozen
    chain.sim.faults.add(Fault(call="delete", kind="stall", seconds=0.02, on="always"))

    def raise_timeout(number, frame):
        raise TimedOut

    before = signal.signal(signal.SIGALRM, raise_timeout)
    signal.setitimer(signal.ITIMER_REAL, after)
    began = time.monotonic()
    try:
        chain.delete(verified_copies=copies)
    except TimedOut:
        assert time.monotonic() - began < after + 60.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    asked = [request.video_id for request in chain.ledger.delete_requests]
    time.sleep(0.3)
    assert [request.video_id for request in chain.ledger.delete_requests] == asked
    for video, receipt in receipts(chain, package).items():
        assert receipt["status"] != "deleted" or video in chain.ledger.deletions
        assert receipt["status"] in ("requested", "unconfirmed", "deleted") or video not in asked


def test_a_store_that_hangs_does_not_keep_a_task_that_is_to_end(dozen, monkeypatch):
    chain, _, videos, copies = dozen
    task = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies)
    really, hangs = preparation.verify_recording, threading.Event()

    def verify(open_store, copies, **more):
        if copies[0].meeting_video_id == videos[3]:
            hangs.wait(120)
        return really(open_store, copies, **more)

    monkeypatch.setattr(preparation, "verify_recording", verify)
    when(lambda: chain.ledger.deletions == videos[:3], task.on_kill)
    began = time.monotonic()
    try:
        with pytest.raises(exceptions.TaskStoppedError):
            task.execute({})
        assert time.monotonic() - began < 60.0
    finally:
        hangs.set()
    assert set(chain.ledger.deletions) <= set(videos[:3])


def test_a_client_that_is_stopped_sends_nothing_and_does_not_take_the_second_path(chain, connect):
    package, videos = chain.package({})
    hook = IinkedSignHook()
    hook.stop()
    with pytest.raises(exceptions.TaskStoppedError):
        hook.client.send(protocol.list_videos(package))
    with pytest.raises(exceptions.TaskStoppedError):
        hook.delete_video(package, videos[0])
    assert chain.ledger.requests() == []


def test_the_second_path_is_not_taken_after_a_stop(chain, monkeypatch):
    package, videos = chain.package({})
    chain.sim.quirks.delete_paths = "short"
    hook = IinkedSignHook()
    really = hook.client._exchange

    def exchange(request):
        try:
            return really(request)
        finally:
            hook.stop()

    monkeypatch.setattr(hook.client, "_exchange", exchange)
    with pytest.raises(exceptions.TaskStoppedError):
        hook.delete_video(package, videos[0])
    assert chain.ledger.deletions == []
    assert len(chain.ledger.delete_requests) == 1
