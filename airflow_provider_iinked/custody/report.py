"""
The report of an archive for people: one HTML page that loads nothing from elsewhere and holds nothing secret.

Only named fields of the documents are shown; Jinja escapes every value. Meaning never rests on colour alone.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from airflow_provider_iinked.custody.audit import AuditResult
from airflow_provider_iinked.custody.differences import DifferenceKind
from airflow_provider_iinked.custody.recordings import Recording
from airflow_provider_iinked.custody.report_plots import bars

NEAR_END: Final = timedelta(days=90)
"""A lock that ends within this time stands on top of the report."""

_DAILY: Final = timedelta(days=62)
_MAX_ATTENTION: Final = 500
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_OF_SEALS: Final = (DifferenceKind.SEAL_MISSING, DifferenceKind.SEAL_WRONG, DifferenceKind.ENTRIES_WRONG)
_TEMPLATE: Final = Path(__file__).parent / "templates" / "report.html.j2"


@dataclass
class Counts:
    """
    What is counted for a package, a month, or all.

    :param recordings: recordings that left a trace.
    :param copied: with a custody record.
    :param locked: whose copy is locked.
    :param deleted: whose original was deleted on the platform.
    :param approved: whose deletion a person approved.
    :param erased: whose copy was erased on purpose.
    :param size: bytes of the copies.
    """

    recordings: int = 0
    copied: int = 0
    locked: int = 0
    deleted: int = 0
    approved: int = 0
    erased: int = 0
    size: int = 0

    def add(self, facts: _Facts) -> None:
        """
        Count a recording.

        :param facts: the facts of it.
        """
        self.recordings += 1
        self.copied += facts.has_record
        self.locked += facts.locked_until is not None
        self.deleted += facts.is_deleted
        self.approved += facts.is_approved
        self.erased += facts.is_erased
        self.size += facts.size


@dataclass(frozen=True)
class _Facts:
    """The facts of one recording that a report counts."""

    has_record: bool
    made: date | None
    copied: date | None
    deleted: date | None
    locked_until: date | None
    is_deleted: bool
    is_approved: bool
    is_erased: bool
    size: int


@dataclass
class _Summary:
    """All recordings, counted in one pass."""

    total: Counts = field(default_factory=Counts)
    packages: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    months: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    copied: Counter[date] = field(default_factory=Counter)
    deleted: Counter[date] = field(default_factory=Counter)
    size: Counter[date] = field(default_factory=Counter)
    ending: dict[date, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, recording: Recording, today: date) -> None:
        facts = _facts(recording)
        moment = facts.made or facts.copied
        for counts in (
            self.total,
            self.packages[recording.package_id],
            self.months[f"{moment:%Y-%m}" if moment else "unknown"],
        ):
            counts.add(facts)
        if facts.copied:
            self.copied[facts.copied] += 1
            self.size[facts.copied] += facts.size
        if facts.deleted:
            self.deleted[facts.deleted] += 1
        if facts.locked_until and facts.locked_until <= today + NEAR_END and not facts.is_erased:
            self.ending[facts.locked_until].append(f"{recording.package_id}/{recording.meeting_video_id}")


def write_report(
    recordings: Iterable[Recording],
    result: AuditResult,
    *,
    title: str,
    now: datetime,
    signatures_verified: bool = True,
    held: Sequence[str] = (),
) -> str:
    """
    Write the report.

    :param recordings: the recordings.
    :param result: what verifying the archive found.
    :param title: what the archive is called; no URL with credentials.
    :param now: the time of the report, with its zone.
    :param signatures_verified: False when there was no public key to verify signatures and seals with.
    :param held: packages under legal hold.
    :return: the page.
    """
    import jinja2

    summary = _Summary()
    for recording in recordings:
        summary.add(recording, now.date())
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"bytes": _size_text, "number": lambda value: f"{value:,}"}
    return environment.from_string(_TEMPLATE.read_text("utf-8")).render(
        title=title,
        now=now.astimezone(UTC).strftime("%d %B %Y, %H:%M UTC"),
        result=result,
        signatures_verified=signatures_verified,
        held=held,
        differences=result.differences[:_MAX_ATTENTION],
        seals_are_wrong=any(item.kind in _OF_SEALS for item in result.differences),
        ending=sorted(summary.ending.items())[:_MAX_ATTENTION],
        total=summary.total,
        months=sorted(summary.months.items()),
        packages=sorted(summary.packages.items()),
        plots=_plots(summary),
        today=now.date(),
    )


def _plots(summary: _Summary) -> list[Any]:
    days = sorted({*summary.copied, *summary.deleted})
    if not days:
        return []
    if days[-1] - days[0] <= _DAILY:
        labels = [days[0] + timedelta(days=number) for number in range((days[-1] - days[0]).days + 1)]
        texts, unit = [f"{day.day} {day:%b}" for day in labels], "day"
        copied, deleted, size = ([counts[day] for day in labels] for counts in _series(summary))
    else:
        texts, unit = _months(days[0], days[-1]), "month"
        copied, deleted, size = ([_by_month(counts)[month] for month in texts] for counts in _series(summary))
    size_unit, scale = _size_unit(max(size))
    numbers = {"Copied into the archive": copied, "Original deleted on the platform": deleted}
    return [
        bars(f"Recordings a {unit}", texts, numbers, "recordings"),
        bars(f"Size of the copies a {unit}", texts, {"Copied": [value / scale for value in size]}, size_unit),
    ]


def _series(summary: _Summary) -> tuple[Counter[date], Counter[date], Counter[date]]:
    return summary.copied, summary.deleted, summary.size


def _by_month(counts: Mapping[date, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for day, count in counts.items():
        found[f"{day:%Y-%m}"] += count
    return found


def _months(first: date, last: date) -> list[str]:
    numbers = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [f"{number // 12}-{number % 12 + 1:02d}" for number in numbers]


def _facts(recording: Recording) -> _Facts:
    record, receipt, tombstone = recording.record or {}, recording.receipt or {}, recording.tombstone or {}
    video = record.get("video") or receipt.get("video")
    is_deleted = receipt.get("status") == "deleted"
    size = record.get("size")
    return _Facts(
        has_record=recording.record is not None,
        made=_date(video.get("timeCreated")) if isinstance(video, Mapping) else None,
        copied=_date(record.get("time")),
        deleted=_date(receipt.get("deleted_at") or receipt.get("requested_at")) if is_deleted else None,
        locked_until=_date(record.get("retain_until")),
        is_deleted=is_deleted,
        is_approved=bool(receipt.get("approval")),
        is_erased=tombstone.get("status") == "erased",
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else 0,
    )


def _date(value: object) -> date | None:
    match = _DATE.match(value) if isinstance(value, str) else None
    try:
        return date.fromisoformat(match.group(0)) if match else None
    except ValueError:
        return None


def _size_text(value: int) -> str:
    unit, scale = _size_unit(value)
    return f"{value:,} {unit}" if scale == 1 else f"{value / scale:,.1f} {unit}"


def _size_unit(value: int) -> tuple[str, int]:
    """The unit in which a number of bytes is short, and how many bytes it has."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = next((power for power in range(len(units)) if value < 1000 ** (power + 1)), len(units) - 1)
    return units[power], 1000**power
