"""A server that sends, byte for byte, what a test wants: for answers that no well-behaved HTTP library would give."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

RESET = "reset"
CLOSE = "close"
Piece = bytes | float | str
"""Bytes to send, seconds to pause, or how the connection ends; without an end it is kept alive."""


@dataclass(frozen=True)
class Asked:
    """One request: when it was read whole, its path, its headers (names in lower case), its body."""

    time: float
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class RawServer:
    """What was asked, and how many connections were made."""

    port: int
    asked: list[Asked] = field(default_factory=list)
    sockets: int = 0

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def connection(self, key: str = "the-key-0123456789", **extra: Any) -> str:
        """The value of an ``AIRFLOW_CONN_...`` that leads here."""
        return json.dumps(
            {"conn_type": "iinked_sign", "host": self.api_base, "password": key, "extra": {"timeout": 5, **extra}}
        )


@contextlib.contextmanager
def raw_server(answer: Callable[[int, Asked], Sequence[Piece]]) -> Iterator[RawServer]:
    """
    Serve on a free port of the loopback.

    :param answer: gives for the number of a request, from 1, and the request what is sent.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = RawServer(listener.getsockname()[1])
    lock = threading.Lock()

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as stream:
            while (asked := _read(stream)) is not None:
                with lock:
                    server.asked.append(asked)
                    number = len(server.asked)
                for piece in answer(number, asked):
                    if isinstance(piece, bytes):
                        client.sendall(piece)
                    elif isinstance(piece, float):
                        time.sleep(piece)
                    else:
                        if piece == RESET:
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.sockets += 1
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _read(stream: Any) -> Asked | None:
    first = stream.readline()
    if not first:
        return None
    headers = {}
    while (line := stream.readline().strip()) and b":" in line:
        name, value = line.decode("latin-1").split(":", 1)
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Asked(time.time(), first.split()[1].decode(), headers, body)


def http(body: bytes | dict[str, Any], *lines: str, status: str = "200 OK", length: bool = True) -> bytes:
    """A whole answer, with these header lines."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", *lines, *([f"Content-Length: {len(data)}"] if length else [])]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + data


def listing(package_id: str = "p", /, **states: Any) -> dict[str, Any]:
    """The API's answer: recordings and their states."""
    videos = [{"meetingVideoId": name, "state": state} for name, state in states.items()]
    return {"packageId": package_id, "videos": videos}
