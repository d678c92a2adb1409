"""A deletion that a person approved: exactly what the plan names, and only while it is still true."""

from __future__ import annotations

import json

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.simulator import Fault

ANSWER = {"approved": True, "responded_by": "ada", "responded_at": "2026-11-27T10:00:00+00:00"}


@pytest.fixture(params=["copies", "by id", "all"])
def planned(chain, request):
    """Two recordings of a package, and the plan of their deletion as a person approved it."""
    package, videos = chain.package("a", "b", package_id="p")
    receipts = {"receipt_destination": f"file://{chain.folder.parent}/receipts"}
    arguments = {
        "copies": lambda: {"verified_copies": chain.download(package)},
        "by id": lambda: {"package_id": package, "meeting_video_ids": videos, **receipts},
        "all": lambda: {"package_id": package, "delete_all": True, **receipts},
    }[request.param]()
    preview = chain.delete(preview=True, **arguments)
    chain.ledger.clear()
    return chain, arguments, {**ANSWER, "plan_sha256": preview["plan_sha256"]}


def refused(planned, error=exceptions.ApprovalError, match=None, **changes):
    """Nothing is sent, and the error says why."""
    chain, arguments, approval = planned
    with pytest.raises(error, match=match):
        chain.delete(**{**arguments, "approval": approval, **changes})
    assert chain.ledger.delete_requests == []


def test_what_was_approved_is_deleted_and_its_receipts_say_by_whom(planned):
    chain, arguments, approval = planned
    chain.delete(**arguments, approval=approval)
    assert chain.ledger.deletions == ["a", "b"]
    paths = list(chain.folder.parent.glob("*/p/*.deletion.json"))
    assert len(paths) == 2
    for path in paths:
        said = json.loads(path.read_text())["approval"]
        assert (said["responded_by"], said["responded_at"]) == ("ada", ANSWER["responded_at"])
        assert said["plan_sha256"] == approval["plan_sha256"]
        assert len(said["recording_sha256"]) == 64


@pytest.mark.parametrize("approval", [None, "", {}, {**ANSWER, "plan_sha256": "a" * 64, "approved": False}])
def test_what_is_no_persons_yes_deletes_nothing(planned, approval):
    if not approval:
        refused(planned, exceptions.InvalidArgumentError, "approval is", approval=approval)
    else:
        refused(planned, approval=approval)


def test_the_approval_of_another_plan_deletes_nothing(planned):
    refused(planned, match="another plan", approval={**ANSWER, "plan_sha256": "a" * 64})


def test_a_recording_that_changed_since_deletes_nothing(planned):
    planned[0].sim.set_fields("p", "b", duration="PT9S")
    refused(planned)


def test_a_copy_that_was_spoilt_since_deletes_nothing(planned):
    chain, arguments, _ = planned
    if "verified_copies" not in arguments:
        pytest.skip("there is no copy")
    chain.path("p", "b.mp4").write_bytes(b"spoilt")
    refused(planned, match="no longer there as it was.*not verified")


def test_a_recording_that_appeared_since_deletes_nothing(planned):
    chain, arguments, _ = planned
    chain.sim.add_video("p", "late")
    if "delete_all" in arguments:
        refused(planned, match="another plan")
    else:
        refused(planned, match="another plan", **_wider(chain, arguments))


def _wider(chain, arguments):
    """Somebody lets the task take the new recording too."""
    if "verified_copies" in arguments:
        return {"verified_copies": chain.download("p")}
    return {"meeting_video_ids": ["a", "b", "late"]}


def test_a_recording_that_others_deleted_since_deletes_nothing(planned):
    planned[0].sim.set_state("p", "b", "deleted")
    refused(planned, match="another plan")


def test_a_retry_of_an_approved_deletion_goes_on_where_it_stopped(planned):
    chain, arguments, approval = planned
    chain.sim.faults.add(Fault(call="delete", kind="status", status=401, video_id="b"))
    with pytest.raises(exceptions.AuthenticationError):
        chain.delete(**arguments, approval=approval)
    assert chain.ledger.deletions == ["a"]
    chain.delete(**arguments, approval=approval)
    assert chain.ledger.deletions == ["a", "b"]


def test_the_same_approval_used_twice_sends_nothing_more(planned):
    chain, arguments, approval = planned
    chain.delete(**arguments, approval=approval)
    chain.ledger.clear()
    chain.delete(**arguments, approval=approval)
    assert chain.ledger.delete_requests == []


def test_what_changes_between_the_first_request_and_its_turn_is_kept(planned, meanwhile, clock):
    chain, arguments, approval = planned

    def change():
        clock.offset = 61.0
        chain.sim.set_fields("p", "b", duration="PT9S")

    meanwhile.after_first_deletion(change)
    with pytest.raises(exceptions.IinkedSignError, match="b: kept on the platform"):
        chain.delete(**arguments, approval=approval)
    assert chain.ledger.deletions == ["a"]


def test_a_preview_with_an_approval_is_refused(planned):
    refused(planned, exceptions.InvalidArgumentError, "contradict", preview=True)
