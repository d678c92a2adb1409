"""What the API speaks of, and that nothing it says breaks anything but ourselves."""

from __future__ import annotations

import datetime as dt
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.exceptions import IinkedSignError, UnexpectedAnswerError, UnrequestedDeletionError
from airflow_provider_iinked.models import (
    Video,
    VideoList,
    parse_duration,
    parse_package,
    parse_time,
    parse_video,
    parse_videos,
    redact_signed_urls,
    whole_number,
)

SEED = {
    "meetingVideoId": "4c512b8a-c1ad-47da-ae22-5a61115505e3",
    "meetingId": "0f2f4065-3d07-4fd5-96e8-13b3f77a7c9d",
    "timeCreated": "2019-08-20T18:57:33.541Z",
    "timeRetention": None,
    "timeDeleted": "2019-08-20T18:58:02.2596573Z",
    "duration": "PT6S",
    "size": 484524,
    "type": "video",
    "state": "deleted",
    "url": None,
    "timeUrlExpires": None,
}


def video(video_id="v", state="archived", **fields):
    return parse_video({"meetingVideoId": video_id, "state": state, **fields})


def test_the_documents_own_example_is_read():
    (read,) = parse_videos({"packageId": "p", "videos": [SEED]}, "p")
    assert (read.meeting_video_id, read.state, read.size) == (SEED["meetingVideoId"], "deleted", 484524)
    assert (read.is_deleted, read.is_archived, read.url, read.time_retention) == (True, False, None, None)
    assert read.duration == dt.timedelta(seconds=6)
    assert read.time_created == dt.datetime(2019, 8, 20, 18, 57, 33, 541000, tzinfo=dt.UTC)


def test_a_video_of_its_id_alone_is_read():
    read = parse_video({"meetingVideoId": "v"})
    values = (read.state, read.size, read.url, read.time_created, read.time_retention, read.time_url_expires)
    assert values == ("", None, None, None, None, None)
    assert read.duration is None


def test_unknown_states_and_fields_survive():
    read = video(state="transcoding", brandNew={"a": [1]})
    assert (read.state, read.public_fields()["brandNew"]) == ("transcoding", {"a": [1]})


def test_the_signed_url_is_neither_shown_nor_passed_on():
    url = "https://host.example/video?access=s3cr3t-token"
    read = video(url=url, timeUrlExpires="2026-01-01T00:00:00Z", thumbnail=url, links=[url, "https://plain.example/x"])
    assert "s3cr3t" not in repr(read)
    assert read.public_fields() == {
        "meetingVideoId": "v",
        "state": "archived",
        "links": ["https://plain.example/x"],
    }


@pytest.mark.parametrize(
    "fields",
    [None, [], "v", 5, {}, {"meetingVideoId": None}, {"meetingVideoId": ""}, {"meetingVideoId": 5}]
    + [{"meetingVideoId": bad} for bad in ("../v", "a/b", "a b", "v\n", "a?b")],
)
def test_a_video_without_a_usable_id_is_an_error_of_ours(fields):
    with pytest.raises(UnexpectedAnswerError):
        parse_video(fields)


@pytest.mark.parametrize("fields", [None, [], {}, {"packageId": "a/b"}, {"packageId": 5}])
def test_a_package_without_a_usable_id_is_an_error_of_ours(fields):
    with pytest.raises(UnexpectedAnswerError):
        parse_package(fields)


@pytest.mark.parametrize("answer", [{"packageId": "p"}, {"packageId": "p", "videos": None}, {"videos": []}])
def test_a_package_without_videos_has_none(answer):
    assert parse_videos(answer, "p") == []


@pytest.mark.parametrize("answer", [{}, {"videos": None}, {"packageId": "p", "videos": {}}, {"videos": "x"}])
def test_an_answer_without_a_list_is_not_taken_for_an_empty_one(answer):
    with pytest.raises(UnexpectedAnswerError):
        parse_videos(answer, "p")


@pytest.mark.parametrize("other", ["q", "", 5, ["p"], "p "])
def test_an_answer_about_another_package_is_refused(other):
    with pytest.raises(UnrequestedDeletionError, match="another package"):
        parse_videos({"packageId": other, "videos": []}, "p")


def test_package_ids_that_differ_by_case_alone_are_the_same():
    assert parse_videos({"packageId": "ABC", "videos": []}, "abc") == []


def test_a_video_listed_twice_alike_stands_once():
    twice = {"meetingVideoId": "v", "state": "archived"}
    assert len(parse_videos({"videos": [twice, twice]}, "p")) == 1


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("state", ("archived", "deleted")),
        ("size", (1, 2)),
        ("timeCreated", ("2026-11-01T10:00:00Z", None)),
        ("duration", ("PT1S", "PT2S")),
        ("meetingId", ("m", "n")),
    ],
)
def test_a_video_listed_twice_differently_is_an_error(field, values):
    listed = [{"meetingVideoId": "v", "state": "archived", field: value} for value in values]
    with pytest.raises(UnexpectedAnswerError, match=f"twice, with different {field}"):
        parse_videos({"videos": listed}, "p")


@pytest.mark.parametrize("error", ["internal_error", {"code": 5}, "two words"])
def test_a_list_beside_an_error_is_not_relied_on(error):
    with pytest.raises(UnexpectedAnswerError, match="names an error"):
        parse_videos({"packageId": "p", "videos": [], "error": error}, "p")


@pytest.mark.parametrize("error", [None, "", False])
def test_an_error_that_is_none_does_not_matter(error):
    assert parse_videos({"packageId": "p", "videos": [], "error": error}, "p") == []


def test_an_id_that_differs_by_case_alone_is_found():
    assert VideoList([video("Abc")]).find("aBC").meeting_video_id == "Abc"


def test_of_several_that_differ_by_case_the_one_spelled_alike_is_found():
    listing = VideoList([video("Abc"), video("aBC")])
    assert listing.find("aBC").meeting_video_id == "aBC"
    with pytest.raises(UnexpectedAnswerError, match="case alone"):
        listing.find("ABC")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (5.0, 5),
        (0, 0),
        ("5", 5),
        (1e300, int(1e300)),
        *((odd, None) for odd in (5.5, True, "", " 5", "5.0", "-5", "٥", "9" * 5000)),
        *((odd, None) for odd in (None, float("nan"), float("inf"), [5])),
    ],
)
def test_whole_numbers_are_read(value, expected):
    assert whole_number(value) == expected


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("2019-08-20T18:58:02Z", 0),
        ("2019-08-20T18:58:02.1Z", 100_000),
        ("2019-08-20T18:58:02.2596573Z", 259_657),
        ("2019-08-20T18:58:02.25", 250_000),
        ("2019-08-20T20:58:02.25+02:00", 250_000),
    ],
)
def test_times_are_read_with_up_to_seven_digits(text, micro):
    assert parse_time(text) == dt.datetime(2019, 8, 20, 18, 58, 2, micro, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "value", [None, "", "soon", "2019-13-45", 5, {}, "99999-01-01T00:00:00Z", "12:00", "PT5S", "now"]
)
def test_a_time_that_cannot_be_read_is_none(value):
    assert parse_time(value) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("PT6S", 6), ("PT5M12.3S", 312.3), ("P1DT2H", 93600), ("PT0S", 0), ("PT1H0M1S", 3601)]
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text).total_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize("value", [None, "", "6", "P", "six", 6, "P1Y", "PT" + "9" * 400 + "S"])
def test_a_duration_that_cannot_be_read_is_none(value):
    assert parse_duration(value) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
names = ["meetingVideoId", "state", "url", "size", "duration", "timeCreated", "timeRetention", "timeUrlExpires", "x"]
times = st.text(alphabet="0123456789-:TZ.+PYMDHSW ", max_size=30)
video_like = st.dictionaries(st.sampled_from(names), json_values | times | st.sampled_from(["v", "archived"]))
answers = st.dictionaries(
    st.sampled_from(["packageId", "videos", "items"]), json_values | st.lists(video_like, max_size=3) | st.just("p")
)


@given(answers)
def test_no_answer_raises_anything_but_an_error_of_ours(answer):
    try:
        videos = parse_videos(answer, "p")
    except IinkedSignError:
        return
    for read in videos:
        assert isinstance(read, Video)
        values = (read.size, read.url, read.time_created, read.time_retention, read.time_url_expires, read.duration)
        assert len(values) == 6
        assert "url" not in read.public_fields()
        assert VideoList(videos).find(read.meeting_video_id) is not None


@given(json_values)
def test_no_package_raises_anything_but_an_error_of_ours(value):
    try:
        read = parse_package(value)
    except IinkedSignError:
        return
    assert read.time_retention is None or read.time_retention


@given(times | st.text(max_size=30))
def test_any_text_is_a_time_and_a_duration_or_none(value):
    parse_time(value)
    parse_duration(value)


@pytest.mark.parametrize("depth", [200, 450, 900])
def test_answers_nested_as_deep_as_json_allows_do_not_break_anything(depth):
    text = '{"packageId": "p", "videos": [{"meetingVideoId": "v", "x": ' + "[" * depth + "]" * depth + "}]}"
    (read,) = parse_videos(json.loads(text), "p")
    assert json.loads(json.dumps(read.public_fields()))["meetingVideoId"] == "v"


@given(json_values)
def test_what_holds_no_address_with_a_query_is_left_as_it_is(value):
    if "http" not in json.dumps(value).casefold() and is_json_safe(value):
        assert json.dumps(redact_signed_urls(value)) == json.dumps(value)


@given(json_values | st.integers() | st.floats() | st.text(st.characters(codec=None)))
def test_whatever_is_passed_on_can_be_stored_and_sent(value):
    assert is_json_safe(redact_signed_urls({"x": value}))


def is_json_safe(value):
    """Tell whether msgpack, strict JSON and PostgreSQL take a value."""
    if isinstance(value, dict | list):
        return all(map(is_json_safe, [*value, *value.values()] if isinstance(value, dict) else value))
    if isinstance(value, str):
        return not re.search("[\x00\ud800-\udfff]", value)
    return value.bit_length() < 64 if isinstance(value, int) else value is None or math.isfinite(value)


def test_an_xcom_carries_the_documented_fields_alone():
    fields = video("v", size=1, url="https://h/x?access=y", timeUrlExpires="2026-01-01", secretLink="abc").xcom_fields()
    assert fields == {"meetingVideoId": "v", "state": "archived", "size": 1}


def test_a_documented_field_that_holds_a_signed_address_is_left_out_of_an_xcom():
    fields = video("v", source={"href": "https://h/x?access=y", "kind": "camera"}, externalVideoId="https://h/?t=1")
    assert fields.xcom_fields() == {"meetingVideoId": "v", "state": "archived", "source": {"kind": "camera"}}


def test_a_selection_keeps_the_order_of_the_ids_and_names_what_is_missing():
    listing = VideoList([video("a"), video("b"), video("c")])
    found, missing = listing.select(["c", "x", "A", "a"])
    assert [one.meeting_video_id for one in found] == ["c", "a"]
    assert missing == ("x",)


def test_a_selection_of_all_is_the_list_as_it_stands():
    listing = VideoList([video("b"), video("a")])
    assert listing.select(None) == (listing.videos, ())


def test_a_selection_that_two_videos_fit_is_an_error():
    with pytest.raises(UnexpectedAnswerError, match="by case alone"):
        VideoList([video("aa"), video("aA")]).select(["AA"])
