"""How a host is reached: what the environment says, and what it says wrongly, alike for worker and triggerer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.api import network, sync_client
from airflow_provider_iinked.api.network import CA_VARIABLES, find_route, require_async_proxy
from airflow_provider_iinked.exceptions import (
    CertificateError,
    ConnectionSettingsError,
    IinkedSignError,
    ServiceUnavailableError,
    UnexpectedAnswerError,
)
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from tests.conftest import when
from tests.secrets.hostile_server import hostile_server, make_certificate
from tests.servers.raw import Asked, Piece, RawServer, http, listing, raw_server

PROXY_VARIABLES = [
    variant for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") for variant in (name, name.upper())
]
LISTED = {"packageId": "p", "videos": []}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, *CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    # Loopback is on the list of hosts without a proxy by itself on some systems.
    monkeypatch.setattr("requests.utils.proxy_bypass", lambda host: False)


def connect(monkeypatch: pytest.MonkeyPatch, host: str, **extra: Any) -> None:
    value = {"conn_type": "iinked_sign", "host": host, "password": "k" * 20}
    value["extra"] = {"max_retries": 0, "timeout": 5, **extra}
    monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", json.dumps(value))


def by_worker() -> Any:
    hook = IinkedSignHook()
    try:
        return hook.list_videos("p")
    finally:
        hook.close()


def by_triggerer() -> Any:
    async def run() -> Any:
        hook = IinkedSignHook()
        try:
            return await hook.alist_videos("p")
        finally:
            await hook.aclose()

    return asyncio.run(run())


WAYS = pytest.mark.parametrize("ask", [by_worker, by_triggerer])

# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["127.0.0.1:{port}", "//127.0.0.1:{port}", "http://127.0.0.1:{port}"])
@WAYS
def test_a_proxy_is_used_with_and_without_a_scheme(
    ask: Callable[[], Any], spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(lambda number, asked: [http(LISTED)]) as server:
        connect(monkeypatch, "http://api.localhost")
        monkeypatch.setenv("http_proxy", spelling.format(port=server.port))
        assert ask() == []
    assert [asked.path for asked in server.asked] == ["http://api.localhost/api/v1/packages/p/videos"]


@pytest.mark.parametrize("proxy", ["ftp://user:secret@proxy:1", "htps://proxy", "http://", "http://proxy:99999"])
@WAYS
def test_a_proxy_that_nobody_can_speak_to_is_a_problem_of_its_variable(
    ask: Callable[[], Any], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "https://api.example.com")
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(ConnectionSettingsError, match=r"HTTPS_PROXY.*Nothing was sent") as caught:
        ask()
    assert "secret" not in str(caught.value)
    assert "retry" not in str(caught.value)


def test_a_socks_proxy_is_refused_by_the_triggerer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("all_proxy", "socks5://user:secret@proxy:1")
    route = find_route("https://api.example.com")
    assert route.proxy == "socks5://user:secret@proxy:1"
    assert "secret" not in repr(route)
    with pytest.raises(ConnectionSettingsError, match=r"all_proxy.*deferrable=False") as caught:
        require_async_proxy(route)
    assert "secret" not in str(caught.value)


@WAYS
def test_a_proxy_that_is_not_reached_is_named_by_its_variable(
    ask: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    connect(monkeypatch, "http://api.localhost")
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")
    with pytest.raises(ServiceUnavailableError, match="the proxy that http_proxy names") as caught:
        ask()
    assert "secret" not in str(caught.value)
    assert caught.value.sent is False


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", CA_VARIABLES)
@WAYS
def test_a_ca_bundle_that_is_not_there_is_named_with_its_variable(
    ask: Callable[[], Any], variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "https://localhost:1")
    monkeypatch.setenv(variable, str(tmp_path / "missing.pem"))
    with pytest.raises(ConnectionSettingsError, match=rf"missing\.pem \(named by {variable}\).*Nothing was sent") as e:
        ask()
    assert "retry" not in str(e.value)


@WAYS
def test_a_ca_bundle_that_holds_no_certificate_is_named(
    ask: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "https://localhost:1")
    (tmp_path / "empty.pem").write_text("nothing here")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    with pytest.raises(ConnectionSettingsError, match=r"empty\.pem \(named by SSL_CERT_FILE\)"):
        ask()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
@WAYS
def test_each_variable_that_names_a_bundle_counts(
    ask: Callable[[], Any], variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path / "server.pem")
    with hostile_server(lambda path: LISTED, tls=certificate) as (origin, _):
        connect(monkeypatch, origin)
        monkeypatch.setenv(variable, str(certificate))
        assert ask() == []


@WAYS
def test_a_certificate_error_names_the_bundle_and_advises_no_retry(
    ask: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path / "server.pem")
    other = make_certificate(tmp_path / "other.pem", name="other.example")
    with hostile_server(lambda path: LISTED, tls=certificate) as (origin, asked):
        connect(monkeypatch, origin)
        monkeypatch.setenv("SSL_CERT_FILE", str(other))
        with pytest.raises(CertificateError, match=r"other\.pem \(named by SSL_CERT_FILE\)") as caught:
            ask()
    assert "retry" not in str(caught.value)
    assert asked == []


# --- answers that drip ------------------------------------------------------------------------------------------------


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes, float, float], RawServer]]:
    """Serve an answer byte by byte, for ever."""
    with contextlib.ExitStack() as stack:

        def serve(start: bytes, pause: float, timeout: float) -> RawServer:
            pieces: list[Piece] = [start, *[piece for _ in range(1200) for piece in (pause, b"x")]]
            server = stack.enter_context(raw_server(lambda number, asked: pieces))
            connect(monkeypatch, server.api_base, timeout=timeout)
            return server

        yield serve


@pytest.mark.parametrize(
    ("start", "timeout", "at_most"),
    [
        (b"HTTP/1.1 200 OK\r\nx-drip: ", 1.0, 9.0),  # the head: cut off after `timeout`
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", 0.3, 50.0),  # the body: after ten times that
    ],
    ids=["head", "body"],
)
@WAYS
def test_an_answer_that_drips_is_cut_off_alike(
    ask: Callable[[], Any],
    start: bytes,
    timeout: float,
    at_most: float,
    dripping: Callable[[bytes, float, float], RawServer],
) -> None:
    dripping(start, 0.05, timeout)
    begun = time.monotonic()
    with pytest.raises(ServiceUnavailableError):
        ask()
    assert time.monotonic() - begun < at_most


@WAYS
def test_an_answer_that_is_too_long_is_refused_alike(ask: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_iinked.api.sync_client.MAX_BODY", 100)
    monkeypatch.setattr("airflow_provider_iinked.api.async_client.MAX_BODY", 100)
    with raw_server(lambda number, asked: [http(listing("p", **{f"v{n}": "archived" for n in range(20)}))]) as server:
        connect(monkeypatch, server.api_base)
        with pytest.raises(UnexpectedAnswerError, match="longer than 100 bytes"):
            ask()


def test_a_request_in_flight_is_broken_off_by_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(lambda number, asked: [120.0]) as server:
        connect(monkeypatch, server.api_base, timeout=100)
        hook = IinkedSignHook()
        assert hook.client is not None
        when(lambda: server.asked, hook.abort)
        begun = time.monotonic()
        with pytest.raises(IinkedSignError):
            hook.list_videos("p")
    assert time.monotonic() - begun < 60


# --- idle connections -------------------------------------------------------------------------------------------------


def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall may have dropped it silently: a request on it would wait for its whole timeout."""
    answered: list[int] = []

    def answer(number: int, asked: Asked) -> list[Piece]:
        answered.append(number)
        return [http(LISTED)]

    class Clock:
        offset = 0.0
        time = staticmethod(time.time)

        def monotonic(self) -> float:
            return real.monotonic() + self.offset

    real = time
    clock = Clock()
    monkeypatch.setattr(sync_client, "time", clock)
    with raw_server(answer) as server:
        connect(monkeypatch, server.api_base)
        hook = IinkedSignHook()
        hook.list_videos("p")
        hook.list_videos("p")
        assert server.sockets == 1
        clock.offset = network.MAX_IDLE + 1
        hook.list_videos("p")
        assert server.sockets == 2
        hook.close()
    assert len(answered) == 3


def test_no_environment_names_no_proxy_and_the_default_bundle() -> None:
    route = find_route("https://api.example.com")
    assert route.proxy is None
    assert os.path.exists(route.ca_bundle)
    assert route.ca_variable is None
