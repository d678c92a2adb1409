"""A lock until a date, as a store shows it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Lock:
    """
    An object that nobody may replace or remove before a date.

    :param mode: ``COMPLIANCE`` (nobody can shorten it) or ``GOVERNANCE`` (who has the right can).
    :param retain_until: when it ends, with a time zone.
    """

    mode: str
    retain_until: datetime

    def lacks(self, wanted: Lock) -> str:
        """
        Compare the lock that a store shows with the requested one.

        :param wanted: the requested lock.
        :return: what this one lacks, as text; empty when it is as strong and as long.
        """
        if self.mode != wanted.mode and self.mode != "COMPLIANCE":
            return f"the mode {self.mode} instead of {wanted.mode}"
        if self.retain_until < wanted.retain_until.replace(microsecond=0):
            return f"a lock until {self.retain_until.isoformat()} instead of {wanted.retain_until.isoformat()}"
        return ""
