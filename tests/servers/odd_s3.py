"""A small S3 server, over http or https, that answers like the store that its traits describe.

with odd_s3(folder, CEPH_RGW, https=True) as store:
    client = store.client(request_checksum_calculation="when_required")
    store.fail("PutObject", "SlowDown", times=2)
    ...
    assert [request.key for request in store.requests("PutObject")] == [...]
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.servers.certificates import make_certificates
from tests.servers.http_body import read_body
from tests.servers.s3_answers import ANSWERS, Answer
from tests.servers.s3_bucket import Bucket, check_digests
from tests.servers.s3_client import s3_client
from tests.servers.s3_http import decode_streamed, is_streamed, operation_of, xml
from tests.servers.s3_traits import (
    CEPH_RGW,
    LOCK_IGNORED,
    MINIO,
    PRESETS,
    S3,
    STATUSES,
    SWIFT,
    Condition,
    Locking,
    S3Error,
    StoreTraits,
)

__all__ = [
    "CEPH_RGW",
    "LOCK_IGNORED",
    "MINIO",
    "PRESETS",
    "S3",
    "SWIFT",
    "Condition",
    "Locking",
    "OddS3",
    "Request",
    "StoreTraits",
    "odd_s3",
]

ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLE", "example"


@dataclass
class Request:
    """One request as the server saw it, the status and code that it answered, and the client's port."""

    operation: str
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = field(repr=False)
    at: float = field(default_factory=time.monotonic)
    status: int = 0
    code: str = ""
    port: int = 0


@dataclass
class _Fault:
    operation: str
    code: str
    key: str | None
    times: int
    after: bool
    lost: bool


class OddS3:
    """A running server: buckets, the requests that came, and what shall go wrong."""

    def __init__(self, traits: StoreTraits, endpoint: str, ca: Path | None) -> None:
        self.traits, self.endpoint, self.ca = traits, endpoint, ca
        self.buckets: dict[str, Bucket] = {}
        self.log: list[Request] = []
        self.before: list[Callable[[Request], None]] = []
        self.unlisted: Callable[[str], bool] | None = None
        """Keys that listings do not show yet."""
        self.ghosts: list[str] = []
        """Keys that listings still show."""
        self.page = 1000
        """Keys that one answer to a listing holds at most."""
        self.says_less: set[str] = set()
        """What answers about an object leave out: `content-length` (of HEAD), `quotes` of an ETag, `etag`."""
        self._faults: list[_Fault] = []
        self._mutex = threading.Lock()

    def bucket(self, name: str, *, versioned: bool = False, locks: bool = False) -> Bucket:
        """Make a bucket, or get the one of that name."""
        if name not in self.buckets:
            self.buckets[name] = Bucket(name, self.traits, locks=locks)
            self.buckets[name].versioned |= versioned
        return self.buckets[name]

    def requests(self, operation: str | None = None, key: str | None = None) -> list[Request]:
        """The requests so far, of one operation or key alone where these are given."""
        return [r for r in list(self.log) if operation in (None, r.operation) and key in (None, r.key)]

    def fail(
        self,
        operation: str,
        code: str = "InternalError",
        *,
        key: str | None = None,
        times: int = 1,
        after: bool = False,
        lost: bool = False,
    ) -> None:
        """Let the next requests of an operation fail.

        :param operation: its name in S3's API, or `*` for any.
        :param code: S3's error code, one of `STATUSES`.
        :param key: only for this object.
        :param times: how many requests; -1 for all.
        :param after: the act is done first, and the error answered afterwards.
        :param lost: instead of an answer the connection is closed.
        """
        with self._mutex:
            self._faults.append(_Fault(operation, code, key, times, after, lost))

    def heal(self) -> None:
        """Nothing fails any more."""
        with self._mutex:
            self._faults.clear()
        self.unlisted, self.ghosts, self.page, self.says_less = None, [], 1000, set()

    def client(self, **config: Any) -> Any:
        """A boto3 client for this server; keyword arguments go to botocore's Config."""
        verify = str(self.ca) if self.ca else None
        return s3_client(self.endpoint, ACCESS_KEY, SECRET_KEY, verify=verify, **config)

    def connection(self, conn_id: str, **extra: Any) -> tuple[str, str]:
        """Name and value of the environment variable that is an Airflow connection to this server."""
        more = {"verify": str(self.ca)} if self.ca else {}
        fields = {
            "conn_type": "aws",
            "login": ACCESS_KEY,
            "password": SECRET_KEY,
            "extra": {"endpoint_url": self.endpoint, "region_name": "us-east-1", **more, **extra},
        }
        return f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields)

    def _fault(self, request: Request, *, after: bool) -> _Fault | None:
        with self._mutex:
            for fault in self._faults:
                named = fault.operation in ("*", request.operation) and fault.key in (None, request.key)
                if named and fault.after == after and fault.times:
                    fault.times -= 1
                    return fault
        return None

    def _answer(self, request: Request) -> Answer | None:
        """Do what a request asks for; None where its answer gets lost."""
        try:
            for callback in list(self.before):
                callback(request)
            for after in (False, True):
                fault = self._fault(request, after=after)
                if fault and fault.lost and not after:
                    return None
                if fault and not fault.lost:
                    raise S3Error(STATUSES[fault.code], fault.code, f"{fault.code} as the test wants it")
                if not after:
                    answer = self._act(request)
                elif fault:
                    return None
        except S3Error as error:
            request.code = error.code
            body = {"Code": error.code, "Message": error.message, "BucketName": request.bucket, "RequestId": "tests"}
            return Answer(error.status, xml("Error", body, namespace=False))
        return answer

    def _act(self, request: Request) -> Answer:
        if is_streamed(request.headers):
            if self.traits.trailer:
                raise S3Error(*self.traits.trailer)
            request.body, trailer = decode_streamed(request.body)
            request.headers.update(trailer)
        check_digests(request.body, request.headers, self.traits)
        if request.operation not in ANSWERS:
            raise S3Error(501, "NotImplemented", f"{request.method} {request.key}?{request.query}")
        if request.bucket and request.operation != "CreateBucket" and request.bucket not in self.buckets:
            raise S3Error(404, "NoSuchBucket", "The specified bucket does not exist")
        return ANSWERS[request.operation](self, request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one piece: two would cost a round trip behind a slow wire
    timeout = 60
    server: _Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def handle_expect_100(self) -> bool:
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def _serve(self) -> None:
        store = self.server.store
        headers = {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        body = read_body(self.rfile, headers)
        operation = operation_of(self.command, bucket, key, query, headers)
        request = Request(operation, self.command, bucket, key, query, headers, body, port=self.client_address[1])
        if store.traits.latency:
            time.sleep(store.traits.latency)
        answer = store._answer(request)
        request.status = answer.status if answer else 0
        store.log.append(request)
        if answer is None:
            self.close_connection = True
            return
        self._send(answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        fields = {"Content-Type": "application/xml", **answer.headers, "x-amz-request-id": "tests"}
        self._leave_out(fields)
        length = str(len(answer.body))
        if (
            self.command == "HEAD" and not fields.keys() & {"Content-Length", "Transfer-Encoding"}
        ) or self.command != "HEAD":
            fields["Content-Length"] = length
        if answer.status == 204:
            del fields["Content-Length"]
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _leave_out(self, fields: dict[str, str]) -> None:
        less = self.server.store.says_less
        if "content-length" in less and self.command == "HEAD" and fields.pop("Content-Length", None):
            self.close_connection = True
            fields["Transfer-Encoding"] = "chunked"
        if "etag" in less and "partNumber" not in self.path:
            fields.pop("ETag", None)
        if "quotes" in less and "ETag" in fields:
            fields["ETag"] = fields["ETag"].strip('"')

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    store: OddS3
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context:  # in the connection's own thread: a client that dawdles holds up no other
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        request.close()

    def handle_error(self, request: object, client_address: object) -> None:
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def odd_s3(folder: Path, traits: StoreTraits = S3, *, https: bool = False) -> Iterator[OddS3]:
    """Run a server until the block ends.

    :param folder: where its certificates lie, with `https`.
    :param traits: what it does; a preset, or one `.but(...)` some traits.
    :param https: over TLS, with a certificate of an authority of its own (`store.ca`).
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    ca = None
    if https:
        made = make_certificates(folder)
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(made.chain, made.key)
        ca = made.ca
    server.store = OddS3(traits, f"{'https' if https else 'http'}://127.0.0.1:{server.server_port}", ca)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.store
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
