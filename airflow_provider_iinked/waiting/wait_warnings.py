"""
Warnings during a wait: in the same words and as often in every mode, once per change and once a day. Pure.

A warning is a rule of a recording and the time. A new one (a state that lasts longer than two hours, say) is a function
beside :func:`_retention_ends_soon`, named in :data:`RULES` with the fields that it rests on; sensor and trigger need no
change.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from airflow_provider_iinked.models import Video
from airflow_provider_iinked.waiting.wait_condition import shown_state

RETENTION_WARNING_DAYS: Final = 7
REPEAT_AFTER: Final = 86_400.0
"""Seconds after which a warning that still holds is given again."""


@dataclass(frozen=True)
class Warnings:
    """
    What is to be warned of now.

    :param lines: the warnings that are due.
    :param given: what was given when, with these; keep it for the next call. JSON types.
    :param due_at: epoch seconds when the next warning is due although no answer changes; infinite for never.
    """

    lines: tuple[str, ...]
    given: dict[str, float]
    due_at: float


@dataclass(frozen=True)
class Rule:
    """
    When to warn of a recording.

    :param fields: the fields that it rests on beside id and state, in the API's spelling; it gets to see no others.
    :param judge: returns from when on (epoch seconds) to warn of a recording, and the words; None for never.
    """

    fields: tuple[str, ...]
    judge: Callable[[Video], tuple[float, str] | None]

    def __call__(self, video: Video) -> tuple[float, str] | None:
        """
        Judge a recording.

        :param video: the recording.
        :return: from when on to warn of it, and the words; None for never.
        """
        seen = {name: video.fields[name] for name in self.fields if name in video.fields}
        return self.judge(Video(video.meeting_video_id, video.state, seen))


def due_warnings(package_id: str, videos: Sequence[Video], now: float, given: Mapping[str, float]) -> Warnings:
    """
    Find the warnings that are due.

    :param package_id: the package.
    :param videos: what is listed now.
    :param now: epoch seconds.
    :param given: what was given when, from the last call; empty at first.
    :return: the lines, and when the next one is due.
    """
    lines: list[str] = []
    kept = {key: at for key, at in given.items() if at <= now < at + REPEAT_AFTER}
    due_at = math.inf
    for video in videos:
        for start, text in filter(None, (rule(video) for rule in RULES)):
            if now < start:
                due_at = min(due_at, start)
                continue
            line = f"Package {package_id}: {text}"
            key = hashlib.sha256(line.encode(errors="replace")).hexdigest()[:16]
            if key not in kept:
                lines.append(line)
                kept[key] = now
            due_at = min(due_at, kept[key] + REPEAT_AFTER)
    return Warnings(tuple(lines), kept, due_at)


def _retention_ends_soon(video: Video) -> tuple[float, str] | None:
    ends = video.time_retention if not video.is_deleted else None
    if ends is None:
        return None
    return ends.timestamp() - RETENTION_WARNING_DAYS * 86_400, (
        f"the platform's retention of video {video.meeting_video_id} ({shown_state(video)}) ends at "
        f"{ends.isoformat()}, less than {RETENTION_WARNING_DAYS} days away."
    )


RULES: Final = (Rule(("timeRetention",), _retention_ends_soon),)
WARNING_FIELDS: Final = tuple(sorted({name for rule in RULES for name in rule.fields}))
"""The fields that warnings rest on: a list in which none of them changed needs no new look."""
