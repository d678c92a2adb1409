"""Answers before they go over the wire."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


@dataclasses.dataclass(kw_only=True)
class Answer:
    """Status, body and headers.

    :param status: HTTP status.
    :param body: the body's bytes.
    :param content_type: type of the body.
    :param headers: further headers.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


class ApiError(Exception):
    """An error in the API's documented form.

    :param status: HTTP status.
    :param code: the field ``error``.
    :param message: the field ``message``.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def answer(self) -> Answer:
        """The answer that carries it."""
        return json_answer({"error": self.code, "message": self.message}, status=self.status)


def json_answer(payload: Any, *, status: int = 200) -> Answer:
    """An answer with a JSON body.

    :param payload: what to send.
    :param status: HTTP status.
    """
    return Answer(status=status, body=json.dumps(payload).encode())


def html_answer(text: str, *, status: int = 200) -> Answer:
    """An answer with a web page, as a proxy or a login form would send it.

    :param text: title and heading; or a whole page, beginning with ``<``.
    :param status: HTTP status.
    """
    page = text if text.startswith("<") else PAGE.format(text)
    return Answer(status=status, body=page.encode(), content_type="text/html; charset=utf-8")
