"""
The table that a person reads before approving a deletion. Pure.

It is Markdown as Airflow's pages show it: tables, and no HTML, which they leave out. A recording with several copies
takes a row for each. Its own words are ASCII: a database may hold nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from airflow_provider_iinked.deletion.approval import PlannedCopy, PlannedDeletion, plan_sha256

MAX_ROWS: Final = 500
"""Recordings in the table; a person does not read more, and the text has to fit Airflow's database."""
_COLUMNS: Final = ("package", "recording", "made", "length", "size", "copy", "lock")
_NUMBERS: Final = ("length", "size")
_BELOW_FOLDER: Final = "Where a folder is shown, the copy lies below it as `package/recording` and its ending."
_PLAIN = re.compile(r"[\w/:@.+=,%~ -]+")
_SPECIAL: Final = "\\`*_{}[]()#!|~@"
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?Z")


def plan_table(recordings: Sequence[PlannedDeletion]) -> str:
    """
    Write a plan as Markdown for the person who decides.

    :param recordings: the recordings.
    :return: what is deleted from where, a table of recordings and copies, and the digest of the plan.
    """
    rows = [row for recording in recordings[:MAX_ROWS] for row in _rows(recording)]
    if len(recordings) > MAX_ROWS:
        rows.append(_row("...", f"{len(recordings) - MAX_ROWS} more"))
    bare = sum(not recording.copies for recording in recordings)
    rule = "|" + "|".join("---:" if column in _NUMBERS else "---" for column in _COLUMNS) + "|"
    paragraphs = [
        f"**Deletes {_headline(recordings)} for good.**",
        f"**{bare} of them {'has' if bare == 1 else 'have'} no copy.**" if bare else "",
        "\n".join([_row(*_COLUMNS), rule, *rows]),
        _BELOW_FOLDER if bare < len(recordings) else "",
        f"Plan: `{plan_sha256(recordings)}`",
    ]
    return "\n\n".join(filter(None, paragraphs))


def _headline(recordings: Sequence[PlannedDeletion]) -> str:
    """Say how much goes, from which data centre."""
    count, packages = len(recordings), len({recording.key[0] for recording in recordings})
    places = ", ".join(sorted({recording.api_base for recording in recordings}))
    what = f"{count} recording{'s' * (count != 1)} of {packages} package{'s' * (packages != 1)}"
    return f"{what}, {_bytes(sum(recording.size or 0 for recording in recordings))}, from {_escape(places)}"


def _rows(recording: PlannedDeletion) -> Iterator[str]:
    cells = (
        _escape(recording.package_id),
        _escape(recording.meeting_video_id),
        _made(recording.time_created),
        _length(recording.duration),
        _bytes(recording.size) if recording.size is not None else "unknown",
    )
    if not recording.copies:
        yield _row(*cells, "**none**")
    for number, copy in enumerate(recording.copies):
        yield _row(*(cells if number == 0 else [""] * len(cells)), _place(recording, copy), _lock(copy))


def _row(*cells: str) -> str:
    return "| " + " | ".join([*cells, *[""] * (len(_COLUMNS) - len(cells))]) + " |"


def _place(recording: PlannedDeletion, copy: PlannedCopy) -> str:
    """Name where a copy lies: its destination, where the rest says no more than the row does."""
    match = re.fullmatch(r"(.+/)([^/]+)/([^/.]+)\.\w+", copy.uri)
    usual = match is not None and match.group(2, 3) == (recording.package_id, recording.meeting_video_id)
    shown = match[1] if match is not None and usual else copy.uri
    # Copy and recording may differ in size where the API's size is inexact.
    more = "" if copy.size == recording.size else f" ({_bytes(copy.size)})"
    return (f"`{shown}`" if _PLAIN.fullmatch(shown) else _escape(shown)) + more


def _lock(copy: PlannedCopy) -> str:
    return _escape(f"{copy.retention_mode} until {copy.retain_until[:10]}") if copy.retain_until else "none"


def _made(time: str | None) -> str:
    match = _TIME.fullmatch(time or "")
    return f"{match[1]} {match[2]} UTC" if match else _escape(time or "unknown")


def _length(duration: str | None) -> str:
    match = _DURATION.fullmatch(duration or "")
    if match is None or not any(match.groups()):
        return _escape(duration or "unknown")
    minutes, seconds = divmod(
        sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True)), 60
    )
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _escape(text: str) -> str:
    """Keep a value from being read as Markdown or HTML."""
    escaped = "".join(f"\\{c}" if c in _SPECIAL else c for c in text if c.isprintable())
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"
