"""
Connections that another thread, or a signal's handler, can break off: while they connect, and while they read.

Closing a socket does not end another thread's read of it, and neither urllib3 nor ``ssl`` gives access to a socket
whose TLS handshake is under way.
"""

from __future__ import annotations

import contextlib
import socket
import weakref
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError


class LiveConnections:
    """The open connections of one client. No method waits for a lock."""

    def __init__(self) -> None:
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether a connection that is being opened is of no use any more."""
        return self._stopped

    def add(self, connection: Any) -> None:
        """
        Note a connection.

        :param connection: urllib3's connection, of a class with :class:`LiveConnection`.
        """
        self._connections.add(connection)

    def stop(self, *, connecting_only: bool = False) -> None:
        """
        Shut sockets down, and open no other ones; whoever reads from one gets an error at once.

        :param connecting_only: leave the connections that may carry a request already.
        """
        self._stopped = True
        for connection in self._all():
            connection.break_off(connecting_only=connecting_only)

    def _all(self) -> list[Any]:
        while True:
            with contextlib.suppress(RuntimeError):  # another thread adds one at this moment
                return list(self._connections)


class LiveConnection:
    """Mixed into urllib3's connections."""

    live: LiveConnections
    _connecting: socket.socket | None = None
    _reading: Any = None

    def connect(self) -> None:
        """Connect; a request that waits for it is not sent when the end comes before."""
        self.live.add(self)
        try:
            super().connect()  # type: ignore[misc]
        except Exception:
            self._refuse_when_stopped()
            raise
        finally:
            wire, self._connecting = self._connecting, None
            if wire is not None:
                wire.close()
        self._refuse_when_stopped()

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        # The handshake takes the socket away from its object; a second descriptor still leads to it.
        self._connecting = sock.dup()
        return sock

    def _refuse_when_stopped(self) -> None:
        if self.live.stopped:
            self.close()  # type: ignore[attr-defined]
            raise NewConnectionError(self, "stopped") from None  # type: ignore[arg-type]

    def break_off(self, *, connecting_only: bool) -> None:
        """
        Shut the socket down.

        :param connecting_only: do nothing when it is connected.
        """
        _shut_down(self._connecting)
        if not connecting_only:
            _shut_down(getattr(self, "sock", None))
            # An answer that says "Connection: close" takes the socket along.
            _shut_down(self._reading)


def _shut_down(sock: Any) -> None:
    # Not the method of a TLS socket: it takes the session away from under the thread that reads.
    plain = getattr(sock, "socket", sock)
    if isinstance(plain, socket.socket):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(plain, socket.SHUT_RDWR)


def live_adapter(live: LiveConnections, mixin: type = LiveConnection, *, pool_size: int = 10) -> HTTPAdapter:
    """
    Make an adapter whose connections can be broken off.

    :param live: takes note of each connection.
    :param mixin: :class:`LiveConnection`, or a class made of it.
    :param pool_size: how many sockets it may keep.
    :return: the adapter.
    """
    plain = type("Plain", (mixin, HTTPConnection), {"live": live})
    tls = type("Tls", (mixin, HTTPSConnection), {"live": live})
    pools = {
        "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
    }

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(proxy, **kwargs)
            if not proxy.lower().startswith("socks"):  # PySocks has connections of its own
                manager.pool_classes_by_scheme = pools
            return manager

    return Adapter(pool_connections=1, pool_maxsize=pool_size)
