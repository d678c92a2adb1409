"""A task that is to end: what only reads is broken off, a deletion on its way is completed, nothing is sent."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from airflow_provider_iinked.api import stopping as stopping_module
from airflow_provider_iinked.api.stopping import StopFlag
from airflow_provider_iinked.exceptions import ServiceUnavailableError, TaskStoppedError
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from tests.api.test_network import WAYS
from tests.conftest import when
from tests.servers.raw import Asked, Piece, http, listing, raw_server

DELETED = {"packageId": "p", "videos": [{"meetingVideoId": "v", "state": "deleted"}]}
SOON = 30.0
"""Seconds; the connection's timeout, which a stop must not wait for, is a minute."""
DRIP = b"\x16\x03\x03\x40\x00"
"""The beginning of a TLS record of 16 KiB."""


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., IinkedSignHook]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def make(host: str, timeout: float = 60.0) -> IinkedSignHook:
        extra = {"max_retries": 0, "timeout": timeout}
        value = {"conn_type": "iinked_sign", "host": host, "password": "k" * 20, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", json.dumps(value))
        return IinkedSignHook()

    return make


@contextmanager
def bad_handshake(start: bytes) -> Iterator[tuple[int, threading.Event]]:
    """A TLS server that answers a client's first message with these bytes, and drips or is silent after them."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(client: socket.socket) -> None:
            with client:
                try:
                    client.recv(65536)
                    asked.set()
                    client.sendall(start)
                    while start:
                        time.sleep(0.05)
                        client.sendall(b"\x02")
                    client.recv(1)
                except OSError:
                    pass

        def accept() -> None:
            try:
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)


# --- the flag ---------------------------------------------------------------------------------------------------------


def test_a_pause_ends_when_the_flag_is_set_in_a_signal_handler_at_any_line_of_it() -> None:
    """Setting a ``threading.Event`` while its own ``wait`` holds its lock would wait for ever."""
    hits = 0
    for line in range(1, 200):
        flag, seen = StopFlag(), 0

        def trace(frame: FrameType, event: str, _: Any, line: int = line) -> Any:
            nonlocal seen
            if frame.f_code.co_filename != stopping_module.__file__ or frame.f_code.co_name != "wait":
                return None
            if event == "line":
                seen += 1
                if seen == line:
                    signal.raise_signal(signal.SIGUSR1)
            return trace

        before = signal.signal(signal.SIGUSR1, lambda *_, flag=flag: flag.set())
        sys.settrace(trace)
        try:
            stopped = flag.wait(0.12)
        finally:
            sys.settrace(None)
            signal.signal(signal.SIGUSR1, before)
        if seen < line:
            break
        assert stopped
        hits += 1
    assert hits >= 4


def test_a_pause_lasts_as_long_as_asked() -> None:
    started = time.monotonic()
    assert StopFlag().wait(0.2) is False
    assert time.monotonic() - started >= 0.2


# --- requests on their way --------------------------------------------------------------------------------------------


def test_a_list_on_its_way_is_broken_off(connect: Callable[..., IinkedSignHook]) -> None:
    with raw_server(lambda number, asked: [20.0]) as server:
        hook = connect(server.api_base)
        thread = when(lambda: server.asked, hook.stop)
        started = time.monotonic()
        with pytest.raises(TaskStoppedError):
            hook.list_videos("p")
        assert time.monotonic() - started < SOON
        thread.join()


def test_the_body_of_an_answer_that_ends_its_connection_is_broken_off(connect: Callable[..., IinkedSignHook]) -> None:
    pieces: list[Piece] = [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 50\r\n\r\n{", 20.0]
    with raw_server(lambda number, asked: pieces) as server:
        hook = connect(server.api_base)
        thread = when(lambda: server.asked, lambda: (time.sleep(0.3), hook.stop())[1])
        started = time.monotonic()
        with pytest.raises(TaskStoppedError):
            hook.list_videos("p")
        assert time.monotonic() - started < SOON
        thread.join()


def test_a_deletion_on_its_way_is_completed(connect: Callable[..., IinkedSignHook]) -> None:
    with raw_server(lambda number, asked: [0.5, http(DELETED)]) as server:
        hook = connect(server.api_base)
        thread = when(lambda: server.asked, hook.stop)
        assert hook.delete_video("p", "v")["videos"] == DELETED["videos"]
        thread.join()
        with pytest.raises(TaskStoppedError):
            hook.list_videos("p")
    assert len(server.asked) == 1


def test_a_second_deletion_is_not_sent_after_a_stop(connect: Callable[..., IinkedSignHook]) -> None:
    def answer(number: int, asked: Asked) -> list[Piece]:
        hook.stop()
        return [http(DELETED)]

    with raw_server(answer) as server:
        hook = connect(server.api_base)
        hook.delete_video("p", "v")
        with pytest.raises(TaskStoppedError):
            hook.delete_video("p", "w")
    assert len(server.asked) == 1


@pytest.mark.parametrize("call", ["list", "delete"])
@pytest.mark.parametrize("start", [DRIP, b""], ids=["drips", "silent"])
def test_a_request_that_waits_for_its_connection_is_not_sent(
    start: bytes, call: str, connect: Callable[..., IinkedSignHook]
) -> None:
    with bad_handshake(start) as (port, asked):
        hook = connect(f"https://127.0.0.1:{port}")
        thread = when(asked.is_set, hook.stop)
        started = time.monotonic()
        with pytest.raises(TaskStoppedError) as caught:
            hook.list_videos("p") if call == "list" else hook.delete_video("p", "v")
        assert time.monotonic() - started < SOON
        assert caught.value.sent is False
        thread.join()


def test_a_connection_that_is_made_after_the_stop_carries_no_deletion(
    connect: Callable[..., IinkedSignHook], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes while the other side does not answer yet: there is nothing to break off then."""
    really = socket.create_connection

    def slow(*args: Any, **kwargs: Any) -> socket.socket:
        hook.stop()
        return really(*args, **kwargs)

    with raw_server(lambda number, asked: [http(DELETED)]) as server:
        hook = connect(server.api_base)
        monkeypatch.setattr("urllib3.util.connection.create_connection", slow)
        with pytest.raises(TaskStoppedError) as caught:
            hook.delete_video("p", "v")
        time.sleep(0.2)
    assert caught.value.sent is False
    assert server.asked == []


# --- handshakes that never end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [DRIP, b""], ids=["drips", "silent"])
@WAYS
def test_a_handshake_that_never_ends_is_cut_off_alike(
    ask: Callable[[], Any], start: bytes, connect: Callable[..., IinkedSignHook]
) -> None:
    with bad_handshake(start) as (port, asked):
        connect(f"https://127.0.0.1:{port}", timeout=0.5)
        started = time.monotonic()
        with pytest.raises(ServiceUnavailableError):
            ask()
        assert time.monotonic() - started < SOON
        assert asked.is_set()


def test_an_answer_arrives_over_a_connection_that_can_be_broken_off(connect: Callable[..., IinkedSignHook]) -> None:
    with raw_server(lambda number, asked: [http(listing("p", v="archived"))]) as server:
        hook = connect(server.api_base)
        assert [video.meeting_video_id for video in hook.list_videos("p")] == ["v"]
        assert [video.meeting_video_id for video in hook.list_videos("p")] == ["v"]
    assert server.sockets == 1
