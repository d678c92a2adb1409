"""
A server in a process of its own that answers polls and counts them: no framework, so that it is never the bottleneck.

``GET .../videos`` of the API: 200, one recording archived (its URL is new each time) and one still queued.
``GET /waiting...``: 404, what the http provider's sensor trigger waits on. ``GET /count``: what was seen since the last
such request.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, ClassVar

_URLS = itertools.count()
_VIDEO = {
    "meetingId": "0f2f4065-3d07-4fd5-96e8-13b3f77a7c9d",
    "timeCreated": "2019-08-20T18:57:33.5410000Z",
    "timeRetention": None,
    "type": "video",
    "url": None,
    "timeUrlExpires": None,
}
_QUEUED = {**_VIDEO, "meetingVideoId": "919a16f5-0d3c-4a52-9a39-3a3a1c1b2a20", "state": "queued"}
_ARCHIVED = {
    **_VIDEO,
    "meetingVideoId": "4c512b8a-c1ad-47da-ae22-5a61115505e3",
    "duration": "PT5M12S",
    "size": 4402007,
    "state": "archived",
}


class _Answers(asyncio.Protocol):
    times: ClassVar[list[float]] = []
    sockets: ClassVar[set[int]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.transport.write(self.answer(head.split(b" ", 2)[1].decode()))

    def answer(self, path: str) -> bytes:
        if path == "/count":
            seen = {"times": sorted(self.times), "sockets": len(self.sockets)}
            self.times.clear()
            self.sockets.clear()
            return _http(b"200 OK", json.dumps(seen).encode())
        self.times.append(time.monotonic())
        self.sockets.add(id(self))
        if path.startswith("/waiting"):
            return _http(b"404 Not Found", b'{"error": "not_there", "message": "Not there yet."}')
        url = f"https://example.com/video/{next(_URLS)}?access=0123456789abcdef"
        videos = [{**_ARCHIVED, "url": url, "timeUrlExpires": "2026-11-25T19:05:54.8535047Z"}, _QUEUED]
        return _http(b"200 OK", json.dumps({"packageId": path.split("/")[-2], "videos": videos}).encode())


def _http(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 %s\r\nContent-Type: application/json; charset=utf-8\r\nServer: count\r\nContent-Length: %d\r\n\r\n%s"
        % (status, len(body), body)
    )


def _serve(port: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", 0, backlog=4096)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def counting_server() -> Iterator[str]:
    """Run the server; give its origin."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def count(origin: str) -> dict[str, Any]:
    """Return what the server saw since the last call: times of arrival and number of sockets."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{origin}/count") as answer:
        return json.load(answer)
