"""How a trigger tells a sensor what became of a wait: plain JSON, validated on return, failing closed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.api.protocol import MAX_PAUSE
from airflow_provider_iinked.exceptions import IinkedSignError, UnexpectedAnswerError
from airflow_provider_iinked.models import parse_video
from airflow_provider_iinked.waiting.wait_condition import ready_answer

READY: Final = "ready"
TIMEOUT: Final = "timeout"
ERROR: Final = "error"


@dataclass(frozen=True)
class WaitResult:
    """
    What became of a wait.

    :param answer: the XCom, when the wait is over.
    :param error: the error to raise, when there is one.
    :param timed_out: whether the deadline has passed.
    :param message: words for a timeout.
    """

    answer: dict[str, Any] | None = None
    error: IinkedSignError | None = None
    timed_out: bool = False
    message: str = ""


def ready_event(answer: Mapping[str, Any]) -> dict[str, Any]:
    """
    Tell that a wait is over.

    :param answer: the XCom: ``packageId`` and ``videos``, without URLs.
    :return: the event's payload.
    """
    return {"status": READY, "answer": dict(answer)}


def timeout_event(message: str) -> dict[str, Any]:
    """
    Tell that the deadline has passed.

    :param message: what was still waited for.
    :return: the event's payload.
    """
    return {"status": TIMEOUT, "message": message}


def error_event(error: IinkedSignError) -> dict[str, Any]:
    """
    Tell of an error.

    :param error: the error.
    :return: the event's payload.
    """
    return {"status": ERROR, "type": type(error).__name__, "message": str(error), "retry_after": error.retry_after}


def read_event(event: object) -> WaitResult:
    """
    Read an event that came back through the database.

    :param event: the payload, or whatever came instead.
    :return: the outcome; an error for anything that is not understood.
    """
    status = event.get("status") if isinstance(event, Mapping) else None
    if isinstance(event, Mapping) and status == READY and (answer := _read_answer(event.get("answer"))) is not None:
        return WaitResult(answer=answer)
    if isinstance(event, Mapping) and status == TIMEOUT:
        return WaitResult(timed_out=True, message=str(event.get("message")))
    if isinstance(event, Mapping) and status == ERROR:
        return WaitResult(error=_rebuild(event))
    return WaitResult(error=UnexpectedAnswerError("The trigger came back without an outcome; the wait is not over."))


def _read_answer(answer: object) -> dict[str, Any] | None:
    """Return the XCom anew from what is understood of an answer; None where it is not one of archived recordings."""
    package_id, listed = (
        (answer.get("packageId"), answer.get("videos")) if isinstance(answer, Mapping) else (None, None)
    )
    if not isinstance(package_id, str) or not isinstance(listed, list):
        return None
    try:
        videos = [parse_video(fields) for fields in listed]
    except UnexpectedAnswerError:
        return None
    return ready_answer(package_id, videos) if all(video.is_archived for video in videos) else None


def _rebuild(event: Mapping[str, Any]) -> IinkedSignError:
    name, message, wait = event.get("type"), str(event.get("message")), event.get("retry_after")
    kind = getattr(exceptions, name, None) if isinstance(name, str) else None
    known = isinstance(kind, type) and issubclass(kind, IinkedSignError)
    error = kind(message) if known and kind is not None else UnexpectedAnswerError(message)
    # Compared before it is converted: there are whole numbers that no float can hold.
    if isinstance(wait, (int, float)) and not isinstance(wait, bool) and 0 <= wait <= MAX_PAUSE:
        error.retry_after = float(wait)
    return error
