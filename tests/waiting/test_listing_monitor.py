"""What an answer changes: nothing, unless ids, states or ends of retention do; the decision is the wait condition's."""

from __future__ import annotations

import json
import time
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.api.protocol import Response
from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.models import Video, parse_video, parse_videos
from airflow_provider_iinked.waiting import listing_monitor as monitor_module
from airflow_provider_iinked.waiting.listing_monitor import ListingMonitor
from airflow_provider_iinked.waiting.wait_condition import DECISION_FIELDS, WaitCondition, evaluate
from airflow_provider_iinked.waiting.wait_warnings import WARNING_FIELDS

STATES = ["started", "stopped", "queued", "failed", "archived", "deleted", "paused", "", None, 3]
VIDEOS = st.lists(
    st.fixed_dictionaries(
        {"meetingVideoId": st.sampled_from("abcA"), "state": st.sampled_from(STATES)},
        optional={"url": st.text(max_size=3), "timeRetention": st.sampled_from([None, "2026-12-24T00:00:00Z", "odd"])},
    ),
    max_size=4,
)


def answer(videos: Any, **more: Any) -> Response:
    return Response(200, {}, json.dumps({"packageId": "p", "videos": videos, **more}).encode())


def condition(**arguments: Any) -> WaitCondition:
    defaults = {"package_id": "p", "meeting_video_ids": "*", "min_videos": 1, "on_failed": "fail", "on_deleted": "fail"}
    return WaitCondition.from_dict({**defaults, **arguments})


CONDITIONS = st.builds(
    lambda ids, least, failed, deleted: condition(
        meeting_video_ids=ids, min_videos=least, on_failed=failed, on_deleted=deleted
    ),
    st.sampled_from(["*", ["a"], ["b", "c"]]),
    st.integers(0, 3),
    st.sampled_from(["fail", "wait", "ignore"]),
    st.sampled_from(["fail", "ignore"]),
)


@given(wanted=CONDITIONS, lists=st.lists(VIDEOS, min_size=1, max_size=6))
def test_every_answer_is_decided_as_the_condition_says(wanted: Any, lists: list[list[dict[str, Any]]]) -> None:
    monitor, now = ListingMonitor(wanted, "p"), time.time()
    waiting_for: Any = None
    for videos in lists:
        try:
            expected: Any = evaluate(parse_videos({"packageId": "p", "videos": videos}, "p"), wanted, "p")
        except IinkedSignError as error:
            with pytest.raises(type(error)):
                monitor.examine(answer(videos), secret="", now=now)
            continue
        change = monitor.examine(answer(videos), secret="", now=now)
        if change is None:
            assert not expected.ready
            assert waiting_for == expected.waiting_for
        else:
            waiting_for = change.status.waiting_for
            assert change.status.ready == expected.ready
            assert [v.meeting_video_id for v in change.status.archived] == [
                v.meeting_video_id for v in expected.archived
            ]
        if expected.ready:
            return


def test_a_new_url_alone_is_no_change_and_builds_no_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = ListingMonitor(condition(), "p")
    videos = [{"meetingVideoId": "a", "state": "archived", "url": "1"}, {"meetingVideoId": "b", "state": "queued"}]
    assert monitor.examine(answer(videos), secret="", now=0.0) is not None
    monkeypatch.setattr(monitor_module, "parse_videos", None)
    for number in range(3):
        videos[0]["url"] = f"https://example.com/{number}"
        assert monitor.examine(answer(videos), secret="", now=0.0) is None


def test_a_retention_that_comes_near_is_warned_of_once_though_nothing_else_changed() -> None:
    monitor = ListingMonitor(condition(), "p")
    ends = pendulum.datetime(2026, 12, 24)
    videos = [{"meetingVideoId": "a", "state": "queued", "timeRetention": ends.isoformat()}]
    far, near = ends.subtract(days=8).timestamp(), ends.subtract(days=6).timestamp()
    assert monitor.examine(answer(videos), secret="", now=far).warnings == ()  # type: ignore[union-attr]
    assert monitor.examine(answer(videos), secret="", now=far + 1) is None
    (warning,) = monitor.examine(answer(videos), secret="", now=near).warnings  # type: ignore[union-attr]
    assert "video a" in warning
    assert monitor.examine(answer(videos), secret="", now=near + 1) is None


def test_the_same_bytes_after_an_error_are_still_no_change() -> None:
    monitor = ListingMonitor(condition(), "p")
    same = answer([{"meetingVideoId": "a", "state": "queued"}])
    monitor.examine(same, secret="", now=0.0)
    with pytest.raises(IinkedSignError):
        monitor.examine(Response(500, {}, b""), secret="", now=0.0)
    assert monitor.examine(same, secret="", now=0.0) is None


class Spy(dict):
    """Fields of a video that note which of them are read."""

    def __init__(self, fields, read):
        super().__init__(fields)
        self._read = read

    def __getitem__(self, name):
        self._read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        self._read.add(name)
        return super().get(name, default)


@given(VIDEOS, CONDITIONS)
def test_the_decision_rests_on_no_field_that_a_monitor_does_not_compare(videos, wanted):
    read: set[str] = set()
    try:
        listed = [parse_video(fields) for fields in videos]
        evaluate([Video(v.meeting_video_id, v.state, Spy(v.fields, read)) for v in listed], wanted, "p")
    except IinkedSignError:
        pass
    assert read <= {"meetingVideoId", "state", *DECISION_FIELDS}, (
        f"evaluate() rests on {sorted(read)}: name them in DECISION_FIELDS (waiting/wait_condition.py), or the "
        "triggerer does not notice when they change"
    )


@pytest.mark.parametrize("name", [*DECISION_FIELDS, *WARNING_FIELDS])
def test_a_change_of_what_decision_and_warnings_rest_on_is_looked_at(name):
    monitor, now = ListingMonitor(condition(), "p"), time.time()
    video = {"meetingVideoId": "a", "state": "queued", name: None}
    monitor.examine(answer([video]), secret="", now=now)
    assert monitor.examine(answer([{**video, "url": "https://h/another"}]), secret="", now=now) is None
    assert monitor.examine(answer([{**video, name: "2026-12-24T00:00:00Z"}]), secret="", now=now) is not None
