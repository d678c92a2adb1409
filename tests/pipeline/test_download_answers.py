"""A download, whatever the recording's host does: the whole copy is published, or nothing, and an error says why."""

from __future__ import annotations

import resource
import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.download import downloader
from airflow_provider_iinked.exceptions import StorageError, TransferError
from airflow_provider_iinked.simulator import Fault
from tests.servers import bytes_sent

SIZE = 200_000


@pytest.fixture
def one(chain):
    chain.package({"meeting_video_id": "v", "size": SIZE}, package_id="p")
    yield chain
    assert chain.ledger.credentials_seen_by_recordings_host == []


def published(chain, **arguments):
    """The copy is whole, under its name, with its record, and nothing else lies there."""
    (copy,) = chain.download("p", **arguments)
    assert (copy["size"], copy["sha256"]) == (SIZE, chain.sim.sha256("v"))
    assert chain.path("p", "v.mp4").read_bytes() == chain.sim.content("v")
    assert chain.names("p") == ["v.custody.json", "v.mp4"]
    return chain.ledger.requests(host="recordings")


def refused(chain, match, error=TransferError, **arguments):
    """Nothing is published, nothing is left behind, the error says why."""
    with pytest.raises(exceptions.IinkedSignError, match=match) as caught:
        chain.download("p", **arguments)
    assert type(caught.value) is error
    assert chain.names("p") == []
    assert "Copied and verified: none" in str(caught.value)
    return chain.ledger.requests(host="recordings")


# --- breaks -----------------------------------------------------------------------------------------------------------


def test_a_recording_is_fetched_in_one_request(one):
    (request,) = published(one)
    assert bytes_sent(request) == SIZE
    assert request.headers["accept-encoding"] == "identity"


def test_a_webm_recording_gets_its_own_suffix(one):
    one.sim.add_video("p", "w", container="webm")
    one.download("p", meeting_video_ids="w")
    assert one.names("p") == ["w.custody.json", "w.webm"]


def test_a_broken_transfer_goes_on_where_it_stopped(one):
    one.sim.faults.add(Fault(call="recording", kind="cut", after=100_000))
    first, second = published(one)
    assert second.headers["range"].startswith("bytes=")
    assert second.headers["range"] != "bytes=0-"
    assert second.headers["if-range"].startswith('"')
    assert second.status == 206
    assert bytes_sent(first) + bytes_sent(second) < 2 * SIZE


@pytest.mark.parametrize("kind", ["refuse", "reset"])
def test_a_connection_that_is_closed_at_once_is_opened_again(one, kind):
    one.sim.faults.add(Fault(call="recording", kind=kind))
    assert len(published(one)) == 2


def test_breaks_are_survived_as_long_as_there_is_progress(one):
    for number in range(1, 8):
        one.sim.faults.add(Fault(call="recording", kind="cut", after=20_000, on=number))
    assert len(published(one)) == 8


def test_breaks_without_progress_end_the_transfer(one):
    one.sim.faults.add(Fault(call="recording", kind="reset", on="always"))
    assert len(refused(one, match="after 3 tries")) == 3


WITHOUT_RESUMING = {
    "ranges ignored": {"accept_ranges": False},
    "no validator": {"etag": None, "last_modified": False},
    "a weak validator": {"etag": "weak", "last_modified": False},
    "a date too young to rely on": {"etag": None},
    "an ETag that changes between two requests": {"etag": "changing", "last_modified": False},
    "an ETag that changes and If-Range ignored": {"etag": "changing", "last_modified": False, "if_range": False},
    "a part from another place than asked for": {"lie_about_range": 10},
    "no Content-Length": {"content_length": False, "accept_ranges": False},
}


@pytest.mark.parametrize("quirks", WITHOUT_RESUMING.values(), ids=WITHOUT_RESUMING)
def test_a_broken_transfer_that_cannot_be_continued_starts_over(one, quirks):
    for name, value in quirks.items():
        setattr(one.sim.quirks, name, value)
    one.sim.faults.add(Fault(call="recording", kind="cut", after=100_000))
    assert published(one)[-1].status == 200


@pytest.mark.parametrize("if_range", [True, False], ids=["If-Range heeded", "If-Range ignored"])
def test_bytes_of_two_versions_are_never_mixed(one, if_range, monkeypatch):
    one.sim.quirks.if_range = if_range
    one.sim.faults.add(Fault(call="recording", kind="cut", after=100_000))

    def change(failures):
        one.sim.change_content("v")
        monkeypatch.setattr(downloader, "backoff", lambda failures: 0.01)
        return 0.01

    monkeypatch.setattr(downloader, "backoff", change)
    published(one)


def test_a_stall_beyond_the_timeout_is_a_break(one, connect):
    connect(timeout=1.5, max_retries=2)
    one.sim.faults.add(Fault(call="recording", kind="stall", seconds=60.0))
    assert len(published(one)) == 2


# --- lengths ----------------------------------------------------------------------------------------------------------


def test_without_content_length_the_apis_size_is_relied_on(one):
    one.sim.quirks.content_length = False
    published(one)


def test_without_content_length_a_cut_is_noticed_by_the_apis_size(one):
    one.sim.quirks.content_length = one.sim.quirks.accept_ranges = False
    one.sim.faults.add(Fault(call="recording", kind="cut", after=150_000, on="always"))
    refused(one, match="after 3 tries")


@pytest.mark.parametrize("how", ["omitted", "null", "not checked"])
def test_without_any_length_nothing_is_published(one, how):
    one.sim.quirks.content_length = False
    if how != "not checked":
        setattr(one.sim.quirks, "omit_fields" if how == "omitted" else "null_fields", "size")
    refused(one, match="neither the API nor", check_size=how != "not checked")


@pytest.mark.parametrize("lie", [-1, 1, 100_000])
@pytest.mark.parametrize("which", ["lie_about_size", "lie_about_length"])
def test_lengths_that_disagree_publish_nothing(one, which, lie):
    setattr(one.sim.quirks, which, lie)
    refused(one, match="length of the recording is in doubt")


@pytest.mark.parametrize("lie", [-1, 1])
def test_an_inexact_size_is_not_looked_at_without_check_size(one, lie):
    one.sim.quirks.lie_about_size = lie
    published(one, check_size=False)


def test_a_content_length_too_long_publishes_nothing(one):
    one.sim.quirks.lie_about_length = 10
    refused(one, match="after 3 tries", check_size=False)


def test_more_bytes_than_the_api_says_publish_nothing(one):
    one.sim.quirks.content_length = False
    one.sim.quirks.lie_about_size = -10
    refused(one, match="goes on after")


# --- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404, 410, "html"])
def test_a_url_that_expires_midway_is_fetched_again(one, status):
    one.sim.quirks.expired_status = status
    one.sim.faults.add(Fault(call="recording", kind="expire", after=100_000))
    requests = published(one)
    assert requests[-1].status == 206
    assert len(one.ledger.requests(call="list")) == 2


def test_urls_that_expire_again_and_again_are_fetched_again_as_long_as_there_is_progress(one):
    one.sim.quirks.expire_after_bytes = 40_000
    published(one)


def test_a_url_that_is_about_to_end_is_fetched_again_before_the_start(one):
    one.sim.url_lifetime = 5.0
    published(one)
    assert len(one.ledger.requests(call="list")) == 2


def test_urls_that_never_work_publish_nothing(one):
    one.sim.faults.add(Fault(call="recording", kind="status", status=403, body="<h1>no</h1>", on="always"))
    assert len(refused(one, match="with fresh URLs too")) == 4


def test_a_recording_that_vanishes_midway_publishes_nothing(one, monkeypatch):
    one.sim.faults.add(Fault(call="recording", kind="expire", after=100_000))

    def vanish(failures):
        one.sim.set_state("p", "v", "deleted")
        return 0.01

    monkeypatch.setattr(downloader, "backoff", vanish)
    refused(one, match="disappeared while it was being copied", error=exceptions.NotArchivedError)


def test_a_recording_without_a_url_publishes_nothing(one):
    one.sim.quirks.null_fields = "url"
    assert refused(one, match="no URL") == []


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_web_page_with_200_publishes_nothing(one):
    one.sim.quirks.html_with_200 = True
    refused(one, match="a page instead of a recording")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/octet-stream",
        "binary/octet-stream",
        "video/x-whatever",
        "text/html; charset=utf-8",
        "text/plain",
        "application/xml",
        "application/json",
    ],
)
def test_a_recording_with_an_odd_type_is_known_by_its_bytes(one, content_type):
    one.sim.quirks.content_type = content_type
    published(one)


def test_a_json_error_with_200_publishes_nothing(one):
    one.sim.faults.add(Fault(call="recording", kind="status", status=200, body={"error": "x" * SIZE}, on="always"))
    refused(one, match="in doubt|page instead")


def test_a_compressed_answer_publishes_nothing(one):
    one.sim.quirks.gzip = True
    refused(one, match="compressed")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("auth_type", ["api_key", "bearer"])
def test_a_redirect_to_another_host_is_followed_without_credentials(one, connect, status, auth_type):
    connect(auth_type=auth_type, max_retries=2)
    one.sim.quirks.redirect = status
    first, second = published(one)
    assert first.headers["host"] != second.headers["host"]
    assert second.path.startswith("/storage/")


def test_redirects_without_end_publish_nothing(one):
    one.sim.faults.add(Fault(call="recording", kind="redirect", status=302, location=one.sim.url("v"), on="always"))
    assert len(refused(one, match="redirects more than 5 times")) == 6


@pytest.mark.parametrize("location", ["http://recordings.example/v", "ftp://127.0.0.1/v", "file:///etc/passwd"])
def test_a_redirect_into_the_open_is_not_followed(one, location):
    one.sim.faults.add(Fault(call="recording", kind="redirect", status=302, location=location, on="always"))
    assert len(refused(one, match="not https")) == 1


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_counts_for_the_recordings_host_too(one, status):
    one.sim.faults.add(Fault(call="recording", kind="status", status=status, headers={"Retry-After": "1"}))
    started = time.monotonic()
    published(one)
    assert time.monotonic() - started >= 1.0


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_beyond_patience_publishes_nothing_and_says_when_to_come_back(one, status):
    one.sim.faults.add(Fault(call="recording", kind="status", status=status, headers={"Retry-After": "301"}))
    refused(one, match="come back in 301 s")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 504])
def test_a_host_in_trouble_is_asked_again(one, status):
    one.sim.faults.add(Fault(call="recording", kind="status", status=status))
    assert len(published(one)) == 2


@pytest.mark.parametrize("status", [400, 451])
def test_a_host_that_refuses_is_not_asked_again(one, status):
    one.sim.faults.add(Fault(call="recording", kind="status", status=status, on="always"))
    assert len(refused(one, match=f"HTTP {status}")) == 1


def test_a_disk_that_takes_no_more_says_so_in_its_own_words(one):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, limits[1]))
    try:
        refused(one, match="OSError: File too large", error=StorageError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    published(one)


def test_one_recording_that_cannot_be_fetched_does_not_keep_the_others(one):
    for video in ("w", "x"):
        one.sim.add_video("p", video)
    one.sim.faults.add(Fault(call="recording", kind="status", status=500, video_id="w", on="always"))
    with pytest.raises(TransferError, match="Copied and verified: v, x"):
        one.download("p")
    assert one.names("p") == ["v.custody.json", "v.mp4", "x.custody.json", "x.mp4"]
    one.sim.faults.clear()
    assert [copy["meeting_video_id"] for copy in one.download("p")] == ["v", "w", "x"]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("html", "UnexpectedAnswerError"), ("broken_json", "UnexpectedAnswerError"), ("reset", "ServiceUnavailableError")],
)
def test_without_a_list_nothing_is_fetched(one, kind, error):
    one.sim.faults.add(Fault(call="list", kind=kind, on="always"))
    with pytest.raises(getattr(exceptions, error)):
        one.download("p")
    assert one.ledger.requests(host="recordings") == []
