"""What one wait makes of the answers it gets. Pure; it is ``readiness.judge`` that decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pendulum

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.models import Video, parse_videos
from airflow_provider_iinked.waiting.wait_condition import (
    RETENTION_WARNING_DAYS,
    WaitCondition,
    WaitStatus,
    judge,
    retention_warnings,
)


@dataclass(frozen=True)
class Change:
    """
    What is new in an answer.

    :param readiness: whether the wait is over, and what it still waits for.
    :param warnings: retention warnings that were not given before.
    """

    readiness: WaitStatus
    warnings: tuple[str, ...]


class ListingMonitor:
    """
    Judge each answer; one that says nothing new costs no more than a comparison.

    Lists carry URLs that are minted anew for each request, so two answers are compared by what the decision and the
    warnings rest on: ids, states and the ends of retention, in order.

    :param criteria: what is waited for.
    """

    def __init__(self, criteria: WaitCondition) -> None:
        self.criteria = criteria
        self.request = protocol.list_videos(criteria.package_id)
        self.waiting_for: tuple[str, ...] = ()
        self._body: bytes | None = None
        self._meaning: object = None
        self._warned: set[str] = set()
        self._warn_at = math.inf

    def examine(self, response: protocol.Response, *, secret: str, now: float) -> Change | None:
        """
        Judge an answer.

        :param response: the answer.
        :param secret: the credential, blotted out of errors.
        :param now: epoch seconds.
        :return: what is new; None when the wait goes on as before.
        :raises IinkedSignError: as the answer says, or as the criteria say of it.
        """
        quiet = now < self._warn_at
        if quiet and response.status == 200 and response.body == self._body:
            return None
        answer = protocol.read_answer(self.request, response, secret=secret, now=now)
        meaning = _meaning(answer)
        if quiet and meaning is not None and meaning == self._meaning:
            self._body = response.body
            return None
        videos = parse_videos(answer, self.criteria.package_id)
        readiness = judge(videos, self.criteria)
        self.waiting_for = readiness.waiting_for
        if not readiness.ready:
            self._body, self._meaning = response.body, meaning
        return Change(readiness, tuple(self._retention(videos, now)))

    def _retention(self, videos: list[Video], now: float) -> list[str]:
        moment = pendulum.from_timestamp(now)
        lines = [line for line in retention_warnings(videos, moment) if line not in self._warned]
        self._warned.update(lines)
        ends = [video.time_retention for video in videos if not video.is_deleted and video.time_retention is not None]
        due = [end.subtract(days=RETENTION_WARNING_DAYS).timestamp() for end in ends]
        self._warn_at = min((at for at in due if at >= now), default=math.inf)
        return lines


def _meaning(answer: Mapping[str, Any]) -> object:
    """Return what decision and warnings rest on; None for a form that only the full reading can judge."""
    try:
        return answer.get("packageId"), [
            (video["meetingVideoId"], video["state"], video.get("timeRetention")) for video in answer["videos"]
        ]
    except (KeyError, TypeError, AttributeError):
        return None
