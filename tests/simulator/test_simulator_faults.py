from __future__ import annotations

import time

import pytest
import requests

from airflow_provider_iinked.simulator import Fault, FaultPlan


def hits(fault: Fault, calls: int = 5, call: str = "list") -> list[int]:
    """Which of the calls are hit, counted from 1; no sockets."""
    plan = FaultPlan()
    plan.add(fault)
    return [number for number in range(1, calls + 1) if plan.decide(call)]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [1]),
        ({"on": "first"}, [1]),
        ({"on": 3}, [3]),
        ({"on": range(2, 4)}, [2, 3]),
        ({"on": "always"}, [1, 2, 3, 4, 5]),
        ({"on": "always", "times": 2}, [1, 2]),
        ({"on": range(1, 6, 2), "times": 2}, [1, 3]),
    ],
)
def test_when_a_fault_is_due(when, expected):
    assert hits(Fault(call="list", kind="refuse", **when)) == expected


def test_fault_waits_for_its_call():
    assert hits(Fault(call="delete", kind="refuse", on="always")) == []
    assert hits(Fault(call="any", kind="refuse", on=2)) == [2]


def test_fault_waits_for_its_video():
    plan = FaultPlan()
    plan.add(Fault(call="delete", kind="refuse", package_id="p", video_id="v"))
    assert [plan.decide("delete", *ids) is not None for ids in (("p", "w"), ("q", "v"), ("p", "v"))] == [
        False,
        False,
        True,
    ]


def test_earliest_fault_wins_and_the_later_counts_on():
    plan = FaultPlan()
    first, second = Fault(call="list", kind="refuse"), Fault(call="list", kind="reset", on=range(1, 3))
    plan.add(first, second)
    assert [plan.decide("list") for _ in range(3)] == [first, second, None]
    assert (plan.applied(first), plan.applied(second)) == (1, 1)


@pytest.mark.parametrize("wrong", [{"call": "lst"}, {"kind": "explode"}, {"on": "second"}, {"kind": "status"}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError):
        Fault(**{"call": "list", "kind": "refuse", **wrong})


@pytest.fixture
def package(sim) -> str:
    return sim.add_package("p", videos=["v", "w"])


@pytest.fixture
def ask(sim, http, package):
    return lambda: http.get(f"{sim.api_base}/packages/p/videos", timeout=30, allow_redirects=False)


@pytest.mark.parametrize("kind", ["refuse", "reset", "lost_answer"])
def test_socket_closes_without_an_answer_then_all_is_well(sim, ask, kind):
    sim.faults.add(Fault(call="list", kind=kind))
    with pytest.raises(requests.ConnectionError):
        ask()
    assert ask().status_code == 200
    assert [(record.fault, record.status) for record in sim.ledger.requests()] == [(kind, None), (None, 200)]


@pytest.mark.parametrize(("kind", "gone"), [("refuse", []), ("reset", []), ("lost_answer", ["v"])])
def test_only_a_lost_answer_has_deleted(sim, delete, package, kind, gone):
    sim.faults.add(Fault(call="delete", kind=kind))
    with pytest.raises(requests.ConnectionError):
        delete("p", "v")
    assert sim.ledger.deletions == gone


def test_stall_then_answer(sim, ask):
    sim.faults.add(Fault(call="list", kind="stall", seconds=0.2))
    before = time.monotonic()
    assert ask().status_code == 200
    assert time.monotonic() - before >= 0.2


def test_stop_does_not_wait_for_a_stall(sim, http, package):
    sim.faults.add(Fault(call="list", kind="stall", seconds=600))
    with pytest.raises(requests.Timeout):
        http.get(f"{sim.api_base}/packages/p/videos", timeout=0.2)
    before = time.monotonic()
    sim.stop()
    assert time.monotonic() - before < 60


def test_cut_in_the_middle_of_json(sim, ask):
    sim.faults.add(Fault(call="list", kind="cut", after=10))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="10 bytes read"):
        ask()


def test_status_with_headers_and_the_api_s_error_form(sim, ask):
    sim.faults.add(Fault(call="list", kind="status", status=429, headers={"Retry-After": "2"}))
    answer = ask()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert set(answer.json()) == {"error", "message"}


@pytest.mark.parametrize(("body", "kind"), [("<h1>Down</h1>", "text/html"), ({"error": "x"}, "application/json")])
def test_status_with_a_body(sim, ask, body, kind):
    sim.faults.add(Fault(call="list", kind="status", status=503, body=body))
    answer = ask()
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (503, kind)


@pytest.mark.parametrize(("work", "gone"), [(False, []), (True, ["v"])])
def test_error_status_may_hide_that_the_work_was_done(sim, delete, package, work, gone):
    sim.faults.add(Fault(call="delete", kind="status", status=504, body="timeout", work=work))
    assert delete("p", "v").status_code == 504
    assert sim.ledger.deletions == gone


def test_html_with_200(sim, ask):
    sim.faults.add(Fault(call="list", kind="html"))
    assert ask().headers["Content-Type"].startswith("text/html")


def test_broken_json(sim, ask):
    sim.faults.add(Fault(call="list", kind="broken_json"))
    with pytest.raises(requests.JSONDecodeError):
        ask().json()


def test_wrong_type(sim, ask):
    sim.faults.add(Fault(call="list", kind="wrong_type"))
    assert isinstance(ask().json(), list)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_of_an_api_call(sim, ask, status):
    sim.faults.add(Fault(call="list", kind="redirect", status=status))
    answer = ask()
    assert answer.status_code == status
    assert answer.headers["Location"].startswith("http://localhost:")


def test_redirect_to_a_given_place(sim, ask):
    sim.faults.add(Fault(call="list", kind="redirect", location="https://elsewhere.example/"))
    assert ask().headers["Location"] == "https://elsewhere.example/"


@pytest.mark.parametrize(("hide", "named"), [(False, ["v", "w"]), (True, ["v"])])
def test_delete_all_instead(sim, delete, package, hide, named):
    sim.faults.add(Fault(call="delete", kind="delete_all_instead", hide=hide))
    assert [video["meetingVideoId"] for video in delete("p", "v").json()["videos"]] == named
    assert sim.ledger.deletions == ["v", "w"]
    assert not any(record.by_id for record in sim.ledger.deletion_records)


def test_clock_jump(sim, ask):
    sim.clock.freeze()
    before = sim.clock.timestamp()
    sim.faults.add(Fault(call="list", kind="clock_jump", seconds=3600))
    ask()
    assert sim.clock.timestamp() == before + 3600


@pytest.mark.parametrize("after", [0, 1000, 300_000, 2_500_000])
def test_recording_is_cut_after_so_many_bytes(sim, package, after):
    sim.add_video("p", "big", size=3_000_000)
    sim.faults.add(Fault(call="recording", kind="cut", after=after, video_id="big"))
    with requests.get(sim.url("big"), stream=True, timeout=30) as answer:
        assert answer.raw.read(after) == sim.content("big")[:after]
        with pytest.raises(Exception, match="IncompleteRead"):
            answer.raw.read()
    assert len(requests.get(sim.url("big"), timeout=30).content) == 3_000_000


def test_recording_is_cut_and_its_url_ends(sim, package):
    url = sim.url("v")
    sim.faults.add(Fault(call="recording", kind="expire", after=1000))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(url, timeout=30)
    assert requests.get(url, timeout=30).status_code == 403
    assert requests.get(sim.url("v"), timeout=30).status_code == 200


@pytest.mark.parametrize("kind", ["refuse", "reset"])
def test_recording_is_refused(sim, package, kind):
    sim.faults.add(Fault(call="recording", kind=kind))
    with pytest.raises(requests.ConnectionError):
        requests.get(sim.url("v"), timeout=30)


def test_recording_is_too_often_requested(sim, package):
    sim.faults.add(Fault(call="recording", kind="status", status=503, body="<p>busy</p>", headers={"Retry-After": "1"}))
    answer = requests.get(sim.url("v"), timeout=30)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_recording_redirects_by_fault(sim, package):
    sim.faults.add(Fault(call="recording", kind="redirect", status=307))
    answer = requests.get(sim.url("v"), timeout=30)
    assert len(answer.history) == 1
    assert answer.content == sim.content("v")
