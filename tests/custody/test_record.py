"""What must agree between a record, an XCom, a listing and a copy."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pendulum
import pytest

from airflow_provider_iinked.custody.provenance import task_identity, temp_file_token
from airflow_provider_iinked.custody.record import (
    TaskIdentity,
    VerifiedCopy,
    build_record,
    copy_mismatches,
    expected_mismatches,
    listing_mismatches,
    location_mismatches,
    origin_mismatches,
    read_stored_video,
)
from airflow_provider_iinked.models import parse_video
from airflow_provider_iinked.storage.lock import Lock

API = "https://sign.syngrafii.com/api/v1"
URI = "s3://c@b/x/p/v.mp4"
CUSTODY = "s3://c@b/x/p/v.custody.json"
LISTED = {
    "meetingVideoId": "v",
    "meetingVideoSharedId": "shared",
    "state": "archived",
    "size": 5,
    "timeCreated": "2019-08-20T18:57:33.541Z",
    "duration": "PT6S",
    "meetingId": "m",
    "url": "https://h/v?access=token",
    "timeUrlExpires": "2030-01-01T00:00:00Z",
}
VALIDATOR = {"etag": "e", "version_id": "1"}


def record(**changes):
    made = build_record(
        api_base=API,
        package_id="p",
        video=parse_video(LISTED),
        copy=VerifiedCopy(URI, 5, "a" * 64, "video/mp4", VALIDATOR, None),
        time="2026-01-01T00:00:00Z",
        stamp=TaskIdentity("d", "r", "t", -1, 1),
        provider_version="0",
        package_fields={"name": "Closing"},
    )
    return {**made, **changes}


def claim(**changes):
    return read_stored_video({**record(), **changes}, CUSTODY)


def origin(made, **changes):
    asked = {"api_base": API, "package_id": "p", "meeting_video_id": "v"}
    return origin_mismatches(made, **{**asked, **changes})


def test_a_record_holds_what_the_design_promises_and_no_url():
    made = record()
    assert made["format"] == 1
    assert made["video"]["meetingVideoSharedId"] == "shared"
    assert "token" not in json.dumps(made)
    names = "api_base package_id uri size sha256 content_type validator time dag_id run_id task_id try_number"
    assert set(names.split()) | {"provider_version", "package_fields"} <= set(made)


def test_a_record_agrees_with_where_it_came_from():
    assert origin(record()) == []


@pytest.mark.parametrize("value", [None, 0, 2, "1", True, 1.5])
def test_a_format_that_is_not_known_is_a_problem(value):
    assert "format" in origin(record(format=value))[0]


@pytest.mark.parametrize("name", ["api_base", "package_id", "meeting_video_id"])
@pytest.mark.parametrize("value", ["other", None, "", ["p"]])
def test_another_api_package_or_id_is_a_problem(name, value):
    assert [problem for problem in origin(record(**{name: value})) if name in problem]


@pytest.mark.parametrize("name", ["package_id", "meeting_video_id", "uri", "size", "sha256"])
def test_a_difference_between_record_and_xcom_is_a_problem(name):
    changed = {**record(), name: 6 if name == "size" else "b" * 64}
    assert expected_mismatches(record(), claim()) == []
    assert expected_mismatches(changed, claim()) == [f"the stored record and the XCom disagree on {name}"]


@pytest.mark.parametrize("name", ["package_id", "meeting_video_id", "uri", "size", "sha256"])
@pytest.mark.parametrize("value", [None, True, [], -1])
def test_a_record_that_lacks_what_proves_it_is_not_read(name, value):
    assert read_stored_video({**record(), name: value}, CUSTODY) is None


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_what_is_no_object_is_no_record(value):
    assert read_stored_video(value, CUSTODY) is None


@pytest.mark.parametrize(
    ("uri", "custody_uri"),
    [
        ("s3://c@b/x/p/w.mp4", CUSTODY),
        ("s3://c@b/x/p/v", CUSTODY),
        ("s3://c@b/x/p/v.custody.json", CUSTODY),
        ("s3://c@b/x/q/v.mp4", "s3://c@b/x/q/v.custody.json"),
        (URI, "s3://c@b/x/p/w.custody.json"),
        (URI, "s3://c@b/y/p/v.custody.json"),
        (URI, "s3://c@other/x/p/v.custody.json"),
    ],
)
def test_a_record_that_does_not_lie_beside_the_copy_under_its_name_is_a_problem(uri, custody_uri):
    assert location_mismatches(read_stored_video({**record(), "uri": uri}, custody_uri))


def test_a_record_beside_its_copy_is_none():
    assert location_mismatches(claim()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 6),
        ("size", None),
        ("size", "5"),
        ("timeCreated", "2019-08-20T18:57:33.542Z"),
        ("timeCreated", None),
        ("duration", "PT7S"),
        ("duration", None),
        ("meetingId", "n"),
        ("meetingId", None),
    ],
)
def test_a_recording_that_is_listed_otherwise_than_when_copied_is_a_problem(name, value):
    now = parse_video({**LISTED, name: value})
    assert [problem for problem in listing_mismatches(record(), now) if name in problem]


@pytest.mark.parametrize(
    "changes",
    [{}, {"timeCreated": "2019-08-20T18:57:33.5410000Z"}, {"url": None}, {"timeRetention": "2030-01-01T00:00:00Z"}],
)
def test_what_may_change_between_two_lists_is_none(changes):
    assert listing_mismatches(record(), parse_video({**LISTED, **changes})) == []


def test_a_record_that_does_not_say_what_the_recording_was_is_a_problem():
    assert listing_mismatches(record(video=None), parse_video(LISTED))


@pytest.mark.parametrize(
    ("size", "sha256", "validator", "problems"),
    [
        (5, "a" * 64, None, 0),
        (5, None, VALIDATOR, 0),
        (6, "a" * 64, None, 1),
        (5, "b" * 64, None, 1),
        (6, "b" * 64, None, 2),
        (5, None, {"etag": "f", "version_id": "1"}, 1),
        (5, None, {"etag": "e"}, 1),
        (5, None, None, 1),
        (0, None, {}, 2),
    ],
)
def test_a_copy_agrees_by_its_bytes_or_by_the_stores_validator(size, sha256, validator, problems):
    assert len(copy_mismatches(record(), size=size, sha256=sha256, validator=validator)) == problems


def test_a_copy_without_a_validator_is_never_taken_by_its_validator():
    assert copy_mismatches(record(validator=None), size=5, sha256=None, validator=None)


DESCRIPTIONS = {"content_type", "modified"}
"""What a record says of a copy for readers only: nothing rests on it."""


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(VerifiedCopy)])
def test_what_a_record_says_of_a_copy_is_compared_or_is_a_description(name):
    changed = record(**{name: "other"})
    found = [
        *copy_mismatches(changed, size=5, sha256="a" * 64, validator=VALIDATOR),
        *copy_mismatches(changed, size=5, sha256=None, validator=VALIDATOR),
        *expected_mismatches(changed, claim()),
    ]
    assert bool(found) is (name not in DESCRIPTIONS), (
        f"VerifiedCopy (custody/record.py) has the field {name}, and nothing compares it: compare it in "
        "copy_mismatches, or name it in DESCRIPTIONS here"
    )


def full_record():
    return build_record(
        api_base=API,
        package_id="p",
        video=parse_video(LISTED),
        copy=VerifiedCopy(URI, 5, "a" * 64, "video/mp4", VALIDATOR, None),
        time="2026-01-01T00:00:00Z",
        stamp=TaskIdentity(),
        provider_version="0",
        package_fields={},
        media={"container": ".mp4"},
        copies=["gs://b/p/v.mp4"],
        lock=Lock("COMPLIANCE", pendulum.datetime(2036, 1, 1)),
    )


@pytest.mark.parametrize("name", full_record())
def test_the_docs_describe_each_field_of_a_record(name):
    page = (Path(__file__).parents[2] / "docs" / "custody.md").read_text()
    table = page.partition("## The custody record, format 1")[2].partition("\n## ")[0]
    assert f"`{name}`" in table, f"build_record (custody/record.py) writes {name}; describe it in docs/custody.md"


def test_outside_a_dag_run_the_stamp_is_empty():
    assert task_identity({}) == TaskIdentity()
    assert temp_file_token(TaskIdentity()) is None


def test_all_tries_of_one_task_instance_share_their_token():
    first, second = (temp_file_token(TaskIdentity("d", "r", "t", -1, number)) for number in (1, 2))
    others = {temp_file_token(TaskIdentity("d", "r", "t", 0, 1)), temp_file_token(TaskIdentity("d", "r2", "t", -1, 1))}
    assert first == second
    assert first not in others
