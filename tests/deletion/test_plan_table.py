"""The table that a person reads before approving a deletion."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_iinked.deletion.approval import PlannedCopy, PlannedDeletion, plan_sha256
from airflow_provider_iinked.deletion.plan_table import MAX_ROWS, plan_table

COPY = PlannedCopy("s3://evidence/copies/p1/v1.mp4", 1000, "a" * 64, "2036-01-01T00:00:00Z", "COMPLIANCE")
SECOND = replace(COPY, uri="gs://backup/p1/v1.mp4", retain_until=None, retention_mode=None)
ONE = PlannedDeletion("https://x/api/v1", "p1", "v1", "2026-01-01T10:20:30.5Z", "PT1H6M7.9S", 1000, "m1", (COPY,))


def rows(*recordings):
    """The rows of the table, as lists of cells."""
    lines = [line for line in plan_table(recordings).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_row_shows_a_recording_with_its_copy_and_its_lock():
    (row,) = rows(ONE)
    assert row[:5] == ["p1", "v1", "2026-01-01 10:20 UTC", "1:06:07", "1,000 bytes"]
    assert row[5:] == ["`s3://evidence/copies/`", "COMPLIANCE until 2036-01-01"]


def test_each_further_copy_has_a_row_of_its_own():
    first, second = rows(replace(ONE, copies=(COPY, SECOND)))
    assert first[1] == "v1"
    assert second == ["", "", "", "", "", "`gs://backup/`", "none"]


def test_a_recording_without_a_copy_stands_out():
    assert rows(replace(ONE, copies=()))[0][5] == "**none**"
    assert "**1 of them has no copy.**" in plan_table([ONE, replace(ONE, meeting_video_id="v2", copies=())])


def test_a_copy_that_lies_elsewhere_than_usual_is_named_in_full():
    assert rows(replace(ONE, copies=(replace(COPY, uri="s3://b/other/x.mp4"),)))[0][5] == "`s3://b/other/x.mp4`"


def test_how_a_copy_lies_below_its_folder_is_said_where_there_is_a_copy():
    assert "the copy lies below it as `package/recording`" in plan_table([ONE, replace(ONE, copies=())])
    assert "the copy lies" not in plan_table([replace(ONE, copies=())])


def test_a_copy_of_another_size_than_the_api_says_shows_its_own():
    assert rows(replace(ONE, size=999))[0][5].endswith("(1,000 bytes)")


def test_the_head_says_how_much_goes_from_which_data_centre():
    text = plan_table([ONE, replace(ONE, package_id="p2", size=2_000_000)])
    assert text.startswith("**Deletes 2 recordings of 2 packages, 2.0 MB, from https://x/api/v1 for good.**")
    assert plan_table([ONE]).startswith("**Deletes 1 recording of 1 package, 1,000 bytes, from")


def test_its_own_words_fit_a_database_that_knows_ascii_alone():
    assert plan_table([ONE, replace(ONE, meeting_video_id="v2", copies=())]).isascii()


def test_the_digest_of_the_whole_plan_stands_below():
    assert plan_table([ONE]).endswith(f"Plan: `{plan_sha256([ONE])}`")


def test_the_table_ends_where_nobody_reads_on_and_says_how_many_are_left():
    many = [replace(ONE, meeting_video_id=f"v{number}") for number in range(MAX_ROWS + 3)]
    found = rows(*many)
    assert len(found) == MAX_ROWS + 1
    assert found[-1][1] == "3 more"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"time_created": None, "duration": None, "size": None}, ["unknown", "unknown", "unknown"]),
        ({"time_created": "yesterday", "duration": "P1D"}, ["yesterday", "P1D", "1,000 bytes"]),
        ({"duration": "PT0S"}, ["2026-01-01 10:20 UTC", "0:00:00", "1,000 bytes"]),
        ({"duration": "PT59M"}, ["2026-01-01 10:20 UTC", "0:59:00", "1,000 bytes"]),
        ({"duration": "PT"}, ["2026-01-01 10:20 UTC", "PT", "1,000 bytes"]),
    ],
)
def test_what_cannot_be_read_is_shown_as_it_is(values, shown):
    assert rows(replace(ONE, **values))[0][2:5] == shown


@pytest.mark.parametrize("value", ["<b>x</b>|y", "`z`\n| a |", "[x](https://evil)", "![x](y)", "a\\|b"])
def test_no_value_is_read_as_markdown_or_html(value):
    uri = f"s3://b/{value}/x.mp4"
    text = plan_table([replace(ONE, duration=value, time_created=value, copies=(replace(COPY, uri=uri),))])
    assert "<b>" not in text
    assert "](" not in text.replace("\\](", "").replace("\\]\\(", "")
    (row,) = [line for line in text.splitlines() if line.startswith("| p1")]
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 8
