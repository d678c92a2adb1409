"""Deletions on a platform that answers in any shape: exactly what was meant is deleted, each by its id."""

from __future__ import annotations

import gzip
import json

import pytest

from airflow_provider_iinked import exceptions
from tests.hostile.hostile_platform import PACKAGE, reply


@pytest.fixture(params=["by id", "copies"])
def three(ground, request):
    """Three recordings to delete and a neighbour, by their ids or by their copies."""
    for video in ("Aa", "b", "c", "neighbour"):
        ground.platform.add(video)
    asked = ["Aa", "b", "c"]
    if request.param == "copies":
        arguments = {"verified_copies": ground.download(meeting_video_ids=asked)}
    else:
        arguments = {"package_id": PACKAGE, "meeting_video_ids": asked}
    ground.platform.asked.clear()
    return ground, arguments


def ends_well(three, *, requests=3):
    ground, arguments = three
    answer = ground.delete(**arguments)
    assert {video["meetingVideoId"] for video in answer["videos"]} == {"Aa", "b", "c"}
    assert sorted(ground.platform.deleted) == ["Aa", "b", "c"]
    assert len(ground.platform.calls("delete")) == requests
    assert json.loads(json.dumps(answer)) == answer
    if "verified_copies" in arguments:
        receipts = [json.loads(ground.path(f"{video}.deletion.json").read_text()) for video in ("Aa", "b", "c")]
        assert {receipt["status"] for receipt in receipts} == {"deleted"}
        assert ".part" not in str(ground.names())
    return answer


def own(**changes):
    """An answer about the recording that was asked for, with something changed in it."""
    return lambda answer: {**answer, "videos": [{**answer["videos"][0], **changes}]}


def lost(_):
    return b""


def zipped(body):
    return reply(200, gzip.compress(json.dumps(body).encode()), (("Content-Encoding", "gzip"),))


SHAPES = {
    "as documented": lambda answer: reply(200, answer),
    "HTTP/1.0": lambda answer: reply(200, answer, version="1.0", framing="close"),
    "chunked": lambda answer: reply(200, answer, framing="chunked"),
    "201": lambda answer: reply(201, answer),
    "gzip": zipped,
    "a byte order mark": lambda answer: reply(200, b"\xef\xbb\xbf" + json.dumps(answer).encode()),
    "UTF-16": lambda answer: reply(200, json.dumps(answer).encode("utf-16")),
    "no package": lambda answer: reply(200, {"videos": answer["videos"]}),
    "the package in lower case": lambda answer: reply(200, {**answer, "packageId": PACKAGE.lower()}),
    "no videos": lambda answer: reply(200, {"packageId": PACKAGE}),
    "videos null": lambda answer: reply(200, {"packageId": PACKAGE, "videos": None}),
    "an empty list": lambda answer: reply(200, {"packageId": PACKAGE, "videos": []}),
    "the id alone": lambda answer: reply(
        200, {"packageId": PACKAGE, "videos": [{"meetingVideoId": answer["videos"][0]["meetingVideoId"]}]}
    ),
    "named as it was before": lambda answer: reply(200, own(state="archived")(answer)),
    "named without a state": lambda answer: reply(200, own(state=None)(answer)),
    "named twice": lambda answer: reply(200, {**answer, "videos": answer["videos"] * 2}),
    "numbers that are none": lambda answer: reply(200, own(size=float("nan"), duration=float("inf"))(answer)),
    "half a character": lambda answer: reply(200, own(source="\ud800")(answer)),
    "nested deeply": lambda answer: reply(
        200, json.dumps(own(x=0)(answer)).replace('"x": 0', f'"x": {"[" * 400 + "]" * 400}').encode()
    ),
    "empty": lambda answer: reply(200),
    "204": lambda answer: reply(204, framing="none"),
    "202 and nothing": lambda answer: reply(202),
    "true": lambda answer: reply(200, True),
    "null": lambda answer: reply(200, None),
    "a bare list": lambda answer: reply(200, answer["videos"]),
    "a list of ids": lambda answer: reply(200, {"packageId": PACKAGE, "videos": ["Aa"]}),
    "an object of videos": lambda answer: reply(200, {"packageId": PACKAGE, "videos": {"Aa": {}}}),
    "an object of something else": lambda answer: reply(200, {"success": True}),
    "an error with 200": lambda answer: reply(200, {"error": "video_busy", "message": "m"}),
    "a page": lambda answer: reply(200, b"<html>", (("Content-Type", "text/html"),)),
    "cut JSON": lambda answer: reply(200, json.dumps(answer).encode()[:40]),
    "a cut answer": lambda answer: reply(200, answer, cut=40),
    "broken gzip": lambda answer: reply(200, answer, (("Content-Encoding", "gzip"),)),
    "no UTF-8": lambda answer: reply(200, b'{"packageId": "\xff"}'),
    "lost": lost,
    "garbage": lambda answer: b"\xff\x00\r\n\r\n",
    "lengths that contradict": lambda answer: reply(200, answer, (("Content-Length", "7"),)),
    "a header too long": lambda answer: reply(200, answer, (("X", "1" * 70_000),)),
    "500": lambda answer: reply(500),
    "503 with Retry-After": lambda answer: reply(503, b"", (("Retry-After", "0"),)),
    "409": lambda answer: reply(409, {"error": "video_conflict", "message": "m"}),
    "400 of a page": lambda answer: reply(400, b"<html>"),
    "404 with a code": lambda answer: reply(404, {"error": "video_not_found", "message": "m"}),
    "a redirect": lambda answer: reply(302, b"", (("Location", "/api/v1/packages"),)),
    "a redirect with the body": lambda answer: reply(307, b"", (("Location", "/api/v1/packages/videos/delete"),)),
    "a redirect to no address": lambda answer: reply(308, b"", (("Location", "http://[\xff"),)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_deletion_that_was_done_is_found_out_whatever_the_answer(three, shape):
    platform = three[0].platform
    platform.on["delete"] = lambda asked: shape(platform.delete(asked.json["meetingVideoId"]))
    ends_well(three)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("listed", [True, False], ids=["deleted listed", "deleted dropped"])
def test_clearing_it_sends_nothing_more(ground, shape, listed):
    platform = ground.platform
    platform.add("Aa")
    copies = ground.download()
    platform.list_deleted = listed
    platform.on["delete"] = lambda asked: shape(platform.delete(asked.json["meetingVideoId"]))
    ground.delete(verified_copies=copies)
    assert ground.download() == copies
    ground.delete(verified_copies=json.loads(json.dumps(copies)))
    assert platform.deleted == ["Aa"]


# The refusal is the API's word; a test of its own has it.
_OTHERWISE = ("no videos", "videos null", "404 with a code")
NOT_DONE = {name: shape for name, shape in SHAPES.items() if name not in _OTHERWISE}


@pytest.mark.parametrize("shape", NOT_DONE.values(), ids=NOT_DONE)
def test_a_deletion_that_was_not_done_is_never_taken_for_done(three, shape, monkeypatch):
    monkeypatch.setattr("airflow_provider_iinked.deletion.workflow._CONFIRM_FOR", 0.1)
    ground, arguments = three
    platform = ground.platform

    def say_so(asked):
        return shape(
            {"packageId": PACKAGE, "videos": [{**platform.videos[asked.json["meetingVideoId"]], "state": "deleted"}]}
        )

    platform.on["delete"] = say_so
    with pytest.raises(exceptions.IinkedSignError) as caught:
        ground.delete(**arguments)
    assert not isinstance(caught.value, exceptions.IinkedSignPermanentError)
    assert platform.deleted == []

    del platform.on["delete"]
    platform.asked.clear()
    ends_well(three)


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_with_a_code_is_the_apis_word_and_is_not_repeated(three, status):
    ground, arguments = three
    platform = ground.platform
    platform.on["delete"] = lambda asked: reply(status, {"error": "video_locked", "message": "m"})
    with pytest.raises(exceptions.RequestRefusedError, match="video_locked") as caught:
        ground.delete(**arguments)
    assert isinstance(caught.value, exceptions.IinkedSignPermanentError)
    assert len(platform.calls("delete")) == 3
    assert platform.deleted == []

    del platform.on["delete"]
    platform.asked.clear()
    ends_well(three)


# --- the path ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>404</html>", {"detail": "Not Found"}, {"error": "Not Found", "path": "/x"}, {"title": "x"}, []],
)
@pytest.mark.parametrize("known", ["package", "short"])
def test_a_path_that_does_not_exist_is_distinguished_from_a_recording_that_does_not(three, status, body, known):
    platform = three[0].platform
    short = "/api/v1/packages/videos/delete"
    platform.on["delete"] = lambda asked: None if (asked.path == short) is (known == "short") else reply(status, body)
    ends_well(three, requests=3 if known == "package" else 4)


# --- more than was asked for ---------------------------------------------------------------------------------------


STRANGERS = {
    "a live neighbour": [{"meetingVideoId": "neighbour", "state": "deleted"}],
    "the neighbour in capitals": [{"meetingVideoId": "NEIGHBOUR"}],
    "one never listed": [{"meetingVideoId": "never-seen", "state": "deleted"}],
    "the next one": [{"meetingVideoId": "b", "state": "deleted"}],
}


@pytest.mark.parametrize("others", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_in_an_answer_stops_everything_for_good(three, others):
    ground, arguments = three
    platform = ground.platform

    def delete(asked):
        answer = platform.delete(asked.json["meetingVideoId"])
        return reply(200, {**answer, "videos": [*others, *answer["videos"]]})

    platform.on["delete"] = delete
    with pytest.raises(exceptions.UnrequestedDeletionError, match=others[0]["meetingVideoId"]) as caught:
        ground.delete(**arguments)
    assert isinstance(caught.value, exceptions.IinkedSignPermanentError)
    assert "Deleted by this task: Aa" in str(caught.value)
    assert len(platform.calls("delete")) == 1


@pytest.mark.parametrize("package", ["Package-B", "", 5, ["Package-A"]])
@pytest.mark.parametrize("call", ["list", "delete"])
def test_another_package_in_an_answer_stops_everything_for_good(three, package, call):
    ground, arguments = three
    answer = {**ground.platform.listing(), "packageId": package, "videos": []}
    ground.platform.on[call] = lambda asked: reply(200, answer)
    with pytest.raises(exceptions.UnrequestedDeletionError):
        ground.delete(**arguments)
    assert len(ground.platform.calls("delete")) == (call == "delete")
    assert ground.platform.deleted == []


@pytest.mark.parametrize("shape", [b"", reply(500), reply(200), reply(200, b"<html>"), reply(200, [])])
def test_a_platform_that_deletes_all_behind_an_unclear_answer_is_asked_once(three, shape):
    ground, arguments = three
    platform = ground.platform

    def delete(asked):
        for video in list(platform.videos):
            platform.delete(video)
        return shape

    platform.on["delete"] = delete
    with pytest.raises(exceptions.UnrequestedDeletionError, match="neighbour"):
        ground.delete(**arguments)
    assert len(platform.calls("delete")) == 1


# --- lists -----------------------------------------------------------------------------------------------------------


def lagging(platform, reads):
    """Lists show the state of a while ago for so many reads."""
    old = json.loads(json.dumps(platform.listing()))
    left = [reply(200, old)] * reads
    platform.on["list"] = lambda asked: left.pop() if left and platform.deleted else None


@pytest.mark.parametrize("reads", [1, 2])
@pytest.mark.parametrize("answer", ["clear", "lost"])
def test_a_list_that_lags_behind_is_waited_for(three, reads, answer):
    platform = three[0].platform
    lagging(platform, reads)
    if answer == "lost":
        platform.on["delete"] = lambda asked: lost(platform.delete(asked.json["meetingVideoId"]))
        ground, arguments = three
        ground.delete(**arguments)
        assert set(platform.deleted) == {"Aa", "b", "c"}
    else:
        ends_well(three)


def test_a_recording_missing_from_the_first_list_is_not_requested(three):
    ground, arguments = three
    platform = ground.platform
    shrunk = {**platform.listing(), "videos": [v for v in platform.videos.values() if v["meetingVideoId"] != "b"]}
    platform.once("list", reply(200, shrunk))
    answer = ground.delete(**arguments)
    assert answer["notListed"] == ["b"]
    assert platform.deleted == ["Aa", "c"]


@pytest.mark.parametrize("states", [("archived", "deleted"), ("archived", "started")])
def test_a_list_that_contradicts_itself_deletes_nothing(three, states):
    ground, arguments = three
    platform = ground.platform
    twice = [*platform.videos.values(), *({**platform.videos["b"], "state": state} for state in states)]
    platform.on["list"] = lambda asked: reply(200, {"packageId": PACKAGE, "videos": twice})
    with pytest.raises(exceptions.UnexpectedAnswerError, match="twice"):
        ground.delete(**arguments)
    assert platform.calls("delete") == []


def test_of_two_recordings_whose_ids_differ_by_case_alone_none_is_deleted(three):
    ground, arguments = three
    ground.platform.add("aA")
    with pytest.raises(exceptions.UnexpectedAnswerError, match="aA, which differs from it by case alone"):
        ground.delete(**arguments)
    assert ground.platform.deleted == ["b", "c"]


@pytest.mark.parametrize("videos", [[], None])
def test_a_list_beside_an_error_does_not_say_that_a_recording_is_gone(three, videos):
    ground, arguments = three
    platform = ground.platform
    platform.on["delete"] = lambda asked: reply(500)
    first = [reply(200, platform.listing())]
    error = reply(200, {"packageId": PACKAGE, "videos": videos, "error": "busy"})
    platform.on["list"] = lambda asked: first.pop() if first else error
    with pytest.raises(exceptions.IinkedSignError, match="names an error"):
        ground.delete(**arguments)
    assert len(platform.calls("delete")) == 1
    receipts = [ground.path(f"{video}.deletion.json") for video in ("Aa", "b", "c")]
    assert '"status": "deleted"' not in "".join(path.read_text() for path in receipts if path.exists())


def test_a_list_that_a_cache_has_kept_deletes_nothing(three):
    ground, arguments = three
    platform = ground.platform
    platform.on["list"] = lambda asked: reply(200, platform.listing(), (("Age", "61"),))
    with pytest.raises(exceptions.UnexpectedAnswerError, match=r"a cache .* had kept for 61 s"):
        ground.delete(**arguments)
    assert platform.calls("delete") == []


def test_a_cache_is_asked_not_to_answer_from_memory(three):
    ground, arguments = three
    ground.delete(**arguments)
    assert {asked.headers.get("cache-control") for asked in ground.platform.calls("list")} == {"no-cache"}


# --- receipts --------------------------------------------------------------------------------------------------------


OF_OTHERS = {
    "a note": b"do not touch",
    "no UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "another data centre's": json.dumps(
        {"format": 1, "status": "requested", "api_base": "https://sign.syngrafii.ca/api/v1", "package_id": PACKAGE,
         "meeting_video_id": "v"}
    ).encode(),
    "another recording's": json.dumps({"format": 1, "status": "deleted", "meeting_video_id": "w"}).encode(),
}  # fmt: skip


@pytest.mark.parametrize("content", OF_OTHERS.values(), ids=OF_OTHERS)
def test_what_lies_under_the_receipts_name_and_is_no_receipt_of_ours_is_not_overwritten(ground, content):
    ground.platform.add("v")
    path = ground.path("v.deletion.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    ground.delete(package_id=PACKAGE, delete_all=True, receipt_destination=ground.destination)
    (kept,) = [name for name in ground.names() if "set-aside" in name]
    assert ground.path(kept).read_bytes() == content
    assert json.loads(path.read_text())["status"] == "deleted"


@pytest.mark.parametrize("listed", [True, False], ids=["deleted listed", "never listed"])
def test_the_open_receipt_of_another_data_centre_is_not_completed(ground, listed):
    path = ground.path("v.deletion.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(OF_OTHERS["another data centre's"])
    if listed:
        ground.platform.add("v", state="deleted")
    ground.delete(package_id=PACKAGE, meeting_video_ids="v", receipt_destination=ground.destination)
    assert path.read_bytes() == OF_OTHERS["another data centre's"]


def test_an_open_receipt_is_completed_also_by_an_id_of_another_case(ground):
    ground.platform.add("Aa")
    copies = ground.download()
    ground.platform.on["delete"] = lambda asked: lost(ground.platform.delete("Aa"))
    ground.platform.once("list", reply(200, ground.platform.listing()), b"", b"", b"")
    with pytest.raises(exceptions.ServiceUnavailableError):
        ground.delete(verified_copies=copies)
    assert json.loads(ground.path("Aa.deletion.json").read_text())["status"] == "requested"
    del ground.platform.on["list"], ground.platform.on["delete"], ground.platform.videos["Aa"]
    ground.platform.add("unrelated")

    assert ground.delete(verified_copies=copies, meeting_video_ids="AA")["notListed"] == ["AA"]
    assert json.loads(ground.path("Aa.deletion.json").read_text())["status"] == "deleted"
    ground.platform.videos["Aa"] = {}  # it was listed when it was asked for


def test_a_recording_that_one_look_shows_as_gone_and_the_next_as_live_is_not_requested(ground, monkeypatch):
    monkeypatch.setattr("airflow_provider_iinked.deletion.plan.MAX_LIST_AGE", -1.0)
    platform = ground.platform
    platform.add("v")
    copies = ground.download()
    platform.videos["v"]["duration"] = "PT9S"
    shown = platform.listing()
    platform.once("list", reply(200, shown), reply(200, {**shown, "videos": []}), reply(200, shown))
    ground.delete(verified_copies=copies)
    assert platform.calls("delete") == []


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False])
def test_connections_that_are_closed_without_a_word_do_no_harm(three, listed):
    ground, arguments = three
    platform = ground.platform
    platform.list_deleted = listed
    platform.on["list"] = lambda asked: reply(200, platform.listing(), tells=False)
    platform.on["delete"] = lambda asked: reply(200, platform.delete(asked.json["meetingVideoId"]), tells=False)
    ground.delete(**arguments)
    assert set(platform.deleted) == {"Aa", "b", "c"}
