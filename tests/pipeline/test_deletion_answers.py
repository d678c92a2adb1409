"""A deletion, whatever the server answers: nothing wrong is deleted, and a retry ends well."""

from __future__ import annotations

import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.deletion import workflow as deletion_run
from airflow_provider_iinked.deletion.context import DeletionContext
from airflow_provider_iinked.simulator import Fault
from tests.pipeline.three_recordings import ends_well, fails

# --- how it asks ------------------------------------------------------------------------------------------------------


def test_one_request_for_each_recording_between_two_lists_on_one_connection(three):
    chain, _ = three
    ends_well(three, requests=3)
    calls = [request.call for request in chain.ledger.requests()]
    assert calls == ["list", "delete", "delete", "delete", "list"]
    assert chain.ledger.sockets() == 1
    for request in chain.ledger.delete_requests:
        assert (request.method, request.path) == ("POST", "/api/v1/packages/p/videos/delete")
        assert request.body == {"packageId": "p", "meetingVideoId": request.video_id}
        assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(("known", "requests"), [("package", 3), ("short", 4)])
def test_a_server_that_knows_one_of_the_two_paths_is_asked_by_that_one(three, known, requests, status):
    chain, _ = three
    chain.sim.quirks.delete_paths = known
    chain.sim.quirks.missing_path_status = status
    ends_well(three, requests=requests)
    bodies = [request.body for request in chain.ledger.delete_requests if request.status == 200]
    assert bodies == [{"packageId": "p", "meetingVideoId": video} for video in "abc"]


def test_an_id_of_another_case_is_requested_in_the_apis_spelling(chain):
    chain.package("Abc", package_id="p")
    chain.delete(package_id="p", meeting_video_ids="aBC")
    assert chain.ledger.delete_requests[0].body["meetingVideoId"] == "Abc"
    assert chain.ledger.deletions == ["Abc"]


# --- repeats, lost answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeat", ["ok", "empty", "not_found", "bad_request"])
@pytest.mark.parametrize("lag", [0.0, 0.8], ids=["list at once", "list lags behind"])
@pytest.mark.parametrize("listed", [True, False], ids=["deleted listed", "deleted dropped"])
def test_after_a_lost_answer_the_list_decides_and_a_repeat_does_no_harm(three, repeat, lag, listed):
    chain, _ = three
    chain.sim.quirks.repeat_delete = repeat
    chain.sim.quirks.deletion_delay = lag
    chain.sim.quirks.list_deleted = listed
    chain.sim.faults.add(Fault(call="delete", kind="lost_answer", video_id="b"))
    ends_well(three, requests=None if lag else 3)


@pytest.mark.parametrize("repeat", ["ok", "empty", "not_found", "bad_request"])
@pytest.mark.parametrize("listed", [True, False])
def test_a_second_task_sends_nothing_for_what_is_gone(three, repeat, listed):
    chain, arguments = three
    chain.sim.quirks.repeat_delete = repeat
    ends_well(three, requests=3)
    chain.sim.quirks.list_deleted = listed

    again = chain.delete(**arguments)

    assert len(chain.ledger.delete_requests) == 3
    assert sorted(again.get("notListed", [])) == ([] if listed else ["a", "b", "c"])


@pytest.mark.parametrize("kind", ["refuse", "reset"])
def test_a_connection_that_breaks_before_the_work_is_asked_again_after_the_list(three, kind):
    chain, _ = three
    chain.sim.faults.add(Fault(call="delete", kind=kind, video_id="b"))
    ends_well(three, requests=4)


def test_an_answer_that_stalls_beyond_the_timeout_lets_the_list_decide(three, connect):
    chain, _ = three
    connect(timeout=1.0, max_retries=2)
    chain.sim.faults.add(Fault(call="delete", kind="stall", seconds=5.0, video_id="b"))
    ends_well(three)


# --- answers that are no answers --------------------------------------------------------------------------------------

UNCLEAR = {
    "HTML": {"kind": "html"},
    "redirect 302": {"kind": "redirect", "status": 302},
    "redirect 307": {"kind": "redirect", "status": 307},
    "redirect 308": {"kind": "redirect", "status": 308},
    "500": {"kind": "status", "status": 500},
    "502 page": {"kind": "status", "status": 502, "body": "<h1>Bad gateway</h1>"},
    "504": {"kind": "status", "status": 504},
}
WORKING = {"broken JSON": {"kind": "broken_json"}, "another JSON": {"kind": "wrong_type"}, "cut": {"kind": "cut"}}
WORKING |= {f"{name}, work done": {**fault, "work": True} for name, fault in UNCLEAR.items()}


@pytest.mark.parametrize("fault", WORKING.values(), ids=WORKING)
def test_when_the_work_is_done_but_the_answer_says_nothing_the_list_decides(three, fault):
    chain, _ = three
    chain.sim.faults.add(Fault(call="delete", on="always", **fault))
    ends_well(three, requests=3)


@pytest.mark.parametrize("fault", UNCLEAR.values(), ids=UNCLEAR)
def test_when_nothing_was_done_and_the_answer_says_nothing_it_is_asked_again(three, fault):
    chain, _ = three
    chain.sim.faults.add(Fault(call="delete", video_id="b", **fault))
    ends_well(three, requests=4)


@pytest.mark.parametrize("fault", UNCLEAR.values(), ids=UNCLEAR)
def test_a_server_that_never_answers_as_it_should_deletes_nothing_and_a_retry_ends_well(three, fault):
    chain, arguments = three
    chain.sim.faults.add(Fault(call="delete", on="always", **fault))
    with pytest.raises((exceptions.ServerError, exceptions.UnexpectedAnswerError)):
        chain.delete(**arguments)
    assert chain.ledger.deletions == []
    host = chain.sim.api_base.split("/")[2]
    assert {request.headers["host"] for request in chain.ledger.requests(host="api")} == {host}

    chain.sim.faults.clear()
    ends_well(three)


# --- 429 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}, {"Retry-After": "soon"}])
def test_too_many_requests_is_waited_out(three, headers):
    chain, _ = three
    chain.sim.faults.add(Fault(call="delete", kind="status", status=429, headers=headers, video_id="b"))
    started = time.monotonic()
    ends_well(three, requests=4)
    assert time.monotonic() - started >= (1.0 if headers.get("Retry-After") == "1" else 0.0)


def test_a_retry_after_beyond_patience_ends_the_task_and_says_when_to_come_back(three):
    chain, _ = three
    chain.sim.faults.add(Fault(call="delete", kind="status", status=429, headers={"Retry-After": "301"}, video_id="b"))
    error = fails(three, exceptions.RateLimitError, match="come back in 301 s")
    assert error.retry_after == 301.0
    assert chain.ledger.deletions == ["a"]
    ends_well(three)


def test_the_copies_are_verified_again_after_a_wait(chain):
    chain.package("a", package_id="p")
    copies = chain.download("p")
    headers = {"Retry-After": "1"}
    chain.sim.faults.add(Fault(call="delete", kind="status", status=429, headers=headers))

    def damage(context, seconds):
        chain.path("p", "a.mp4").write_bytes(b"damaged")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DeletionContext, "pause", damage)
        with pytest.raises(exceptions.VerificationError, match="not verified"):
            chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == []


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_task_at_once_and_says_what_was_done(three, status):
    chain, _ = three
    chain.sim.faults.add(Fault(call="delete", kind="status", status=status, video_id="b"))
    error = fails(three, exceptions.AuthenticationError, match="Deleted by this task: a")
    assert "confirmed: b, c" in str(error)
    assert [request.video_id for request in chain.ledger.delete_requests] == ["a", "b"]
    ends_well(three)


def test_a_retention_policy_keeps_its_recording_and_the_others_are_deleted(three):
    chain, _ = three
    body = {"error": "package_delete_retention", "message": "A policy forbids it."}
    chain.sim.faults.add(Fault(call="delete", kind="status", status=400, body=body, video_id="b", on="always"))
    fails(three, exceptions.RetentionError, match="retention policy")
    assert chain.ledger.deletions == ["a", "c"]


def test_a_refusal_of_one_request_keeps_its_recording_and_the_others_are_deleted(three, monkeypatch):
    monkeypatch.setattr(deletion_run, "_CONFIRM_FOR", 0.3)
    chain, _ = three
    body = {"error": "video_locked", "message": "Somebody watches it."}
    chain.sim.faults.add(Fault(call="delete", kind="status", status=400, body=body, video_id="b", on="always"))
    with pytest.raises(exceptions.IinkedSignError, match="video_locked"):
        chain.delete(**three[1])
    assert chain.ledger.deletions == ["a", "c"]


# --- hostile answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", ["names_more", "deletes_more", "names_stranger"])
def test_an_answer_that_names_what_was_not_requested_stops_everything(three, hostile):
    chain, _ = three
    chain.sim.quirks.hostile = hostile
    error = fails(three, exceptions.UnrequestedDeletionError, match="not requested")
    assert len(chain.ledger.delete_requests) == 1
    assert "Deleted by this task: a" in str(error)
    if hostile != "names_stranger":
        assert "also deleted b" in str(error)


def test_an_answer_about_another_package_stops_everything(three):
    chain, _ = three
    body = {"packageId": "another", "videos": []}
    chain.sim.faults.add(Fault(call="delete", kind="status", status=200, body=body, on="always"))
    fails(three, exceptions.UnrequestedDeletionError, match="another package")
    assert len(chain.ledger.delete_requests) == 1


def test_more_gone_than_requested_behind_a_lost_answer_stops_everything(three):
    chain, _ = three
    chain.sim.quirks.hostile = "deletes_more_hidden"
    chain.sim.faults.add(Fault(call="delete", kind="lost_answer"))
    fails(three, exceptions.UnrequestedDeletionError, match="b, not requested, is gone too")
    assert len(chain.ledger.delete_requests) == 1


def test_a_server_that_deletes_everything_instead_is_stopped_after_one_request(three):
    chain, _ = three
    chain.sim.faults.add(Fault(call="delete", kind="delete_all_instead", on="always"))
    error = fails(three, exceptions.UnrequestedDeletionError, match="also deleted b, c, neighbour")
    assert len(chain.ledger.delete_requests) == 1
    assert "Deleted by this task: a" in str(error)


def test_what_vanished_unseen_is_warned_of(chain, caplog):
    chain.package("a", "neighbour", package_id="p")
    chain.sim.quirks.hostile = "deletes_more_hidden"
    chain.delete(package_id="p", meeting_video_ids="a")
    assert "deleted by something else during this task: neighbour" in caplog.text


def test_an_answer_that_names_nothing_is_settled_by_the_list(three):
    chain, _ = three
    chain.sim.quirks.delete_answer = "empty"
    ends_well(three, requests=3)


def test_a_list_about_another_package_stops_before_anything_is_sent(three):
    chain, _ = three
    body = {"packageId": "another", "videos": []}
    chain.sim.faults.add(Fault(call="list", kind="status", status=200, body=body, on="always"))
    fails(three, exceptions.UnrequestedDeletionError, match="another package")
    assert chain.ledger.delete_requests == []
