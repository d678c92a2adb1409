"""What the simulator saw and did, for assertions and for a demo's record."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SECRET_HEADERS = ("api_key", "authorization", "cookie")
NOTED_HEADERS = ("range", "if-range", "user-agent", "content-type", "accept-encoding")


@dataclasses.dataclass(kw_only=True, eq=False, slots=True)
class RequestRecord:
    """One request as the simulator saw it.

    :param number: counts all requests from 1.
    :param time: real time, seconds since 1970.
    :param host: ``api`` or ``recordings``.
    :param call: name of the call, as faults know it.
    :param method: HTTP method.
    :param path: path without query.
    :param query: names of query parameters.
    :param headers: all headers, names in lower case.
    :param body: parsed JSON body; None where there was none.
    :param package_id: the package it was about.
    :param video_id: the video it was about.
    :param peer: address and port of the client's socket.
    :param status: status answered; None: no answer was given (yet).
    :param fault: kind of the fault applied.
    :param sent: bytes of a recording that were sent; None until the last is on its way, which a client may see first.
    """

    number: int
    time: float
    host: str
    call: str
    method: str
    path: str
    query: tuple[str, ...]
    headers: dict[str, str]
    body: Any
    package_id: str | None
    video_id: str | None
    peer: tuple[str, int]
    status: int | None = None
    fault: str | None = None
    sent: int | None = None

    def public(self) -> dict[str, Any]:
        """The record without secrets, for a file."""
        shown: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("number", "time", "host", "call", "method", "path", "query", "body", "package_id", "video_id")
        }
        headers = {name: self.headers[name] for name in NOTED_HEADERS if name in self.headers}
        headers |= {name: "present" for name in SECRET_HEADERS if name in self.headers}
        shown |= {"headers": headers, "port": self.peer[1], "status": self.status, "fault": self.fault}
        return shown


@dataclasses.dataclass(kw_only=True, eq=False, slots=True)
class Deletion:
    """One video that went.

    :param package_id: its package.
    :param video_id: its id.
    :param time: real time, seconds since 1970.
    :param request: number of the request that did it.
    :param by_id: False: it went with "delete all", or unasked.
    """

    package_id: str
    video_id: str
    time: float
    request: int
    by_id: bool


class Ledger:
    """Every request and every deletion, in order. All methods may be called from any thread.

    :param file: a file to which each event is appended as a line of JSON, at once; None: none.
    """

    def __init__(self, file: Path | str | None = None) -> None:
        self._lock = threading.Lock()
        self._requests: list[RequestRecord] = []
        self._deletions: list[Deletion] = []
        self._count = 0
        self._file: IO[str] | None = open(file, "a", encoding="utf-8") if file else None  # noqa: SIM115

    def begin(self, **values: Any) -> RequestRecord:
        """Note a request before it is answered.

        :param values: fields of ``RequestRecord``.
        """
        with self._lock:
            self._count += 1
            record = RequestRecord(number=self._count, time=time.time(), **values)
            self._requests.append(record)
        return record

    def answered(self, record: RequestRecord, status: int | None) -> None:
        """Note the answer, right before it is sent.

        :param record: what ``begin`` gave.
        :param status: HTTP status; None: the socket is closed without an answer.
        """
        record.status = status
        if self._file:
            self._write({"event": "request", **record.public()})

    def sent(self, record: RequestRecord, count: int) -> None:
        """Note how many bytes of a recording went out.

        :param record: what ``begin`` gave.
        :param count: bytes.
        """
        record.sent = count
        if self._file:
            self._write({"event": "sent", "number": record.number, "video_id": record.video_id, "bytes": count})

    def deleted(self, record: RequestRecord, package_id: str, video_id: str, *, by_id: bool) -> None:
        """Note a deletion.

        :param record: the request that did it.
        :param package_id: the video's package.
        :param video_id: the video.
        :param by_id: whether it was requested by its id.
        """
        deletion = Deletion(
            package_id=package_id, video_id=video_id, time=time.time(), request=record.number, by_id=by_id
        )
        with self._lock:
            self._deletions.append(deletion)
        if self._file:
            self._write({"event": "deletion", **dataclasses.asdict(deletion)})

    @property
    def deletions(self) -> list[str]:
        """Ids of all videos that went, in order."""
        with self._lock:
            return [deletion.video_id for deletion in self._deletions]

    @property
    def deletion_records(self) -> list[Deletion]:
        """All deletions, in order."""
        with self._lock:
            return list(self._deletions)

    @property
    def delete_requests(self) -> list[RequestRecord]:
        """All requests to delete, obeyed or not."""
        return self.requests(call="delete")

    @property
    def credentials_seen_by_recordings_host(self) -> list[str]:
        """Names of headers with credentials that reached the recordings' host; has to be empty."""
        return [
            name for record in self.requests(host="recordings") for name in SECRET_HEADERS if name in record.headers
        ]

    def requests(
        self,
        *,
        method: str | None = None,
        path_prefix: str | None = None,
        host: str | None = None,
        call: str | None = None,
    ) -> list[RequestRecord]:
        """Requests so far, in order.

        :param method: only of this HTTP method.
        :param path_prefix: only paths that begin so; API paths begin with ``/api/v1``.
        :param host: only ``api`` or ``recordings``.
        :param call: only this call, named as faults name it.
        """
        with self._lock:
            records = list(self._requests)
        return [
            record
            for record in records
            if (method is None or record.method == method)
            and (path_prefix is None or record.path.startswith(path_prefix))
            and (host is None or record.host == host)
            and (call is None or record.call == call)
        ]

    def sockets(self, *, host: str | None = None) -> int:
        """How many client sockets were used.

        :param host: only ``api`` or ``recordings``.
        """
        return len({(record.host, record.peer) for record in self.requests(host=host)})

    def clear(self) -> None:
        """Forget all records; a file keeps its lines."""
        with self._lock:
            self._requests.clear()
            self._deletions.clear()

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _write(self, event: dict[str, Any]) -> None:
        line = json.dumps(event, default=str) + "\n"
        with self._lock:
            if self._file:
                self._file.write(line)
                self._file.flush()
