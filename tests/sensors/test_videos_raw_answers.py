"""Odd answers, byte for byte: sensor and trigger come to the same end, and nothing odd is passed on."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError
from airflow_provider_iinked.waiting.events import read_event
from airflow_provider_iinked.waiting.wait_condition import WaitCondition
from tests.servers.raw import CLOSE, RESET, Piece, RawServer, http, listing, raw_server
from tests.triggers.run_trigger import make_trigger, run_trigger

ANSWER = listing(a="archived")
BODY = json.dumps(ANSWER).encode()
LENGTH = f"content-length: {len(BODY)}".encode()
WHOLE = http(ANSWER)
Wait = Callable[..., Any]


def chunked(*parts: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    pieces = [b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in (*parts, b"")]
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n" + b"".join(pieces)[:-2] + trailer + b"\r\n"


def head(line: bytes) -> list[Piece]:
    return [b"HTTP/1.1 200 OK\r\n" + line + b"\r\n" + LENGTH + b"\r\n\r\n" + BODY]


GOOD: dict[str, Sequence[Piece]] = {
    "no reason phrase": [b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n\r\n" + BODY],
    "header of odd bytes": head(b"x-odd: \xff\x80"),
    "header without a value": head(b"x_odd:"),
    "header on two lines": head(b"x-odd: a\r\n b"),
    "header of 50 kB": head(b"x-policy: " + b"a" * 50_000),
    "line ends of one byte": [WHOLE.replace(b"\r\n", b"\n")],
    "byte by byte in chunks": [chunked(*(BODY[at : at + 1] for at in range(len(BODY))))],
    "chunks with extension and trailer": [chunked(BODY[:9], BODY[9:], extension=b";a=b", trailer=b"x: y\r\n")],
    "no length": [http(ANSWER, length=False), CLOSE],
    "HTTP/1.0": [WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), CLOSE],
    "closed without a word": [WHOLE, CLOSE],
    "gzip": [http(gzip.compress(BODY), "Content-Encoding: gzip")],
    "byte order mark": [http(b"\xef\xbb\xbf" + BODY)],
    "100 first": [b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE],
    "slower than the timeout, but never for as long as it": [
        piece for at in range(0, len(WHOLE), 18) for piece in (WHOLE[at : at + 18], 0.35)
    ],
    "no packageId": [http({"videos": ANSWER["videos"]})],
    "packageId in capitals": [http({**ANSWER, "packageId": "P"})],
}
TROUBLE: dict[str, tuple[Sequence[Piece], str]] = {
    "half the JSON": ([http(BODY[:-9])], "UnexpectedAnswerError"),
    "half the body, closed": ([WHOLE[:-9], CLOSE], "ServiceUnavailableError"),
    "half the body, reset": ([WHOLE[:-9], RESET], "ServiceUnavailableError"),
    "half a chunk": ([chunked(BODY)[:-20], CLOSE], "ServiceUnavailableError"),
    "204": ([b"HTTP/1.1 204 No Content\r\n\r\n"], "UnexpectedAnswerError"),
    "nothing HTTP": ([b"\x00\x01 hello\r\n\r\n", CLOSE], "ServiceUnavailableError"),
    "not gzip": ([http(BODY, "Content-Encoding: gzip")], "ServiceUnavailableError"),
    "nested without end": ([http(b"[" * 100_000)], "UnexpectedAnswerError"),
    "a video without an id": ([http({"packageId": "p", "videos": [{}]})], "UnexpectedAnswerError"),
    "packageId as a number": ([http({**ANSWER, "packageId": 1})], "UnrequestedDeletionError"),
    "403 of a firewall": ([http(b"<html>", status="403 no")], "AuthenticationError"),
    "413": ([http(b"", status="413 no")], "RequestRefusedError"),
    "status 600": ([http(ANSWER, status="600 what")], "ServerError"),
}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, quick: None) -> Iterator[Callable[[Sequence[Piece]], RawServer]]:
    """Serve these pieces for every request, and lead the default connection there."""
    with contextlib.ExitStack() as stack:

        def serve(pieces: Sequence[Piece]) -> RawServer:
            server = stack.enter_context(raw_server(lambda number, asked: pieces))
            monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", server.connection(timeout=2))
            return server

        yield serve


def by_sensor() -> Any:
    from airflow_provider_iinked.sensors.videos import IinkedVideosArchivedSensor

    arguments: dict[str, Any] = {"poke_interval": 0.05, "timeout": 30.0, "max_consecutive_errors": 1}
    return IinkedVideosArchivedSensor(task_id="wait", package_id="p", **arguments).execute({})


def by_trigger() -> Any:
    trigger = make_trigger("p", poll_interval=0.05, end_time=time.time() + 30, max_consecutive_errors=1)
    event = asyncio.run(run_trigger(trigger))
    condition = WaitCondition.from_dict(trigger.condition)
    outcome = read_event(event, condition)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.response is not None, event
    return outcome.response


WAYS = pytest.mark.parametrize("wait", [by_sensor, by_trigger])


@WAYS
@pytest.mark.parametrize("name", GOOD)
def test_an_odd_answer_that_says_archived_ends_the_wait(served: Any, wait: Wait, name: str) -> None:
    served(GOOD[name])
    assert wait() == {"packageId": "p", "videos": ANSWER["videos"]}


@WAYS
@pytest.mark.parametrize("name", TROUBLE)
def test_an_error_is_the_same_in_every_mode(served: Any, wait: Wait, name: str) -> None:
    pieces, error = TROUBLE[name]
    served(pieces)
    with pytest.raises(IinkedSignError) as caught:
        wait()
    assert type(caught.value).__name__ == error


def test_hints_before_an_answer_are_no_answer_and_the_answer_is_not_the_next_ones(
    served: Any,
) -> None:
    """http.client knows only 100; what follows on the connection must not be taken for the next request's answer."""
    from airflow_provider_iinked.exceptions import UnexpectedAnswerError
    from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook

    server = served([b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + WHOLE])
    hook = IinkedSignHook()
    for _ in range(2):
        with pytest.raises(UnexpectedAnswerError):
            hook.list_videos("p", max_retries=0)
    hook.close()
    assert (len(server.asked), server.sockets) == (2, 2)


ODD = (
    rb'{"packageId": "p", "videos": [{"meetingVideoId": "a", "state": "STATE", "size": 99999999999999999999, '
    rb'"x": NaN, "y": [1e999, {"\ud800": "\udfff\u0000", "z": -9e99}]}]}'
)


@pytest.mark.parametrize(("state", "status"), [(b"archived", "ready"), (rb"\ud800\n", "timeout")])
def test_no_answer_makes_an_event_that_airflow_cannot_pass_on(served: Any, state: bytes, status: str) -> None:
    """One that it cannot would end the triggerer's process, and all other waits in it, again and again."""
    served([http(ODD.replace(b"STATE", state))])
    event = asyncio.run(run_trigger(make_trigger("p", poll_interval=0.05, end_time=time.time() + 0.5)))
    assert event["status"] == status
    text = json.dumps(event, allow_nan=False, ensure_ascii=False)
    assert "\x00" not in str(event)
    assert json.loads(text.encode()) == event
    pytest.importorskip("msgspec").msgpack.encode(event)
