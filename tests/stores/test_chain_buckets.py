"""Buckets with versions, Object Lock or default encryption, and what ``metadata`` rests on in each store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_iinked.exceptions import IinkedSignError
from tests.stores.store_chain import StoreChain

MIB = 1 << 20


@pytest.fixture
def versioned(chain: Any, s3_bucket: Callable[..., Any]) -> StoreChain:
    bucket = s3_bucket()
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    return StoreChain(chain, bucket)


@pytest.fixture
def locked(chain: Any, s3_bucket: Callable[..., Any]) -> StoreChain:
    bucket = s3_bucket(ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    bucket.client.put_object_lock_configuration(
        Bucket=bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    return StoreChain(chain, bucket)


@pytest.fixture
def encrypted(chain: Any, s3_bucket: Callable[..., Any]) -> StoreChain:
    bucket = s3_bucket()
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/recordings"}}
    bucket.client.put_bucket_encryption(Bucket=bucket.name, ServerSideEncryptionConfiguration={"Rules": [rule]})
    return StoreChain(chain, bucket)


def write_same_bytes(stored: StoreChain, package: str) -> None:
    stored.put(package, "video-1.mp4", stored.get(package, "video-1.mp4"))


def test_in_a_versioned_bucket_the_record_names_the_version(versioned: StoreChain) -> None:
    package, _ = versioned.package("video-1")
    versioned.download(package)

    head = versioned.bucket.client.head_object(Bucket=versioned.bucket.name, Key=f"copies/{package}/video-1.mp4")
    assert versioned.json(package, "video-1.custody.json")["validator"] == {
        "etag": head["ETag"].strip('"'),
        "version_id": head["VersionId"],
    }


def test_another_version_with_the_same_bytes_fails_metadata_and_passes_sha256(versioned: StoreChain) -> None:
    package, (video,) = versioned.package("video-1")
    copies = versioned.download(package)
    write_same_bytes(versioned, package)

    with pytest.raises(IinkedSignError, match="validator"):
        versioned.delete(verified_copies=copies, recheck="metadata")
    assert versioned.sim.ledger.deletions == []

    versioned.delete(verified_copies=copies, recheck="sha256")
    assert versioned.sim.ledger.deletions == [video]


@pytest.mark.parametrize("bucket", ["azure"], indirect=True)
def test_azure_gives_each_write_a_validator_of_its_own(stored: StoreChain) -> None:
    package, _ = stored.package("video-1")
    copies = stored.download(package)
    write_same_bytes(stored, package)

    with pytest.raises(IinkedSignError, match="validator"):
        stored.delete(verified_copies=copies, recheck="metadata")


def test_without_versions_s3_takes_the_same_bytes_for_the_same_copy(stored_s3: StoreChain) -> None:
    package, (video,) = stored_s3.package("video-1")
    copies = stored_s3.download(package)
    write_same_bytes(stored_s3, package)

    stored_s3.delete(verified_copies=copies, recheck="metadata")

    assert stored_s3.sim.ledger.deletions == [video]


def test_the_chain_runs_under_object_lock(locked: StoreChain) -> None:
    package, (small, large) = locked.package("video-1", {"meeting_video_id": "video-2", "size": 9 * MIB})
    copies = locked.download(package)
    # Moto gives the default retention to objects that came in one part only.
    retention = locked.bucket.client.head_object(Bucket=locked.bucket.name, Key=f"copies/{package}/video-1.mp4")
    assert retention["ObjectLockMode"] == "COMPLIANCE"

    locked.delete(verified_copies=copies)

    assert sorted(locked.sim.ledger.deletions) == [small, large]
    assert locked.json(package, f"{small}.deletion.json")["status"] == "deleted"


def test_where_the_store_refuses_to_free_a_name_nothing_is_lost_or_overwritten(locked: StoreChain) -> None:
    """Moto refuses every removal under Object Lock; S3 itself would put a delete marker above the locked version."""
    package, (video,) = locked.package("video-1")
    locked.download(package)
    locked.put(package, "video-1.mp4", b"damaged")

    with pytest.raises(IinkedSignError, match=video):
        locked.download(package)

    key = f"copies/{package}/video-1.mp4"
    versions = locked.bucket.client.list_object_versions(Bucket=locked.bucket.name, Prefix=key)["Versions"]
    assert [version["Size"] for version in versions if version["Key"] == key] == [7, 200_000]


def test_the_chain_runs_with_a_kms_key_as_the_buckets_default(encrypted: StoreChain) -> None:
    package, (small, large) = encrypted.package("video-1", {"meeting_video_id": "video-2", "size": 9 * MIB})

    encrypted.delete(verified_copies=encrypted.download(package), recheck="metadata")

    head = encrypted.bucket.client.head_object(Bucket=encrypted.bucket.name, Key=f"copies/{package}/video-1.mp4")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert sorted(encrypted.sim.ledger.deletions) == [small, large]


def test_two_runs_at_once_publish_one_copy_each_recording(stored: StoreChain) -> None:
    package, videos = stored.package(*({"meeting_video_id": f"video-{n}", "size": 9 * MIB} for n in range(3)))
    results: list[Any] = []

    def run() -> None:
        results.append(stored.download(package, max_parallel=2))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 2
    assert results[0] == results[1]
    assert [copy["sha256"] for copy in results[0]] == [stored.sim.sha256(video) for video in videos]
    assert stored.bucket.open_uploads() == []
    assert len(stored.names(package)) == 6
