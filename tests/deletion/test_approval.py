"""What a person approves: the plan's digest, the table, and what counts as a person's yes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.deletion.approval import (
    PlannedCopy,
    PlannedDeletion,
    approval_problem,
    parse_approval,
    plan_entries,
    plan_sha256,
    planned_deletion,
    read_plan,
)
from airflow_provider_iinked.exceptions import ApprovalError, InvalidArgumentError
from airflow_provider_iinked.models import FIXED_VIDEO_FIELDS, parse_video

COPY = PlannedCopy("s3://evidence/p1/v1.mp4", 1000, "a" * 64, "2036-01-01T00:00:00Z", "COMPLIANCE")
ONE = PlannedDeletion("https://x/api/v1", "p1", "v1", "2026-01-01T00:00:00Z", "PT6S", 1000, "m1", (COPY,))
TWO = replace(ONE, meeting_video_id="v2", copies=())
YES = {"approved": True, "plan_sha256": "b" * 64, "responded_by": "ada", "responded_at": "2026-01-02T00:00:00Z"}


def preview(*recordings: PlannedDeletion, **changes):
    plan = [recording.as_xcom() for recording in recordings]
    return {
        "packageId": "p1",
        "videos": [],
        "preview": True,
        "plan": plan,
        "plan_sha256": plan_sha256(recordings),
    } | changes


def test_a_plan_comes_back_from_its_xcom():
    assert read_plan(preview(ONE, TWO)) == (ONE, TWO)


def test_plans_of_mapped_previews_are_one_plan():
    assert read_plan([[preview(ONE)], preview(TWO)]) == (ONE, TWO)


def test_the_order_of_recordings_and_copies_does_not_count():
    other = replace(COPY, uri="gs://evidence/p1/v1.mp4")
    assert plan_sha256([ONE, TWO]) == plan_sha256([TWO, ONE])
    assert plan_sha256([replace(ONE, copies=(COPY, other))]) == plan_sha256([replace(ONE, copies=(other, COPY))])


@pytest.mark.parametrize(
    "change",
    [
        {"api_base": "https://y/api/v1"},
        {"package_id": "p2"},
        {"meeting_video_id": "v9"},
        {"time_created": "2026-01-01T00:00:01Z"},
        {"duration": "PT7S"},
        {"size": 1001},
        {"meeting_id": "m2"},
        {"copies": ()},
        {"copies": (replace(COPY, sha256="c" * 64),)},
        {"copies": (replace(COPY, uri="s3://other/p1/v1.mp4"),)},
        {"copies": (replace(COPY, retain_until="2030-01-01T00:00:00Z"),)},
        {"copies": (replace(COPY, retention_mode="GOVERNANCE"),)},
        {"copies": (COPY, replace(COPY, uri="gs://evidence/p1/v1.mp4"))},
    ],
    ids=str,
)
def test_whatever_a_person_sees_changes_the_digest(change):
    assert plan_sha256([ONE]) != plan_sha256([replace(ONE, **change)])


@pytest.mark.parametrize("name", FIXED_VIDEO_FIELDS)
def test_what_must_not_change_until_a_deletion_is_in_the_plan_that_is_approved(name):
    listed = {"meetingVideoId": "v1", "state": "archived", "size": 5, "timeCreated": "2026-01-01T00:00:00Z"}
    values = (6, 7, "a", "b")
    digests = {planned_deletion("https://x", "p1", parse_video({**listed, name: value})).digest() for value in values}
    assert len(digests) > 2, (
        f"FIXED_VIDEO_FIELDS (models.py) names {name}, which the approved plan does not hold: add it to "
        "PlannedDeletion and planned_deletion (deletion/approval.py), and to docs/guides/approval.md"
    )


def test_a_recording_more_or_less_changes_the_digest():
    assert len({plan_sha256([]), plan_sha256([ONE]), plan_sha256([ONE, TWO])}) == 3


@given(st.sets(st.integers(0, 30), min_size=1), st.data())
def test_what_an_earlier_try_deleted_and_what_is_left_make_the_same_digest(numbers, data):
    plan = [replace(ONE, meeting_video_id=f"v{number}") for number in sorted(numbers)]
    gone = data.draw(st.sets(st.sampled_from([recording.meeting_video_id for recording in plan])))
    done = {recording.key: recording.digest() for recording in plan if recording.meeting_video_id in gone}
    left = [recording for recording in plan if recording.meeting_video_id not in gone]
    assert plan_sha256(left, done=done) == plan_sha256(plan)


@pytest.mark.parametrize(
    "value",
    [None, "text", 7, {}, {"preview": True}, preview(ONE, preview=False), preview(ONE, plan_sha256="0" * 64)],
    ids=repr,
)
def test_what_is_no_preview_is_refused(value):
    with pytest.raises(InvalidArgumentError, match="Nothing was asked"):
        read_plan(value)


def test_a_plan_with_a_changed_recording_is_refused():
    edited = preview(ONE)
    edited["plan"][0]["size"] = 5
    with pytest.raises(InvalidArgumentError, match="do not agree"):
        read_plan(edited)


def test_a_plan_with_fields_of_another_form_is_refused():
    edited = preview(ONE)
    edited["plan"][0]["surprise"] = 5
    with pytest.raises(InvalidArgumentError, match="cannot be read"):
        read_plan(edited)


def test_a_persons_yes_is_read():
    approval = parse_approval(YES)
    assert (approval.responded_by, approval.plan_sha256) == ("ada", "b" * 64)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("Approve", "not the output of an approval task"),
        ([YES], "not the output of an approval task"),
        ({"approved": True}, "not the output of an approval task"),
        (YES | {"approved": False}, r"not approved \(answer of ada\)"),
        (YES | {"approved": "True"}, "not approved"),
        (YES | {"approved": 1}, "not approved"),
        (YES | {"responded_by": None}, "No person"),
        (YES | {"responded_by": " "}, "No person"),
        (YES | {"plan_sha256": None}, "no digest"),
        (YES | {"plan_sha256": "short"}, "no digest"),
        (YES | {"responded_at": None}, "no time"),
        (YES | {"entries": [["p1", "v1", "d" * 64]]}, "do not agree"),
        (YES | {"entries": "all"}, "do not agree"),
        (YES | {"approved": False, "responded_by": None, "plan_sha256": plan_sha256([ONE])}, "answer of nobody"),
    ],
    ids=repr,
)
def test_everything_else_is_no_approval(value, reason):
    with pytest.raises(ApprovalError, match=reason):
        parse_approval(value)


@pytest.mark.parametrize("value", [None, "", "None", " ", {}, []], ids=repr)
def test_an_approval_that_was_given_and_is_empty_is_refused(value):
    with pytest.raises(InvalidArgumentError, match="approval is empty"):
        parse_approval(value)


def approval_of(*recordings):
    return parse_approval(
        YES
        | {
            "plan_sha256": plan_sha256(recordings),
            "entries": [[*key, one] for key, one in plan_entries(recordings).items()],
        }
    )


def test_the_answer_to_an_empty_plan_allows_nothing():
    nobody = parse_approval({"approved": False, "plan_sha256": plan_sha256([]), "responded_by": None})
    assert approval_problem(nobody, {}, {}, ()) is None
    assert approval_problem(nobody, plan_entries([ONE]), {}, ()) is not None


def test_what_was_approved_may_be_deleted():
    assert approval_problem(approval_of(ONE, TWO), plan_entries([TWO, ONE]), {}, ()) is None


def test_what_an_earlier_try_deleted_completes_the_plan():
    assert approval_problem(approval_of(ONE, TWO), plan_entries([TWO]), plan_entries([ONE]), [ONE.key]) is None


@pytest.mark.parametrize(
    ("now", "gone", "reason"),
    [
        ([ONE, TWO, replace(ONE, meeting_video_id="v3")], [], "not in the approved plan: p1/v3"),
        ([ONE, replace(TWO, size=7)], [], "changed since, .*: p1/v2"),
        ([ONE], [TWO.key], "gone, without a receipt of this task: p1/v2"),
        ([ONE], [], "in the approved plan and not in this deletion: p1/v2"),
        ([replace(ONE, package_id="p9")], [], "approval is of another plan"),
    ],
)
def test_an_error_says_what_is_not_as_it_was_approved(now, gone, reason):
    problem = approval_problem(approval_of(ONE, TWO), plan_entries(now), {}, gone)
    assert re.search(reason, str(problem))
    assert "Nothing was sent" in str(problem)


def test_an_answer_without_entries_still_refuses_another_plan():
    plain = parse_approval(YES | {"plan_sha256": plan_sha256([ONE])})
    assert approval_problem(plain, plan_entries([ONE]), {}, ()) is None
    assert approval_problem(plain, plan_entries([TWO]), {}, ()) is not None
