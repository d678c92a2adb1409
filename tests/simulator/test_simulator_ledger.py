from __future__ import annotations

import json
import time

import requests

from airflow_provider_iinked.simulator import IinkedSimulator
from tests.servers import bytes_sent


def test_notes_requests_with_what_matters(sim, delete):
    sim.add_package("p", videos=["v"])
    delete("p", "v")
    (record,) = sim.ledger.delete_requests
    assert (record.host, record.call, record.method, record.status) == ("api", "delete", "POST", 200)
    assert record.path == "/api/v1/packages/p/videos/delete"
    assert (record.body, record.package_id, record.video_id) == ({"packageId": "p", "meetingVideoId": "v"}, "p", "v")
    assert record.headers["content-type"] == "application/json"
    assert sim.ledger.deletion_records[0].request == record.number


def test_filters_requests(sim, listed):
    sim.add_package("p", videos=["v"])
    requests.get(listed("p")[0]["url"], headers={"Range": "bytes=0-9"}, timeout=30)
    ledger = sim.ledger
    assert len(ledger.requests()) == 2
    assert len(ledger.requests(method="GET", path_prefix="/api/v1/packages")) == 1
    (record,) = ledger.requests(host="recordings")
    assert (record.query, record.headers["range"], record.status) == (("access",), "bytes=0-9", 206)
    ledger.clear()
    assert ledger.requests() == []


def test_counts_bytes_and_sockets(sim, listed):
    sim.add_package("p", videos=["v"])
    listed("p")
    listed("p")
    requests.get(sim.url("v"), timeout=30)
    assert sim.ledger.sockets(host="api") == 1
    assert sim.ledger.sockets() == 2
    assert bytes_sent(sim.ledger.requests(host="recordings")[0]) == 200_000


def test_file_has_a_line_for_each_event_and_no_secret(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with IinkedSimulator(ledger_file=path) as sim:
        sim.add_package("p", videos=["v"])
        url = sim.url("v")
        headers = {"api_key": sim.api_key}
        requests.get(url, timeout=30)
        bytes_sent(sim.ledger.requests(host="recordings")[0])
        body = {"packageId": "p", "meetingVideoId": "v"}
        requests.post(f"{sim.api_base}/packages/videos/delete", json=body, headers=headers, timeout=30)
    text = path.read_text()
    events = [json.loads(line) for line in text.splitlines()]
    assert [event["event"] for event in events] == ["request", "sent", "deletion", "request"]
    assert events[3]["headers"]["api_key"] == "present"
    assert sim.api_key not in text
    assert url.split("access=")[1] not in text


def test_a_poll_takes_milliseconds_at_most(sim, listed):
    sim.add_package("p", videos=["v", "w"])
    before = time.process_time()  # on a busy machine the clock on the wall runs on
    for _ in range(250):
        listed("p")
    assert time.process_time() - before < 250 * 0.008
    assert len(sim.ledger.requests(call="list")) == 250
