"""
Connections of the worker's transport whose answers are cut off in time, however steadily a host drips them.

urllib3's read timeout starts again with each byte. Here each read from the socket gets what :class:`AnswerClock` leaves
it, as in the triggerer's transport; no thread and no signal is needed.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

from airflow_provider_iinked.api.live_connections import LiveConnection
from airflow_provider_iinked.api.retries import AnswerClock


class _TimedReader(io.RawIOBase):
    """Reads from a socket, each time for no longer than the clock leaves."""

    def __init__(self, raw: Any, sock: Any, connection: Any) -> None:
        self._raw = raw
        self._sock = sock
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        clock = self._connection.answer_clock
        if clock is not None:
            now = time.monotonic()
            left = (clock.read_until(now) if self._connection.head_read else clock.head_until) - now
            if left <= 0:
                raise TimeoutError("The answer was cut off: it took too long.")
            self._sock.settimeout(left)
        got: int | None = self._raw.readinto(buffer)
        return got

    def close(self) -> None:
        self._raw.close()
        super().close()


class CutOffConnection(LiveConnection):
    """Mixed into urllib3's connections: a clock for each answer."""

    answer_clock: AnswerClock | None = None
    head_read = False
    _fresh = False

    def connect(self) -> None:
        """Connect, within the clock of the answer to come."""
        self._start()
        self._fresh = True
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        """
        Send a request; its clock started with the connection, or starts now.

        :param args: as urllib3's connection takes them.
        :param kwargs: the same.
        """
        if not self._fresh:
            self._start()
        super().request(*args, **kwargs)  # type: ignore[misc]
        self._fresh = False

    def getresponse(self) -> Any:
        """
        Read the head of the answer.

        :return: urllib3's response.
        """
        response = super().getresponse()  # type: ignore[misc]
        self.head_read = True
        return response

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        """
        Stand in for http.client's attribute of this name: make an answer that reads by the clock.

        :param sock: where it reads from.
        :param args: as http.client's response takes them.
        :param kwargs: the same.
        :return: the response; nothing is read yet.
        """
        self._reading = sock
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        if isinstance(response.fp, io.BufferedReader):
            response.fp = io.BufferedReader(_TimedReader(response.fp.detach(), sock, self))
        return response

    def _start(self) -> None:
        timeout = getattr(self, "timeout", None)
        known = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
        self.answer_clock = AnswerClock(float(timeout), time.monotonic()) if known and timeout else None
        self.head_read = False
