"""How a trigger reports to its sensor: plain JSON, validated on return, failing closed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.api.protocol import MAX_PAUSE
from airflow_provider_iinked.exceptions import IinkedSignError, UnexpectedAnswerError
from airflow_provider_iinked.models import parse_video
from airflow_provider_iinked.waiting.wait_condition import WaitCondition

READY: Final = "ready"
TIMEOUT: Final = "timeout"
ERROR: Final = "error"


@dataclass(frozen=True)
class WaitResult:
    """
    What became of a wait.

    :param response: the XCom, when the wait is over.
    :param error: the error to raise, when there is one.
    :param timed_out: whether the deadline has passed.
    :param message: words for a timeout.
    :param ready: the packages that are ready although the wait for others was not successful.
    """

    response: Any = None
    error: IinkedSignError | None = None
    timed_out: bool = False
    message: str = ""
    ready: tuple[str, ...] = ()


def ready_event(response: Any) -> dict[str, Any]:
    """
    Report that a wait is over.

    :param response: the XCom: ``packageId`` and ``videos``, without URLs; or a list of these.
    :return: the event's payload.
    """
    return {"status": READY, "answer": response}


def timeout_event(message: str, ready: Sequence[str] = ()) -> dict[str, Any]:
    """
    Report that the deadline has passed.

    :param message: what was still waited for.
    :param ready: the packages that are ready.
    :return: the event's payload.
    """
    return {"status": TIMEOUT, "message": message, "ready": list(ready)}


def error_event(error: IinkedSignError, ready: Sequence[str] = ()) -> dict[str, Any]:
    """
    Report an error.

    :param error: the error.
    :param ready: the packages that are ready all the same.
    :return: the event's payload.
    """
    return {
        "status": ERROR,
        "type": type(error).__name__,
        "message": str(error),
        "retry_after": error.retry_after,
        "ready": list(ready),
    }


def read_event(event: object, condition: WaitCondition) -> WaitResult:
    """
    Read an event that came back through the database.

    :param event: the payload, or whatever came instead.
    :param condition: what is waited for; a response that does not fit it is none.
    :return: the result; an error for anything that is not understood.
    """
    status = event.get("status") if isinstance(event, Mapping) else None
    if isinstance(event, Mapping) and status == READY:
        response = _read_response(event.get("answer"), condition)
        if response is not None:
            return WaitResult(response=response)
    if isinstance(event, Mapping) and status == TIMEOUT:
        return WaitResult(timed_out=True, message=str(event.get("message")), ready=_read_ready(event, condition))
    if isinstance(event, Mapping) and status == ERROR:
        return WaitResult(error=_rebuild(event), ready=_read_ready(event, condition))
    return WaitResult(
        error=UnexpectedAnswerError("The trigger's event does not say that the wait is over. A retry may help.")
    )


def _read_response(value: object, condition: WaitCondition) -> Any:
    """Rebuild the XCom from what is understood of a response; None where it does not fit the condition."""
    listed = value if condition.packages.as_list else [value]
    if not isinstance(listed, list) or len(listed) != len(condition.packages.ids):
        return None
    found: dict[str, list[dict[str, Any]]] = {}
    for package_id, one in zip(condition.packages.ids, listed, strict=True):
        fields = one.get("videos") if isinstance(one, Mapping) and one.get("packageId") == package_id else None
        if not isinstance(fields, list):
            return None
        try:
            videos = [parse_video(item) for item in fields]
        except UnexpectedAnswerError:
            return None
        if not condition.allows(package_id, videos):
            return None
        found[package_id] = [video.xcom_fields() for video in videos]
    return condition.response(found)


def _read_ready(event: Mapping[str, Any], condition: WaitCondition) -> tuple[str, ...]:
    """Keep of the packages that an event names those that are waited for."""
    named = event.get("ready")
    return tuple(one for one in condition.packages.ids if one in named) if isinstance(named, list) else ()


def _rebuild(event: Mapping[str, Any]) -> IinkedSignError:
    name, message, wait = event.get("type"), str(event.get("message")), event.get("retry_after")
    kind = getattr(exceptions, name, None) if isinstance(name, str) else None
    known = isinstance(kind, type) and issubclass(kind, IinkedSignError)
    error = kind(message) if known and kind is not None else UnexpectedAnswerError(message)
    # Compared before it is converted: there are whole numbers that no float can hold.
    if isinstance(wait, (int, float)) and not isinstance(wait, bool) and 0 <= wait <= MAX_PAUSE:
        error.retry_after = float(wait)
    return error
