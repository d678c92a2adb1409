"""An archive in a store: sealed and audited as one in a folder is; what is no document is no difference."""

from __future__ import annotations

import io
import os

import pytest

from airflow_provider_iinked.custody import store_archive
from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.hold import place_hold, release_hold
from airflow_provider_iinked.custody.store_archive import StoreArchive
from airflow_provider_iinked.custody.verify import Budget, verify_copies
from airflow_provider_iinked.exceptions import StorageError
from airflow_provider_iinked.storage.object_info import ObjectInfo
from tests.custody.sealed_archives import SignedArchive, flip, make_key


@pytest.fixture
def stored(tmp_path):
    """An archive with two recordings, read and written through the store."""
    archive = SignedArchive(tmp_path / "archive", make_key())
    archive.files = StoreArchive.at(f"file://{tmp_path}/archive")
    archive.record("p1", "v1")
    archive.record("p2", "v2")
    return archive


def kinds(result):
    return {(str(item.kind), item.path) for item in result.differences}


def test_an_archive_in_a_store_is_sealed_and_verified(stored):
    stored.seal()
    result = stored.audit(require_seals=True)
    assert (result.is_intact, result.seals, result.recordings, result.copies) == (True, 1, 2, 2)


def test_a_second_seal_reads_nothing_that_has_not_changed(stored):
    stored.seal()
    assert stored.seal().files_read == 0


def test_a_second_seal_reads_a_file_whose_time_was_put_back(stored):
    stored.seal()
    path = stored.root / "p1/v1.custody.json"
    seen = path.stat()
    flip(path, 5)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert stored.seal().differences != ()


def test_a_flipped_byte_of_a_copy_is_found(stored):
    stored.seal()
    flip(stored.root / "p2/v2.mp4")
    assert kinds(stored.audit()) == {("copy changed", "p2/v2.mp4")}


def test_legal_holds_quarantined_and_temporary_files_are_no_differences(stored):
    destination = stored.files.destination
    place_hold(destination, "p1", reason="a matter", settle_for=0)
    placed = place_hold(destination, "p2", reason="another", settle_for=0)
    release_hold(destination, "p2", hold_id=placed["hold_id"], reason="it ended")
    stored.write("p1/v1.mp4.set-aside-20260101T000000Z-0123456789abcdef", b"damaged")
    stored.write("p1/v3.mp4.set-aside-20260101T000000Z-0123456789abcdef.part", b"")
    stored.write("p1/v1.run1-01234567.part", b"half")
    verify_copies(destination, budget=Budget(max_bytes=1 << 30))
    assert (stored.root / "_verified.json").exists()
    assert stored.seal().differences == ()
    assert stored.audit().differences == []


@pytest.mark.parametrize("states", [("requested", "unconfirmed", "deleted"), ("requested", "deleted")])
def test_a_receipt_that_is_completed_step_by_step_is_sealed_at_each_step(stored, states):
    for status in states:
        stored.receipt("p1", "v1", status)
        assert stored.seal().differences == ()
    assert stored.audit().is_intact


def test_a_destination_that_is_not_there_has_no_folders(tmp_path):
    assert StoreArchive.at(f"file://{tmp_path}/nothing").folders() == []


def test_a_file_that_is_not_there_is_not_found(stored):
    with pytest.raises(FileNotFoundError):
        stored.files.open("p1/v9.mp4")


def test_a_file_is_read_in_pieces_of_any_size(stored):
    with stored.files.open("p1/v1.mp4") as file:
        assert file.read(3) + file.read() == (stored.root / "p1/v1.mp4").read_bytes()


@pytest.mark.parametrize("small", [store_archive.SMALL, 10], ids=["in one request", "as an upload"])
class TestCreate:
    @pytest.fixture(autouse=True)
    def _limit(self, small, monkeypatch):
        monkeypatch.setattr(store_archive, "SMALL", small)

    def test_a_new_file_has_all_bytes_from_where_the_source_stands(self, stored):
        source = io.BytesIO(b"0123456789" * 300_000)
        source.read(5)
        assert stored.files.create("_seals/x", source)
        assert (stored.root / "_seals/x").read_bytes() == source.getvalue()[5:]

    def test_a_taken_name_is_left_as_it_is(self, stored):
        stored.write("_seals/x", b"first")
        assert not stored.files.create("_seals/x", io.BytesIO(b"second, and longer"))
        assert [path.name for path in (stored.root / "_seals").iterdir()] == ["x"]
        assert (stored.root / "_seals/x").read_bytes() == b"first"

    def test_a_source_that_breaks_leaves_nothing(self, stored):
        class Broken(io.BytesIO):
            def read(self, size=-1):
                raise OSError("disk")

        with pytest.raises(OSError, match="disk"):
            stored.files.create("_seals/x", Broken(b"0123456789" * 2))
        assert not list(stored.root.glob("_seals/*"))


def test_a_store_that_does_not_keep_an_upload_is_an_error(stored, monkeypatch):
    class Forgetful:
        write = discard = staticmethod(lambda *_: None)
        publish = staticmethod(lambda: None)

    monkeypatch.setattr(store_archive, "SMALL", 1)
    monkeypatch.setattr(stored.files._store, "upload", lambda url, size: Forgetful())
    with pytest.raises(StorageError, match="does not show"):
        stored.files.create("_seals/x", io.BytesIO(b"0123"))


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (ObjectInfo(1, {"etag": "a"}, None, (("ETag", "a"), ("LastModified", "t"))), "ETag=a LastModified=t"),
        (ObjectInfo(1, None, 1.0, (("ino", "1"), ("ctime_ns", "2"))), "ino=1 ctime_ns=2"),
        (ObjectInfo(1, None, 1.0, (("mtime", "1"), ("size", "1"))), None),
    ],
    ids=["an ETag", "a disk", "a time that anybody can set"],
)
def test_only_what_nobody_can_put_back_is_a_validator(info, expected):
    assert store_archive._validator(info) == expected


def test_only_some_packages_are_audited(stored):
    stored.seal()
    flip(stored.root / "p2/v2.mp4")
    options = AuditOptions(packages=frozenset({"p1"}))
    assert audit_archive(stored.files, [stored.key.public], options).is_intact
