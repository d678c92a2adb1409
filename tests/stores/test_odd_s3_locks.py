"""Locks until a date, on stores that keep them, drop them, shorten them, or take the header and ignore it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError, StorageError
from airflow_provider_iinked.storage import Lock
from tests.servers.odd_s3 import CEPH_RGW, LOCK_IGNORED, MINIO, S3, SWIFT, StoreTraits
from tests.stores.store_chain import StoreChain

MIB = 1 << 20
UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3650)
LOCK = Lock("COMPLIANCE", UNTIL)
SIZES = pytest.mark.parametrize("size", [3 * MIB, 20 * MIB], ids=["whole", "in parts"])
LOCKING = pytest.mark.parametrize("traits", [S3, MINIO, CEPH_RGW], ids=lambda traits: traits.name)


@pytest.fixture
def at(chain: Any, odd_bucket: Callable[..., Any]) -> Callable[..., StoreChain]:
    return lambda traits, locks=True: StoreChain(chain, odd_bucket(traits, locks=locks))


def write(stored: StoreChain, size: int, lock: Lock = LOCK) -> Any:
    store = stored.store()
    upload = store.upload(f"{stored.url}/p/v.mp4", size, lock=lock)
    for _ in range(size // MIB):
        upload.write(bytes(MIB))
    upload.publish()
    upload.discard()
    return store


@SIZES
@LOCKING
def test_a_copy_is_locked_and_the_lock_is_read_back(at: Any, traits: StoreTraits, size: int) -> None:
    stored = at(traits)
    store = write(stored, size)

    assert store.ensure_lock(f"{stored.url}/p/v.mp4", LOCK) == LOCK
    assert store.lock_of(f"{stored.url}/p/v.mp4") == LOCK


@LOCKING
def test_a_record_is_locked(at: Any, traits: StoreTraits) -> None:
    stored = at(traits)
    store, url = stored.store(), f"{stored.url}/p/v.custody.json"

    assert store.create_json(url, {}, lock=LOCK) is True
    assert store.ensure_lock(url, LOCK) == LOCK


@SIZES
@pytest.mark.parametrize(
    "traits",
    [
        pytest.param(LOCK_IGNORED, id="ignores it"),
        pytest.param(SWIFT, id="swift"),
        pytest.param(S3.but(name="short", lock_seconds_lost=86_400), id="ends earlier"),
        pytest.param(S3.but(name="weak", lock_mode_kept="GOVERNANCE"), id="weaker"),
        pytest.param(S3.but(name="silent", shows_locks=False), id="shows none"),
    ],
)
def test_a_lock_that_is_missing_shorter_or_weaker_is_an_error(at: Any, traits: StoreTraits, size: int) -> None:
    stored = at(traits)
    store = write(stored, size)

    with pytest.raises(StorageError, match="the store shows"):
        store.ensure_lock(f"{stored.url}/p/v.mp4", LOCK)


@pytest.mark.parametrize("traits", [S3, MINIO], ids=lambda traits: traits.name)
def test_a_bucket_without_locks_is_refused_before_anything_is_written(at: Any, traits: StoreTraits) -> None:
    stored = at(traits, locks=False)
    with pytest.raises(InvalidArgumentError, match="cannot lock"):
        stored.store().require_locks(stored.url)

    assert stored.bucket.names() == []


@LOCKING
def test_a_bucket_with_locks_passes(at: Any, traits: StoreTraits) -> None:
    stored = at(traits)
    stored.store().require_locks(stored.url)

    assert stored.bucket.names() == []


@pytest.mark.parametrize(
    ("shown", "wanted", "lacks"),
    [
        (LOCK, LOCK, ""),
        (Lock("COMPLIANCE", UNTIL + timedelta(days=1)), LOCK, ""),
        (LOCK, Lock("GOVERNANCE", UNTIL), ""),
        (Lock("GOVERNANCE", UNTIL), LOCK, "mode GOVERNANCE"),
        (Lock("COMPLIANCE", UNTIL - timedelta(seconds=1)), LOCK, "a lock until"),
    ],
)
def test_what_a_lock_lacks(shown: Lock, wanted: Lock, lacks: str) -> None:
    assert lacks in shown.lacks(wanted)
    assert bool(shown.lacks(wanted)) is bool(lacks)


def test_other_stores_refuse_a_lock_by_name(tmp_path: Any) -> None:
    from airflow_provider_iinked.storage import open_store

    store, url = open_store(f"file://{tmp_path}"), f"file://{tmp_path}/v.mp4"
    for write_locked in (lambda: store.upload(url, 1, lock=LOCK), lambda: store.create_json(url, {}, lock=LOCK)):
        with pytest.raises(InvalidArgumentError, match="cannot lock"):
            write_locked()

    assert list(tmp_path.iterdir()) == []


@LOCKING
def test_the_chain_locks_copies_and_records_and_deletes_only_what_is_still_locked(at: Any, traits: StoreTraits) -> None:
    stored = at(traits)
    package, (first, second) = stored.package("video-1", {"meeting_video_id": "video-2", "size": 9 * MIB})

    copies = stored.download(package, retain_for=UNTIL.isoformat())

    record = stored.json(package, f"{first}.custody.json")
    assert (record["retain_until"], record["retention_mode"]) == (UNTIL.isoformat(), "COMPLIANCE")
    store = stored.store()
    for copy in copies:
        assert store.lock_of(copy["uri"]) == store.lock_of(copy["custody_uri"]) == LOCK
    assert stored.download(package, retain_for=UNTIL.isoformat()) == copies

    stored.bucket.bucket.get(f"copies/{package}/{second}.mp4").lock = None
    with pytest.raises(IinkedSignError, match="no lock of the copy"):
        stored.delete(verified_copies=copies)
    assert stored.sim.ledger.deletions == [first]


def test_a_copy_that_is_kept_is_locked_when_a_lock_is_requested(at: Any) -> None:
    stored = at(S3)
    package, _ = stored.package("video-1")
    (copy,) = stored.download(package)

    stored.download(package, retain_for=UNTIL.isoformat())

    assert stored.store().lock_of(copy["uri"]) == stored.store().lock_of(copy["custody_uri"]) == LOCK


def test_a_copy_whose_source_is_gone_is_locked_when_a_lock_is_requested(at: Any) -> None:
    stored = at(S3)
    package, _ = stored.package("video-1")
    (copy,) = stored.download(package)
    stored.delete(verified_copies=[copy])

    assert stored.download(package, retain_for=UNTIL.isoformat()) == [copy]

    assert stored.store().lock_of(copy["uri"]) == stored.store().lock_of(copy["custody_uri"]) == LOCK


def test_a_store_that_ignores_locks_gets_no_record_and_nothing_is_deleted(at: Any) -> None:
    stored = at(S3.but(name="silent", shows_locks=False))
    package, _ = stored.package("video-1")

    with pytest.raises(IinkedSignError, match="the store shows no lock"):
        stored.download(package, retain_for=UNTIL.isoformat())

    assert stored.names(package) == ["video-1.mp4"]
