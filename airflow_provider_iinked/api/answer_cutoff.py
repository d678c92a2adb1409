"""
Connections of the worker's transport whose answers are cut off in time, however steadily a host drips them.

urllib3's read timeout starts again with each byte. Here each read from the socket gets what :class:`AnswerClock` leaves
it, as in the triggerer's transport; no thread and no signal is needed.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
import weakref
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from airflow_provider_iinked.api.retries import AnswerClock


class LiveConnections:
    """The open connections of one client, so that another thread or a signal's handler can cut them off."""

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()

    def add(self, connection: Any) -> None:
        """
        Note a connection.

        :param connection: urllib3's connection.
        """
        self._connections.add(connection)

    def abort(self) -> None:
        """Shut the sockets down; whoever reads from one gets an error at once."""
        for connection in list(self._connections):
            sock = connection.sock
            if sock is not None:
                with contextlib.suppress(OSError, AttributeError):
                    sock.shutdown(socket.SHUT_RDWR)


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


class _CutOff:
    """Mixed into urllib3's connections: a clock for each answer."""

    live: LiveConnections
    answer_clock: AnswerClock | None = None
    head_read = False
    _fresh = False

    def connect(self) -> None:
        self._start()
        self._fresh = True
        self.live.add(self)
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        if not self._fresh:
            self._start()
        super().request(*args, **kwargs)  # type: ignore[misc]
        self._fresh = False

    def getresponse(self) -> Any:
        response = super().getresponse()  # type: ignore[misc]
        self.head_read = True
        return response

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        """Stand in for http.client's attribute of this name: make an answer that reads by the clock."""
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        if isinstance(response.fp, io.BufferedReader):
            response.fp = io.BufferedReader(_TimedReader(response.fp.detach(), sock, self))
        return response

    def _start(self) -> None:
        timeout = getattr(self, "timeout", None)
        known = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
        self.answer_clock = AnswerClock(float(timeout), time.monotonic()) if known and timeout else None
        self.head_read = False


def cut_off_adapter(live: LiveConnections, pool_size: int) -> HTTPAdapter:
    """
    Make an adapter whose connections cut answers off.

    :param live: takes note of each connection.
    :param pool_size: how many sockets it may keep.
    :return: the adapter.
    """

    class Plain(_CutOff, HTTPConnection):  # type: ignore[misc]
        pass

    class Tls(_CutOff, HTTPSConnection):  # type: ignore[misc]
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    Plain.live = Tls.live = live
    pools = {"http": PlainPool, "https": TlsPool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **kwargs)
            if not proxy.lower().startswith("socks"):  # PySocks has connections of its own, without this clock
                manager.pool_classes_by_scheme = pools
            return manager

    return Adapter(pool_connections=1, pool_maxsize=pool_size)
