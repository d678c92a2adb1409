"""A deletion, whatever the server answers: nothing wrong is deleted, and a retry ends well."""

from __future__ import annotations

import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.deletion import plan as deletion_plan
from airflow_provider_iinked.deletion import workflow as deletion_run
from airflow_provider_iinked.simulator import Fault


@pytest.fixture(params=["by id", "copies"])
def three(chain, request):
    """Three recordings to delete and one to leave alone, by their ids or by their copies."""
    package, videos = chain.package("a", "b", "c", "neighbour", package_id="p")
    asked = videos[:3]
    if request.param == "copies":
        arguments = {"verified_copies": chain.download(package, meeting_video_ids=asked)}
    else:
        arguments = {"package_id": package, "meeting_video_ids": asked}
    chain.ledger.clear()
    return chain, arguments


def states(answer):
    return {video["meetingVideoId"]: video["state"] for video in answer["videos"]}


def ends_well(three, requests=None):
    """The three are deleted, each by its id, and each at most once; the neighbour is left alone."""
    chain, arguments = three
    answer = chain.delete(**arguments)
    assert states(answer) == dict.fromkeys("abc", "deleted")
    assert sorted(chain.ledger.deletions) == ["a", "b", "c"]
    assert all(record.by_id for record in chain.ledger.deletion_records)
    assert all(request.body.get("meetingVideoId") for request in chain.ledger.delete_requests)
    if requests is not None:
        assert len(chain.ledger.delete_requests) == requests
    return answer


def fails(three, error, match=None):
    chain, arguments = three
    with pytest.raises(exceptions.IinkedSignError, match=match) as caught:
        chain.delete(**arguments)
    assert type(caught.value) is error
    assert "neighbour" not in chain.ledger.deletions or error is exceptions.UnrequestedDeletionError
    return caught.value


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


def test_an_id_of_another_case_is_asked_for_in_the_apis_spelling(chain):
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


def test_the_copies_are_proved_anew_after_a_wait(chain):
    chain.package("a", package_id="p")
    copies = chain.download("p")
    headers = {"Retry-After": "1"}
    chain.sim.faults.add(Fault(call="delete", kind="status", status=429, headers=headers))

    def damage(deletion, seconds):
        chain.path("p", "a.mp4").write_bytes(b"damaged")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deletion_run._Deletion, "_pause", damage)
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
def test_an_answer_that_names_what_was_not_asked_for_stops_everything(three, hostile):
    chain, _ = three
    chain.sim.quirks.hostile = hostile
    error = fails(three, exceptions.UnrequestedDeletionError, match="not asked for")
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


def test_more_gone_than_asked_for_behind_a_lost_answer_stops_everything(three):
    chain, _ = three
    chain.sim.quirks.hostile = "deletes_more_hidden"
    chain.sim.faults.add(Fault(call="delete", kind="lost_answer"))
    fails(three, exceptions.UnrequestedDeletionError, match="b, not asked for, is gone too")
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
    assert "Deleted by something else during this task: neighbour" in caplog.text


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


# --- the list ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "lists"), [(55, 2), (61, 3)])
def test_a_list_older_than_a_minute_is_read_again(three, clock, meanwhile, seconds, lists):
    chain, _ = three
    meanwhile.after_first_deletion(lambda: setattr(clock, "offset", float(seconds)))
    ends_well(three, requests=3)
    assert len(chain.ledger.requests(call="list")) == lists


@pytest.mark.parametrize("state", ["started", "failed", "unheard"])
def test_a_state_that_changed_meanwhile_keeps_its_recording(three, clock, meanwhile, state):
    chain, _ = three

    def change():
        clock.offset = 61.0
        chain.sim.set_state("p", "b", state)

    meanwhile.after_first_deletion(change)
    fails(three, exceptions.StateNotAllowedError, match=f"it is '{state}' now")
    assert chain.ledger.deletions == ["a", "c"]


def test_a_recording_that_others_deleted_meanwhile_is_not_asked_for(three, clock, meanwhile):
    chain, _ = three

    def change():
        clock.offset = 61.0
        chain.sim.set_state("p", "b", "deleted")

    meanwhile.after_first_deletion(change)
    chain.delete(**three[1])
    assert [request.video_id for request in chain.ledger.delete_requests] == ["a", "c"]


def test_a_list_that_lags_behind_is_read_again(three):
    chain, _ = three
    chain.sim.quirks.deletion_delay = 1.0
    ends_well(three, requests=3)
    assert len(chain.ledger.requests(call="list")) > 2


def test_a_list_that_never_shows_it_fails_and_a_later_retry_ends_well(three, monkeypatch):
    monkeypatch.setattr(deletion_run, "_CONFIRM_FOR", 0.3)
    chain, arguments = three
    chain.sim.quirks.deletion_delay = 1000.0
    fails(three, exceptions.DeletionNotConfirmedError, match="still shows it")
    assert sorted(chain.ledger.deletions) == ["a", "b", "c"]

    chain.sim.quirks.deletion_delay = 0.0
    chain.delete(**arguments)
    assert len(chain.ledger.delete_requests) == 3


def test_it_waits_half_a_minute_for_the_list():
    assert deletion_run._CONFIRM_FOR == 30.0
    assert deletion_plan.MAX_LIST_AGE == 60.0


@pytest.mark.parametrize("kind", ["html", "wrong_type", "broken_json"])
def test_without_a_list_nothing_is_sent(three, kind):
    chain, arguments = three
    chain.sim.faults.add(Fault(call="list", kind=kind, on="always"))
    with pytest.raises(exceptions.UnexpectedAnswerError):
        chain.delete(**arguments)
    assert chain.ledger.delete_requests == []


# --- delete_all, states, preview --------------------------------------------------------------------------------------


def test_delete_all_deletes_one_by_one_what_the_list_shows_and_nothing_that_appears_meanwhile(chain, meanwhile):
    chain.package("a", "b", package_id="p")
    meanwhile.before_first_deletion(lambda: chain.sim.add_video("p", "late"))
    answer = chain.delete(package_id="p", delete_all=True)
    assert chain.ledger.deletions == ["a", "b"]
    assert all(record.by_id for record in chain.ledger.deletion_records)
    assert states(answer) == {"a": "deleted", "b": "deleted"}


@pytest.mark.parametrize("state", ["started", "stopped", "queued", "failed", "unheard"])
def test_delete_all_refuses_as_a_whole_when_one_is_in_another_state(chain, state):
    chain.package("a", {"meeting_video_id": "b", "state": state}, package_id="p")
    with pytest.raises(exceptions.StateNotAllowedError, match="b "):
        chain.delete(package_id="p", delete_all=True)
    assert chain.ledger.delete_requests == []


def test_states_say_what_else_may_be_deleted(chain):
    chain.package("a", {"meeting_video_id": "b", "state": "failed"}, package_id="p")
    chain.delete(package_id="p", delete_all=True, states=("archived", "failed"))
    assert chain.ledger.deletions == ["a", "b"]


def test_an_unknown_package_deletes_nothing(chain):
    with pytest.raises(exceptions.PackageNotFoundError):
        chain.delete(package_id="nowhere", delete_all=True)
    assert chain.ledger.delete_requests == []


@pytest.mark.parametrize("unknown", ["not_found", "empty", "delete_all"])
def test_an_id_that_is_not_listed_is_never_sent(chain, unknown, caplog):
    chain.package("a", package_id="p")
    chain.sim.quirks.unknown_video = unknown
    answer = chain.delete(package_id="p", meeting_video_ids=["nowhere"])
    assert answer == {"packageId": "p", "videos": [], "notListed": ["nowhere"]}
    assert chain.ledger.delete_requests == []
    assert "nowhere is not listed" in caplog.text


def test_a_preview_reads_checks_and_sends_nothing(three):
    chain, arguments = three
    names = chain.names("p")
    answer = chain.delete(preview=True, **arguments)
    assert answer["preview"] is True
    assert states(answer) == dict.fromkeys("abc", "archived")
    assert "access=" not in str(answer)
    assert chain.ledger.delete_requests == []
    assert chain.names("p") == names


def test_a_preview_fails_where_the_deletion_would(chain):
    chain.package("a", "b", package_id="p")
    copies = chain.download("p")
    chain.path("p", "a.mp4").unlink()
    with pytest.raises(exceptions.VerificationError, match="copy is gone"):
        chain.delete(verified_copies=copies, preview=True)
    assert chain.ledger.delete_requests == []


# --- receipts ---------------------------------------------------------------------------------------------------------


def receipts(chain):
    return {"receipt_destination": f"file://{chain.folder.parent}/receipts"}


def test_without_copies_and_without_a_place_there_are_no_receipts(chain):
    chain.package("a", package_id="p")
    chain.delete(package_id="p", delete_all=True)
    assert not chain.folder.exists()


def test_a_receipt_without_a_copy_goes_where_it_is_told(chain, paper):
    chain.package("a", package_id="p")
    chain.delete(package_id="p", delete_all=True, **receipts(chain))
    receipt = paper(chain.folder.parent / "receipts" / "p" / "a.deletion.json")
    assert (receipt["status"], receipt["proof"], receipt["package_id"]) == ("deleted", None, "p")


def test_the_receipt_lies_there_before_the_request_is_sent(chain, paper, meanwhile):
    chain.package("a", package_id="p")
    path = chain.folder.parent / "receipts" / "p" / "a.deletion.json"
    seen = []
    meanwhile.before_first_deletion(lambda: seen.append(paper(path)["status"]))
    chain.delete(package_id="p", delete_all=True, **receipts(chain))
    assert seen == ["requested"]


@pytest.mark.parametrize("way", ["ids", "all"])
def test_a_store_that_takes_no_receipt_stops_the_deletion(chain, way):
    chain.package("a", package_id="p")
    (chain.folder.parent / "receipts").write_text("a file where a folder should be")
    asked = {"meeting_video_ids": "a"} if way == "ids" else {"delete_all": True}
    with pytest.raises(exceptions.StorageError):
        chain.delete(package_id="p", **asked, **receipts(chain))
    assert chain.ledger.delete_requests == []


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("listed", [True, False], ids=["deleted listed", "deleted dropped"])
@pytest.mark.parametrize("way", ["copies", "ids"])
def test_a_receipt_that_a_killed_run_left_is_completed_by_the_next(chain, paper, meanwhile, listed, way):
    chain.package("a", package_id="p")
    if way == "copies":
        arguments, path = {"verified_copies": chain.download("p")}, chain.path("p", "a.deletion.json")
    else:
        arguments = {"package_id": "p", "meeting_video_ids": ["a"], **receipts(chain)}
        path = chain.folder.parent / "receipts" / "p" / "a.deletion.json"

    def die():
        raise Killed

    with pytest.MonkeyPatch.context():
        meanwhile.after_first_deletion(die)
        with pytest.raises(Killed):
            chain.delete(**arguments)
    assert paper(path)["status"] == "requested"
    chain.sim.quirks.list_deleted = listed

    chain.delete(**arguments)

    receipt = paper(path)
    assert (receipt["status"], receipt["told_by"]) == ("deleted", "list")
    assert chain.ledger.deletions == ["a"]
    assert len(chain.ledger.delete_requests) == 1


def test_a_receipt_of_a_deletion_that_never_happened_is_written_anew(chain, paper, meanwhile):
    chain.package("a", package_id="p")
    copies = chain.download("p")

    def die():
        raise Killed

    meanwhile.before_first_deletion(die)
    with pytest.raises(Killed):
        chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == []
    chain.delete(verified_copies=copies)
    assert paper(chain.path("p", "a.deletion.json"))["told_by"] == "answer"
    assert chain.ledger.deletions == ["a"]
