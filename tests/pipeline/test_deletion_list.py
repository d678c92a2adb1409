"""What the list decides in a deletion: its age, its gaps, what ``delete_all`` and a preview make of it."""

from __future__ import annotations

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.deletion import plan as deletion_plan
from airflow_provider_iinked.deletion import workflow as deletion_run
from airflow_provider_iinked.simulator import Fault
from tests.pipeline.three_recordings import ends_well, fails, states

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


def test_a_recording_that_others_deleted_meanwhile_is_not_requested(three, clock, meanwhile):
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
