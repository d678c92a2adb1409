"""An audit finds every difference of a sealed archive, and none in what was done on purpose."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest

from airflow_provider_iinked.custody.archive_files import LocalArchive
from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.examine import Reading
from tests.custody.sealed_archives import TEN, SignedArchive, flip, make_key, remove


def kinds(result) -> set[str]:
    return {str(difference.kind) for difference in result.differences}


def test_an_archive_as_it_was_sealed_has_no_difference(archive, last_seal, roots):
    result = archive.audit(expected_seal=last_seal, tsa_certificates=roots)
    assert result.differences == []
    assert (result.seals, result.recordings, result.copies, result.documents) == (4, 6, 5, 8)
    assert result.erased == ["p-3/v1"]
    assert result.unsealed == []
    assert sorted(result.timestamps) == [1, 2, 3, 4]
    assert result.last_seal.sha256 == last_seal


@pytest.mark.parametrize("name", TEN)
def test_it_finds(name, archive, last_seal, roots):
    harm, expected = TEN[name]
    harm(archive)
    result = archive.audit(expected_seal=last_seal, tsa_certificates=roots)
    assert kinds(result) >= expected


@pytest.mark.parametrize("name", ["the newest two seals removed", "an old state of the whole folder put back"])
def test_without_the_last_seals_digest_a_whole_older_state_is_consistent_in_itself(name, archive, last_seal, roots):
    TEN[name][0](archive)
    found = archive.audit(tsa_certificates=roots)
    if name.startswith("an old state"):
        assert found.differences == []  # this is why the digest is kept elsewhere
    with_digest = archive.audit(expected_seal=last_seal, tsa_certificates=roots)
    assert "seal missing" in kinds(with_digest)


def test_an_older_seals_digest_is_fulfilled_by_a_chain_that_went_on(archive, built):
    after_2 = SignedArchive(archive.root.parent / "after-2", archive.key)
    second = after_2.audit().last_seal.sha256
    assert archive.audit(expected_seal=second).differences == []


# --- one file at a time


def test_a_removed_file_of_the_seals_is_found(archive, last_seal, roots):
    for path in sorted((archive.root / "_seals").iterdir()):
        data = path.read_bytes()
        path.unlink()
        assert not archive.audit(expected_seal=last_seal, tsa_certificates=roots).is_intact, path.name
        path.write_bytes(data)
    assert archive.audit(expected_seal=last_seal, tsa_certificates=roots).is_intact


def test_a_removed_file_of_a_package_is_found(archive):
    for path in sorted(archive.root.glob("p*/*")):
        data = path.read_bytes()
        path.unlink()
        found = archive.audit()
        assert any(
            difference.path == f"{path.parent.name}/{path.name.removesuffix('.dsse.json')}"
            for difference in found.differences
        ), path.name
        path.write_bytes(data)


def test_a_changed_byte_of_any_file_is_found(archive, last_seal, roots):
    for path in sorted(archive.root.glob("*/*")):
        if path.suffix == ".tsr":
            continue  # not all bytes of an answer are signed; what matters of it is tested below
        flip(path, len(path.read_bytes()) // 2)
        assert not archive.audit(expected_seal=last_seal, tsa_certificates=roots).is_intact, path.name
        flip(path, len(path.read_bytes()) // 2)


def test_an_earlier_version_of_a_receipt_with_its_own_signature_is_found(archive):
    for name in ("v1.deletion.json", "v1.deletion.json.dsse.json"):
        shutil.copy(archive.root.parent / "after-2/p1" / name, archive.root / "p1" / name)
    [difference] = archive.audit().differences
    assert (difference.kind, difference.path) == ("rolled back", "p1/v1.deletion.json")


def test_a_record_moved_to_another_package_with_its_envelope_and_copy_is_found(archive):
    (archive.root / "p9").mkdir()
    for path in archive.root.glob("p1/v2.*"):
        shutil.copy(path, archive.root / "p9" / path.name)
    assert "malformed" in kinds(archive.audit())


def test_two_recordings_swapped_are_found(archive):
    for suffix in (".mp4", ".custody.json", ".custody.json.dsse.json"):
        one, two = archive.root / f"p2/v1{suffix}", archive.root / f"p2/v2{suffix}"
        first = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(first)
    assert {difference.path for difference in archive.audit().differences} >= {
        "p2/v1.custody.json",
        "p2/v2.custody.json",
    }


def test_a_copy_without_a_record_is_found(archive):
    archive.write("p1/v7.mp4", b"from nowhere")
    [difference] = archive.audit().differences
    assert (difference.kind, difference.path) == ("unrecorded", "p1/v7.mp4")


def test_files_that_are_no_part_of_an_archive_are_no_difference(archive):
    archive.write("p1/v1.mp4.set-aside-20261127T000000Z-00", b"quarantined")
    archive.write("p1/.tmp-1", b"being written")
    archive.write("README.txt", b"somebody's")
    archive.write("_seals/00000005.leftover.entries.jsonl.gz", b"of a sealer that was killed")
    assert archive.audit().differences == []


def test_a_copy_that_became_a_link_is_found(archive):
    copy = archive.root / "p1/v1.mp4"
    copy.rename(archive.root / "elsewhere")
    copy.symlink_to(archive.root / "elsewhere")
    assert kinds(archive.audit()) == {"copy missing"}


# --- on purpose


def test_an_erasure_with_a_signed_tombstone_is_no_difference_before_and_after_it_is_sealed(archive):
    archive.erase("p2", "v2")
    before = archive.audit()
    assert (before.differences, before.unsealed) == ([], ["p2/v2.erased.json"])
    assert archive.seal().seal.changes["erased"] == 1
    after = archive.audit()
    assert (after.differences, after.erased) == ([], ["p-3/v1", "p2/v2"])


def test_a_tombstone_by_another_key_excuses_nothing(archive):
    archive.erase("p2", "v2", key=make_key())
    assert kinds(archive.audit()) == {"signature wrong", "copy missing"}


def test_a_tombstone_without_an_envelope_excuses_nothing(archive):
    archive.erase("p2", "v2")
    remove(archive, "p2/v2.erased.json.dsse.json")
    assert kinds(archive.audit()) == {"signature missing", "copy missing"}


def test_an_erasure_that_was_not_finished_is_found(archive):
    archive.erase("p2", "v2", status="requested")
    assert kinds(archive.audit()) == {"not erased"}


def test_a_copy_that_is_there_again_after_its_erasure_is_found(archive):
    archive.write("p-3/v1.mp4", b"bytes of p-3/v1" * 40)
    assert kinds(archive.audit()) == {"not erased"}


def test_what_was_signed_since_the_last_seal_is_named_and_is_no_difference(archive):
    archive.record("p1", "v8")
    archive.receipt("p2", "v1")
    result = archive.audit()
    assert result.differences == []
    assert result.unsealed == ["p1/v8.custody.json", "p2/v1.deletion.json"]


def test_a_receipt_that_was_completed_since_the_last_seal_is_no_difference(archive):
    archive.receipt("p1", "v1", "unconfirmed")
    assert (archive.audit().differences, archive.audit().unsealed) == ([], ["p1/v1.deletion.json"])


def test_a_document_added_without_an_envelope_is_found(archive):
    archive.record("p1", "v8")
    remove(archive, "p1/v8.custody.json.dsse.json")
    assert kinds(archive.audit()) == {"signature missing", "unrecorded"}


# --- keys


def test_after_a_rotation_both_public_keys_verify_the_archive(archive):
    old, new = archive.key, make_key("p256")
    archive.key = new
    archive.record("p5", "v1")
    archive.seal(public_keys=[old.public])
    both = audit_archive(archive.files, [new.public, old.public])
    assert (both.differences, both.last_seal.key.key_id) == ([], new.key_id)
    assert not audit_archive(archive.files, [old.public]).is_intact
    assert not audit_archive(archive.files, [new.public]).is_intact


def test_with_another_public_key_nothing_passes(archive):
    assert "seal wrong" in kinds(audit_archive(archive.files, [make_key().public]))


# --- seals


def test_an_archive_without_seals_is_a_difference_unless_none_are_expected(empty):
    empty.record("p1", "v1")
    assert kinds(empty.audit()) == {"seal missing"}
    assert empty.audit(require_seals=False).differences == []


def test_a_gap_in_the_chain_is_found(archive):
    remove(archive, "_seals/00000002.seal.json")
    assert kinds(archive.audit()) >= {"seal missing"}


def test_a_seal_of_the_same_number_from_another_archive_under_the_same_key_is_found(archive, tmp_path):
    other = SignedArchive(tmp_path / "other", archive.key)
    other.record("p1", "v1")
    for _ in range(4):
        other.seal()
    for path in other.root.glob("_seals/00000004.*"):
        shutil.copy(path, archive.root / "_seals" / path.name)
    assert "seal wrong" in kinds(archive.audit())


def test_entries_that_were_written_again_without_one_line_are_found(archive):
    [path] = archive.root.glob("_seals/00000001.*.entries.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(lines[1:]), mtime=0))
    assert "entries wrong" in kinds(archive.audit())


# --- reading


def test_reading_documents_only_reads_no_copy_that_is_as_it_was_sealed(empty):
    empty.record("p1", "v1")
    empty.seal()
    result = empty.audit(reading=Reading.DOCUMENTS)
    assert (result.differences, result.files_read, result.copies) == ([], 2, 1)


def test_an_audit_of_files_alone_changes_nothing(archive, last_seal):
    before = {path: path.read_bytes() for path in archive.root.rglob("*") if path.is_file()}
    audit_archive(LocalArchive(archive.root), [archive.key.public], AuditOptions())
    assert {path: path.read_bytes() for path in archive.root.rglob("*") if path.is_file()} == before


def test_a_result_is_ready_for_json(archive, last_seal):
    flip(archive.root / "p1/v1.mp4")
    value = json.loads(json.dumps(archive.audit().as_dict()))
    assert value["intact"] is False
    assert value["differences"] == [
        {"kind": "copy changed", "path": "p1/v1.mp4", "text": "its sha256 is not that of its record"}
    ]
    assert value["last_seal"]["sha256"] == last_seal
