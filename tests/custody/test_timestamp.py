"""Time stamps: asked for, checked against what was asked, verified later."""

from __future__ import annotations

import http.server
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_iinked.custody.errors import TimestampError
from airflow_provider_iinked.custody.timestamp import (
    load_certificates,
    read_timestamp,
    request_timestamp,
    timestamp_authority,
)
from tests.custody.sealed_archives import Authority

DATA = b"a seal's bytes"


@pytest.fixture(scope="module")
def answer(stamp):
    return stamp(DATA)


@pytest.fixture
def server(authority):
    """The authority behind HTTP; ``statuses`` are answered first."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, self.headers["Content-Type"]))
            status = statuses.pop(0) if statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            answer = authority.answer(body) if status == 200 else b"secret"
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments):
            pass

    statuses, asked = [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://user:hunter2@127.0.0.1:{listening.server_port}/stamp", statuses, asked
        listening.shutdown()
        thread.join()


def test_a_time_stamp_names_the_time(answer, roots):
    assert abs(read_timestamp(answer, DATA, roots) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_time_stamp_of_other_bytes_is_refused_with_and_without_certificates(answer, roots):
    for trusted in (roots, ()):
        with pytest.raises(TimestampError, match="of other bytes"):
            read_timestamp(answer, DATA + b"!", trusted)


def test_a_time_stamp_by_another_authority_is_refused(answer, tmp_path):
    other = load_certificates(Authority(tmp_path).root_pem)
    with pytest.raises(TimestampError, match="no trusted authority"):
        read_timestamp(answer, DATA, other)


def test_an_answer_to_another_request_is_refused(answer):
    with pytest.raises(TimestampError, match="another request"):
        request_timestamp(DATA, lambda request: answer)


def test_a_refused_request_is_an_error(authority, stamp):
    def corrupt(request: bytes) -> bytes:
        return authority.answer(
            request.replace(bytes.fromhex("0609608648016503040201"), bytes.fromhex("06096086480165030402ff"))
        )

    with pytest.raises(TimestampError):
        request_timestamp(DATA, corrupt)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_edit_of_an_answer_gives_another_time_or_another_error(answer, roots, data):
    at = data.draw(st.integers(0, len(answer) - 1))
    changed = bytearray(answer)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        time = read_timestamp(bytes(changed), DATA, roots)
    except TimestampError:
        return
    assert time == read_timestamp(answer, DATA, roots)


@pytest.mark.parametrize("pem", [b"", b"nothing"])
def test_a_certificate_that_cannot_be_read_is_refused(pem):
    with pytest.raises(TimestampError, match="cannot be read"):
        load_certificates(pem)


# --- over HTTP


def test_an_authority_is_asked_over_http(server, roots):
    url, _, asked = server
    assert read_timestamp(timestamp_authority(url)(DATA), DATA, roots)
    assert asked == [("/stamp", "application/timestamp-query")]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_another_status_is_an_error_that_quotes_neither_url_nor_answer(server, status):
    url, statuses, asked = server
    statuses.append(status)
    with pytest.raises(TimestampError, match=f"127.0.0.1 answered {status}") as caught:
        timestamp_authority(url)(DATA)
    assert "hunter2" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(asked) == 1


def test_an_authority_that_is_not_reached_is_an_error_without_the_url():
    with pytest.raises(TimestampError, match="not reached") as caught:
        timestamp_authority("http://user:hunter2@127.0.0.1:1/", timeout=2)(DATA)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://host/", "host", "https://"])
def test_a_url_that_is_no_http_url_is_refused_before_anything_is_sent(url):
    with pytest.raises(TimestampError, match="must begin with"):
        timestamp_authority(url)
