"""Around an approved deletion: previews, retries after a kill, other tasks, other packages, and what the errors say."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_iinked.deletion.approval import plan_entries, plan_sha256, read_plan
from airflow_provider_iinked.exceptions import ApprovalError, InvalidArgumentError


def yes(preview: Any) -> dict[str, Any]:
    """What the approval task returns when a person approves."""
    recordings = read_plan(preview)
    return {
        "approved": True,
        "plan_sha256": plan_sha256(recordings),
        "responded_by": "ada",
        "responded_at": "2026-01-02T00:00:00+00:00",
        "entries": [[*key, digest] for key, digest in plan_entries(recordings).items()],
    }


@pytest.fixture
def approved(chain):
    """Two recordings, copied; a person has approved their deletion."""
    package, videos = chain.package({}, {})
    copies = chain.download(package)
    preview = chain.delete(verified_copies=copies, preview=True)
    return chain, package, videos, copies, yes(preview)


def refused(chain, match, **arguments):
    """The deletion is refused as not approved, and nothing is sent."""
    before = len(chain.ledger.delete_requests)
    with pytest.raises(ApprovalError, match=match) as caught:
        chain.delete(**arguments)
    assert len(chain.ledger.delete_requests) == before
    return str(caught.value)


def test_a_preview_returns_its_plan_and_the_digest_of_it(chain):
    package, videos = chain.package({}, {})
    copies = chain.download(package)
    preview = chain.delete(verified_copies=copies, preview=True)
    assert [entry["meeting_video_id"] for entry in preview["plan"]] == videos
    assert [entry["copies"][0]["sha256"] for entry in preview["plan"]] == [copy["sha256"] for copy in copies]
    assert preview["plan_sha256"] == plan_sha256(read_plan(preview))


def test_a_preview_of_several_packages_has_a_plan_of_each(chain):
    packages = [chain.package({})[0], chain.package({})[0]]
    previews = chain.delete(verified_copies=chain.download(packages), preview=True)
    assert [preview["plan"][0]["package_id"] for preview in previews] == packages


def test_a_preview_of_no_copies_at_all_has_an_empty_plan_that_can_be_asked_about(chain):
    preview = chain.delete(verified_copies=[], preview=True)
    assert read_plan(preview) == ()
    assert chain.ledger.requests() == []


def test_an_empty_preview_has_an_empty_plan(chain):
    preview = chain.delete(package_id="p", meeting_video_ids=[], preview=True)
    assert (preview["plan"], preview["plan_sha256"]) == ([], plan_sha256([]))


def test_recordings_of_several_packages_are_deleted_with_one_approval(chain):
    packages = [chain.package({})[0], chain.package({})[0]]
    copies = chain.download(packages)
    chain.delete(verified_copies=copies, approval=yes(chain.delete(verified_copies=copies, preview=True)))
    assert len(chain.ledger.deletions) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"approved": False}, "not approved"),
        ({"responded_by": None}, "No person"),
        ({"plan_sha256": "0" * 64}, "do not agree"),
        ({"plan_sha256": "0" * 64, "entries": None}, "another plan"),
    ],
    ids=["refused", "nobody", "another digest", "another plan"],
)
def test_no_yes_to_this_plan_deletes_nothing(approved, change, reason):
    chain, _, _, copies, answer = approved
    refused(chain, reason, verified_copies=copies, approval=answer | change)


@pytest.mark.parametrize("value", [None, "", "None"], ids=repr)
def test_an_approval_that_turns_out_empty_is_refused_before_any_request(approved, value, monkeypatch):
    from airflow_provider_iinked.operators.videos import IinkedDeleteVideosOperator

    chain, _, _, copies, answer = approved
    operator = IinkedDeleteVideosOperator(task_id="delete", verified_copies=copies, approval=answer)
    operator.approval = value
    before = len(chain.ledger.requests())
    with pytest.raises(InvalidArgumentError, match="approval is empty"):
        operator.execute({})
    assert len(chain.ledger.requests()) == before


def test_a_recording_that_is_listed_otherwise_deletes_nothing_at_all(approved):
    chain, package, videos, copies, answer = approved
    chain.sim.set_state(package, videos[0], "queued")
    assert videos[0] in refused(chain, "no longer there as it was", verified_copies=copies, approval=answer)


def test_an_approval_of_another_package_deletes_nothing(approved):
    chain, _, _, _, answer = approved
    other, _ = chain.package({})
    refused(chain, "another plan", verified_copies=chain.download(other), approval=answer)


def test_a_part_of_the_plan_is_not_the_plan(approved):
    chain, _, videos, copies, answer = approved
    refused(chain, "not in this deletion", verified_copies=copies, meeting_video_ids=videos[:1], approval=answer)


def test_the_same_approval_used_again_deletes_nothing_more(approved):
    chain, package, videos, copies, answer = approved
    chain.delete(verified_copies=copies, approval=answer)
    late = chain.sim.add_video(package)
    assert len(chain.delete(verified_copies=copies, approval=answer)["videos"]) == 2
    refused(chain, "not in the approved plan", package_id=package, delete_all=True, approval=answer)
    assert late not in chain.ledger.deletions
    assert chain.ledger.deletions == videos


class Killed(BaseException):
    """As SIGKILL does: nothing after it runs in this try."""


@pytest.fixture
def killed_after_first(approved, meanwhile):
    """The first of two approved recordings is deleted; then the task ends."""
    chain, _, videos, copies, answer = approved

    def kill() -> None:
        raise Killed

    meanwhile.after_first_deletion(kill)
    with pytest.raises(Killed):
        chain.delete(verified_copies=copies, approval=answer)
    assert chain.ledger.deletions == videos[:1]
    return approved


def test_a_retry_after_a_kill_deletes_the_rest_of_the_plan(killed_after_first, paper):
    chain, package, videos, copies, answer = killed_after_first
    chain.delete(verified_copies=copies, approval=answer)
    assert chain.ledger.deletions == videos
    assert paper(chain.path(package, f"{videos[0]}.deletion.json"))["status"] == "deleted"


def test_a_receipt_of_another_task_does_not_complete_the_plan(killed_after_first, paper):
    chain, package, videos, copies, answer = killed_after_first
    paper(chain.path(package, f"{videos[0]}.deletion.json"), task_id="another")
    refused(chain, "without a receipt of this task", verified_copies=copies, approval=answer)


def test_a_receipt_of_another_approval_does_not_complete_the_plan(killed_after_first, paper):
    chain, package, videos, copies, answer = killed_after_first
    path = chain.path(package, f"{videos[0]}.deletion.json")
    paper(path, approval=paper(path)["approval"] | {"plan_sha256": "0" * 64})
    refused(chain, "without a receipt of this task", verified_copies=copies, approval=answer)


def test_a_copy_that_changes_after_the_first_request_ends_the_deletion(chain, meanwhile):
    package, videos = chain.package({}, {}, {})
    copies = chain.download(package)
    answer = yes(chain.delete(verified_copies=copies, preview=True))
    path = chain.path(package, f"{videos[1]}.mp4")
    meanwhile.after_first_deletion(lambda: path.write_bytes(b"changed"))
    with pytest.raises(Exception, match=videos[1]):
        chain.delete(verified_copies=copies, approval=answer, max_parallel=1)
    assert chain.ledger.deletions == videos[:1]


def test_a_recording_that_appears_after_the_check_is_not_deleted(chain, meanwhile):
    package, videos = chain.package({})
    answer = yes(chain.delete(package_id=package, delete_all=True, preview=True))
    meanwhile.before_first_deletion(lambda: chain.sim.add_video(package, meeting_video_id="late"))
    chain.delete(package_id=package, delete_all=True, approval=answer)
    assert chain.ledger.deletions == videos


def test_an_empty_list_needs_no_yes(chain):
    nobody = {"approved": False, "plan_sha256": plan_sha256([]), "responded_by": None, "responded_at": None}
    assert chain.delete(package_id="p", meeting_video_ids=[], approval=nobody)["videos"] == []
    assert chain.ledger.requests() == []


def test_a_chain_that_is_cleared_after_its_deletion_asks_nobody_and_deletes_nothing(approved):
    chain, _, videos, copies, answer = approved
    chain.delete(verified_copies=copies, approval=answer)
    assert read_plan(chain.delete(verified_copies=copies, preview=True)) == ()
    nobody = {"approved": False, "plan_sha256": plan_sha256([]), "responded_by": None, "responded_at": None}
    assert len(chain.delete(verified_copies=copies, approval=nobody)["videos"]) == 2
    assert chain.ledger.deletions == videos
