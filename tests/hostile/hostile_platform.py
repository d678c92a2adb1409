"""
A platform and a recordings host that share no line with the simulator: raw sockets, and their own ideas of HTTP.

Both close every connection after one answer; whether they say so is up to the test.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

KEY = "SK-hostile-0123456789abcdef0123456789"
TOKEN = "token-of-a-signed-url-0123456789abcdef"
PACKAGE = "Package-A"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body or b"null")

    @property
    def offset(self) -> int:
        """First byte that is asked for."""
        return int(self.headers.get("range", "bytes=0-")[6:].split("-")[0])


def reply(
    status: int = 200,
    body: Any = b"",
    headers: tuple[tuple[str, str], ...] = (),
    *,
    version: str = "1.1",
    framing: str = "length",
    cut: int | None = None,
    tells: bool = True,
) -> bytes:
    """
    Spell out an answer.

    :param body: bytes, or what becomes JSON.
    :param framing: ``length``, ``chunked``, or ``close`` (the end of the connection ends it).
    :param cut: send no more of the body than this.
    :param tells: say that the connection is closed, as it always is.
    """
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/{version} {status} Whatever", *(f"{name}: {value}" for name, value in headers)]
    if tells:
        lines.append("connection: CLOSE")
    if framing == "length":
        lines.append(f"cOnTeNt-LeNgTh: {len(data)}")
    if framing == "chunked":
        lines.append("TRANSFER-encoding: chunked")
        pieces = [data[at : at + 7000] for at in range(0, len(data), 7000)]
        data = b"".join(b"%X;odd=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Trailer: 1\r\n\r\n"
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data[:cut]


def recording(name: str, size: int = 50_000) -> bytes:
    """Bytes that begin as an MP4 file does, different for each name."""
    filler = hashlib.sha256(name.encode()).digest()
    return (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00" + filler * (size // 32 + 1))[:size]


Answer = Callable[[Asked], "bytes | None"]


@dataclass
class Platform:
    """What is listed, what was asked, what is deleted; ``on`` takes over a call (``list``, ``delete``, ``media``)."""

    api_port: int = 0
    media_port: int = 0
    videos: dict[str, dict[str, Any]] = field(default_factory=dict)
    bytes_of: dict[str, bytes] = field(default_factory=dict)
    on: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, Asked]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    list_deleted: bool = True

    def add(self, video_id: str, **fields: Any) -> str:
        """List a recording; a field that is ``...`` is left out."""
        data = self.bytes_of.setdefault(video_id, recording(video_id))
        told = {
            "meetingVideoId": video_id,
            "meetingId": "meeting-1",
            "timeCreated": "2026-11-01T10:00:00.1234567Z",
            "duration": "PT6S",
            "size": len(data),
            "state": "archived",
            "url": f"{self.media}/{video_id}?access={TOKEN}",
            "timeUrlExpires": "2099-01-01T00:00:00Z",
            **fields,
        }
        self.videos[video_id] = {name: value for name, value in told.items() if value is not ...}
        return video_id

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self.api_port}/api/v1"

    @property
    def media(self) -> str:
        return f"http://localhost:{self.media_port}/v"

    def connection(self, **extra: Any) -> str:
        """The value of an ``AIRFLOW_CONN_...`` that leads here."""
        extra = {"timeout": 20, "max_retries": 2, **extra}
        return json.dumps({"conn_type": "iinked_sign", "host": self.api_base, "password": KEY, "extra": extra})

    def calls(self, name: str) -> list[Asked]:
        return [asked for call, asked in self.asked if call == name]

    def listing(self) -> dict[str, Any]:
        shown = [video for video in self.videos.values() if self.list_deleted or video["state"] != "deleted"]
        return {"packageId": PACKAGE, "videos": shown}

    def delete(self, video_id: str) -> dict[str, Any]:
        """Delete one recording, as the documented call does."""
        self.deleted.append(video_id)
        self.videos[video_id] |= {"state": "deleted", "url": None, "timeUrlExpires": None}
        return {"packageId": PACKAGE, "videos": [self.videos[video_id]]}

    def answer(self, asked: Asked, *, media: bool) -> bytes:
        call = "media" if media else "delete" if asked.method == "POST" else "list"
        self.asked.append((call, asked))
        taken = self.on[call](asked) if call in self.on else None
        if taken is not None:
            return taken
        if media:
            return reply(200, self.bytes_of[asked.path.rpartition("/")[2]])
        if call == "list":
            return reply(200, self.listing())
        return reply(200, self.delete(asked.json["meetingVideoId"]))

    def once(self, call: str, *answers: bytes) -> None:
        """Give these answers to the first requests of a call, and the usual ones afterwards."""
        left = list(answers)
        self.on[call] = lambda asked: left.pop(0) if left else None


@contextlib.contextmanager
def hostile_platform() -> Iterator[Platform]:
    """Serve a platform on two free ports of the loopback."""
    platform = Platform()
    lock = threading.Lock()
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(2)]
    platform.api_port, platform.media_port = (listener.getsockname()[1] for listener in listeners)

    def serve(connection: socket.socket, media: bool) -> None:
        with connection, contextlib.suppress(OSError):
            asked = _read(connection)
            if asked is not None:
                with lock:
                    answer = platform.answer(asked, media=media)
                connection.sendall(answer)

    def accept(listener: socket.socket, media: bool) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.settimeout(60)
                threading.Thread(target=serve, args=(connection, media), daemon=True).start()

    for number, listener in enumerate(listeners):
        threading.Thread(target=accept, args=(listener, number == 1), daemon=True).start()
    try:
        yield platform
    finally:
        for listener in listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _read(connection: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    return Asked(method, path, query, headers, body)
