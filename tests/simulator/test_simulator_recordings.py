from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

SIZE = 3_000_017


@pytest.fixture
def url(sim) -> str:
    sim.add_package("p", videos=[{"meeting_video_id": "v", "size": SIZE}])
    return sim.url("v")


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=10)


@pytest.mark.parametrize("size", [0, 10, 3796, 3800, 200_000, SIZE])
@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_serves_the_expected_bytes(sim, container, size):
    sim.add_package("p", videos=[{"meeting_video_id": "v", "size": size, "container": container}])
    answer = get(sim.url("v"))
    assert answer.headers["Content-Length"] == str(size) == str(len(answer.content))
    assert answer.headers["Content-Type"] == f"video/{container}"
    assert answer.content == sim.content("v")
    assert hashlib.sha256(answer.content).hexdigest() == sim.sha256("v")


def test_parallel_transfers_do_not_mix(sim):
    sim.add_package(videos=[{"size": SIZE + number} for number in range(6)])
    ids = [video.meeting_video_id for video in sim.packages()[0].videos.values()]
    with ThreadPoolExecutor(6) as pool:
        bodies = list(pool.map(lambda video: get(sim.url(video)).content, ids))
    assert [hashlib.sha256(body).hexdigest() for body in bodies] == [sim.sha256(video) for video in ids]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-3999", 100, 3999),
        ("bytes=1500000-", 1_500_000, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        ("bytes=2999999-99999999", 2_999_999, SIZE - 1),
    ],
)
def test_serves_ranges(sim, url, asked, first, last):
    answer = get(url, Range=asked)
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.content == sim.content("v")[first : last + 1]


def test_range_past_the_end_is_416(url):
    answer = get(url, Range=f"bytes={SIZE}-")
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=5-2", "bytes=-"])
def test_ranges_it_does_not_know_are_ignored(url, asked):
    assert get(url, Range=asked).status_code == 200


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_if_range_notices_changed_content(sim, url, validator):
    value = get(url).headers[validator]
    assert get(url, Range="bytes=5-", If_Range=value).status_code == 206
    sim.clock.advance(100)
    sim.change_content("v")
    answer = get(url, Range="bytes=5-", If_Range=value)
    assert (answer.status_code, len(answer.content)) == (200, SIZE)


def test_changed_content_is_other_content(sim, url):
    before = sim.content("v")
    sim.change_content("v")
    assert sim.content("v") != before
    assert get(url).content == sim.content("v")


def test_head_has_the_length_and_no_body(url):
    answer = requests.head(url, timeout=30)
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, str(SIZE), b"")


def test_post_is_not_allowed(url):
    assert requests.post(url, timeout=30).status_code == 405


def test_forged_token_is_refused(sim, url):
    sim.add_video("p", "other")
    assert get(url[:-3] + "AAA").status_code == 403
    assert get(sim.url("other").replace("/other?", "/v?")).status_code == 403
    assert get(url.split("?")[0]).status_code == 403


def test_url_expires_on_the_clock(sim, url):
    sim.clock.advance(sim.url_lifetime - 60)
    assert get(url).status_code == 200
    sim.clock.advance(61)
    assert get(url).status_code == 403
    assert get(sim.url("v")).status_code == 200


def test_urls_can_be_ended_at_once(sim, url):
    sim.expire_urls("v")
    assert get(url).status_code == 403
    assert get(sim.url("v")).status_code == 200


def test_credentials_at_the_recordings_host_are_noticed(sim, url):
    get(url)
    assert sim.ledger.credentials_seen_by_recordings_host == []
    requests.get(url, headers={"api_key": "oops", "Authorization": "Bearer oops"}, timeout=30)
    assert sim.ledger.credentials_seen_by_recordings_host == ["api_key", "authorization"]


def test_recordings_host_is_another_origin(sim):
    assert sim.api_base.split("/api")[0] != sim.recordings_base
