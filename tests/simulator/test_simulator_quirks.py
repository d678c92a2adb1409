from __future__ import annotations

import asyncio
import gzip
import http.client
import time
import types
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_iinked.simulator import IinkedSimulator, Quirks, wire

SIZE = 600_000


@pytest.fixture
def url(sim) -> str:
    sim.add_package("p", videos=[{"meeting_video_id": "v", "size": SIZE}])
    return sim.url("v")


def states(videos: list[dict]) -> dict[str, str]:
    return {video["meetingVideoId"]: video["state"] for video in videos}


@pytest.mark.parametrize(("exists", "missing"), [("package", "videos/delete"), ("short", "p/videos/delete")])
@pytest.mark.parametrize("status", [404, 405])
def test_one_delete_path_may_be_missing(sim, http, url, exists, missing, status):
    sim.quirks.delete_paths, sim.quirks.missing_path_status = exists, status
    body = {"packageId": "p", "meetingVideoId": "v"}
    answer = http.post(f"{sim.api_base}/packages/{missing}", json=body, timeout=30)
    assert (answer.status_code, answer.text[:1], sim.ledger.deletions) == (status, "<", [])
    other = "p/videos/delete" if missing == "videos/delete" else "videos/delete"
    assert http.post(f"{sim.api_base}/packages/{other}", json=body, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("repeat", "status", "named"),
    [("ok", 200, ["v"]), ("empty", 200, []), ("not_found", 404, None), ("bad_request", 400, None)],
)
def test_repeated_deletion(sim, delete, url, repeat, status, named):
    sim.quirks.repeat_delete = repeat
    delete("p", "v")
    answer = delete("p", "v")
    videos = answer.json().get("videos")
    assert (answer.status_code, videos if videos is None else list(states(videos))) == (status, named)
    assert sim.ledger.deletions == ["v"]


@pytest.mark.parametrize(
    ("unknown", "status", "gone"), [("not_found", 404, []), ("empty", 200, []), ("delete_all", 200, ["v"])]
)
def test_unknown_video(sim, delete, url, unknown, status, gone):
    sim.quirks.unknown_video = unknown
    assert delete("p", "stranger").status_code == status
    assert sim.ledger.deletions == gone


def test_deleted_videos_may_vanish_from_the_list(sim, delete, listed, url):
    sim.quirks.list_deleted = False
    delete("p", "v")
    assert listed("p") == []


def test_list_may_lag_behind_a_deletion(sim, delete, listed, url):
    sim.clock.freeze()
    sim.quirks.deletion_delay = 10
    delete("p", "v")
    assert states(listed("p")) == {"v": "archived"}
    sim.clock.advance(11)
    assert states(listed("p")) == {"v": "deleted"}


@pytest.mark.parametrize(("style", "named"), [("deleted", ["v"]), ("all_listed", ["v", "w"]), ("empty", [])])
def test_delete_answer(sim, delete, url, style, named):
    sim.add_video("p", "w")
    sim.quirks.delete_answer = style
    assert list(states(delete("p", "v").json()["videos"])) == named


@pytest.mark.parametrize(
    ("hostile", "named", "gone"),
    [
        ("names_more", ["v", "w"], ["v"]),
        ("deletes_more", ["v", "w"], ["v", "w"]),
        ("deletes_more_hidden", ["v"], ["v", "w"]),
    ],
)
def test_hostile_deletions(sim, delete, url, hostile, named, gone):
    sim.add_video("p", "w")
    sim.add_video("p", "x")
    sim.quirks.hostile = hostile
    assert list(states(delete("p", "v").json()["videos"])) == named
    assert sim.ledger.deletions == gone
    assert [record.by_id for record in sim.ledger.deletion_records] == [True, False][: len(gone)]


def test_stranger_in_a_delete_answer(sim, delete, url):
    sim.quirks.hostile = "names_stranger"
    named = states(delete("p", "v").json()["videos"])
    assert len(named) == 2
    assert sim.ledger.deletions == ["v"]


def test_retention_may_forbid_a_deletion(sim, delete):
    sim.add_package("p", videos=[{"meeting_video_id": "v", "retention_in": 60}])
    sim.quirks.retention_forbids = True
    answer = delete("p", "v")
    assert (answer.status_code, answer.json()["error"]) == (400, "package_delete_retention")
    sim.clock.advance(61)
    assert delete("p", "v").status_code == 200


def test_ids_may_match_in_any_case(sim, delete, url):
    sim.quirks.case_insensitive_ids = True
    assert delete("P", "V", packageId="p").status_code == 200
    assert sim.ledger.deletion_records[0].by_id


def test_fields_may_be_missing_null_or_new(sim, listed, url):
    sim.quirks.omit_fields = {"size"}
    sim.quirks.null_fields = {"duration", "unheardOf"}
    sim.quirks.extra_fields = {"title": "new in 4.1"}
    (shown,) = listed("p")
    assert ("size" in shown, shown["duration"], "unheardOf" in shown, shown["title"]) == (
        False,
        None,
        False,
        "new in 4.1",
    )


@pytest.mark.parametrize(("style", "answer"), [("list", {"videos": []}), ("null", {"videos": None}), ("missing", {})])
def test_empty_list_may_look_otherwise(sim, http, style, answer):
    sim.add_package("p")
    sim.quirks.empty_list = style
    assert http.get(f"{sim.api_base}/packages/p/videos", timeout=30).json() == {"packageId": "p", **answer}


def test_content_type_may_be_required(sim, http, url):
    sim.quirks.require_content_type = True
    path = f"{sim.api_base}/packages/p/videos/delete"
    assert http.post(path, data='{"packageId": "p", "meetingVideoId": "v"}', timeout=30).status_code == 415
    assert http.post(path, json={"packageId": "p", "meetingVideoId": "v"}, timeout=30).status_code == 200


def test_latency(sim, listed, url):
    sim.quirks.latency = 0.1
    before = time.monotonic()
    listed("p")
    assert time.monotonic() - before >= 0.1


def test_size_may_be_wrong(sim, listed, url):
    sim.quirks.lie_about_size = -7
    assert listed("p")[0]["size"] == SIZE - 7


def test_ranges_may_be_ignored(sim, url):
    sim.quirks.accept_ranges = False
    answer = requests.get(url, headers={"Range": "bytes=5-"}, timeout=30)
    assert (answer.status_code, answer.headers["Accept-Ranges"], len(answer.content)) == (200, "none", SIZE)


def test_etag_kinds(sim, url):
    def etag() -> str | None:
        return requests.get(url, timeout=30).headers.get("ETag")

    assert etag() == etag()
    sim.quirks.etag = "weak"
    assert str(etag()).startswith('W/"')
    sim.quirks.etag = "changing"
    assert etag() != etag()
    sim.quirks.etag = None
    assert etag() is None


def test_weak_validator_never_lets_a_range_through(sim, url):
    sim.quirks.etag = "weak"
    tag = requests.get(url, timeout=30).headers["ETag"]
    assert requests.get(url, headers={"Range": "bytes=5-", "If-Range": tag}, timeout=30).status_code == 200


def test_if_range_may_be_ignored(sim, url):
    sim.quirks.if_range = False
    answer = requests.get(url, headers={"Range": "bytes=5-", "If-Range": '"old"'}, timeout=30)
    assert answer.status_code == 206


def test_last_modified_may_be_missing(sim, url):
    sim.quirks.last_modified = False
    assert "Last-Modified" not in requests.get(url, timeout=30).headers


@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=100-"}])
def test_length_may_be_missing(sim, url, asked):
    sim.quirks.content_length = False
    answer = requests.get(url, headers=asked, timeout=30)
    assert "Content-Length" not in answer.headers
    assert answer.content == sim.content("v")[100 if asked else 0 :]


def test_length_may_promise_too_much(sim, url):
    sim.quirks.lie_about_length = 5
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(url, timeout=30)


def test_length_may_promise_too_little(sim, url):
    sim.quirks.lie_about_length = -5
    assert len(requests.get(url, timeout=30).content) == SIZE - 5


def test_partial_answer_may_begin_elsewhere(sim, url):
    sim.quirks.lie_about_range = 3
    answer = requests.get(url, headers={"Range": "bytes=100-"}, timeout=30)
    assert answer.headers["Content-Range"] == f"bytes 103-{SIZE - 1}/{SIZE}"
    assert answer.content == sim.content("v")[103:]


def test_content_type_may_be_wrong(sim, url):
    sim.quirks.content_type = "application/octet-stream"
    assert requests.get(url, timeout=30).headers["Content-Type"] == "application/octet-stream"


def test_recording_may_be_a_web_page(sim, url):
    sim.quirks.html_with_200 = True
    answer = requests.get(url, timeout=30)
    assert (answer.status_code, answer.text[:9]) == (200, "<!DOCTYPE")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_recording_may_redirect_to_another_host(sim, url, status):
    sim.quirks.redirect = status
    answer = requests.get(url, headers={"Range": "bytes=10-"}, timeout=30)
    assert [step.status_code for step in answer.history] == [status]
    assert answer.url.startswith("http://localhost:")
    assert answer.content == sim.content("v")[10:]
    assert [record.call for record in sim.ledger.requests(host="recordings")] == ["recording", "storage"]


@pytest.mark.parametrize(("choice", "status"), [(403, 403), (404, 404), (410, 410), ("html", 200)])
def test_answers_of_an_expired_url(sim, url, choice, status):
    sim.quirks.expired_status = choice
    sim.expire_urls()
    answer = requests.get(url, timeout=30)
    assert (answer.status_code, answer.text[:1]) == (status, "<")


def test_url_may_end_midway(sim, url):
    sim.quirks.expire_after_bytes = 400_000
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(url, timeout=30)
    assert requests.get(url, timeout=30).status_code == 403
    rest = requests.get(sim.url("v"), headers={"Range": "bytes=400000-"}, timeout=30)
    assert rest.content == sim.content("v")[400_000:]


def test_recording_may_come_compressed_unasked(sim, url):
    sim.quirks.gzip = True
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", f"{parts.path}?{parts.query}")
    answer = connection.getresponse()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.read()) == sim.content("v")
    connection.close()


def test_rate_of_recordings(sim, url, monkeypatch):
    asked = []

    async def sleep(seconds):
        asked.append(seconds)

    loop = types.SimpleNamespace(sleep=sleep, get_running_loop=asyncio.get_running_loop)
    monkeypatch.setattr(wire, "asyncio", loop)
    sim.quirks.recording_rate = SIZE / 1000
    assert requests.get(url, timeout=30).content == sim.content("v")
    # Each piece waits for its point of the whole, nobody sleeps here: the last one is due a thousand seconds on.
    assert 900 < asked[-1] <= 1000
    assert asked == sorted(asked)


def test_a_rate_of_recordings_is_waited_for(sim, url):
    sim.quirks.recording_rate = SIZE * 4
    before = time.monotonic()
    assert requests.get(url, timeout=30).content == sim.content("v")
    assert time.monotonic() - before > 0.2


def test_deleted_video_may_stay_downloadable(sim, delete, url):
    sim.quirks.deleted_url_works = True
    delete("p", "v")
    assert requests.get(url, timeout=30).status_code == 200


def test_unauthorized_may_be_403(sim):
    sim.quirks.unauthorized_status = 403
    assert requests.get(f"{sim.api_base}/packages/p", timeout=30).status_code == 403


def test_misspelt_quirks_are_refused():
    with pytest.raises(AttributeError, match="accept_rangs"):
        Quirks().accept_rangs = True  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="repeat_delete"):
        IinkedSimulator(repeat_delete="perhaps")
    with pytest.raises(ValueError, match="latency"):
        Quirks(latency="slow")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("accept_ranges=False", "accept_ranges", False),
        ("etag=none", "etag", None),
        ("etag=weak", "etag", "weak"),
        ("latency=0.5", "latency", 0.5),
        ("redirect=307", "redirect", 307),
        ("omit_fields=size, duration", "omit_fields", {"size", "duration"}),
        ('extra_fields={"a": 1}', "extra_fields", {"a": 1}),
    ],
)
def test_quirks_as_text(text, name, value):
    quirks = Quirks()
    quirks.set_text(text)
    assert getattr(quirks, name) == value
    quirks.reset()
    assert quirks == Quirks()
