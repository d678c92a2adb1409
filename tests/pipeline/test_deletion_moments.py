"""What lies between proof and request: it is seconds, or the copy is proved again; and no receipt claims too much."""

from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_iinked import exceptions
from airflow_provider_iinked.api import sync_client as sync
from airflow_provider_iinked.custody.receipt import ReceiptStore
from airflow_provider_iinked.deletion import verification
from airflow_provider_iinked.simulator import Fault
from airflow_provider_iinked.storage import Store
from airflow_provider_iinked.storage.local import LocalStore


@pytest.fixture
def slow_store(clock, monkeypatch):
    """Receipts take their time: what happens meanwhile is the test's to say, for each in turn."""
    happens = []
    write = ReceiptStore.open

    def open_receipt(self, *arguments, **more):
        receipt = write(self, *arguments, **more)
        seconds, act = happens.pop(0) if happens else (0.0, None)
        clock.offset += seconds
        if act:
            act()
        return receipt

    monkeypatch.setattr(ReceiptStore, "open", open_receipt)
    return happens


@pytest.fixture
def copied(chain):
    package, _ = chain.package("a", "neighbour", package_id="p")
    copies = chain.download(package, meeting_video_ids=["a"])
    chain.ledger.clear()
    return chain, copies


def receipt_of(chain, video="a"):
    return json.loads(chain.path("p", f"{video}.deletion.json").read_text())


def open_receipt(chain, **fields):
    """What another run left that was killed after its request, or is still at work."""
    receipt = {
        "format": 1,
        "status": "requested",
        "api_base": chain.sim.api_base,
        "package_id": "p",
        "meeting_video_id": "a",
        "dag_id": "another",
        "proof": {"sha256": chain.sim.sha256("a")},
        **fields,
    }
    chain.path("p", "a.deletion.json").write_text(json.dumps(receipt))
    return receipt


def test_a_copy_that_is_spoilt_while_its_receipt_is_written_slowly_keeps_its_recording(copied, slow_store):
    chain, copies = copied
    slow_store.append((11.0, chain.path("p", "a.mp4").unlink))
    with pytest.raises(exceptions.VerificationError, match="its copy is gone"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
    assert receipt_of(chain)["status"] == "withdrawn"


def test_a_copy_is_verified_again_after_a_slow_receipt(copied, slow_store):
    chain, copies = copied
    slow_store.append((11.0, None))
    chain.delete(verified_copies=copies)
    assert [request.video_id for request in chain.ledger.delete_requests] == ["a"]
    receipt = receipt_of(chain)
    assert (receipt["status"], receipt.get("previous")) == ("deleted", None)


def test_what_is_always_too_slow_keeps_its_recording_and_a_retry_ends_well(copied, slow_store):
    chain, copies = copied
    slow_store.extend([(11.0, None)] * 3)
    with pytest.raises(exceptions.ServiceUnavailableError, match="too old for a request to follow"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
    assert receipt_of(chain)["status"] == "withdrawn"
    chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == ["a"]
    assert "previous" not in receipt_of(chain)


def test_without_a_copy_a_slow_receipt_asks_for_nothing_but_a_recent_list(copied, slow_store):
    chain, _ = copied
    slow_store.append((61.0, lambda: chain.sim.set_state("p", "a", "started")))
    with pytest.raises(exceptions.StateNotAllowedError):
        chain.delete(package_id="p", meeting_video_ids="a", receipt_destination=chain.destination)
    assert chain.ledger.delete_requests == []
    assert receipt_of(chain)["status"] == "withdrawn"


@pytest.mark.parametrize("earlier", [True, False], ids=["after another run's", "alone"])
def test_a_receipt_tells_of_no_request_that_was_not_sent(copied, slow_store, earlier):
    chain, copies = copied
    left = open_receipt(chain) if earlier else None
    slow_store.append((61.0, lambda: chain.sim.set_state("p", "a", "deleted")))
    chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
    receipt = receipt_of(chain)
    if left is None:
        assert (receipt["status"], receipt["deleted_at"]) == ("withdrawn", None)
    else:
        assert {**receipt, "status": "requested"}.items() >= left.items()
        assert (receipt["status"], receipt["told_by"]) == ("deleted", "list")


def test_the_open_receipt_of_another_run_is_kept_inside_the_new_one(copied):
    chain, copies = copied
    left = open_receipt(chain)
    chain.delete(verified_copies=copies)
    receipt = receipt_of(chain)
    assert (receipt["status"], receipt["previous"]) == ("deleted", left)


def test_a_request_that_never_went_out_leaves_no_open_receipt(copied):
    chain, copies = copied
    chain.sim.faults.add(Fault(call="delete", kind="status", status=429, headers={"Retry-After": "301"}))
    with pytest.raises(exceptions.RateLimitError):
        chain.delete(verified_copies=copies)
    assert receipt_of(chain)["status"] == "withdrawn"


def test_after_an_unclear_answer_the_receipt_stays_open(copied, connect):
    chain, copies = copied
    connect(timeout=5, max_retries=0)
    chain.sim.faults.add(Fault(call="delete", kind="status", status=500))
    with pytest.raises(exceptions.ServerError):
        chain.delete(verified_copies=copies)
    assert receipt_of(chain)["status"] == "requested"


def test_a_stranger_is_no_reason_to_clear_the_task(copied):
    chain, copies = copied
    chain.sim.faults.add(Fault(call="delete", kind="delete_all_instead"))
    with pytest.raises(exceptions.UnrequestedDeletionError) as caught:
        chain.delete(verified_copies=copies)
    assert "do not clear the task before that" in str(caught.value)
    assert "Clearing the task is safe" not in str(caught.value)


def test_what_is_gone_after_a_refusal_is_warned_of(copied, meanwhile, caplog):
    chain, copies = copied
    body = {"error": "video_not_found", "message": "No such video."}
    chain.sim.faults.add(Fault(call="delete", kind="status", status=404, body=body))

    def vanish():
        chain.sim.set_state("p", "a", "deleted")
        chain.sim.set_state("p", "neighbour", "deleted")

    meanwhile.before_first_deletion(vanish)
    with caplog.at_level(logging.WARNING):
        chain.delete(verified_copies=copies)
    assert "deleted by something else during this task: neighbour" in caplog.text


def test_a_ceiling_of_requests_is_waited_for_before_the_last_look(chain, connect, clock, monkeypatch):
    """Twenty seconds a request: the list and the copy would be as old when the request goes out."""
    chain.package("a", package_id="p")
    copies = chain.download("p")
    connect(max_requests_per_second=0.05)
    spoilt = []

    def sleep(seconds):
        clock.offset += seconds
        if not spoilt:
            spoilt.append(seconds)
            chain.path("p", "a.mp4").write_bytes(b"spoilt")

    monkeypatch.setattr(sync, "time", clock)
    opened = sync.SyncClient.__init__
    monkeypatch.setattr(
        sync.SyncClient, "__init__", lambda self, settings, **more: opened(self, settings, sleep=sleep, **more)
    )
    with pytest.raises(exceptions.VerificationError, match="not verified"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.deletions == []
    assert spoilt[0] > 10


@pytest.mark.parametrize("spoilt", ["a.mp4", "a.custody.json"])
def test_a_copy_that_is_spoilt_while_the_next_one_is_read_keeps_its_recording(
    chain, tmp_path, clock, monkeypatch, spoilt
):
    monkeypatch.setattr(LocalStore, "failure_domain", lambda self, url: "second" if "/second" in url else "first")
    package, _ = chain.package("a", package_id="p")
    copies = chain.download(package, destination=[chain.destination, f"file://{tmp_path}/second"])
    read = LocalStore.sha256

    def takes_an_hour(self, url, stop=lambda: False):
        found = read(self, url, stop)
        if "/second" in url:
            clock.offset += 3600
            chain.path("p", spoilt).write_bytes(b"{}")
        return found

    monkeypatch.setattr(LocalStore, "sha256", takes_an_hour)
    with pytest.raises(exceptions.VerificationError, match="changed while the recording's copies were verified"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


@pytest.mark.parametrize("small", [0, 1 << 20])
def test_a_copy_that_goes_while_it_is_read_keeps_its_recording(etag_chain, clock, monkeypatch, small):
    chain = etag_chain
    package, _ = chain.package("a", package_id="p")
    copies = chain.download(package)
    path = chain.path("p", "a.mp4")
    read = Store.sha256

    def takes_an_hour(self, url, stop=lambda: False):
        found = read(self, url, stop)
        clock.offset += 3600
        if small:
            path.unlink()
        else:
            path.write_bytes(bytes(path.stat().st_size))
        return found

    monkeypatch.setattr(verification, "_SMALL", small)
    monkeypatch.setattr(Store, "sha256", takes_an_hour)
    with pytest.raises(exceptions.VerificationError, match="changed while the recording's copies were verified"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
