"""An HTTP wire that a test can look at: a proxy that notes each exchange, and delays, breaks or makes up answers."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from tests.servers.http_body import read_body

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "expect"}


@dataclass
class Exchange:
    """One request, and the status that came back; 0 where the client got no answer."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(repr=False)
    status: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def generation_match(self) -> str | None:
        """GCS's condition: "0" means "only if nothing lies there"."""
        return self.query.get("ifGenerationMatch")


Matcher = Callable[[Exchange], bool]


@dataclass
class _Rule:
    matches: Matcher
    times: int
    status: int = 0  # 0: no answer, the connection is closed
    after: bool = False
    body: bytes = b""


class Wire:
    """A running proxy: what passed, and what shall go wrong."""

    def __init__(self) -> None:
        self.url = ""
        self.delay = 0.0
        self.log: list[Exchange] = []
        self.before: list[Callable[[Exchange], None]] = []
        self._rules: list[_Rule] = []
        self._mutex = threading.Lock()

    def requests(self, method: str | None = None, path: str = "") -> list[Exchange]:
        """The exchanges so far, of one method or with a text in their path where these are given."""
        return [each for each in list(self.log) if method in (None, each.method) and path in each.path]

    def uploads(self) -> list[Exchange]:
        """GCS: the requests that begin to write an object, of whichever kind of upload."""
        return [each for each in self.requests("POST", "/upload/") if "upload_id" not in each.query]

    def break_next(self, matches: Matcher, *, after: bool = False, times: int = 1) -> None:
        """Close the connection instead of an answer; `after`: the server has done the act by then."""
        with self._mutex:
            self._rules.append(_Rule(matches, times, after=after))

    def answer_next(
        self, matches: Matcher, status: int, message: str = "", *, after: bool = False, times: int = 1
    ) -> None:
        """Answer an error as Google's JSON API words it; `after`: the server has done the act by then."""
        error = {"error": {"code": status, "message": message, "errors": [{"message": message, "reason": message}]}}
        with self._mutex:
            self._rules.append(_Rule(matches, times, status, after, json.dumps(error).encode()))

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        with self._mutex:
            self._rules.clear()
        self.delay = 0.0

    def _rule(self, exchange: Exchange) -> _Rule | None:
        with self._mutex:
            for rule in self._rules:
                if rule.times and rule.matches(exchange):
                    rule.times -= 1
                    return rule
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    server: _Server
    _upstream: http.client.HTTPConnection | None = None

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        super().finish()
        if self._upstream:
            self._upstream.close()

    def _serve(self) -> None:
        wire = self.server.wire
        headers = {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        exchange = Exchange(self.command, parts.path, query, headers, read_body(self.rfile, headers))
        wire.log.append(exchange)
        for callback in list(wire.before):
            callback(exchange)
        time.sleep(wire.delay)
        rule = wire._rule(exchange)
        answer = None if rule and not rule.after else self._forward(exchange)
        time.sleep(wire.delay)
        if rule and not rule.status:
            self.close_connection = True
        elif rule:
            exchange.status = rule.status
            self._send(rule.status, {"Content-Type": "application/json"}, rule.body)
        elif answer:
            exchange.status = answer[0]
            self._send(*answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _serve

    def _forward(self, exchange: Exchange) -> tuple[int, dict[str, str], bytes]:
        self._upstream = self._upstream or http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)
        headers = {name: value for name, value in exchange.headers.items() if name not in _HOP}
        if exchange.body or self.command in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(exchange.body))
        self._upstream.request(self.command, self.path, exchange.body or None, headers)
        answer = self._upstream.getresponse()
        body = answer.read()
        return answer.status, dict(answer.getheaders()), body

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        head = self.command == "HEAD"
        length = {name.lower(): value for name, value in headers.items()}.get("content-length")
        if status not in (204, 304):
            self.send_header("Content-Length", length if head and length else str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    wire: Wire
    target: int

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away, or a server that does not answer: the client sees a closed connection


@contextmanager
def wire_to(target_port: int) -> Iterator[Wire]:
    """Put a proxy before an HTTP server on a port of 127.0.0.1 until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.wire, server.target = Wire(), target_port
    server.wire.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.wire
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
