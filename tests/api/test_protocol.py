"""The API without I/O: requests, answers, errors."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.api import protocol
from airflow_provider_iinked.api.protocol import Response
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError

LIST = protocol.list_videos("p")
DELETE, SHORT_DELETE = protocol.delete_video("p", "v")


def read(status=200, body=b"{}", headers=None, request=LIST, **rest):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return protocol.read_answer(request, Response(status, headers or {}, body), **rest)


def error_of(status, body=b"", headers=None, **rest):
    with pytest.raises(IinkedSignError) as caught:
        read(status, body, headers, **rest)
    return caught.value


def test_a_deletion_names_both_ids_in_both_paths():
    for request, path in ((DELETE, "/packages/p/videos/delete"), (SHORT_DELETE, "/packages/videos/delete")):
        assert (request.method, request.path) == ("POST", path)
        assert json.loads(request.body) == {"packageId": "p", "meetingVideoId": "v"}
        assert not request.idempotent


@pytest.mark.parametrize("bad", ["", " ", None, "None", "a/b", "*", 5])
@pytest.mark.parametrize("place", ["package", "video"])
def test_no_deletion_is_built_of_a_bad_id(bad, place):
    with pytest.raises(InvalidArgumentError):
        protocol.delete_video(*((bad, "v") if place == "package" else ("p", bad)))


def test_only_delete_all_leaves_the_video_out():
    for request in protocol.delete_all_videos("p"):
        assert json.loads(request.body) == {"packageId": "p"}
        assert "ALL" in request.name


@pytest.mark.parametrize("call", [protocol.list_videos, protocol.get_package, protocol.delete_all_videos])
def test_no_request_is_built_of_a_bad_package(call):
    with pytest.raises(InvalidArgumentError, match=r"^package_id"):
        call("a/../b")


def test_a_json_object_is_the_answer():
    assert read(200, {"videos": []}) == {"videos": []}


@pytest.mark.parametrize("age", ["6", "61", "9" * 18])
def test_what_a_cache_has_kept_is_no_answer(age):
    assert "a cache" in str(error_of(200, b"{}", {"age": age}))


@pytest.mark.parametrize(("age", "request_"), [("0", LIST), ("5", LIST), ("soon", LIST), ("61", DELETE)])
def test_what_is_as_good_as_fresh_is_an_answer(age, request_):
    assert read(200, b"{}", {"age": age}, request_) == {}


ERRORS = [
    (200, b"<html>", "UnexpectedAnswerError"),
    (200, b"[]", "UnexpectedAnswerError"),
    (200, b"", "UnexpectedAnswerError"),
    (204, b"", "UnexpectedAnswerError"),
    (200, b'{"videos": [', "UnexpectedAnswerError"),
    (200, b"\xff\xfe", "UnexpectedAnswerError"),
    (200, b"[" * 100_000, "UnexpectedAnswerError"),
    (301, b"", "UnexpectedAnswerError"),
    (302, b"{}", "UnexpectedAnswerError"),
    (307, {"error": "x"}, "UnexpectedAnswerError"),
    (400, {"error": "package_invalid_packageId", "message": "m"}, "RequestRefusedError"),
    (400, {"error": "package_delete_retention", "message": "m"}, "RetentionError"),
    (400, {"error": "video_not_found"}, "NotFoundError"),
    (400, b"<html>", "RequestRefusedError"),
    (401, b"", "AuthenticationError"),
    (401, {"error": "not_authorized"}, "AuthenticationError"),
    (403, b"<html>", "AuthenticationError"),
    (400, {"error": "package_not_authorized"}, "AuthenticationError"),
    (404, {"error": "package_not_found"}, "PackageNotFoundError"),
    (404, {"error": "video_not_found"}, "NotFoundError"),
    (404, b"<html>", "RouteNotFoundError"),
    (404, b"{}", "RouteNotFoundError"),
    (404, {"error": None}, "RouteNotFoundError"),
    (404, {"error": ["package_not_found"]}, "RouteNotFoundError"),
    (404, {"error": "Not Found"}, "RouteNotFoundError"),
    (405, {"error": "Method Not Allowed"}, "RouteNotFoundError"),
    (405, b"", "RouteNotFoundError"),
    (405, {"error": "method"}, "RequestRefusedError"),
    (408, b"", "ServerError"),
    (415, {"error": "unsupported_media_type"}, "RequestRefusedError"),
    (425, b"", "ServerError"),
    (429, b"", "RateLimitError"),
    (429, {"error": "package_not_found"}, "RateLimitError"),
    (500, {"error": "server_error"}, "ServerError"),
    (502, b"<html>", "ServerError"),
    (503, b"", "ServerError"),
    (504, b"", "ServerError"),
    (599, b"", "ServerError"),
]


@pytest.mark.parametrize(("status", "body", "name"), ERRORS)
def test_status_and_code_say_which_error_it_is(status, body, name):
    error = error_of(status, body)
    assert type(error) is getattr(exceptions, name)
    assert (error.status, f"HTTP {status}" in str(error)) == (status, True)


def test_an_error_tells_the_apis_own_words_on_one_line_without_the_key():
    error = error_of(400, {"error": "bad_thing", "message": "the key k-3-y\nis\x07 wrong " + "x" * 500}, secret="k-3-y")
    assert error.error_code == "bad_thing"
    assert "k-3-y" not in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 500


def test_an_error_code_that_repeats_the_key_does_not_show_it():
    error = error_of(400, {"error": "k-3-y", "message": "m"}, secret="k-3-y")
    assert "k-3-y" not in f"{error} {error.error_code}"


def test_a_page_is_described_not_repeated():
    error = error_of(200, b"<html>secret words</html>", {"content-type": "text/html; charset=utf-8"})
    assert "text/html" in str(error)
    assert "secret words" not in str(error)


@pytest.mark.parametrize("location", ["https://evil.example/x?token=abc", "http://[broken", "/login", ""])
def test_a_redirect_names_the_host_only(location):
    text = str(error_of(302, b"", {"location": location}))
    assert "token" not in text
    assert "not followed" in text


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "9" * 30}, None),
        ({"retry-after": formatdate(NOW + 20, usegmt=True)}, 20.0),
        ({"retry-after": formatdate(NOW - 20, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(NOW + 20, usegmt=True), "date": formatdate(NOW + 5, usegmt=True)}, 15.0),
        ({"retry-after": formatdate(NOW + 20, usegmt=True), "date": "garbage"}, 20.0),
        ({"retry-after": "Mon, 99 Foo 2020"}, None),
        ({"retry-after": "999999999"}, protocol.MAX_PAUSE),
        ({"retry-after": "Wed, 31 Dec 9999 23:59:59 GMT"}, protocol.MAX_PAUSE),
        ({"retry-after": "Sun Nov  6 08:49:39 1994", "date": "Sunday, 06-Nov-94 08:49:37 GMT"}, 2.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(headers, expected):
    assert protocol.retry_after(headers, NOW) == expected


@given(st.text(), st.text())
def test_any_retry_after_is_read_or_ignored(value, date):
    wait = protocol.retry_after({"retry-after": value, "date": date}, NOW)
    assert wait is None or wait >= 0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_carries_retry_after(status):
    error = error_of(status, b"", {"retry-after": "7"})
    assert error.retry_after == 7.0
    assert "come back in 7 s" in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
bodies = (
    st.binary(max_size=60)
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({}, optional={"error": json_values, "message": json_values}).map(
        lambda value: json.dumps(value).encode()
    )
)


header_names = st.sampled_from(["retry-after", "location", "content-type", "date"])


@given(st.integers(200, 599), bodies, st.dictionaries(header_names, st.text()))
def test_any_answer_is_an_object_or_one_of_our_errors_on_one_line(status, body, headers):
    told = None
    try:
        assert isinstance(read(status, body, headers, now=NOW), dict)
    except IinkedSignError as error:
        told = str(error)
    assert told is None or told.isprintable()
