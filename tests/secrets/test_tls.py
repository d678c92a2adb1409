"""Only https, loopback aside; and no certificate error is ever ignored."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.exceptions import (
    CertificateError,
    ConnectionSettingsError,
    IinkedSignError,
    TransferError,
)
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator
from tests.secrets.hostile_server import hostile_server, make_certificate

LISTED = {"packageId": "p1", "videos": []}
MP4 = b"\0\0\0\x18ftypisom" + b"\0" * 500
# What an impatient administrator may try; only named extras are read.
LAX = {"verify": False, "verify_ssl": False, "ssl": False, "cert_reqs": "CERT_NONE"}


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)

    def set_connection(host: str, **extra: Any) -> None:
        value = {"conn_type": "iinked_sign", "host": host, "password": "k" * 20}
        value["extra"] = {"max_retries": 0, "timeout": 3, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", json.dumps(value))

    return set_connection


async def _alist() -> Any:
    hook = IinkedSignHook()
    try:
        return await hook.alist_videos("p1")
    finally:
        await hook.aclose()


CALLS = {
    "worker": lambda: IinkedSignHook().list_videos("p1"),
    "triggerer": lambda: asyncio.run(_alist()),
    "deletion": lambda: IinkedSignHook().delete_video("p1", "v1"),
}
BAD_CERTIFICATES = {"self-signed": {}, "for another host": {"name": "sign.syngrafii.com"}, "ended": {"days": -1}}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_a_bad_certificate_of_the_api_is_refused(kind: str, call: str, tmp_path: Path, connect: Any) -> None:
    certificate = make_certificate(tmp_path / "server.pem", **BAD_CERTIFICATES[kind])
    with hostile_server(lambda path: LISTED, tls=certificate) as (origin, asked):
        connect(origin, **LAX)
        with pytest.raises(CertificateError):
            CALLS[call]()
    assert asked == [], "the request, and the key in it, was sent"


@pytest.mark.parametrize("kind", ["for another host", "ended"])
def test_trusting_its_issuer_does_not_mend_a_bad_certificate(
    kind: str, tmp_path: Path, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path / "server.pem", **BAD_CERTIFICATES[kind])
    with hostile_server(lambda path: LISTED, tls=certificate) as (origin, asked):
        connect(origin)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with pytest.raises(CertificateError):
            CALLS["worker"]()
    assert asked == []


@pytest.mark.parametrize("call", ["worker", "triggerer"])
def test_a_certificate_of_a_trusted_issuer_is_accepted(
    call: str, tmp_path: Path, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusals above are about the certificate, not about the server."""
    certificate = make_certificate(tmp_path / "server.pem")
    with hostile_server(lambda path: LISTED, tls=certificate) as (origin, asked):
        connect(origin)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert CALLS[call]() == []
    assert len(asked) == 1


def _download(url: str, tmp_path: Path, connect: Any) -> None:
    video = {"meetingVideoId": "v1", "state": "archived", "size": len(MP4), "url": url}
    with hostile_server(lambda path: {"packageId": "p1", "videos": [video]}) as (api, _):
        connect(f"{api}/api/v1")
        IinkedDownloadVideosOperator(
            task_id="download", package_id="p1", destination=f"file://{tmp_path}/copies"
        ).execute({})


@pytest.mark.parametrize("kind", BAD_CERTIFICATES)
def test_a_bad_certificate_of_a_recordings_host_is_refused(
    kind: str, tmp_path: Path, quick: None, connect: Any
) -> None:
    certificate = make_certificate(tmp_path / "server.pem", **BAD_CERTIFICATES[kind])
    with hostile_server(lambda path: MP4, tls=certificate) as (origin, asked), pytest.raises(TransferError):
        _download(f"{origin}/video?access=abc", tmp_path, connect)
    assert asked == []
    assert not list((tmp_path / "copies").rglob("*.mp4"))


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/video?access=abc",
        "http://sign.syngrafii.com/video",
        "http://localhost.example.com/video",
        "http://localhost@192.0.2.1/video",
        "http://127.0.0.1.example.com/video",
        "ftp://localhost/video",
        "file:///etc/hostname",
        "//192.0.2.1/video",
        "https://[::1",
        "javascript:alert(1)",
        "HTTP://192.0.2.1/",
    ],
)
def test_a_recording_is_fetched_over_https_only(
    url: str, tmp_path: Path, quick: None, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[Any] = []
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: looked_up.append(host) or resolve(host, *a, **k))
    with pytest.raises(IinkedSignError, match="not https"):
        _download(url, tmp_path, connect)
    assert set(looked_up) <= {"localhost"}, "another host was looked up"
    assert not list((tmp_path / "copies").rglob("*.mp4"))


@pytest.mark.parametrize(
    "host", ["http://sign.syngrafii.com", "http://192.0.2.1/api/v1", "ftp://localhost", "http://0"]
)
def test_the_api_is_spoken_to_over_https_only(host: str, connect: Any) -> None:
    connect(host)
    with pytest.raises(ConnectionSettingsError):
        IinkedSignHook().list_videos("p1")


def test_the_key_stays_out_of_plain_http_for_any_call() -> None:
    """Requests hold paths only; the host comes from the connection alone."""
    for request in (protocol.list_videos("p1"), protocol.get_package("p1"), *protocol.delete_video("p1", "v1")):
        assert request.path.startswith("/packages/")
