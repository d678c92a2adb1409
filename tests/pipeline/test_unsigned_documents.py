"""What lies there without a valid signature gets none by a later run, unless it is made again from the source."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_iinked.custody import signing, tombstone
from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.hold import place_hold
from airflow_provider_iinked.custody.keys import load_signing_key
from airflow_provider_iinked.custody.sealer import SealOptions, seal_archive
from airflow_provider_iinked.custody.signing import DocumentSigner, write_document
from airflow_provider_iinked.custody.store_archive import StoreArchive
from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.exceptions import IinkedSignError, LegalHoldError, VerificationError
from airflow_provider_iinked.storage.local import LocalStore
from tests.custody.sealed_archives import make_pem

SIGNED = {"signing_conn_id": "evidence_key"}
RECORD, RECEIPT, TOMBSTONE = "a.custody.json", "a.deletion.json", "a.erased.json"


def use_key(monkeypatch, pem, **extra):
    value = {"conn_type": "generic", "password": pem, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_EVIDENCE_KEY", json.dumps(value))
    return load_signing_key(pem)


@pytest.fixture
def key(monkeypatch):
    return use_key(monkeypatch, make_pem())


@pytest.fixture
def package(chain, key):
    chain.package("a", package_id="p")
    return chain


def audit(chain, *keys):
    archive = StoreArchive.at(chain.destination)
    result = audit_archive(archive, [key.public for key in keys], AuditOptions(require_seals=False))
    return sorted((str(item.kind), item.path) for item in result.differences)


def document(chain, name):
    return json.loads(chain.path("p", name).read_bytes())


def envelope(chain, name):
    return chain.path("p", f"{name}.dsse.json")


def edit(chain, name, **fields):
    """What somebody with write access does who has no key."""
    chain.path("p", name).write_text(json.dumps(document(chain, name) | fields))


def remove_at_source(chain):
    chain.sim.remove_video("p", "a")


# --- records


def test_an_edited_record_without_envelope_is_made_again_from_the_source(package, key):
    package.download("p", **SIGNED)
    edit(package, RECORD, time="2020-01-01T00:00:00+00:00")
    envelope(package, RECORD).unlink()
    package.download("p", **SIGNED)
    assert audit(package, key) == []
    assert not document(package, RECORD)["time"].startswith("2020")
    [aside] = package.folder.glob("p/a.custody.json.set-aside-*")
    assert json.loads(aside.read_bytes())["time"].startswith("2020")


def test_an_edited_record_beside_its_old_envelope_is_made_again_and_both_are_kept_aside(package, key):
    package.download("p", **SIGNED)
    edit(package, RECORD, time="2020-01-01T00:00:00+00:00")
    package.download("p", **SIGNED)
    assert audit(package, key) == []
    assert len(list(package.folder.glob("p/a.custody.json*.set-aside-*"))) == 2


def test_a_record_without_envelope_stays_unsigned_when_its_source_is_gone(package, key, caplog):
    package.download("p", **SIGNED)
    envelope(package, RECORD).unlink()
    remove_at_source(package)
    assert package.download("p", **SIGNED) == []
    assert "not signed" in caplog.text
    assert not envelope(package, RECORD).exists()
    assert ("signature missing", f"p/{RECORD}") in audit(package, key)


def test_a_selected_recording_whose_source_is_gone_fails_without_its_envelope(package, key):
    package.download("p", **SIGNED)
    envelope(package, RECORD).unlink()
    remove_at_source(package)
    with pytest.raises(IinkedSignError, match="not signed"):
        package.download("p", meeting_video_ids="a", **SIGNED)
    assert not envelope(package, RECORD).exists()


def test_an_edited_record_beside_its_old_envelope_fails_when_its_source_is_gone(package, key):
    package.download("p", **SIGNED)
    edit(package, RECORD, time="2020-01-01T00:00:00+00:00")
    remove_at_source(package)
    with pytest.raises(VerificationError, match="not signed"):
        package.download("p", meeting_video_ids="a", **SIGNED)
    assert ("signature wrong", f"p/{RECORD}") in audit(package, key)


def test_a_record_that_an_unknown_key_signed_is_left_alone(package, key, monkeypatch):
    other = use_key(monkeypatch, make_pem())
    package.download("p", **SIGNED)
    use_key(monkeypatch, make_pem())
    with pytest.raises(VerificationError, match="public_keys"):
        package.download("p", **SIGNED)
    assert audit(package, other) == []


@pytest.mark.parametrize("as_list", [True, False])
def test_a_record_that_a_named_earlier_key_signed_is_kept(package, key, monkeypatch, as_list):
    package.download("p", **SIGNED)
    before = package.path("p", RECORD).read_bytes()
    pem = key.public.pem
    use_key(monkeypatch, make_pem(), public_keys=[pem] if as_list else pem.replace("\n", "\\n"))
    copies = package.download("p", **SIGNED)
    assert package.path("p", RECORD).read_bytes() == before
    package.delete(verified_copies=copies, **SIGNED)
    assert package.ledger.deletions == ["a"]


def test_records_from_before_signing_was_switched_on_are_made_again_while_the_source_is_there(package, key):
    package.download("p")
    inode = package.path("p", "a.mp4").stat().st_ino
    package.download("p", **SIGNED)
    assert audit(package, key) == []
    assert package.path("p", "a.mp4").stat().st_ino == inode


def test_records_from_before_signing_can_be_sealed_as_they_are_when_the_source_is_gone(package, key):
    package.delete(verified_copies=package.download("p"))
    assert package.download("p", **SIGNED) == []
    archive = StoreArchive.at(package.destination)
    assert seal_archive(archive, key, SealOptions(allow_unsigned=True)).differences == ()
    assert audit_archive(archive, [key.public]).differences == []


def test_a_copy_that_changed_before_it_was_signed_is_made_again(package, key):
    package.download("p")
    path, record = package.path("p", "a.mp4"), document(package, RECORD)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    edit(package, RECORD, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), modified=path.stat().st_mtime)
    package.download("p", **SIGNED)
    assert (document(package, RECORD)["sha256"], audit(package, key)) == (record["sha256"], [])


@pytest.mark.parametrize("harm", ["no envelope", "edited", "unknown key"])
def test_a_deletion_that_signs_keeps_a_recording_whose_record_is_not_signed(package, key, monkeypatch, harm):
    copies = package.download("p", **SIGNED)
    if harm == "no envelope":
        envelope(package, RECORD).unlink()
    elif harm == "edited":
        edit(package, RECORD, time="2020-01-01T00:00:00+00:00")
    else:
        use_key(monkeypatch, make_pem())
    package.ledger.clear()
    with pytest.raises(VerificationError, match="not signed"):
        package.delete(verified_copies=copies, **SIGNED)
    assert package.ledger.deletions == []


@pytest.mark.parametrize("moment", range(3))
def test_of_two_runs_that_record_at_the_same_time_one_record_and_its_envelope_stay(package, key, monkeypatch, moment):
    really, count = LocalStore.create_bytes, iter(range(100))

    def create_bytes(self, url, data, **more):
        if ".custody.json" in url and next(count) == moment:
            package.download("p", **SIGNED)
        return really(self, url, data, **more)

    monkeypatch.setattr(LocalStore, "create_bytes", create_bytes)
    package.download("p", **SIGNED)
    assert audit(package, key) == []


# --- receipts


@pytest.fixture
def open_receipt(package, key):
    """A deletion that was killed after its request: its receipt is open, and signed."""
    package.delete(verified_copies=package.download("p", **SIGNED), **SIGNED)
    package.download("p", **SIGNED)
    signer = DocumentSigner(key)
    url = f"{package.destination}/p/{RECEIPT}"
    store = StoreArchive.at(package.destination)._store
    write_document(store, url, document(package, RECEIPT) | {"status": "requested", "deleted_at": None}, signer)
    return package


def copies_of(chain):
    record = document(chain, RECORD)
    names = ("package_id", "meeting_video_id", "uri", "size", "sha256")
    return [{name: record[name] for name in names} | {"custody_uri": f"{chain.destination}/p/{RECORD}"}]


def test_an_open_receipt_of_an_earlier_run_is_completed_and_signed(open_receipt, key):
    open_receipt.delete(verified_copies=copies_of(open_receipt), **SIGNED)
    assert (document(open_receipt, RECEIPT)["status"], audit(open_receipt, key)) == ("deleted", [])


@pytest.mark.parametrize("harm", ["no envelope", "edited"])
def test_an_open_receipt_that_nobody_vouches_for_is_completed_and_not_signed(open_receipt, key, harm):
    edit(open_receipt, RECEIPT, conn_id="somebody else's")
    if harm == "no envelope":
        envelope(open_receipt, RECEIPT).unlink()
    open_receipt.delete(verified_copies=copies_of(open_receipt), **SIGNED)
    assert document(open_receipt, RECEIPT)["status"] == "deleted"
    kind = "signature missing" if harm == "no envelope" else "signature wrong"
    assert audit(open_receipt, key) == [(kind, f"p/{RECEIPT}")]


def listed_again(chain):
    """The recording of an edited, unsigned receipt, to be deleted once more."""
    copies = chain.download("p", **SIGNED)
    chain.path("p", RECEIPT).write_text(json.dumps({**RECEIPT_FIELDS, "api_base": document(chain, RECORD)["api_base"]}))
    return copies


RECEIPT_FIELDS = {"format": 1, "package_id": "p", "meeting_video_id": "a", "status": "requested", "conn_id": "edited"}


def test_a_new_receipt_says_that_the_one_before_was_not_signed(package, key):
    package.delete(verified_copies=listed_again(package), **SIGNED)
    receipt = document(package, RECEIPT)
    assert (receipt["previous"]["conn_id"], receipt["previous_signature"]) == (
        "edited",
        "there is no envelope beside it",
    )
    assert audit(package, key) == []


def test_a_receipt_that_gets_its_place_again_stays_without_signature(package, key):
    copies = listed_again(package)
    before = document(package, RECEIPT)
    place_hold(package.destination, "p", reason="a matter", settle_for=0)
    with pytest.raises(IinkedSignError):
        package.delete(verified_copies=copies, **SIGNED)
    assert document(package, RECEIPT) == before
    assert audit(package, key) == [("signature missing", f"p/{RECEIPT}")]


# --- tombstones


def test_a_tombstone_repeats_nothing_of_a_record_without_envelope(package, key):
    package.download("p", **SIGNED)
    edit(package, RECORD, sha256="0" * 64)
    envelope(package, RECORD).unlink()
    erase_copy(package.destination, "p", "a", reason="asked for", signer=DocumentSigner(key))
    left = document(package, TOMBSTONE)
    assert (left["sha256"], left["uri"], left["removed"]) == (None, None, ["a.mp4"])


@pytest.mark.parametrize("signed", [True, False])
def test_a_tombstone_repeats_of_an_earlier_one_only_what_is_signed(package, key, signed):
    signer = DocumentSigner(key)
    package.download("p", **SIGNED)
    erase_copy(package.destination, "p", "a", reason="asked for", signer=signer)
    if not signed:
        edit(package, TOMBSTONE, removed=["a.mp4", "another.mp4"])
        envelope(package, TOMBSTONE).unlink()
    erase_copy(package.destination, "p", "a", reason="asked for", signer=signer)
    assert document(package, TOMBSTONE)["removed"] == (["a.mp4"] if signed else [])
    assert audit(package, key) == []


def test_an_earlier_tombstone_that_gets_its_place_again_stays_without_signature(package, key, monkeypatch):
    package.download("p", **SIGNED)
    erase_copy(package.destination, "p", "a", reason="asked for")
    before = document(package, TOMBSTONE)
    answers = iter([None, LegalHoldError("held")])

    def check_not_held(store, layout):
        if (answer := next(answers)) is not None:
            raise answer

    monkeypatch.setattr(tombstone, "check_not_held", check_not_held)
    with pytest.raises(LegalHoldError):
        erase_copy(package.destination, "p", "a", reason="again", signer=DocumentSigner(key))
    assert document(package, TOMBSTONE) == before
    assert not envelope(package, TOMBSTONE).exists()


# --- clocks


def test_what_replaces_a_document_of_a_faster_clock_is_signed_later(package, key, monkeypatch):
    class Fast(datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.now(UTC) + timedelta(hours=5)

    url = f"{package.destination}/p/{RECEIPT}"
    archive = StoreArchive.at(package.destination)
    with monkeypatch.context() as patch:
        patch.setattr(signing, "datetime", Fast)
        package.delete(verified_copies=package.download("p", **SIGNED), **SIGNED)
    seal_archive(archive, key, SealOptions())
    data = archive._store.read_bytes(url)
    slow = DocumentSigner(key)
    assert slow.check(archive._store, url, data).is_valid
    slow.write(archive._store, url, data + b" ")
    assert audit_archive(archive, [key.public]).differences == []
