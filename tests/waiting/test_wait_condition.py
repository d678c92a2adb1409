"""When a wait is over."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.arguments import PackageIds
from airflow_provider_iinked.exceptions import (
    InvalidArgumentError,
    RecordingDeletedError,
    RecordingFailedError,
)
from airflow_provider_iinked.models import parse_video
from airflow_provider_iinked.waiting.wait_condition import WaitCondition, evaluate


def videos(states):
    return [parse_video({"meetingVideoId": f"v{n}", "state": state}) for n, state in enumerate(states.split())]


def condition(ids=None, min_videos=1, on_failed="fail", on_deleted="fail"):
    return WaitCondition(PackageIds(("p",), as_list=False), ids, min_videos, on_failed, on_deleted)


ARGUMENTS = {
    "package_id": "p",
    "meeting_video_ids": "*",
    "min_videos": 1,
    "on_failed": "fail",
    "on_deleted": "fail",
}


ALL = [
    # states, min_videos, on_failed, ready
    ("", 1, "fail", False),
    ("", 0, "fail", True),
    ("archived", 1, "fail", True),
    ("archived archived", 1, "fail", True),
    ("archived queued", 1, "fail", False),
    ("archived started", 1, "fail", False),
    ("archived stopped", 1, "fail", False),
    ("archived transcoding", 1, "fail", False),
    ("archived", 2, "fail", False),
    ("archived deleted", 2, "fail", True),
    ("deleted", 1, "fail", True),
    ("deleted deleted", 3, "fail", False),
    ("failed", 1, "ignore", False),
    ("failed", 0, "ignore", True),
    ("failed archived", 1, "ignore", True),
    ("failed archived", 1, "wait", False),
    ("failed archived", 2, "ignore", False),
]


@pytest.mark.parametrize(("states", "least", "on_failed", "ready"), ALL)
def test_without_a_selection_all_that_are_listed_decide(states, least, on_failed, ready):
    found = evaluate(videos(states), condition(min_videos=least, on_failed=on_failed), "p")
    assert (found.ready, bool(found.waiting_for)) == (ready, not ready)


SELECTED = [
    # states of v0, v1, ...; selected; on_failed; on_deleted; ready; archived
    ("archived", ["v0"], "fail", "fail", True, ["v0"]),
    ("archived queued", ["v0"], "fail", "fail", True, ["v0"]),
    ("archived failed", ["v0"], "fail", "fail", True, ["v0"]),
    ("archived queued", ["v1"], "fail", "fail", False, []),
    ("archived", ["v0", "later"], "fail", "fail", False, ["v0"]),
    ("archived", ["V0"], "fail", "fail", True, ["v0"]),
    ("deleted", ["v0"], "fail", "ignore", True, []),
    ("failed", ["v0"], "ignore", "fail", True, []),
    ("failed failed", ["v0", "v1"], "ignore", "fail", True, []),
    ("failed", ["v0"], "wait", "fail", False, []),
    ("archived", [], "fail", "fail", True, []),
    ("unheard", ["v0"], "ignore", "ignore", False, []),
]


@pytest.mark.parametrize(("states", "ids", "on_failed", "on_deleted", "ready", "archived"), SELECTED)
def test_with_a_selection_its_recordings_alone_decide(states, ids, on_failed, on_deleted, ready, archived):
    found = evaluate(videos(states), condition(tuple(ids), 5, on_failed, on_deleted), "p")
    assert (found.ready, [video.meeting_video_id for video in found.archived]) == (ready, archived)


def test_a_failed_recording_ends_the_wait_by_default():
    with pytest.raises(RecordingFailedError, match="v1 failed"):
        evaluate(videos("archived failed"), condition(), "p")


def test_a_selected_recording_that_is_deleted_ends_the_wait_by_default():
    with pytest.raises(RecordingDeletedError, match="v1 is deleted"):
        evaluate(videos("archived deleted"), condition(("v1",)), "p")


def test_what_is_waited_for_is_named_with_its_state():
    found = evaluate(videos("started archived"), condition(("v0", "v1", "v9"), 1), "p")
    assert set(found.waiting_for) == {"v0 (started)", "v9 (not listed)"}


STATES = ["started", "stopped", "queued", "failed", "archived", "deleted", "unheard", ""]


@given(
    st.lists(st.sampled_from(STATES), max_size=6),
    st.none() | st.lists(st.sampled_from([f"v{n}" for n in range(8)]), max_size=4, unique=True),
    st.integers(0, 4),
    st.sampled_from(["fail", "wait", "ignore"]),
    st.sampled_from(["fail", "ignore"]),
)
def test_a_wait_that_is_over_leaves_no_selected_recording_alive_but_archived(states, ids, least, on_failed, on_deleted):
    listed = [parse_video({"meetingVideoId": f"v{n}", "state": state}) for n, state in enumerate(states)]
    selection = None if ids is None else tuple(ids)
    try:
        found = evaluate(listed, condition(selection, least, on_failed, on_deleted), "p")
    except (RecordingFailedError, RecordingDeletedError):
        return
    chosen = [video for video in listed if ids is None or video.meeting_video_id in ids]
    assert list(found.archived) == [video for video in chosen if video.state == "archived"] or ids is not None
    if found.ready:
        ended = {"archived", "deleted"} | ({"failed"} if on_failed == "ignore" else set())
        assert {video.state for video in chosen} <= ended
        assert ids is None or {video.meeting_video_id for video in chosen} == set(ids)
        assert ids is not None or sum(video.state in ("archived", "deleted") for video in chosen) >= least


def test_the_response_is_the_list_response_with_the_documented_fields():
    fields = parse_video({"meetingVideoId": "v", "state": "archived", "url": "https://x/y?z=1", "new": 5}).xcom_fields()
    expected = {"packageId": "p", "videos": [{"meetingVideoId": "v", "state": "archived"}]}
    assert condition().response({"p": [fields]}) == expected


def test_the_response_of_a_list_of_packages_is_a_list_in_the_order_given():
    several = WaitCondition.from_dict({**ARGUMENTS, "package_id": ["b", "a"]})
    assert several.response({"a": [], "b": [{"meetingVideoId": "v"}]}) == [
        {"packageId": "b", "videos": [{"meetingVideoId": "v"}]},
        {"packageId": "a", "videos": []},
    ]


@pytest.mark.parametrize("package_id", ["p", ["p"], ["p", "q"], []])
@pytest.mark.parametrize("ids", ["*", []])
def test_a_condition_is_made_again_from_its_json(package_id, ids):
    made = WaitCondition.from_dict({**ARGUMENTS, "package_id": package_id, "meeting_video_ids": ids})
    assert WaitCondition.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("arguments", "empty"),
    [
        ({}, False),
        ({"package_id": []}, True),
        ({"meeting_video_ids": []}, True),
        ({"package_id": ["p"], "meeting_video_ids": []}, True),
    ],
)
def test_an_empty_list_waits_for_nothing(arguments, empty):
    assert WaitCondition.from_dict({**ARGUMENTS, **arguments}).is_empty is empty


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("package_id", None),
        ("meeting_video_ids", None),
        ("min_videos", -1),
        ("min_videos", "1"),
        ("on_failed", "skip"),
        ("on_deleted", "wait"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused_by_name(name, value):
    with pytest.raises(InvalidArgumentError, match=f"^{name}"):
        WaitCondition.from_dict({**ARGUMENTS, name: value})


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_condition_that_lacks_a_field_is_refused_by_name(name):
    with pytest.raises(InvalidArgumentError, match=f"^{name}"):
        WaitCondition.from_dict({key: value for key, value in ARGUMENTS.items() if key != name})
