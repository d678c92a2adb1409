"""What answers of a recording's host mean, and what a video's first bytes look like."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.download import log_masking
from airflow_provider_iinked.download.errors import partial_failure_error
from airflow_provider_iinked.download.hashing import BackgroundSha256
from airflow_provider_iinked.download.http import check_recording_url
from airflow_provider_iinked.download.log_masking import secrets_of
from airflow_provider_iinked.download.progress import describe
from airflow_provider_iinked.download.response import DownloadResponse, ResponseAction, classify_response, known_total
from airflow_provider_iinked.media.container import container_suffix, looks_like_page

ETAG = '"abc"'


def meaning(status, offset=0, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify_response(DownloadResponse(status, named), offset=offset, validator=ETAG, total=100).name


@pytest.mark.parametrize(
    ("status", "fresh", "continued"),
    [
        (200, "WHOLE", "WHOLE"),
        (401, "NEW_URL", "NEW_URL"),
        (403, "NEW_URL", "NEW_URL"),
        (404, "NEW_URL", "NEW_URL"),
        (410, "NEW_URL", "NEW_URL"),
        (408, "TRY_AGAIN", "TRY_AGAIN"),
        (429, "TRY_AGAIN", "TRY_AGAIN"),
        (500, "TRY_AGAIN", "TRY_AGAIN"),
        (503, "TRY_AGAIN", "TRY_AGAIN"),
        (206, "GIVE_UP", "START_OVER"),
        (416, "GIVE_UP", "START_OVER"),
        (204, "GIVE_UP", "GIVE_UP"),
        (304, "GIVE_UP", "GIVE_UP"),
        (400, "GIVE_UP", "GIVE_UP"),
        (451, "GIVE_UP", "GIVE_UP"),
    ],
)
def test_a_status_says_what_to_do(status, fresh, continued):
    assert (meaning(status), meaning(status, offset=40)) == (fresh, continued)


@pytest.mark.parametrize(
    ("content_range", "etag", "expected"),
    [
        ("bytes 40-99/100", ETAG, "REST"),
        ("bytes 40-99/*", ETAG, "REST"),
        ("bytes 40-99/100", '"other"', "START_OVER"),
        ("bytes 40-99/100", "", "START_OVER"),
        ("bytes 40-99/101", ETAG, "START_OVER"),
        ("bytes 41-99/100", ETAG, "START_OVER"),
        ("bytes 0-99/100", ETAG, "START_OVER"),
        ("garbage", ETAG, "START_OVER"),
    ],
)
def test_a_part_continues_only_what_it_belongs_to(content_range, etag, expected):
    assert meaning(206, offset=40, content_range=content_range, etag=etag) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"etag": '"abc"'}, '"abc"'),
        ({"etag": 'W/"abc"'}, None),
        ({"etag": '""'}, None),
        ({"etag": "abc"}, None),
        ({}, None),
        (
            {"last-modified": "Mon, 01 Jan 2024 00:00:00 GMT", "date": "Mon, 01 Jan 2024 00:01:00 GMT"},
            "Mon, 01 Jan 2024 00:00:00 GMT",
        ),
        ({"last-modified": "Mon, 01 Jan 2024 00:00:00 GMT", "date": "Mon, 01 Jan 2024 00:00:59 GMT"}, None),
        ({"last-modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, None),
        ({"last-modified": "garbage", "date": "garbage"}, None),
    ],
)
def test_only_a_strong_validator_is_relied_on(headers, expected):
    assert DownloadResponse(200, headers).validator == expected


@pytest.mark.parametrize(
    ("length", "expected", "total"),
    [
        ("100", 100, 100),
        ("100", None, 100),
        (None, 100, 100),
        ("0", 0, 0),
        ("100", 101, None),
        (None, None, None),
        ("-5", None, None),
        ("1e3", None, None),
    ],
)
def test_at_least_one_length_is_known_and_all_agree(length, expected, total):
    headers = {} if length is None else {"content-length": length}
    found, problem = known_total(DownloadResponse(200, headers), expected)
    assert (found, problem is None) == (total, total is not None)


def test_the_length_of_a_chunked_answer_is_not_believed():
    assert DownloadResponse(200, {"content-length": "5", "transfer-encoding": "chunked"}).length is None


@pytest.mark.parametrize(
    ("start", "suffix"),
    [
        (b"\0\0\0\x20ftypisom\0\0\0\0", ".mp4"),
        (b"\0\0\0\x20ftypqt  \0\0\0\0", ".mov"),
        (b"\0\0\0\x08moov0000", ".mp4"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0webm", ".webm"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0\0\x42\x82\x88matroska", ".mkv"),
        (b"RIFF0000AVI LIST", ".avi"),
        (b"OggS00000000", ".ogv"),
        (b"<!DOCTYPE html>", None),
        (b'{"error": "x"}', None),
        (b"", None),
        (b"PK\x03\x04aaaaaaaaaa", None),
        (b"plain text that goes on", None),
    ],
)
def test_a_video_container_is_known_by_its_first_bytes(start, suffix):
    assert container_suffix(start) == suffix


@pytest.mark.parametrize(
    ("start", "content_type", "page"),
    [
        (b"<!DOCTYPE html>", "", True),
        (b"\xef\xbb\xbf \n<html>", "video/mp4", True),
        (b'{"error": 1}', "video/mp4", True),
        (b"\0\0\0\x20ftypisom", "text/html; charset=utf-8", True),
        (b"\0\0\0\x20ftypisom", "Application/JSON", True),
        (b"\0\0\0\x20ftypisom", "video/mp4", False),
        (b"\0\0\0\x20ftypisom", "application/octet-stream", False),
        (b"\0\0\0\x20ftypisom", "", False),
    ],
)
def test_a_page_is_known_by_its_type_or_its_first_bytes(start, content_type, page):
    assert looks_like_page(start, content_type) is page


@given(st.lists(st.binary(max_size=2000), max_size=30))
def test_the_digest_is_that_of_all_chunks(chunks):
    digest = BackgroundSha256()
    for chunk in chunks:
        digest.update(chunk)
    assert digest.finish() == hashlib.sha256(b"".join(chunks)).hexdigest()


@pytest.mark.parametrize(
    ("query", "secrets"),
    [
        ("access=a-token-of-thirty-characters-x&n=1", ["a-token-of-thirty-characters-x"]),
        ("sig=abcdefghijklmnop%2Bqrst%3D", ["abcdefghijklmnop%2Bqrst%3D", "abcdefghijklmnop+qrst="]),
        ("a=" + "x" * 20 + "&b=" + "y" * 20, ["x" * 20, "y" * 20]),
        ("a=short&b=short", ["a=short&b=short"]),
        ("a-token-of-thirty-characters-x", ["a-token-of-thirty-characters-x"]),
        ("", []),
        ("download", []),
    ],
)
def test_the_secrets_of_a_signed_url_are_what_opens_it_and_no_more(query, secrets):
    assert secrets_of(f"https://host.example/video/1?{query}") == secrets


@pytest.mark.parametrize("url", ["https://host/x?a=1", "http://127.0.0.1:8/x", "http://localhost/x"])
def test_a_recording_is_fetched_over_https_or_from_this_machine(url):
    check_recording_url(url)


@pytest.mark.parametrize("url", ["http://host/x", "ftp://host/x", "file:///etc/passwd", "//host/x", "", "https://[x"])
def test_a_recording_is_fetched_from_nowhere_else(url):
    with pytest.raises(exceptions.TransferError, match="not https"):
        check_recording_url(url)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((512, 1024, 256), "512 B of 1.0 KiB (50 %), 256 B/s, 2 s left"),
        ((0, 1 << 30, 0), "0 B of 1.0 GiB (0 %), 0 B/s"),
        ((5 << 20, None, 1 << 20), "5.0 MiB, 1.0 MiB/s"),
    ],
)
def test_progress_says_bytes_percent_rate_and_time_left(arguments, text):
    assert describe(*arguments) == text


def test_the_error_of_a_partial_download_says_what_was_done_and_what_was_not():
    failures = {
        "b": exceptions.VerificationError("x"),
        "c": exceptions.TransferError(
            "it broke off",
        ),
    }
    failures["c"].retry_after = 9.0
    error = partial_failure_error("p", "file:///d/p", ["a"], failures)
    assert (type(error), error.retry_after) == (exceptions.TransferError, 9.0)
    for words in ("c: it broke off", "Copied and verified: a", "Clearing the task is safe"):
        assert words in str(error)


def test_meanings_are_all_reached_by_the_table_above():
    assert {member.name for member in ResponseAction} == {
        "WHOLE",
        "REST",
        "START_OVER",
        "NEW_URL",
        "TRY_AGAIN",
        "GIVE_UP",
    }


def test_no_more_urls_are_masked_than_airflow_can_bear(monkeypatch):
    masked = []
    monkeypatch.setattr(log_masking, "mask_secret", masked.append)
    masker = log_masking.UrlMasker()
    for number in range(1000):
        masker.mask(f"https://host.example/v?sig={number:040}", public=("v",))
    assert masked == [f"{number:040}" for number in range(log_masking.MAX_MASKED)]
