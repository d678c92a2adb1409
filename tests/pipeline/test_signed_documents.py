"""Documents signed as they are written: the archive verifies with the public key after the chain, kills and retries."""

from __future__ import annotations

import json
import logging
import os

import pytest

from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.hold import place_hold
from airflow_provider_iinked.custody.keys import load_signing_key
from airflow_provider_iinked.custody.sealer import SealOptions, seal_archive
from airflow_provider_iinked.custody.signing import DocumentSigner
from airflow_provider_iinked.custody.store_archive import StoreArchive
from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError
from airflow_provider_iinked.storage.local import LocalStore
from tests.custody.sealed_archives import make_pem

SIGNED = {"signing_conn_id": "evidence_key"}


@pytest.fixture
def key(monkeypatch):
    pem = make_pem()
    value = {"conn_type": "generic", "password": pem, "extra": {"key_id": "evidence-2026"}}
    monkeypatch.setenv("AIRFLOW_CONN_EVIDENCE_KEY", json.dumps(value))
    return load_signing_key(pem, "evidence-2026")


@pytest.fixture
def package(chain, key):
    chain.package("a", "b", package_id="p")
    return chain


def audit(chain, key):
    archive = StoreArchive.at(chain.destination)
    return audit_archive(archive, [key.public], AuditOptions(require_seals=False))


def differences(chain, key):
    return sorted((str(item.kind), item.path) for item in audit(chain, key).differences)


def test_records_and_receipts_of_the_chain_are_signed(package, key):
    copies = package.download("p", **SIGNED)
    package.delete(verified_copies=copies, **SIGNED)
    result = audit(package, key)
    assert (result.differences, result.recordings, result.documents) == ([], 2, 4)


def test_each_step_can_be_sealed(package, key):
    archive = StoreArchive.at(package.destination)
    copies = package.download("p", **SIGNED)
    seal_archive(archive, key, SealOptions())
    package.delete(verified_copies=copies, **SIGNED)
    seal_archive(archive, key, SealOptions())
    erase_copy(package.destination, "p", "a", reason="asked for", signer=DocumentSigner(key))
    result = seal_archive(archive, key, SealOptions())
    assert (result.differences, audit_archive(archive, [key.public]).differences) == ((), [])


def test_another_key_is_a_difference(package, key):
    package.download("p", **SIGNED)
    other = load_signing_key(make_pem())
    assert {kind for kind, _ in differences(package, other)} == {"signature wrong", "unrecorded"}


def test_without_a_key_nothing_is_signed(package, key):
    package.delete(verified_copies=package.download("p"))
    assert not list(package.folder.rglob("*.dsse.json"))


def test_a_copy_that_was_quarantined_and_made_again_has_its_own_envelope(package, key):
    package.download("p", **SIGNED)
    package.path("p", "a.mp4").write_bytes(b"damaged")
    package.download("p", **SIGNED)
    assert differences(package, key) == []


def test_a_receipt_that_is_voided_is_signed_as_it_stands(package, key):
    copies = package.download("p", **SIGNED)
    place_hold(package.destination, "p", reason="a matter", settle_for=0)
    with pytest.raises(IinkedSignError):
        package.delete(verified_copies=copies, **SIGNED)
    assert differences(package, key) == []


def test_a_preview_signs_nothing(package, key):
    copies = package.download("p", **SIGNED)
    package.delete(verified_copies=copies, preview=True, **SIGNED)
    assert not list(package.folder.rglob("*.deletion.json*"))


# --- killed at any write


class Killed(BaseException):
    """Stands for SIGKILL: nothing below it goes on writing."""


class Writes:
    """Ends the run at its n-th write, and at every one that follows."""

    def __init__(self, monkeypatch):
        self.at, self.count = None, 0
        for name in ("create_bytes", "replace_bytes"):
            monkeypatch.setattr(LocalStore, name, self._wrap(getattr(LocalStore, name)))

    def _wrap(self, really):
        def write(*arguments, **more):
            self.count += 1
            if self.at is None or self.count < self.at:
                return really(*arguments, **more)
            raise Killed

        return write


@pytest.mark.parametrize("step", ["download", "delete", "erase"])
def test_whatever_write_a_run_dies_at_the_next_run_leaves_nothing_unsigned(package, key, monkeypatch, step):
    writes = Writes(monkeypatch)
    died = 0
    for at in range(1, 20):
        video = package.sim.add_video("p", meeting_video_id=f"v{at}")

        def download(video=video):
            return package.download("p", meeting_video_ids=video, max_parallel=1, **SIGNED)

        def delete(copies):
            package.delete(verified_copies=copies, max_parallel=1, **SIGNED)

        def erase(video=video):
            erase_copy(package.destination, "p", video, reason="asked for", signer=DocumentSigner(key))

        copies = download() if step != "download" else None
        run = {"download": download, "delete": lambda copies=copies: delete(copies), "erase": erase}[step]
        writes.at, writes.count = at, 0
        try:
            run()
            finished = True
        except BaseException as error:  # a worker's death may come wrapped
            assert isinstance(error, Killed) or "Killed" in repr(error), repr(error)  # noqa: PT017
            finished = False
        writes.at = None
        run()
        assert differences(package, key) == [], f"write {at}"
        if finished:
            break
        died += 1
    assert died >= 2


# --- the key


@pytest.mark.parametrize("conn_id", ["", "None", "  "])
def test_an_empty_connection_id_is_refused_before_any_request(package, conn_id):
    package.ledger.clear()
    with pytest.raises(InvalidArgumentError, match="signing_conn_id"):
        package.download("p", signing_conn_id=conn_id)
    assert package.ledger.requests() == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "cannot be read"),
        ({"conn_type": "generic"}, "no password"),
        ({"conn_type": "generic", "password": "SECRET-no-pem"}, "cannot be read"),
    ],
    ids=["no connection", "no password", "no key"],
)
def test_a_connection_without_a_key_is_refused_before_any_request(package, monkeypatch, value, says):
    monkeypatch.delenv("AIRFLOW_CONN_EVIDENCE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("AIRFLOW_CONN_EVIDENCE_KEY", json.dumps(value))
    package.ledger.clear()
    with pytest.raises(IinkedSignError, match=says) as caught:
        package.download("p", **SIGNED)
    assert "SECRET" not in str(caught.value)
    assert package.ledger.requests() == []


def test_the_key_shows_nowhere(package, key, caplog):
    pem = json.loads(os.environ["AIRFLOW_CONN_EVIDENCE_KEY"])["password"]
    body = pem.splitlines()[1]
    with caplog.at_level(logging.DEBUG):
        package.delete(verified_copies=package.download("p", **SIGNED), **SIGNED)
    stored = b"".join(path.read_bytes() for path in package.folder.rglob("*") if path.is_file())
    assert body not in caplog.text
    assert body.encode() not in stored
    assert body not in repr(DocumentSigner(key))
