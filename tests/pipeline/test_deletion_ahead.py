"""Copies are verified ahead of their requests, side by side: each request is within the rules at its own turn."""

from __future__ import annotations

import json
import threading
import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.deletion import preparation, workflow
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from airflow_provider_iinked.simulator import Fault


@pytest.fixture
def ten(chain):
    """Ten recordings and their copies."""
    package, _videos = chain.package(*({} for _ in range(10)))
    copies = chain.download(package)
    chain.ledger.clear()
    return chain, package, [copy["meeting_video_id"] for copy in copies], copies


@pytest.fixture
def slow_api(clock, monkeypatch):
    """Let each deletion take so many seconds of the task's clock, and something happen meanwhile."""
    happens = {"seconds": 0.0, "act": lambda count: None, "count": 0}
    really = IinkedSignHook.delete_video

    def delete_video(hook, *ids, **options):
        happens["count"] += 1
        clock.offset += happens["seconds"]
        happens["act"](happens["count"])
        return really(hook, *ids, **options)

    monkeypatch.setattr(IinkedSignHook, "delete_video", delete_video)
    return happens


@pytest.fixture
def verifications(monkeypatch):
    """The recordings whose copies were verified, and how many at a time; the first ones wait until there are enough."""
    seen, lock = {"ids": [], "now": 0, "most": 0, "enough": 1}, threading.Lock()
    together = threading.Event()
    really = preparation.verify_recording

    def verify(open_store, copies, **more):
        with lock:
            seen["ids"].append(copies[0].meeting_video_id)
            seen["now"] += 1
            seen["most"] = max(seen["most"], seen["now"])
            if seen["now"] >= seen["enough"]:
                together.set()
        try:
            together.wait(60)
            time.sleep(0.02)
            return really(open_store, copies, **more)
        finally:
            with lock:
                seen["now"] -= 1

    monkeypatch.setattr(preparation, "verify_recording", verify)
    return seen


def test_copies_are_verified_side_by_side_and_requests_go_out_one_by_one_in_order(ten, verifications):
    chain, _, videos, copies = ten
    verifications["enough"] = 3
    chain.delete(verified_copies=copies)
    assert verifications["most"] > 2
    assert sorted(verifications["ids"]) == sorted(videos)
    assert [request.video_id for request in chain.ledger.delete_requests] == videos
    assert chain.ledger.sockets() == 1


def test_max_parallel_bounds_the_verifications(ten, verifications):
    chain, _, _, copies = ten
    verifications["enough"] = 2
    chain.delete(verified_copies=copies, max_parallel=2)
    assert verifications["most"] == 2


def test_a_verification_that_is_too_old_at_its_turn_is_made_again(ten, slow_api, verifications):
    chain, _, videos, copies = ten
    slow_api["seconds"] = 11.0
    chain.delete(verified_copies=copies)
    assert sorted(chain.ledger.deletions) == sorted(videos)
    assert len(verifications["ids"]) > len(videos)


def test_a_copy_that_is_spoilt_while_the_api_is_slow_keeps_its_recording(ten, slow_api):
    chain, package, videos, copies = ten
    slow_api["seconds"] = 11.0

    def spoil(count):
        if count == 2:
            chain.path(package, f"{videos[4]}.mp4").write_bytes(b"spoilt")

    slow_api["act"] = spoil
    with pytest.raises(exceptions.VerificationError, match=videos[4]):
        chain.delete(verified_copies=copies)
    assert videos[4] not in chain.ledger.deletions
    assert len(chain.ledger.deletions) == 9
    receipt = json.loads(chain.path(package, f"{videos[4]}.deletion.json").read_text())
    assert receipt["status"] == "withdrawn"


def test_after_an_answer_that_stops_the_task_nothing_is_sent_and_no_receipt_claims_a_deletion(ten):
    chain, package, videos, copies = ten
    chain.sim.faults.add(Fault(call="delete", kind="delete_all_instead", video_id=videos[2]))
    with pytest.raises(exceptions.UnrequestedDeletionError):
        chain.delete(verified_copies=copies)
    assert [request.video_id for request in chain.ledger.delete_requests] == videos[:3]
    time.sleep(0.2)
    statuses = {
        path.name.split(".")[0]: json.loads(path.read_text())["status"]
        for path in chain.path(package).glob("*.deletion.json")
    }
    assert [statuses[video] for video in videos[:3]] == ["unconfirmed"] * 3
    assert {statuses.get(video, "withdrawn") for video in videos[3:]} == {"withdrawn"}


def test_a_service_that_says_deleted_and_lists_it_all_the_same_leaves_no_receipt_that_claims_it(ten, monkeypatch):
    monkeypatch.setattr(workflow, "_CONFIRM_FOR", 0.2)
    chain, package, videos, copies = ten
    chain.sim.quirks.deletion_delay = 1000.0
    with pytest.raises(exceptions.DeletionNotConfirmedError):
        chain.delete(verified_copies=copies)
    for video in videos:
        receipt = json.loads(chain.path(package, f"{video}.deletion.json").read_text())
        assert (receipt["status"], receipt["deleted_at"], receipt["told_by"]) == ("unconfirmed", None, "answer")

    chain.sim.quirks.deletion_delay = 0.0
    chain.delete(verified_copies=copies)
    assert len(chain.ledger.delete_requests) == len(videos)
    for video in videos:
        receipt = json.loads(chain.path(package, f"{video}.deletion.json").read_text())
        assert (receipt["status"], receipt["answer"]["meetingVideoId"]) == ("deleted", video)


def test_a_long_task_confirms_on_its_way(ten, slow_api, monkeypatch):
    """The list is read again once a minute anyway; what it shows gone has its receipt completed then."""
    chain, package, _videos, copies = ten
    slow_api["seconds"] = 11.0
    seen = []

    def look(count):
        if count == 8:
            until = time.monotonic() + 30
            while seen.count("deleted") < 4 and time.monotonic() < until:
                time.sleep(0.05)
                paths = chain.path(package).glob("*.deletion.json")
                seen[:] = [json.loads(path.read_text())["status"] for path in paths]

    slow_api["act"] = look
    chain.delete(verified_copies=copies)
    assert seen.count("deleted") >= 4
