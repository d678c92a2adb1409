"""What one wait makes of the answers it gets for one package. Pure; it is ``wait_condition.evaluate`` that decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.models import parse_videos
from airflow_provider_iinked.waiting.wait_condition import DECISION_FIELDS, WaitCondition, WaitStatus, evaluate
from airflow_provider_iinked.waiting.wait_warnings import WARNING_FIELDS, due_warnings

_WATCHED = (*DECISION_FIELDS, *WARNING_FIELDS)


@dataclass(frozen=True)
class Change:
    """
    What is new in an answer.

    :param status: whether the wait is over, and what it still waits for.
    :param warnings: the warnings that are due now.
    """

    status: WaitStatus
    warnings: tuple[str, ...]


class ListingMonitor:
    """
    Examine each answer; one that says nothing new costs no more than a comparison.

    Lists carry URLs that are new in each answer, so two answers are compared by what the decision and the
    warnings rest on, in order: ids, states, and the fields that both name.

    :param condition: what is waited for.
    :param package_id: the package.
    :param warned: which warnings were given before, and when.
    """

    def __init__(self, condition: WaitCondition, package_id: str, warned: Mapping[str, float] | None = None) -> None:
        self.condition = condition
        self.package_id = package_id
        self.request = protocol.list_videos(package_id)
        self._body: bytes | None = None
        self._fields: object = None
        self._warned = dict(warned or {})
        self._warn_at = math.inf

    def examine(self, response: protocol.Response, *, secret: str, now: float) -> Change | None:
        """
        Examine an answer.

        :param response: the answer.
        :param secret: the credential, redacted in errors.
        :param now: epoch seconds.
        :return: what is new; None when the wait goes on as before.
        :raises IinkedSignError: as the answer says, or as the condition says of it.
        """
        quiet = now < self._warn_at
        if quiet and response.status == 200 and response.body == self._body:
            return None
        answer = protocol.read_answer(self.request, response, secret=secret, now=now)
        fields = _relevant_fields(answer)
        if quiet and fields is not None and fields == self._fields:
            self._body = response.body
            return None
        videos = parse_videos(answer, self.package_id)
        warnings = due_warnings(self.package_id, videos, now, self._warned)
        self._warned, self._warn_at = warnings.given, warnings.due_at
        status = evaluate(videos, self.condition, self.package_id)
        if not status.ready:
            self._body, self._fields = response.body, fields
        return Change(status, warnings.lines)


def _relevant_fields(answer: Mapping[str, Any]) -> object:
    """Return what decision and warnings rest on; None for a form that only the full reading can judge."""
    try:
        return answer.get("packageId"), [
            (video["meetingVideoId"], video["state"], *map(video.get, _WATCHED)) for video in answer["videos"]
        ]
    except (KeyError, TypeError, AttributeError):
        return None
