"""The lock that a custody record promises is read from the store again, right before the deletion."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_iinked.exceptions import VerificationError
from airflow_provider_iinked.storage.local import LocalStore
from airflow_provider_iinked.storage.lock import Lock

UNTIL = datetime(2036, 11, 27, tzinfo=UTC)
PROMISE = {"retain_until": UNTIL.isoformat(), "retention_mode": "COMPLIANCE"}


@pytest.fixture
def locked(chain, monkeypatch):
    """One recording whose record promises a lock, in a store that shows what the test says."""
    package, (video,) = chain.package({})
    copies = chain.download(package)
    path = chain.path(package, f"{video}.custody.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **PROMISE}))
    shown = {"copy": Lock("COMPLIANCE", UNTIL), "record": Lock("COMPLIANCE", UNTIL)}
    monkeypatch.setattr(LocalStore, "lock_of", lambda store, url: shown["record" if url.endswith(".json") else "copy"])
    chain.ledger.clear()
    return chain, copies, shown, path


def test_a_copy_that_is_locked_as_promised_is_no_obstacle(locked):
    chain, copies, _, path = locked
    chain.delete(verified_copies=copies)
    assert len(chain.ledger.deletions) == 1
    receipt = json.loads(path.with_name(path.name.replace("custody", "deletion")).read_text())
    assert receipt["proof"]["retain_until"] == PROMISE["retain_until"]


def test_a_stronger_lock_is_no_obstacle(locked):
    chain, copies, shown, path = locked
    path.write_text(json.dumps({**json.loads(path.read_text()), "retention_mode": "GOVERNANCE"}))
    shown["copy"] = Lock("COMPLIANCE", UNTIL.replace(year=2040))
    chain.delete(verified_copies=copies)
    assert len(chain.ledger.deletions) == 1


def test_a_lock_that_has_ended_is_no_obstacle(locked):
    chain, copies, shown, path = locked
    path.write_text(json.dumps({**json.loads(path.read_text()), "retain_until": "2020-01-01T00:00:00Z"}))
    shown["copy"] = shown["record"] = None
    chain.delete(verified_copies=copies)
    assert len(chain.ledger.deletions) == 1


@pytest.mark.parametrize("which", ["copy", "record"])
@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (None, "no lock"),
        (Lock("GOVERNANCE", UNTIL), "GOVERNANCE instead of COMPLIANCE"),
        (Lock("COMPLIANCE", UNTIL.replace(year=2035)), "2035"),
    ],
    ids=["none", "weaker", "shorter"],
)
def test_a_lock_that_is_missing_weaker_or_shorter_keeps_the_recording(locked, which, lock, said):
    chain, copies, shown, _ = locked
    shown[which] = lock
    with pytest.raises(VerificationError, match=f"the store shows .*{said}.* of the {which}"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []


@pytest.mark.parametrize("promise", [{"retain_until": "soon"}, {"retention_mode": None}, {"retain_until": None}])
def test_a_promise_that_cannot_be_read_keeps_the_recording(locked, promise):
    chain, copies, _, path = locked
    path.write_text(json.dumps({**json.loads(path.read_text()), **promise}))
    with pytest.raises(VerificationError, match="cannot be read"):
        chain.delete(verified_copies=copies)
    assert chain.ledger.delete_requests == []
