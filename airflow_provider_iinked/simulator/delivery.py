"""What the recordings' host sends for a request: ranges, validators, expiry. Decisions only, no sockets."""

from __future__ import annotations

import dataclasses
import email.utils
import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_iinked.simulator.media.content import Content
    from airflow_provider_iinked.simulator.quirks import Quirks
    from airflow_provider_iinked.simulator.state import SimVideo

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_changing = itertools.count(1)


@dataclasses.dataclass(kw_only=True)
class Delivery:
    """Status, headers and which bytes.

    :param status: HTTP status.
    :param headers: headers, without the length.
    :param content: where the bytes come from.
    :param offset: first byte.
    :param count: how many.
    :param length: Content-Length; None: chunked.
    :param gzip: whether they are compressed on the way.
    """

    status: int
    headers: dict[str, str]
    content: Content
    offset: int
    count: int
    length: int | None
    gzip: bool = False


def plan(video: SimVideo, headers: Mapping[str, str], quirks: Quirks) -> Delivery:
    """Decide what a request for a recording gets.

    :param video: the recording.
    :param headers: the request's headers, names in lower case.
    :param quirks: how the host behaves.
    """
    content = video.content
    answer = _validators(video, quirks)
    answer["Content-Type"] = quirks.content_type or content.content_type
    whole = Delivery(status=200, headers=answer, content=content, offset=0, count=content.size, length=content.size)
    if quirks.gzip:
        answer["Content-Encoding"] = "gzip"
        whole.gzip, whole.length = True, None
        return whole
    answer["Accept-Ranges"] = "bytes" if quirks.accept_ranges else "none"
    wanted = parse_range(headers.get("range", ""), content.size)
    delivery = whole
    if quirks.accept_ranges and wanted is not None and _unchanged(headers.get("if-range"), answer, quirks):
        delivery = _partial(whole, wanted, quirks)
    if not quirks.content_length:
        delivery.length = None
    elif delivery.length is not None and delivery.count:
        delivery.length = max(0, delivery.length + quirks.lie_about_length)
    return delivery


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and number of bytes of a Range header; None: to be ignored; no bytes: not satisfiable.

    :param header: the header; several ranges are ignored.
    :param size: size of the whole.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if not match or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        count = min(int(last), size)
        return size - count, count
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    return start, max(0, end - start + 1)


def _partial(whole: Delivery, wanted: tuple[int, int], quirks: Quirks) -> Delivery:
    size = whole.content.size
    offset, count = wanted
    if not count:
        headers = {**whole.headers, "Content-Range": f"bytes */{size}"}
        return dataclasses.replace(whole, status=416, headers=headers, count=0, length=0)
    if 0 < quirks.lie_about_range < count:
        offset, count = offset + quirks.lie_about_range, count - quirks.lie_about_range
    headers = {**whole.headers, "Content-Range": f"bytes {offset}-{offset + count - 1}/{size}"}
    return dataclasses.replace(whole, status=206, headers=headers, offset=offset, count=count, length=count)


def _validators(video: SimVideo, quirks: Quirks) -> dict[str, str]:
    headers = {}
    if quirks.etag == "changing":
        headers["ETag"] = f'"{next(_changing):x}-{video.size:x}"'
    elif quirks.etag:
        weak = "W/" if quirks.etag == "weak" else ""
        headers["ETag"] = f'{weak}"{video.meeting_video_id[:8]}-{video.version}-{video.size:x}"'
    if quirks.last_modified:
        headers["Last-Modified"] = email.utils.formatdate(video.changed_at, usegmt=True)
    return headers


def _unchanged(if_range: str | None, answer: Mapping[str, str], quirks: Quirks) -> bool:
    if if_range is None or not quirks.if_range:
        return True
    if if_range.startswith("W/"):
        return False  # RFC 9110: a weak validator never matches here
    return if_range in (answer.get("ETag"), answer.get("Last-Modified"))
