"""Warnings of a wait: once per change and once a day, and when the next one is due."""

from __future__ import annotations

import json
import math

import pendulum
import pytest

from airflow_provider_iinked.models import parse_video
from airflow_provider_iinked.waiting.wait_warnings import REPEAT_AFTER, Rule, due_warnings

NOW = pendulum.datetime(2026, 1, 10)
DAY = 86_400


def video(video_id="v", state="archived", ends="2026-01-12T00:00:00Z"):
    return parse_video({"meetingVideoId": video_id, "state": state, "timeRetention": ends})


def warn(videos, now, given):
    found = due_warnings("p", videos, now, given)
    return found.lines, json.loads(json.dumps(found.given)), found.due_at


@pytest.mark.parametrize(
    ("ends", "state", "warned"),
    [
        ("2026-01-16T23:59:59Z", "archived", True),
        ("2026-01-17T00:00:01Z", "archived", False),
        ("2026-01-01T00:00:00Z", "queued", True),
        ("2026-01-11T00:00:00Z", "deleted", False),
        (None, "archived", False),
        ("garbage", "archived", False),
    ],
)
def test_a_retention_that_ends_within_a_week_is_warned_of(ends, state, warned):
    assert bool(due_warnings("p", [video(state=state, ends=ends)], NOW.timestamp(), {}).lines) is warned


def test_a_warning_names_package_recording_state_and_end():
    (line,) = due_warnings("p", [video()], NOW.timestamp(), {}).lines
    assert line.startswith("Package p: the platform's retention of video v (archived) ends at 2026-01-12T00:00:00")


def test_an_unchanged_list_is_warned_of_once_a_day():
    at, given, days = NOW.timestamp(), {}, []
    for hour in range(0, 60, 6):
        lines, given, _ = warn([video(ends="2026-01-30T00:00:00Z"), video("w")], at + hour * 3600, given)
        days += [hour] * len(lines)
    assert days == [0, 24, 48]


def test_a_change_is_warned_of_at_once():
    at = NOW.timestamp()
    _, given, _ = warn([video(state="queued")], at, {})
    lines, given, _ = warn([video(state="archived")], at + 60, given)
    assert len(lines) == 1
    lines, given, _ = warn([video(state="archived", ends="2026-01-13T00:00:00Z")], at + 120, given)
    assert len(lines) == 1


def test_the_next_warning_is_due_when_a_retention_comes_near_or_a_day_has_passed():
    at = NOW.timestamp()
    far = video(ends=NOW.add(days=10).isoformat())
    assert warn([far], at, {})[2] == at + 3 * DAY
    assert warn([far, video("w")], at, {})[2] == at + REPEAT_AFTER
    assert warn([video(ends=None)], at, {})[2] == math.inf


def test_a_clock_that_was_set_back_silences_nothing_for_long():
    at = NOW.timestamp()
    _, given, _ = warn([video()], at + 30 * DAY, {})
    assert len(warn([video()], at, given)[0]) == 1


def test_a_rule_sees_no_field_that_it_does_not_name():
    rule = Rule(("size",), lambda video: (0.0, str(sorted(video.fields))))
    listed = parse_video({"meetingVideoId": "v", "state": "queued", "size": 3, "duration": "PT6S"})
    assert rule(listed) == (0.0, "['size']")
    assert rule(video()) == (0.0, "[]")
