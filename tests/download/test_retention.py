"""Until when copies are locked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.download.retention import parse_retention
from airflow_provider_iinked.exceptions import InvalidArgumentError, VerificationError

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def end(retain_for, made):
    return parse_retention(retain_for, "COMPLIANCE", now=NOW).end_for(datetime.fromisoformat(made) if made else None)


@pytest.mark.parametrize(
    ("retain_for", "made", "until"),
    [
        ("P10Y", "2026-11-01T10:00:00+00:00", "2036-11-01T10:00:00+00:00"),
        ("P10Y", "2026-11-01T23:30:00-05:00", "2036-11-02T04:30:00+00:00"),
        ("P1Y", "2024-02-29T10:00:00+00:00", "2025-03-01T10:00:00+00:00"),
        ("P1M", "2026-01-31T10:00:00+00:00", "2026-03-01T10:00:00+00:00"),
        ("P30D", "2026-11-01T10:00:00+00:00", "2026-12-01T10:00:00+00:00"),
        ("P1Y", "2026-11-01T10:00:00.123456+00:00", "2027-11-01T10:00:01+00:00"),
        ("2036-12-31", "2026-11-01T10:00:00+00:00", "2037-01-01T00:00:00+00:00"),
        ("2036-12-31", None, "2037-01-01T00:00:00+00:00"),
        (date(2036, 12, 31), None, "2037-01-01T00:00:00+00:00"),
        ("2036-12-31T10:00:00Z", None, "2036-12-31T10:00:00+00:00"),
        ("2036-12-31T10:00:00+02:00", None, "2036-12-31T08:00:00+00:00"),
        (datetime(2036, 12, 31, 10), None, "2036-12-31T10:00:00+00:00"),
    ],
)
def test_a_lock_ends_after_the_period_or_with_the_day(retain_for, made, until):
    assert end(retain_for, made).isoformat() == until


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), st.integers(1, 30))
def test_a_lock_of_years_is_never_shorter_than_the_calendar_says(made, years):
    until = parse_retention(f"P{years}Y", "GOVERNANCE", now=NOW).end_for(made)
    leap_day = (made.month, made.day) == (2, 29)
    anniversary = (made - timedelta(days=1) if leap_day else made).replace(year=made.year + years)
    # Rounded up to a second, which may be the first one of the next year.
    assert anniversary <= until <= anniversary + timedelta(days=2, seconds=1)
    assert until - made >= timedelta(days=365 * years)


@pytest.mark.parametrize(
    "retain_for", ["", "P", "PT", "P0D", "P-1Y", "-P1Y", "ten years", "2036-13-01", 10, True, b"P10Y", "P1Y\n2", []]
)
def test_what_is_no_duration_and_no_date_is_refused(retain_for):
    with pytest.raises(InvalidArgumentError, match="retain_for"):
        parse_retention(retain_for, "COMPLIANCE", now=NOW)


@pytest.mark.parametrize("retain_for", ["2026-11-26", "2020-01-01", NOW, date(2026, 11, 1)])
def test_a_date_in_the_past_is_refused(retain_for):
    with pytest.raises(InvalidArgumentError, match="in the past"):
        parse_retention(retain_for, "COMPLIANCE", now=NOW)


@pytest.mark.parametrize("mode", ["compliance", "", None, "NONE"])
def test_an_unknown_mode_is_refused(mode):
    with pytest.raises(InvalidArgumentError, match="retention_mode"):
        parse_retention("P1Y", mode, now=NOW)


def test_without_retain_for_nothing_is_locked():
    assert parse_retention(None, "COMPLIANCE", now=NOW) is None


def test_a_period_needs_to_know_when_the_recording_was_made():
    with pytest.raises(VerificationError, match="timeCreated"):
        end("P10Y", None)


@pytest.mark.parametrize("period", ["P10Y", "P3650D"])
def test_an_end_beyond_all_calendars_is_an_error_of_the_recording(period):
    retention = parse_retention(period, "COMPLIANCE", now=NOW)
    with pytest.raises(VerificationError, match="beyond all calendars"):
        retention.end_for(datetime(9995, 1, 1, tzinfo=UTC))
