from __future__ import annotations

import datetime as dt

import pytest
import requests

VIDEO_FIELDS = [
    *("meetingVideoId", "meetingVideoSharedId", "meetingId", "meetingSessionId", "externalVideoId"),
    *("externalStorageId", "timeCreated", "timeRetention", "timeDeleted", "duration", "size", "source", "type"),
    *("state", "url", "timeUrlExpires"),
]


def test_lists_videos_with_the_documented_fields_in_order(sim, listed):
    package = sim.add_package()
    video = sim.add_video(package, size=4402007, duration=312, retention_in=3600)
    (shown,) = listed(package)
    assert list(shown) == VIDEO_FIELDS
    assert (shown["meetingVideoId"], shown["size"], shown["duration"]) == (video, 4402007, "PT5M12S")
    assert shown["state"] == "archived"
    assert len(shown["timeUrlExpires"]) == len("2019-08-22T19:05:54.8535047Z")


def test_seed_example_is_downloadable_then_deleted_word_for_word(sim, http, listed):
    package, video = sim.add_seed_example()
    (shown,) = listed(package)
    assert shown["state"] == "archived"
    assert len(requests.get(shown["url"], timeout=30).content) == 484524
    body = {"packageId": package, "meetingVideoId": video}
    answer = http.post(f"{sim.api_base}/packages/videos/delete", json=body, timeout=30)
    assert answer.json() == {
        "packageId": "c603079c-2dc7-4af7-8c2e-dc992662621c",
        "videos": [
            {
                "meetingVideoId": "4c512b8a-c1ad-47da-ae22-5a61115505e3",
                "meetingId": "0f2f4065-3d07-4fd5-96e8-13b3f77a7c9d",
                "timeCreated": "2019-08-20T18:57:33.541Z",
                "timeRetention": None,
                "timeDeleted": "2019-08-20T18:58:02.2596573Z",
                "duration": "PT6S",
                "size": 484524,
                "type": "video",
                "state": "deleted",
                "url": None,
                "timeUrlExpires": None,
            }
        ],
    }


def test_each_listing_mints_a_new_url_and_the_old_one_still_works(sim, listed):
    package = sim.add_package(videos=["v1"])
    first, second = listed(package)[0]["url"], listed(package)[0]["url"]
    assert first != second
    assert requests.get(first, timeout=30).status_code == requests.get(second, timeout=30).status_code == 200


def test_only_archived_videos_have_a_url(sim, listed):
    package = sim.add_package(videos=[{"state": state} for state in ("started", "stopped", "queued", "failed")])
    assert [(v["url"], v["timeUrlExpires"], v["size"]) for v in listed(package)] == [(None, None, None)] * 4


def test_recording_walks_through_its_states_on_the_clock(sim, listed):
    sim.clock.freeze()
    package = sim.add_package(videos=[{"archive_after": 40}, {"archive_after": 40, "fail": True}])
    seen = []
    for _ in range(4):
        seen.append([video["state"] for video in listed(package)])
        sim.clock.advance(15)
    assert seen == [["started"] * 2, ["stopped"] * 2, ["queued"] * 2, ["archived", "failed"]]


def test_clock_runs_on_from_where_it_stood(sim):
    sim.clock.freeze()
    sim.clock.advance(86400)
    stood = sim.clock.now()
    sim.clock.unfreeze()
    assert dt.timedelta(0) <= sim.clock.now() - stood < dt.timedelta(seconds=60)


@pytest.mark.parametrize("short", [True, False])
def test_deletes_one_video_by_id(sim, http, listed, short):
    package = sim.add_package(videos=["v1", "v2"])
    path = "videos/delete" if short else f"{package}/videos/delete"
    body = {"packageId": package, "meetingVideoId": "v1"}
    answer = http.post(f"{sim.api_base}/packages/{path}", json=body, timeout=30).json()
    assert [(v["meetingVideoId"], v["state"], v["url"]) for v in answer["videos"]] == [("v1", "deleted", None)]
    assert answer["videos"][0]["timeDeleted"].endswith("Z")
    assert [video["state"] for video in listed(package)] == ["deleted", "archived"]
    assert sim.ledger.deletions == ["v1"]
    assert sim.ledger.deletion_records[0].by_id


@pytest.mark.parametrize("body", [{}, {"meetingVideoId": None}, {"meetingVideoId": ""}])
def test_without_an_id_every_live_video_goes(sim, delete, body):
    package = sim.add_package(videos=["v1", {"meeting_video_id": "v2", "state": "started"}])
    other = sim.add_package(videos=["v3"])
    answer = delete(package, **body)
    assert [video["meetingVideoId"] for video in answer.json()["videos"]] == ["v1", "v2"]
    assert sim.ledger.deletions == ["v1", "v2"]
    assert not any(record.by_id for record in sim.ledger.deletion_records)
    assert not sim.video(other, "v3").deleted


def test_lost_body_on_the_package_path_deletes_all(sim, http):
    package = sim.add_package(videos=["v1", "v2"])
    http.post(f"{sim.api_base}/packages/{package}/videos/delete", timeout=30)
    assert sim.ledger.deletions == ["v1", "v2"]


@pytest.mark.parametrize(
    ("path", "data", "status", "code"),
    [
        ("p1/videos/delete", b"not json", 400, "invalid_body"),
        ("p1/videos/delete", b"[]", 400, "invalid_body"),
        ("videos/delete", b"{}", 400, "package_invalid_packageId"),
        ("videos/delete", b"", 400, "package_invalid_packageId"),
        ("p1/videos/delete", b'{"packageId": "p2", "meetingVideoId": "v1"}', 400, "package_invalid_packageId"),
        ("p1/videos/delete", b'{"packageId": "p1", "meetingVideoId": 7}', 400, "video_invalid_meetingVideoId"),
        ("p1/videos/delete", b'{"packageId": "p1", "meetingVideoId": "nix"}', 404, "video_not_found"),
        ("p1/videos/delete", b'{"packageId": "p1", "meetingVideoId": "V1"}', 404, "video_not_found"),
        ("p3/videos/delete", b'{"packageId": "p3", "meetingVideoId": "v1"}', 404, "package_not_found"),
    ],
)
def test_refuses_bad_deletions(sim, http, path, data, status, code):
    sim.add_package("p1", videos=["v1"])
    sim.add_package("p2", videos=["v2"])
    answer = http.post(f"{sim.api_base}/packages/{path}", data=data, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert sim.ledger.deletions == []


def test_url_of_a_deleted_video_stops(sim, delete):
    package = sim.add_package(videos=["v1"])
    url = sim.url("v1")
    delete(package, "v1")
    assert requests.get(url, timeout=30).status_code == 404


def test_package_shows_its_videos_below_meetings_and_sessions(sim, http):
    package = sim.add_package(name="Closing 7", matterNumber="M-7", videos=["v1", {"meetingId": "m2"}])
    answer = http.get(f"{sim.api_base}/packages/{package}", timeout=30).json()
    assert (answer["packageId"], answer["name"], answer["matterNumber"]) == (package, "Closing 7", "M-7")
    assert len(answer["meetings"]) == 2
    assert answer["meetings"][0]["sessions"][0]["videos"][0]["meetingVideoId"] == "v1"
    assert answer["meetingId"] == answer["meeting"]["meetingId"] == "m2"


def test_status_has_no_videos(sim, http):
    package = sim.add_package(videos=["v1"])
    answer = http.get(f"{sim.api_base}/packages/{package}/status", timeout=30).json()
    assert answer["type"] == "video_closing_room"
    assert "meetings" not in answer


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["Alpha", "Beta"]),
        ({"allMembers": True}, ["Alpha", "Beta", "Gamma"]),
        ({"memberId": "m9"}, ["Gamma"]),
        ({"teamId": "t1"}, ["Alpha"]),
        ({"states": ["executed"]}, ["Beta"]),
        ({"types": ["concurrent"]}, ["Beta"]),
        ({"isExecuted": True}, ["Beta"]),
        ({"isExecuted": None}, ["Alpha", "Beta"]),
        ({"search": "alph*"}, ["Alpha"]),
        ({"search": "alph"}, []),
        ({"search": "1001"}, ["Beta"]),
        ({"days": 3}, ["Alpha"]),
        ({"sortBy": "name", "allMembers": True, "take": 1, "skip": 2}, ["Gamma"]),
    ],
)
def test_filters_packages(sim, http, filters, names):
    soon = (sim.clock.now() + dt.timedelta(days=2)).isoformat()
    sim.add_package(name="Alpha", teamId="t1", timeSignBy=soon)
    sim.add_package(name="Beta", state="executed", type="concurrent", isExecuted=True, matterNumber="M 1001")
    sim.add_package(name="Gamma", memberId="m9")
    answer = http.post(f"{sim.api_base}/packages/list", json=filters, timeout=30).json()
    assert [item["name"] for item in answer["items"]] == names
    assert not {"meeting", "meetings", "videos"} & {key for item in answer["items"] for key in item}


def test_pages_packages_and_caps_take(sim, http):
    ids = [sim.add_package() for _ in range(120)]
    answer = http.post(f"{sim.api_base}/packages/list", json={"take": 1000, "skip": 10}, timeout=30).json()
    assert (answer["total"], answer["take"], answer["skip"]) == (120, 100, 10)
    assert [item["packageId"] for item in answer["items"]] == ids[10:110]


def test_wrong_type_in_a_filter_is_refused(sim, http):
    assert http.post(f"{sim.api_base}/packages/list", json={"take": "10"}, timeout=30).status_code == 400


@pytest.mark.parametrize("headers", [{}, {"api_key": "wrong"}, {"Authorization": "Bearer wrong"}])
def test_refuses_wrong_keys(sim, headers):
    package = sim.add_package()
    answer = requests.get(f"{sim.api_base}/packages/{package}/videos", headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (401, "not_authorized")


def test_takes_a_bearer_token(sim):
    package = sim.add_package()
    headers = {"Authorization": f"Bearer {sim.api_key}"}
    assert requests.get(f"{sim.api_base}/packages/{package}/videos", headers=headers, timeout=30).status_code == 200


def test_rotated_key_locks_the_old_one_out(sim, http):
    package = sim.add_package()
    url = f"{sim.api_base}/packages/{package}/videos"
    sim.rotate_api_key(keep_old=True)
    assert http.get(url, timeout=30).status_code == 200
    new = sim.rotate_api_key()
    assert http.get(url, timeout=30).status_code == 401
    assert http.get(url, headers={"api_key": new}, timeout=30).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", "packages/x", 405), ("GET", "nothing", 404)])
def test_unknown_routes_have_no_api_error(sim, http, method, path, status):
    answer = http.request(method, f"{sim.api_base}/{path}", timeout=30)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")


def test_removed_video_leaves_no_trace(sim, listed):
    package = sim.add_package(videos=["v1", "v2"])
    sim.remove_video(package, "v1")
    assert [video["meetingVideoId"] for video in listed(package)] == ["v2"]


def test_state_can_be_set_to_anything(sim, listed):
    package = sim.add_package(videos=["v1"])
    sim.set_state(package, "v1", "transcoding")
    assert (listed(package)[0]["state"], listed(package)[0]["url"]) == ("transcoding", None)


def test_two_videos_cannot_share_an_id(sim):
    package = sim.add_package(videos=["v1"])
    with pytest.raises(ValueError, match="exists already"):
        sim.add_video(package, "v1")


def test_stop_and_start_keep_the_addresses(sim, listed):
    package = sim.add_package(videos=["v1"])
    before = sim.api_base
    sim.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(before, timeout=30)
    sim.start()
    assert sim.api_base == before
    assert len(listed(package)) == 1
