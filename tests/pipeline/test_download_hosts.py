"""A download from hosts as they are: signed text, odd headers, slow answers, proxies; and its end when stopped."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.download.http import follow, request_target
from airflow_provider_iinked.simulator import Fault
from tests.conftest import when
from tests.pipeline.recording_host import RECORDING, SIZE, head, proxy, raw_host
from tests.servers.certificates import make_certificates


@pytest.fixture
def host():
    with raw_host() as host:
        yield host


@pytest.fixture
def listed(chain, host):
    """The simulator lists one recording, whose URL leads to the raw host."""

    class Listed:
        sim = chain.sim
        names = staticmethod(chain.names)
        path = staticmethod(chain.path)
        download = staticmethod(chain.download)
        destination = chain.destination

        @staticmethod
        def at(target, base=f"http://127.0.0.1:{host.port}"):
            chain.sim.set_fields("p", "v", url=f"{base}{target}", timeUrlExpires="2099-01-01T00:00:00Z")

    chain.package({"meeting_video_id": "v", "size": SIZE}, package_id="p")
    Listed.at("/v")
    return Listed


def whole(listed):
    (copy,) = listed.download("p")
    assert listed.path("p", "v.mp4").read_bytes() == RECORDING
    return copy


# --- the signed text --------------------------------------------------------------------------------------------------

SIGNED = [
    "/v?sig=a%2bB%2Fc",
    "/v%7Ename/%2D?sig=%7E%2b",
    "/a/../b/./v?sig=1",
    "/a//b?x={1}|2&sig=[3]",
    "/v?x='(1)!*&y=\"<>^`\\",
    "/v?",
    "/v?a=1?b=2",
    "/vidéo/ü?sig=ß&x=日本",
    "/v?sig=%zz%",
    "?sig=1",
]


@pytest.mark.parametrize("target", SIGNED)
def test_a_signed_url_is_sent_byte_for_byte(listed, host, target):
    listed.at(target)
    whole(listed)
    sent = target if target.startswith("/") else f"/{target}"
    assert host.targets == [sent.encode()]


@pytest.mark.parametrize("target", SIGNED)
def test_a_redirect_leads_byte_for_byte_where_it_says(listed, host, target):
    def answer(connection, request):
        location = f"http://127.0.0.1:{host.port}{target}".encode()
        if len(host.heads) == 1:
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.sendall(head() + RECORDING)

    host.answer = answer
    whole(listed)
    sent = target if target.startswith("/") else f"/{target}"
    assert host.targets[1:] == [sent.encode()]


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/x/../y?z=%7e", "https://host.example:8443/x/../y?z=%7e"),
        ("//other.example/%2B", "https://other.example/%2B"),
        ("https://other.example/a//b?", "https://other.example/a//b?"),
        ("w?sig=%2b", "https://host.example:8443/a/w?sig=%2b"),
        ("/v\xc3\xbc", "https://host.example:8443/vü"),
    ],
)
def test_a_redirect_is_resolved_without_normalising_it(location, leads_to):
    assert follow("https://host.example:8443/a/v?sig=1", location) == leads_to


@pytest.mark.parametrize("location", ["http://host.example/v", "//[half", "ftp://host.example/v"])
def test_a_redirect_from_https_to_anything_else_is_refused(location):
    with pytest.raises(exceptions.TransferError):
        follow("https://host.example/v", location)


@pytest.mark.parametrize("url", ["https://h/a\r\nX-Injected: 1", "https://h/\x00", "https://h/a\x7f"])
def test_a_url_that_would_break_the_request_is_refused(url):
    with pytest.raises(exceptions.TransferError, match="control characters"):
        request_target(url)


def test_a_space_is_the_only_thing_that_is_quoted_and_a_fragment_is_not_sent():
    assert request_target("https://h/a b?c d%20#t=10") == "/a%20b?c%20d%20"


def test_a_proxy_passes_the_signed_text_on_as_it_is(listed, host, monkeypatch):
    target = "/a/../v%7E?sig=%2b|ü"
    listed.at(target, base=f"http://localhost:{host.port}")
    with proxy() as server:
        monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{server.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        whole(listed)
    assert server.targets == [f"http://localhost:{host.port}{target}".encode()]
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in server.heads[0]
    assert host.targets == [target.encode()]


def test_over_https_a_proxy_only_connects(listed, monkeypatch, tmp_path):
    made = make_certificates(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.chain, made.key)
    with raw_host(tls) as secure, proxy() as server:
        listed.at("/v%7E?sig=%2b", base=f"https://localhost:{secure.port}")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.ca))
        whole(listed)
    assert server.heads[0].startswith(f"CONNECT localhost:{secure.port} ".encode())
    assert b"sig" not in server.heads[0]
    assert secure.targets == [b"/v%7E?sig=%2b"]


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["aws-chunked", "utf-8", "binary", "none", "identity", "", "aws-chunked,utf-8"])
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "text/html", "application/json", "video/mp4"])
def test_headers_that_say_nothing_about_the_bytes_do_not_matter(listed, host, encoding, kind):
    lines = [f"Content-Type: {kind}", *([f"Content-Encoding: {encoding}"] if encoding else [])]
    host.answer = lambda connection, _: connection.sendall(head(*lines) + RECORDING)
    whole(listed)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "zstd", "GZIP", "aws-chunked, gzip"])
def test_a_real_compression_is_refused_by_name(listed, host, encoding):
    host.answer = lambda connection, _: connection.sendall(head(f"Content-Encoding: {encoding}") + RECORDING)
    name = encoding.rpartition(" ")[2].lower()
    with pytest.raises(exceptions.TransferError, match=f"compressed \\({name}\\)"):
        listed.download("p")
    assert listed.names("p") == []


def test_bytes_that_really_are_framed_by_aws_chunked_are_no_recording(listed, host):
    framed = b"c350;chunk-signature=0\r\n" + RECORDING
    answer = head("Content-Encoding: aws-chunked", length=len(framed)) + framed
    host.answer = lambda connection, _: connection.sendall(answer)
    listed.sim.set_fields("p", "v", size=len(framed))
    with pytest.raises(exceptions.TransferError, match="no video container"):
        listed.download("p")


@pytest.mark.parametrize("pieces", [1, 5, 11, 63])
def test_the_verdict_does_not_depend_on_how_the_first_bytes_arrive(listed, host, pieces):
    def answer(connection, _):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head("Content-Type: text/html"))
        for at in range(0, 70, pieces):
            connection.sendall(RECORDING[at : min(at + pieces, 70)])
            time.sleep(0.002)
        connection.sendall(RECORDING[70:])

    host.answer = answer
    whole(listed)


# --- hosts that drip, and the end of a task ---------------------------------------------------------------------------


LONG = 120.0
"""Seconds that these hosts go on for: what ends long before has been ended."""


def drip(start=b""):
    def answer(connection, _):
        connection.sendall(start)
        for at in range(int(LONG / 0.05)):
            connection.sendall(RECORDING[at : at + 1] if start else b"H")
            time.sleep(0.05)

    return answer


def silent(connection, _):
    connection.sendall(head() + RECORDING[:1000])
    connection.settimeout(LONG)
    if not connection.recv(1):
        raise ConnectionError


def mute(connection, _):
    connection.settimeout(LONG)
    if not connection.recv(1):
        raise ConnectionError


SLOW = {
    "a body that drips": drip(head()),
    "a head that drips": drip(),
    "a body that stops": silent,
    "no answer at all": mute,
}


def dripping_handshake(connection, _):
    """The beginning of a TLS record of 16 KiB, whose bytes follow one at a time."""
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while True:
        time.sleep(0.05)
        connection.sendall(b"\x02")


HANDSHAKES = {"a handshake that drips": dripping_handshake, "a silent handshake": mute}
KINDS = pytest.mark.parametrize(
    ("answer", "scheme"),
    [*((answer, "http") for answer in SLOW.values()), *((answer, "https") for answer in HANDSHAKES.values())],
    ids=[*SLOW, *HANDSHAKES],
)


def after_a_moment_of(host, act):
    """Act soon after the host has begun to answer."""
    return when(lambda: host.heads, lambda: (time.sleep(0.3), act()))


@pytest.fixture
def operator(listed, connect):
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    connect(timeout=LONG, max_retries=2)
    return IinkedDownloadVideosOperator(task_id="download", package_id="p", destination=listed.destination)


@KINDS
def test_execution_timeout_ends_the_task_whatever_the_host_does(listed, host, operator, answer, scheme):
    host.answer, host.any_message = answer, scheme == "https"
    listed.at("/v", base=f"{scheme}://127.0.0.1:{host.port}")

    def time_out(*_):
        raise AirflowTaskTimeout

    before = signal.signal(signal.SIGALRM, time_out)
    timer = after_a_moment_of(host, lambda: os.kill(os.getpid(), signal.SIGALRM))
    started = time.monotonic()
    try:
        with pytest.raises(AirflowTaskTimeout):
            operator.execute({})
    finally:
        timer.join()
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < LONG / 2
    assert listed.names("p") == []
    assert host.gone.wait(LONG / 4), "the connection stays open"


@KINDS
def test_on_kill_in_a_signal_handler_ends_the_download_whatever_the_host_does(listed, host, operator, answer, scheme):
    host.answer, host.any_message = answer, scheme == "https"
    listed.at("/v", base=f"{scheme}://127.0.0.1:{host.port}")
    before = signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
    killed = []

    def kill():
        killed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    timer = after_a_moment_of(host, kill)
    try:
        with pytest.raises(exceptions.IinkedSignError, match="stopped"):
            operator.execute({})
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - killed[0] < LONG / 2
    assert listed.names("p") == []
    assert host.gone.wait(LONG / 4), "the connection stays open"


def test_a_head_that_drips_is_cut_off(listed, host, connect):
    """The body may take as long as it takes; the head has the connection's timeout."""
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    connect(timeout=0.5, max_retries=0)
    host.answer = drip()
    operator = IinkedDownloadVideosOperator(task_id="download", package_id="p", destination=listed.destination)
    with pytest.raises(exceptions.TransferError, match="TimeoutError"):
        operator.execute({})
    assert host.gone.wait(LONG / 4), "the connection stays open"


def test_a_body_that_takes_longer_than_the_timeout_is_copied(listed, host, connect):
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    def answer(connection, _):
        connection.sendall(head())
        for at in range(0, SIZE, SIZE // 10):
            time.sleep(0.15)
            connection.sendall(RECORDING[at : at + SIZE // 10])

    connect(timeout=0.7, max_retries=0)
    host.answer = answer
    operator = IinkedDownloadVideosOperator(task_id="download", package_id="p", destination=listed.destination)
    assert len(operator.execute({})) == 1
    assert len(host.heads) == 1


def test_on_kill_cleans_up_although_the_api_holds_the_tasks_own_thread(chain, connect):
    """A recording waits for a fresh URL, its temporary file half full, and the API does not answer."""
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    connect(timeout=5, max_retries=1)
    chain.package("v", package_id="p")
    chain.sim.faults.add(Fault(call="recording", kind="expire", after=100_000))
    chain.sim.faults.add(Fault(call="list", kind="stall", seconds=5, on=2))
    operator = IinkedDownloadVideosOperator(task_id="download", package_id="p", destination=chain.destination)
    seen = []

    def kill():
        seen.append(chain.names("p"))
        operator.on_kill()
        until = time.monotonic() + 4  # less than the API's silence
        while chain.names("p") and time.monotonic() < until:
            time.sleep(0.01)
        seen.append(chain.names("p"))

    killer = when(lambda: len(chain.ledger.requests(call="list")) == 2, kill)
    with pytest.raises(exceptions.IinkedSignError):
        operator.execute({})
    killer.join()
    assert [name.endswith(".part") for name in seen[0]] == [True]
    assert seen[1:] == [[]], "the clean-up does not wait for the API"
    assert chain.names("p") == []


def test_nothing_is_published_after_on_kill(chain, monkeypatch):
    """The stop comes between the last byte and the publication."""
    from airflow_provider_iinked.download.recording import RecordingCopy
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    chain.package("v", "w", package_id="p")
    operator = IinkedDownloadVideosOperator(
        task_id="download", package_id="p", destination=chain.destination, max_parallel=1
    )
    publish = RecordingCopy._publish

    def stopped(self, *arguments):
        operator.on_kill()
        publish(self, *arguments)

    monkeypatch.setattr(RecordingCopy, "_publish", stopped)
    with pytest.raises(exceptions.IinkedSignError, match="stopped"):
        operator.execute({})
    assert chain.names("p") == []
    assert len(chain.ledger.requests(host="recordings")) == 1


@pytest.mark.parametrize("lag", [0, 0.3], ids=["", "the task's own thread lags behind the worker"])
def test_a_copy_that_is_published_while_the_task_is_stopped_gets_its_record(chain, monkeypatch, lag):
    from airflow_provider_iinked.download.publication import Publisher
    from airflow_provider_iinked.download.workers import WorkerPool
    from airflow_provider_iinked.operators.videos import IinkedDownloadVideosOperator

    chain.package("v", package_id="p")
    operator = IinkedDownloadVideosOperator(task_id="download", package_id="p", destination=chain.destination)
    publish = Publisher.publish

    def stopped(self, *arguments):
        published = publish(self, *arguments)
        operator.on_kill()
        time.sleep(0.5)  # the task's own thread has seen it by now, and waits for the workers
        return published

    submit = WorkerPool.submit

    def late(self, call):
        future = submit(self, call)
        if threading.current_thread() is threading.main_thread():
            time.sleep(lag)
        return future

    monkeypatch.setattr(WorkerPool, "submit", late)
    monkeypatch.setattr(Publisher, "publish", stopped)
    with pytest.raises(exceptions.IinkedSignError, match="stopped"):
        operator.execute({})
    assert chain.names("p") == ["v.custody.json", "v.mp4"]


# --- clean-up and moved folders -------------------------------------------------------------------------------------


def test_a_clean_up_that_fails_is_a_warning_and_hides_nothing(chain, monkeypatch, caplog):
    from airflow_provider_iinked.storage.local import LocalUpload

    chain.package("v", "w", package_id="p")
    chain.sim.faults.add(Fault(call="recording", kind="cut", after=50_000, video_id="v"))
    chain.sim.faults.add(Fault(call="recording", kind="status", status=451, video_id="v", on=range(2, 9)))
    discard = LocalUpload.discard

    def failing(self):
        if "/v." in self.url:
            raise OSError(5, "no")
        discard(self)

    monkeypatch.setattr(LocalUpload, "discard", failing)
    with pytest.raises(exceptions.TransferError, match=r"v: .*HTTP 451.*verified: w"):
        chain.download("p", max_parallel=1)
    assert "could not be removed (OSError: Input/output error)" in caplog.text
    assert {"w.custody.json", "w.mp4"} <= set(chain.names("p"))


def test_a_folder_that_was_moved_as_a_whole_is_judged_by_where_it_is_now(any_chain, tmp_path):
    any_chain.package("v", package_id="p")
    any_chain.download("p")
    moved = any_chain.folder.with_name("moved")
    any_chain.folder.rename(moved)
    destination = any_chain.destination.replace(str(any_chain.folder), str(moved))
    (copy,) = any_chain.download("p", destination=destination)
    assert (copy["uri"], copy["custody_uri"]) == (f"{destination}/p/v.mp4", f"{destination}/p/v.custody.json")
    assert len(any_chain.ledger.requests(host="recordings")) == 1
    assert sorted(path.name for path in (moved / "p").iterdir()) == ["v.custody.json", "v.mp4"]


def test_a_moved_copy_that_no_longer_agrees_is_quarantined_and_downloaded_again(any_chain):
    any_chain.package("v", package_id="p")
    any_chain.download("p")
    moved = any_chain.folder.with_name("moved")
    any_chain.folder.rename(moved)
    copy = moved / "p" / "v.mp4"
    copy.write_bytes(copy.read_bytes()[:-1] + b"!")
    destination = any_chain.destination.replace(str(any_chain.folder), str(moved))
    (again,) = any_chain.download("p", destination=destination)
    assert again["sha256"] == any_chain.sim.sha256("v")
    assert copy.read_bytes() == any_chain.sim.content("v")
    assert len([path for path in (moved / "p").iterdir() if ".set-aside-" in path.name]) == 2
