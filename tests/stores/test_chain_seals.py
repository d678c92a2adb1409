"""Seals and signatures on object stores: sealed there, and verified from there with a public key alone."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.custody.audit import AuditOptions, audit_archive
from airflow_provider_iinked.custody.errors import SealConflictError
from airflow_provider_iinked.custody.keys import SigningKey, load_signing_key
from airflow_provider_iinked.custody.sealer import SealOptions, seal_archive
from airflow_provider_iinked.custody.store_archive import StoreArchive
from airflow_provider_iinked.custody.timestamp import load_certificates, request_timestamp
from tests.custody.sealed_archives import TEN, Authority, SignedArchive, build, make_key, make_pem
from tests.stores.store_chain import StoreChain

SIGNED = {"signing_conn_id": "evidence_key"}


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> SigningKey:
    pem = make_pem()
    monkeypatch.setenv("AIRFLOW_CONN_EVIDENCE_KEY", json.dumps({"conn_type": "generic", "password": pem}))
    return load_signing_key(pem)


@pytest.fixture
def archive(stored: StoreChain, key: SigningKey) -> StoreArchive:
    """Two recordings, copied and signed; one of them deleted at its source."""
    package, (first, _) = stored.package("video-1", "video-2")
    copies = stored.download(package, **SIGNED)
    stored.delete(verified_copies=copies, meeting_video_ids=first, **SIGNED)
    return StoreArchive.at(stored.url)


def is_intact(archive: StoreArchive, key: SigningKey, **options: Any) -> bool:
    return audit_archive(archive, [key.public], AuditOptions(**options)).is_intact


def test_a_signed_chain_is_sealed_and_verified_and_a_quiet_night_reads_nothing(
    stored: StoreChain, archive: StoreArchive, key: SigningKey
) -> None:
    first = seal_archive(archive, key, SealOptions())
    second = seal_archive(archive, key, SealOptions())

    assert (first.differences, first.seal.documents, second.seal.previous) == ((), 3, first.sha256)
    assert second.files_read == 0 or stored.bucket.kind == "sftp"  # whose listing shows no change
    found = audit_archive(archive, [key.public], AuditOptions(expected_seal=second.sha256))
    assert (found.differences, found.seals, found.copies) == ([], 2, 2)
    assert not is_intact(archive, make_key())


def test_a_record_whose_envelope_was_removed_is_made_again_and_not_signed_as_it_is(
    stored: StoreChain, key: SigningKey
) -> None:
    package, (video,) = stored.package("video-1")
    stored.download(package, **SIGNED)
    edited = stored.json(package, f"{video}.custody.json") | {"dag_id": "edited"}
    stored.put(package, f"{video}.custody.json", json.dumps(edited).encode())
    stored.bucket.remove(f"copies/{package}/{video}.custody.json.dsse.json")

    stored.download(package, **SIGNED)

    assert stored.json(package, f"{video}.custody.json")["dag_id"] != "edited"
    assert is_intact(StoreArchive.at(stored.url), key, require_seals=False)


def test_of_two_sealers_at_the_same_time_one_writes_the_seal(
    archive: StoreArchive, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, really = threading.Barrier(2), StoreArchive.create

    def create(self: StoreArchive, path: str, source: Any) -> bool:
        if path.endswith(".seal.json"):
            both.wait(60)
        return really(self, path, source)

    monkeypatch.setattr(StoreArchive, "create", create)
    with ThreadPoolExecutor(2) as pool:
        tries = [pool.submit(seal_archive, archive, key, SealOptions()) for _ in range(2)]
    errors = [error for each in tries if (error := each.exception()) is not None]

    assert [type(error) for error in errors] == [SealConflictError]
    monkeypatch.undo()
    assert is_intact(archive, key)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_sealer_killed_around_any_write_leaves_an_archive_that_verifies_and_seals(
    archive: StoreArchive, key: SigningKey, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL."""

    really = StoreArchive.create
    for suffix in (".entries.jsonl.gz", ".seal.json"):

        def create(self: StoreArchive, path: str, source: Any, suffix: str = suffix) -> bool:
            if path.endswith(suffix) and not after:
                raise Killed
            created = really(self, path, source)
            if path.endswith(suffix):
                raise Killed
            return created

        monkeypatch.setattr(StoreArchive, "create", create)
        with pytest.raises(Killed):
            seal_archive(archive, key, SealOptions())
        monkeypatch.setattr(StoreArchive, "create", really)
        assert is_intact(archive, key, require_seals=False)
        seal_archive(archive, key, SealOptions())
        assert is_intact(archive, key)


# --- the ten differences


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SignedArchive, str, Any]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    folder = tmp_path_factory.mktemp("made")
    sealed, last = build(folder, make_key(), partial(request_timestamp, post=authority.answer))
    return folder, sealed, last.sha256, load_certificates(authority.root_pem)


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def bring(bucket: Any, there: dict[str, bytes], wanted: dict[str, bytes]) -> None:
    """Make a bucket hold what a folder holds."""
    for name in there.keys() - wanted.keys():
        bucket.remove(f"copies/{name}")
    for name, data in wanted.items():
        if there.get(name) != data:
            bucket.put(f"copies/{name}", data)


@pytest.fixture
def filled(stored: StoreChain, made: Any) -> Iterator[Any]:
    bring(stored.bucket, {}, files_of(made[1].root))
    return stored


def test_all_ten_differences_are_found_with_the_public_key_alone(filled: StoreChain, made: Any, tmp_path: Path) -> None:
    folder, sealed, last, roots = made
    good = files_of(sealed.root)
    options = AuditOptions(expected_seal=last, tsa_certificates=roots, max_parallel=8)

    def found() -> set[str]:
        result = audit_archive(StoreArchive.at(filled.url), [sealed.key.public], options)
        return {str(difference.kind) for difference in result.differences}

    assert found() == set()
    for number, (name, (harm, expected)) in enumerate(TEN.items()):
        shutil.copytree(folder, tmp_path / str(number))
        harmed = SignedArchive(tmp_path / str(number) / "archive", sealed.key)
        harm(harmed)
        bad = files_of(harmed.root)
        bring(filled.bucket, good, bad)
        assert found() >= expected, name
        bring(filled.bucket, bad, good)
    assert found() == set()
