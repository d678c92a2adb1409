"""The hook: one method for each documented call, and a connection that says in words what is wrong with it."""

from __future__ import annotations

import json
import socket
import time

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.hooks.iinked_sign import IinkedSignHook
from airflow_provider_iinked.simulator import Fault
from tests.servers import free_port


@pytest.fixture
def hook(chain):
    hook = IinkedSignHook()
    yield hook
    hook.close()


@pytest.fixture
def connection(chain, monkeypatch):
    """A connection with changes of the test's choice."""

    def change(**fields):
        text = json.dumps({**json.loads(chain.sim.connection_json(max_retries=0)), **fields})
        monkeypatch.setenv("AIRFLOW_CONN_IINKED_SIGN_DEFAULT", text)
        return IinkedSignHook()

    return change


# --- the test button --------------------------------------------------------------------------------------------------


def test_a_connection_that_works_is_verified_by_one_read(chain, hook):
    assert hook.test_connection() == (True, f"Connected to {chain.sim.api_base}; the key is accepted.")
    (request,) = chain.ledger.requests()
    assert (request.call, request.body) == ("packages", {"take": 1, "skip": 0})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "wrong-key"}, "Key refused"),
        ({"password": ""}, "no password"),
        ({"host": "http://sign.syngrafii.com"}, "plain http"),
        ({"host": ""}, "neither a host nor an environment"),
        ({"host": f"http://127.0.0.1:{free_port()}"}, "Not reachable"),
        ({"extra": {"environment": "moon"}}, "unknown"),
        ({"extra": {"auth_type": "basic"}}, "auth_type must be"),
        ({"host": "https://sign.syngrafii.com", "extra": {"environment": "eu"}}, "must not be mixed up"),
    ],
)
def test_the_test_button_says_what_is_wrong_with_the_connection(connection, fields, words):
    well, text = connection(**fields).test_connection()
    assert not well
    assert words in text
    assert "wrong-key" not in text


def test_the_test_button_says_that_the_host_is_unknown(connection, monkeypatch):
    def nobody_knows(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody_knows)
    well, text = connection(host="https://nobody.invalid").test_connection()
    assert (well, text.split(":")[0]) == (False, "Unknown host")


def test_the_test_button_says_that_the_path_is_wrong(chain, connection):
    well, text = connection(host=chain.sim.api_base.replace("/v1", "/v9")).test_connection()
    assert (well, text.split(":")[0]) == (False, "Wrong path")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "html"}, "Not the iinked Sign API"),
        ({"kind": "redirect", "status": 302}, "Not the iinked Sign API"),
        ({"kind": "status", "status": 200, "body": {"hello": 1}}, "not as iinked Sign does"),
        ({"kind": "status", "status": 403}, "Key refused"),
        ({"kind": "status", "status": 429}, "Too many requests"),
        ({"kind": "status", "status": 500}, "Failed"),
        ({"kind": "reset"}, "Not reachable"),
    ],
)
def test_the_test_button_says_what_is_wrong_with_the_answer(chain, hook, fault, words):
    chain.sim.faults.add(Fault(call="packages", on="always", **fault))
    well, text = hook.test_connection()
    assert (well, words in text, len(chain.ledger.requests())) == (False, True, 1)


# --- calls ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth_type", ["api_key", "bearer"])
def test_the_credential_goes_in_its_header_and_nowhere_else(chain, connect, auth_type):
    connect(auth_type=auth_type)
    chain.package("v", package_id="p")
    assert [video.meeting_video_id for video in IinkedSignHook().list_videos("p")] == ["v"]
    (request,) = chain.ledger.requests()
    sent = {name: value for name, value in request.headers.items() if chain.sim.api_key in value}
    key = chain.sim.api_key
    assert sent == ({"api_key": key} if auth_type == "api_key" else {"authorization": f"Bearer {key}"})


def test_no_connection_is_read_in_the_constructor(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_NOWHERE", raising=False)
    assert IinkedSignHook("nowhere").iinked_sign_conn_id == "nowhere"


def test_a_package_is_read_whole(chain, hook):
    chain.package(package_id="p", name="Closing", matterNumber="M-1")
    package = hook.get_package("p")
    assert (package.package_id, package.name, package.fields["matterNumber"]) == ("p", "Closing", "M-1")


def test_packages_are_listed_page_by_page_each_once(chain, hook):
    expected = sorted(chain.sim.add_package() for _ in range(25))
    assert sorted(package.package_id for package in hook.list_packages(page_size=10)) == expected
    assert [request.body["skip"] for request in chain.ledger.requests()] == [0, 10, 20]


def test_paging_ends_although_the_service_ignores_the_offset(chain, hook):
    body = {"items": [{"packageId": "p"}], "total": 99}
    chain.sim.faults.add(Fault(call="packages", kind="status", status=200, body=body, on="always"))
    assert [package.package_id for package in hook.list_packages()] == ["p"]
    assert len(chain.ledger.requests()) == 2


def test_filters_go_out_in_the_apis_spelling(chain, hook):
    list(
        hook.list_packages(
            member_id="m", team_id="t", folder_id="f", all_members=True, search="s*", types=["a"], states=["open"],
            is_executed=False, days=3, sort_by="name",
        )
    )  # fmt: skip
    assert chain.ledger.requests()[0].body == {
        "memberId": "m",
        "teamId": "t",
        "folderId": "f",
        "allMembers": True,
        "search": "s*",
        "types": ["a"],
        "states": ["open"],
        "isExecuted": False,
        "days": 3,
        "sortBy": "name",
        "take": 50,
        "skip": 0,
    }


@pytest.mark.parametrize("video", ["", " ", None, "None", "*", "a/b", 5])
def test_a_deletion_without_an_id_is_refused_before_anything_is_sent(chain, hook, video):
    chain.package("v", package_id="p")
    with pytest.raises(exceptions.InvalidArgumentError, match=r"^meeting_video_id"):
        hook.delete_video("p", video)
    assert chain.ledger.requests() == []


def test_only_delete_all_videos_sends_a_body_without_a_video(chain, hook):
    chain.package("v", "w", package_id="p")
    answer = hook.delete_all_videos("p")
    assert chain.ledger.delete_requests[0].body == {"packageId": "p"}
    assert {video["meetingVideoId"] for video in answer["videos"]} == {"v", "w"}


@pytest.mark.parametrize("kind", ["html", "lost_answer", "broken_json", "reset"])
def test_a_deletion_is_never_repeated_by_the_hook_after_an_unclear_answer(chain, hook, kind):
    chain.package("v", "w", package_id="p")
    chain.sim.faults.add(Fault(call="delete", kind=kind, on="always"))
    with pytest.raises(exceptions.IinkedSignError):
        hook.delete_video("p", "v")
    assert len(chain.ledger.delete_requests) == 1


def test_the_path_that_is_known_is_kept_for_the_next_deletion(chain, hook):
    chain.package("v", "w", package_id="p")
    chain.sim.quirks.delete_paths = "short"
    hook.delete_video("p", "v")
    hook.delete_video("p", "w")
    assert [request.status for request in chain.ledger.delete_requests] == [404, 200, 200]


def test_a_single_recording_is_copied_and_verified(chain, hook):
    chain.package("v", "w", package_id="p")
    stored = hook.download_video("p", "v", chain.destination)
    assert (stored.meeting_video_id, stored.sha256) == ("v", chain.sim.sha256("v"))
    assert chain.names("p") == ["v.custody.json", "v.mp4"]


# --- patience ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset", "html", "broken_json"])
def test_a_read_is_repeated(chain, hook, kind):
    chain.package("v", package_id="p")
    chain.sim.faults.add(Fault(call="list", kind=kind, on=range(1, 3)))
    assert len(hook.list_videos("p")) == 1
    assert len(chain.ledger.requests()) == 3


def test_a_read_is_repeated_no_more_often_than_the_connection_says(chain, hook):
    chain.package("v", package_id="p")
    chain.sim.faults.add(Fault(call="list", kind="status", status=500, on="always"))
    with pytest.raises(exceptions.ServerError):
        hook.list_videos("p")
    assert len(chain.ledger.requests()) == 3


def test_retry_after_is_waited_for(chain, hook):
    chain.package("v", package_id="p")
    chain.sim.faults.add(Fault(call="list", kind="status", status=429, headers={"Retry-After": "1"}))
    hook.list_videos("p")
    first, second = chain.ledger.requests()
    assert second.time - first.time >= 1.0


def test_the_connections_ceiling_of_requests_is_kept(chain, connect):
    connect(max_requests_per_second=10)
    chain.package("v", package_id="p")
    hook = IinkedSignHook()
    started = time.monotonic()
    for _ in range(6):
        hook.list_videos("p")
    assert time.monotonic() - started >= 0.5


def test_the_session_takes_no_key_along_a_redirect_either(chain, hook):
    package, _ = chain.package("a")
    chain.sim.faults.add(Fault(call="list", kind="redirect", status=307, on="first"))
    answer = hook.get_conn().get(f"{hook.api_base}/packages/{package}/videos", timeout=5)
    assert answer.status_code == 307
    assert len(chain.ledger.requests()) == 1


def test_no_redirect_of_the_api_is_followed(chain, hook):
    chain.sim.faults.add(Fault(call="list", kind="redirect", status=308, on="always"))
    with pytest.raises(exceptions.UnexpectedAnswerError, match="redirects are not followed"):
        hook.list_videos("p")
    host = chain.sim.api_base.split("/")[2]
    assert {request.headers["host"] for request in chain.ledger.requests()} == {host}


# --- the list of packages as an operator ------------------------------------------------------------------------------


def test_packages_with_something_to_copy_are_kept(chain):
    archived = [chain.package({}, {"state": "queued"})[0], chain.package({})[0]]
    chain.package({"state": "queued"})
    chain.package({"state": "deleted"})
    chain.package()
    assert sorted(chain.list_packages(with_archived_videos=True)) == sorted(archived)
    assert len(chain.list_packages()) == 5


def test_no_more_packages_are_listed_than_can_be_mapped(chain):
    for _ in range(5):
        chain.package({})
    assert len(chain.list_packages(limit=3)) == 3
    assert len(chain.list_packages(limit=3, with_archived_videos=True)) == 3


def test_a_package_that_vanishes_meanwhile_is_left_out(chain):
    (gone, _), (kept, _) = chain.package({}), chain.package({})
    body = {"error": "package_not_found", "message": "gone"}
    chain.sim.faults.add(Fault(call="list", kind="status", status=404, body=body, package_id=gone, on="always"))
    assert chain.list_packages(with_archived_videos=True) == [kept]


@pytest.mark.parametrize(
    "arguments", [{"limit": 0}, {"with_archived_videos": "False"}, {"days": -1}, {"is_executed": "yes"}]
)
def test_options_of_the_wrong_type_reach_no_server(chain, arguments):
    with pytest.raises(exceptions.InvalidArgumentError):
        chain.list_packages(**arguments)
    assert chain.ledger.requests() == []
