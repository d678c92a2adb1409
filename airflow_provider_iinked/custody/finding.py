"""What verifying an archive found: one finding a recording, and their summary. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final


class Status(StrEnum):
    """What was found out about one recording's copy."""

    OK = "ok"
    """It is what its record says."""
    CHANGED = "changed"
    """Copy or record is not what it was."""
    MISSING = "missing"
    """The copy or its record is gone, and nobody says that this was meant."""
    ERASED = "erased"
    """It was erased on purpose; its tombstone says why."""
    UNRECORDED = "unrecorded"
    """There is a copy without a record: a run was killed before it wrote one, or is at it now."""
    UNREADABLE = "unreadable"
    """It could not be looked at."""
    NO_COPY = "no copy"
    """The recording was deleted on purpose without a copy; its receipt says so."""


_FINE: Final = frozenset({Status.OK, Status.ERASED, Status.NO_COPY})


@dataclass(frozen=True)
class Finding:
    """
    One recording.

    :param package_id: the package.
    :param meeting_video_id: the recording.
    :param status: what was found out.
    :param source: ``deleted``, ``unconfirmed`` or ``requested`` as the deletion receipt says, ``kept`` without one.
    :param problems: what is wrong, or why it was erased, as text.
    """

    package_id: str
    meeting_video_id: str
    status: Status
    source: str
    problems: tuple[str, ...] = ()

    @property
    def is_difference(self) -> bool:
        """True when somebody has to look at it."""
        return self.status not in _FINE

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {**asdict(self), "status": str(self.status), "problems": list(self.problems)}


@dataclass(frozen=True)
class Verification:
    """
    What was found below a destination.

    :param destination: the URL.
    :param findings: every recording that left a trace there, by package and id.
    :param held: packages among them that are under legal hold.
    """

    destination: str
    findings: tuple[Finding, ...]
    held: tuple[str, ...] = ()

    @property
    def differences(self) -> list[Finding]:
        """Those that somebody has to look at."""
        return [finding for finding in self.findings if finding.is_difference]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each status, of those that were found."""
        return count_by_status(finding.status for finding in self.findings)


def count_by_status(statuses: Iterable[Status]) -> dict[str, int]:
    """
    Count findings.

    :param statuses: the status of each.
    :return: how many there are of each status, in the order of :class:`Status`; only of those that occur.
    """
    counted = Counter(statuses)
    return {str(status): counted[status] for status in Status if counted[status]}
