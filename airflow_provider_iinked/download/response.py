"""What the response of a recording's host means for a download. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

from airflow_provider_iinked.api.protocol import retry_after

_URL_ENDED: Final = frozenset({401, 403, 404, 410})
_PASSING: Final = frozenset({408, 425, 429})
_COMPRESSIONS: Final = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})


class ResponseAction(Enum):
    """What to do with a response."""

    WHOLE = auto()
    """The recording from its first byte."""
    REST = auto()
    """The recording from where the last response broke off."""
    START_OVER = auto()
    """What was fetched so far cannot be continued."""
    NEW_URL = auto()
    """The signed URL has ended."""
    TRY_AGAIN = auto()
    """The host has an internal error."""
    GIVE_UP = auto()
    """The host refuses."""


@dataclass(frozen=True)
class DownloadResponse:
    """
    What matters of a response's head.

    :param status: HTTP status.
    :param headers: headers, names in lower case.
    """

    status: int
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        return self.headers.get("content-type", "")

    @property
    def length(self) -> int | None:
        """Bytes of the body, where the response gives them."""
        values = {value.strip() for value in self.headers.get("content-length", "").split(",")}
        value = values.pop() if len(values) == 1 else ""
        chunked = "transfer-encoding" in self.headers
        return int(value) if re.fullmatch(r"[0-9]{1,18}", value) and not chunked else None

    @property
    def lengths_contradict(self) -> bool:
        """True when Content-Length is given twice, differently: something between here and the host is broken."""
        return len({value.strip() for value in self.headers.get("content-length", "").split(",")}) > 1

    @property
    def compressions(self) -> tuple[str, ...]:
        """
        The real compressions that Content-Encoding names.

        Stores keep whatever an uploader wrote there (``aws-chunked``, ``utf-8``, ``binary``, ``none``): those say
        nothing about the bytes, which speak for themselves.
        """
        names = (name.strip().lower() for name in self.headers.get("content-encoding", "").split(","))
        return tuple(name for name in names if name in _COMPRESSIONS)

    @property
    def content_range(self) -> tuple[int, int | None] | None:
        """First byte and whole length of a part (206), from Content-Range."""
        if self.status != 206:
            return None
        match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", self.headers.get("content-range", ""))
        return (int(match[1]), None if match[2] == "*" else int(match[2])) if match else None

    @property
    def validator(self) -> str | None:
        """What If-Range can rest on: a strong ETag, or a Last-Modified that is a minute older than the response."""
        etag = self.headers.get("etag", "")
        if etag.startswith('"') and etag.endswith('"') and len(etag) > 2:
            return etag
        modified = self.headers.get("last-modified", "")
        try:
            age = parsedate_to_datetime(self.headers.get("date", "")) - parsedate_to_datetime(modified)
        except (ValueError, TypeError, OverflowError):
            return None
        return modified if age.total_seconds() >= 60 else None

    @property
    def wait(self) -> float | None:
        """Seconds the host asks to wait."""
        return retry_after(self.headers)


def classify_response(
    response: DownloadResponse, *, offset: int, validator: str | None, total: int | None
) -> ResponseAction:
    """
    Decide what a response means.

    :param response: its head.
    :param offset: how many bytes are fetched so far; above 0, a range from there was requested.
    :param validator: what the range was made conditional on.
    :param total: the whole length, where an earlier response gave it.
    :return: what to do.
    """
    if response.status == 200:
        return ResponseAction.WHOLE
    if response.status in (206, 416):
        return _read_part(response, offset=offset, validator=validator, total=total)
    if response.status in _URL_ENDED:
        return ResponseAction.NEW_URL
    return ResponseAction.TRY_AGAIN if response.status >= 500 or response.status in _PASSING else ResponseAction.GIVE_UP


def _read_part(response: DownloadResponse, *, offset: int, validator: str | None, total: int | None) -> ResponseAction:
    part = response.content_range
    if offset:
        same = response.validator == validator
        fits = part is not None and part[0] == offset and part[1] in (None, total)
        return ResponseAction.REST if same and fits else ResponseAction.START_OVER
    # A host may answer in parts although all was requested; the rest is then fetched as after a break.
    return ResponseAction.WHOLE if part is not None and part[0] == 0 and part[1] is not None else ResponseAction.GIVE_UP


def known_total(response: DownloadResponse, expected: int | None) -> tuple[int | None, str | None]:
    """
    Agree on the whole length of a recording.

    :param response: the head of a response that holds all of it.
    :param expected: the API's ``size``, where it is to be trusted.
    :return: the length, and what is wrong (None when nothing is).
    """
    given = response.content_range[1] if response.content_range else response.length
    if given is not None and expected is not None and given != expected:
        return None, f"the API says {expected} bytes, the recording's host {given}"
    total = given if given is not None else expected
    return total, None if total is not None else "neither the API nor the recording's host gives its length"
