"""Stores that speak S3 in their own way: over https, with and without versions, each condition honoured or not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import IinkedSignError, StorageError
from airflow_provider_iinked.storage.errors import ADVICE
from airflow_provider_iinked.storage.s3_answers import Condition, multipart_etag
from tests.servers.odd_s3 import CEPH_RGW, LOCK_IGNORED, MINIO, S3, SWIFT, StoreTraits
from tests.servers.threads import at_once
from tests.stores.store_chain import StoreChain

MIB = 1 << 20
KINDS = (S3, MINIO, CEPH_RGW, SWIFT, LOCK_IGNORED)
each_store = pytest.mark.parametrize("traits", KINDS, ids=lambda traits: traits.name)
with_and_without_versions = pytest.mark.parametrize("versioned", [False, True], ids=["", "versions"])


@pytest.fixture
def at(chain: Any, odd_bucket: Callable[..., Any]) -> Callable[..., StoreChain]:
    return lambda traits, versioned=False: StoreChain(chain, odd_bucket(traits, versioned=versioned))


@with_and_without_versions
@each_store
def test_the_whole_chain(at: Callable[..., StoreChain], traits: StoreTraits, versioned: bool) -> None:
    stored = at(traits, versioned)
    package, (small, large) = stored.package("small-1", {"meeting_video_id": "large-1", "size": 20 * MIB})

    copies = stored.download(package)
    assert [copy["sha256"] for copy in copies] == [stored.sim.sha256(small), stored.sim.sha256(large)]
    assert stored.download(package) == copies, "a second run keeps both"

    stored.put(package, "small-1.mp4", b"damaged")
    (again, _) = stored.download(package)
    assert again["sha256"] == stored.sim.sha256(small)
    assert len([name for name in stored.names(package) if "set-aside" in name]) == 2

    stored.delete(verified_copies=[again], recheck="sha256")
    stored.delete(verified_copies=[copies[1]], recheck="metadata")
    assert sorted(stored.sim.ledger.deletions) == sorted([small, large])
    assert verify_copies(stored.url).counts == {"ok": 2}

    erase_copy(stored.url, package, large, reason="asked for")
    assert verify_copies(stored.url).counts == {"ok": 1, "erased": 1}
    assert stored.bucket.open_uploads() == []
    assert not [name for name in stored.names(package) if name.endswith(".part")]


@with_and_without_versions
@each_store
def test_two_runs_at_once_end_with_the_same_verified_copies(
    at: Callable[..., StoreChain], traits: StoreTraits, versioned: bool
) -> None:
    stored = at(traits, versioned)
    package, videos = stored.package("video-1", {"meeting_video_id": "video-2", "size": 9 * MIB})
    results = at_once(lambda: stored.download(package, max_parallel=2))
    done = [result for result in results if not isinstance(result, IinkedSignError)]
    assert done, "one of them at the least"
    assert all(result == done[0] for result in done)
    assert [copy["sha256"] for copy in done[0]] == [stored.sim.sha256(video) for video in videos]
    assert verify_copies(stored.url).counts == {"ok": 2}


@pytest.mark.parametrize("size", [300_000, 9 * MIB])
@with_and_without_versions
@each_store
def test_of_two_runs_with_different_bytes_no_record_stands_for_what_is_not_there(
    at: Callable[..., StoreChain], traits: StoreTraits, versioned: bool, size: int
) -> None:
    """While one run publishes, the recording changes on the platform, and another run copies what it is now."""
    stored = at(traits, versioned)
    stored.store().create_json(f"{stored.url}/other/a.json", {})
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": size})
    act = "PutObject" if size < 8 * MIB else "CompleteMultipartUpload"
    others: list[Any] = []

    def other_run(request: Any) -> None:
        refused = traits is SWIFT and act == "PutObject" and "if-none-match" in request.headers
        if request.operation == act and request.key.endswith("/video-1.mp4") and not refused and not others:
            others.append(None)
            stored.sim.change_content(video)
            others[0] = stored.download(package)

    stored.bucket.server.before.append(other_run)
    try:
        (copy,) = stored.download(package)
    except IinkedSignError:
        (copy,) = stored.download(package)
    stored.bucket.server.before.clear()

    assert len(others[0]) == 1
    there = hashlib.sha256(stored.get(package, "video-1.mp4")).hexdigest()
    assert stored.json(package, "video-1.custody.json")["sha256"] == there
    assert copy["sha256"] == there
    assert verify_copies(stored.url, package_ids=[package]).counts == {"ok": 1}


@pytest.mark.parametrize(
    ("traits", "versioned", "learned"),
    [
        (S3, False, Condition.HONOURED),
        (MINIO, True, Condition.HONOURED),
        (CEPH_RGW, False, Condition.HONOURED),
        (CEPH_RGW, True, Condition.IGNORED),
        (SWIFT, False, Condition.REFUSED),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_what_a_store_does_with_the_condition_is_learned_at_the_first_write(
    at: Callable[..., StoreChain], traits: StoreTraits, versioned: bool, learned: Condition
) -> None:
    stored = at(traits, versioned)
    store, url = stored.store(), f"{stored.url}/p/a.json"

    assert store.create_json(url, {"a": 1}) is True
    assert store.put_condition is learned
    assert store.create_json(url, {"a": 2}) is False
    assert store.read_json(url) == (True, {"a": 1})


@with_and_without_versions
@each_store
@pytest.mark.parametrize("size", [3 * MIB, 20 * MIB])
def test_what_lies_there_is_not_overwritten(
    at: Callable[..., StoreChain], traits: StoreTraits, versioned: bool, size: int
) -> None:
    stored = at(traits, versioned)
    url = f"{stored.url}/p/v.mp4"
    upload = stored.store().upload(url, size)
    for _ in range(size // MIB):
        upload.write(bytes(MIB))
    stored.put("p", "v.mp4", b"first")

    with pytest.raises(FileExistsError):
        upload.publish()
    upload.discard()

    assert stored.get("p", "v.mp4") == b"first"
    assert stored.names("p") == ["v.mp4"]


@pytest.mark.parametrize("traits", [CEPH_RGW, SWIFT], ids=lambda traits: traits.name)
def test_a_refused_checksum_is_cured_once_and_the_bytes_carry_an_md5(
    at: Callable[..., StoreChain], traits: StoreTraits
) -> None:
    stored = at(traits)
    store = stored.store()
    for number in range(3):
        store.replace_json(f"{stored.url}/p/{number}.json", {"a": number})

    sent = stored.bucket.server.requests("PutObject")
    assert [request.status for request in sent][1:] == [200, 200, 200]
    assert sent[0].status in (411, 501)
    assert all("content-md5" in request.headers for request in sent[1:])


@pytest.mark.parametrize(
    "code",
    [
        *("AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"),
        *("NoSuchBucket", "InvalidObjectState"),
    ],
)
@pytest.mark.parametrize("act", ["GetObject", "PutObject"])
def test_an_error_names_the_stores_code_and_what_to_do(at: Callable[..., StoreChain], code: str, act: str) -> None:
    stored = at(S3)
    stored.put("p", "a.json", b"{}")
    store = stored.store()
    stored.bucket.server.fail(act, code, times=-1)

    do = store.read_bytes if act == "GetObject" else lambda url: store.replace_json(url, {})
    with pytest.raises(StorageError) as caught:
        do(f"{stored.url}/p/a.json")

    assert code in str(caught.value)
    assert ADVICE[code].rstrip(".") in str(caught.value)


def test_a_broken_read_goes_on_behind_the_last_byte(at: Callable[..., StoreChain]) -> None:
    stored = at(S3)
    stored.put("p", "v.mp4", bytes(range(256)) * 4096)
    stored.bucket.server.fail("GetObject", lost=True)

    assert b"".join(stored.store().read_chunks(f"{stored.url}/p/v.mp4")) == bytes(range(256)) * 4096


@pytest.mark.parametrize("size", [3 * MIB, 9 * MIB])
@each_store
def test_a_completion_whose_answer_was_lost_ends_with_one_copy(
    at: Callable[..., StoreChain], traits: StoreTraits, size: int
) -> None:
    stored = at(traits)
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": size})
    act = "PutObject" if size < 8 * MIB else "CompleteMultipartUpload"
    key = f"copies/{package}/video-1.mp4"
    stored.bucket.server.fail(act, key=key, after=True, lost=True)

    (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video)
    assert stored.names(package) == ["video-1.custody.json", "video-1.mp4"]


def test_one_small_copy_costs_one_request_once_the_store_is_known(at: Callable[..., StoreChain]) -> None:
    stored = at(S3)
    store = stored.store()
    store.create_json(f"{stored.url}/p/first.json", {})
    stored.bucket.server.log.clear()

    upload = store.upload(f"{stored.url}/p/v.mp4", MIB)
    upload.write(bytes(MIB))
    info = upload.publish()
    upload.discard()

    assert [request.operation for request in stored.bucket.server.requests()] == ["PutObject"]
    assert "expect" not in stored.bucket.server.requests()[0].headers
    head = store.info(f"{stored.url}/p/v.mp4")
    assert (info.size, info.validator) == (head.size, head.validator)


def test_the_etag_of_several_parts() -> None:
    parts = [{"ETag": '"900150983cd24fb0d6963f7d28e17f72"'}, {"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}]
    assert multipart_etag(parts) == "fdf1fdf1567f6942ffe1743f1e72301e-2"
    assert multipart_etag([{"ETag": '"encrypted"'}]) == ""
