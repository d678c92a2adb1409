"""Until when a copy is locked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import isodate

from airflow_provider_iinked.exceptions import InvalidArgumentError, VerificationError

MODES: Final = ("COMPLIANCE", "GOVERNANCE")


@dataclass(frozen=True)
class Retention:
    """
    How long copies are locked.

    :param period: counted from the moment a recording was made; None where a date is given.
    :param until: the moment the lock ends; None where a period is given.
    :param mode: ``COMPLIANCE`` (nobody can shorten it) or ``GOVERNANCE`` (who has the right can).
    """

    period: isodate.Duration | timedelta | None
    until: datetime | None
    mode: str

    def end_for(self, time_created: datetime | None) -> datetime:
        """
        Say until when the copy of a recording is locked.

        :param time_created: when the recording was made.
        :return: the moment, in UTC, in whole seconds, never earlier than the period says.
        :raises VerificationError: when a period is given and the API does not say when the recording was made, or the
            end is no date.
        """
        if self.until is not None:
            return self.until
        if time_created is None or self.period is None:
            raise VerificationError(
                "the API does not say when it was made (timeCreated), so the end of its retention is unknown. Give "
                "retain_for as a date, or leave it out"
            )
        try:
            return self._end_after(time_created.astimezone(UTC), self.period)
        except (ValueError, OverflowError):
            raise VerificationError(
                f"the end of its retention is beyond all calendars (timeCreated {time_created.isoformat()}). Give "
                "retain_for as a date, or leave it out"
            ) from None

    @staticmethod
    def _end_after(made: datetime, period: isodate.Duration | timedelta) -> datetime:
        end = datetime.fromisoformat(made.replace(microsecond=0).isoformat()) + period
        if isinstance(period, isodate.Duration) and not period.tdelta and end.day < made.day:
            # A year without that day (29 February): one day later, since a lock may not be too short.
            end += timedelta(days=1)
        return end + timedelta(seconds=1) if made.microsecond else end


def parse_retention(retain_for: object, mode: object, *, now: datetime) -> Retention | None:
    """
    Validate ``retain_for`` and ``retention_mode``.

    :param retain_for: an ISO 8601 duration such as ``P10Y``, or a date (text, date or datetime); None for no lock.
    :param mode: ``COMPLIANCE`` or ``GOVERNANCE``.
    :param now: the present time.
    :return: the retention; None for no lock.
    :raises InvalidArgumentError: for what is neither, a duration that is not above zero, and a date in the past.
    """
    if not isinstance(mode, str) or mode not in MODES:
        raise InvalidArgumentError(f"retention_mode must be one of {', '.join(MODES)}, not {mode!r:.80}.")
    if retain_for is None:
        return None
    if isinstance(retain_for, str) and retain_for[:1] == "P":
        return Retention(_parse_period(retain_for), None, mode)
    until = _parse_date(retain_for)
    if until <= now:
        raise InvalidArgumentError(f"retain_for {retain_for!s:.80} is in the past. Nothing was sent.")
    return Retention(None, until, mode)


def _parse_period(text: str) -> isodate.Duration | timedelta:
    try:
        period = isodate.parse_duration(text)
        longer = datetime(2001, 1, 1, tzinfo=UTC) + period > datetime(2001, 1, 1, tzinfo=UTC)
    except Exception:
        longer = False
    if not longer:
        raise InvalidArgumentError(
            f"retain_for {text!r:.80} is no ISO 8601 duration above zero, such as P10Y. Nothing was sent."
        )
    return period


def _parse_date(value: object) -> datetime:
    """Read a date; a day ends with its last second, wherever on earth it is read."""
    try:
        if isinstance(value, datetime):
            found = value
        elif isinstance(value, date):
            found = datetime.combine(value + timedelta(days=1), time(), UTC)
        elif isinstance(value, str) and len(value) == len("2036-11-27"):
            found = datetime.combine(date.fromisoformat(value) + timedelta(days=1), time(), UTC)
        elif isinstance(value, str):
            found = datetime.fromisoformat(value)
        else:
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidArgumentError(
            f"retain_for must be an ISO 8601 duration such as P10Y, or a date such as 2036-12-31, not {value!r:.80}. "
            "Nothing was sent."
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
