"""A recordings host of raw sockets: it notes what was sent byte for byte, and answers as a test likes."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SIZE = 50_000
RECORDING = (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00" + hashlib.sha256(b"v").digest() * (SIZE // 32 + 1))[:SIZE]


def head(*lines: str, status: str = "200 OK", length: int | None = SIZE) -> bytes:
    """Spell out the head of an answer."""
    framing = [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([f"HTTP/1.1 {status}", *framing, *lines, "", ""]).encode("latin-1")


@dataclass
class RawHost:
    """What came in, one request head each; ``answer`` writes to the connection as it likes."""

    port: int
    heads: list[bytes] = field(default_factory=list)
    answer: Callable[[socket.socket, bytes], None] = lambda connection, _: connection.sendall(head() + RECORDING)
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when a client has closed its connection while an answer was being sent."""
    any_message: bool = False
    """Answer to whatever comes, which need not be HTTP."""

    @property
    def targets(self) -> list[bytes]:
        """What stood between method and version, byte for byte."""
        return [request.split(b"\r\n", 1)[0].removeprefix(b"GET ").removesuffix(b" HTTP/1.1") for request in self.heads]


@contextlib.contextmanager
def raw_host(tls: ssl.SSLContext | None = None) -> Iterator[RawHost]:
    """Serve one on a free port of the loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=32) as listener:
        host = RawHost(listener.getsockname()[1])

        def serve(connection: socket.socket) -> None:
            try:
                connection.settimeout(20)
                connection = tls.wrap_socket(connection, server_side=True) if tls else connection
                request = connection.recv(65536) if host.any_message else read_head(connection)
                if request:
                    host.heads.append(request)
                    host.answer(connection, request)
            except OSError:
                host.gone.set()
            finally:
                connection.close()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield host
        listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy() -> Iterator[RawHost]:
    """Serve an HTTP proxy: absolute targets and CONNECT, both to the loopback."""

    def forward(client: socket.socket, request: bytes) -> None:
        line, _, rest = request.partition(b"\r\n")
        method, target, version = line.split(b" ")
        if method == b"CONNECT":
            name, port = target.rsplit(b":", 1)
            with socket.create_connection((name.decode(), int(port))) as there:
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                back = threading.Thread(target=pump, args=(there, client), daemon=True)
                back.start()
                pump(client, there)
                back.join(5)
            return
        address, _, path = target.removeprefix(b"http://").partition(b"/")
        name, port = address.rsplit(b":", 1)
        with socket.create_connection((name.decode(), int(port))) as there:
            there.sendall(b" ".join([method, b"/" + path, version]) + b"\r\n" + rest)
            pump(there, client)

    with raw_host() as host:
        host.answer = forward
        yield host


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def read_head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    return data
