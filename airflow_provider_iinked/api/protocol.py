"""
The API without I/O: a call becomes a request, a response a value or an error.

Both transports use this module, so each rule of the wire is written once. Facts are from
https://docs.iinkedsign.com (videos/list, videos/delete, packages/list, packages/get, guides/errors).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from airflow_provider_iinked.api.errors import classify
from airflow_provider_iinked.arguments import check_id
from airflow_provider_iinked.exceptions import IinkedSignError, RateLimitError, ServerError, UnexpectedAnswerError

MAX_PAUSE: Final = 86_400.0
"""Seconds; a longer Retry-After is taken for this. A mistake of the service must not silence a triggerer for years."""

MAX_ANSWER_AGE: Final = 5.0
"""Seconds; an answer that a cache on the way has kept for longer does not say what is there now."""


@dataclass(frozen=True)
class Request:
    """
    One call, ready for a transport.

    :param name: what the call is, for messages.
    :param method: HTTP method.
    :param path: path below the API base.
    :param body: JSON body as bytes, or None.
    :param idempotent: whether it may be sent again after an unclear outcome.
    """

    name: str
    method: str
    path: str
    body: bytes | None = None
    idempotent: bool = True


@dataclass(frozen=True)
class Response:
    """
    One answer, as a transport read it.

    :param status: HTTP status.
    :param headers: headers, names in lower case, or a mapping that does not mind.
    :param body: the whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def list_videos(package_id: str) -> Request:
    """
    Ask for the videos of a package: ``GET /packages/{packageId}/videos``.

    :param package_id: the package.
    :return: the request.
    :raises InvalidArgumentError: for a package_id that is no id.
    """
    package_id = check_id(package_id, "package_id")
    return Request(f"list the videos of package {package_id}", "GET", f"/packages/{package_id}/videos")


def get_package(package_id: str) -> Request:
    """
    Ask for one package: ``GET /packages/{packageId}``.

    :param package_id: the package.
    :return: the request.
    :raises InvalidArgumentError: for a package_id that is no id.
    """
    package_id = check_id(package_id, "package_id")
    return Request(f"read package {package_id}", "GET", f"/packages/{package_id}")


def list_packages(filters: Mapping[str, Any], *, take: int, skip: int) -> Request:
    """
    Ask for a page of packages: ``POST /packages/list``.

    :param filters: the body's filter fields, in the API's spelling.
    :param take: how many at the most.
    :param skip: how many to leave out.
    :return: the request.
    """
    return Request("list packages", "POST", "/packages/list", _encode({**filters, "take": take, "skip": skip}))


def delete_video(package_id: str, meeting_video_id: str) -> tuple[Request, Request]:
    """
    Delete one video: ``POST /packages/{packageId}/videos/delete``, both ids in the body.

    The documentation shows a second path, so there are two requests with the very same body: the other is for an API
    that plainly does not know the first path (docs/decisions). Neither is ever repeated blindly.

    :param package_id: the package.
    :param meeting_video_id: the video; never empty, since a body without it deletes every video of the package.
    :return: the request, and the one for the other path.
    :raises InvalidArgumentError: for an id that is empty or no id.
    """
    package_id = check_id(package_id, "package_id")
    meeting_video_id = check_id(meeting_video_id, "meeting_video_id")
    body = _encode({"packageId": package_id, "meetingVideoId": meeting_video_id})
    return _deletion(f"delete video {meeting_video_id} of package {package_id}", package_id, body)


def delete_all_videos(package_id: str) -> tuple[Request, Request]:
    """
    Delete every video of a package, known or not: the body without ``meetingVideoId``. No operator uses this.

    :param package_id: the package.
    :return: the request, and the one for the other path.
    :raises InvalidArgumentError: for a package_id that is no id.
    """
    package_id = check_id(package_id, "package_id")
    return _deletion(f"delete ALL videos of package {package_id}", package_id, _encode({"packageId": package_id}))


def _deletion(name: str, package_id: str, body: bytes) -> tuple[Request, Request]:
    return (
        Request(name, "POST", f"/packages/{package_id}/videos/delete", body, idempotent=False),
        Request(name, "POST", "/packages/videos/delete", body, idempotent=False),
    )


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()


def read_answer(request: Request, response: Response, *, secret: str = "", now: float | None = None) -> dict[str, Any]:
    """
    Turn a response into the JSON object it holds.

    :param request: what was asked.
    :param response: what came back.
    :param secret: the credential, redacted should the API's message repeat it.
    :param now: epoch seconds, for a Retry-After that is a date and an answer without a Date header.
    :return: the JSON object.
    :raises IinkedSignError: the type that fits the status and the API's error code.
    """
    parsed = _parse_object(response.body)
    if 200 <= response.status < 300 and parsed is not None:
        _refuse_kept(request, response)
        return parsed
    code = parsed.get("error") if parsed else None
    code = _clean(code, secret) if isinstance(code, str) and code else None
    said = _clean(parsed.get("message"), secret) if code and parsed else ""
    raise _error(request, response, code, said, retry_after(response.headers, now))


def _refuse_kept(request: Request, response: Response) -> None:
    """Refuse what a cache has kept although the request says not to; the answer to a deletion is never kept."""
    age = response.headers.get("age", "").strip()
    if request.idempotent and re.fullmatch(r"[0-9]{1,18}", age) and int(age) > MAX_ANSWER_AGE:
        raise UnexpectedAnswerError(
            f"Could not {request.name}: a cache between this worker and the API answered with what it had kept for "
            f"{int(age)} s. Have that cache leave the API out."
        )


def _error(request: Request, response: Response, code: str | None, said: str, wait: float | None) -> IinkedSignError:
    status = response.status
    answer = f"Could not {request.name}: HTTP {status}" + (f" {code}" if code else "") + (f" ({said})" if said else "")
    facts: dict[str, Any] = {"status": status, "error_code": code, "retry_after": wait}
    error_type, advice = classify(status, code)
    if error_type is UnexpectedAnswerError:
        advice = f"{_describe_body(response)}; {advice}"
    if wait is not None and issubclass(error_type, (RateLimitError, ServerError)):
        advice = f"the service asks to come back in {wait:.0f} s"
    return error_type(f"{answer}: {advice}.", **facts)


def _describe_body(response: Response) -> str:
    kind = re.sub(r"[^A-Za-z0-9/+.-]", "", response.headers.get("content-type", "").split(";")[0])[:40] or "no type"
    target = ""
    if 300 <= response.status < 400 and (location := response.headers.get("location")):
        try:
            target = f" to the host {_clean(urlsplit(location).hostname or 'it came from', '')}"
        except ValueError:
            target = " to an unreadable address"
    return f"the answer{target} is no JSON object of the API ({kind}, {len(response.body)} bytes)"


def _parse_object(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _clean(text: object, secret: str) -> str:
    """Make a server's words fit for a log: one line, short, without the credential, no address with its query."""
    if not isinstance(text, str):
        return ""
    if secret:
        text = text.replace(secret, "***")
    text = re.sub(r"(/[^\s?]*)\?\S*", r"\1?***", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def pause_asked(response: Response, now: float) -> float | None:
    """
    Return for how long an answer asks everybody to send nothing.

    :param response: the answer.
    :param now: epoch seconds.
    :return: seconds, of a 429 or 5xx with Retry-After; else None.
    """
    if response.status != 429 and response.status < 500:
        return None
    return retry_after(response.headers, now)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """
    Read Retry-After, given in seconds or as a date.

    :param headers: headers, names in lower case.
    :param now: epoch seconds, used where the answer has no Date header of its own.
    :return: seconds to wait, at least 0, at most :data:`MAX_PAUSE`; None where it is absent or unreadable.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", value):
        return min(float(value), MAX_PAUSE)
    until = _epoch(value)
    since = _epoch(headers.get("date", ""))
    if since is None:
        since = now
    return None if until is None or since is None else min(max(0.0, until - since), MAX_PAUSE)


def _epoch(date: str) -> float | None:
    try:
        parsed = parsedate_to_datetime(date)
        # One of HTTP's three spellings names no zone; all are in UTC.
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
