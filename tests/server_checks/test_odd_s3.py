"""The small S3 server answers like each store that it stands for, seen with boto3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.servers.odd_s3 import CEPH_RGW, LOCK_IGNORED, MINIO, PRESETS, S3, SWIFT, OddS3, StoreTraits, odd_s3

pytest.importorskip("boto3", reason="boto3 is not installed")

from botocore.exceptions import ClientError, ConnectionClosedError

UNTIL = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
LOCK = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": UNTIL}
PLAIN = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
PART = 5 * 1024 * 1024


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    from contextlib import ExitStack

    with ExitStack() as stack:

        def make(traits: StoreTraits = S3, *, https: bool = False, **bucket: bool) -> OddS3:
            store = stack.enter_context(odd_s3(tmp_path, traits, https=https))
            store.bucket("b", **bucket)
            return store

        yield make


def outcome(act: Any, **arguments: Any) -> Any:
    """The status of a success, or status and code of an error."""
    try:
        return act(**arguments)["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def open_upload(client: Any, key: str, *parts: bytes, **options: Any) -> dict[str, Any]:
    upload = client.create_multipart_upload(Bucket="b", Key=key, **options)["UploadId"]
    named = {"Bucket": "b", "Key": key, "UploadId": upload}
    etags = [
        {"PartNumber": number, "ETag": client.upload_part(PartNumber=number, Body=part, **named)["ETag"]}
        for number, part in enumerate(parts, 1)
    ]
    return {**named, "MultipartUpload": {"Parts": etags}}


TAKEN = (412, "PreconditionFailed")


@pytest.mark.parametrize(
    ("traits", "free", "taken", "taken_versioned"),
    [
        (S3, 200, TAKEN, TAKEN),
        (MINIO, 200, TAKEN, TAKEN),
        (CEPH_RGW, 200, TAKEN, 200),
        (SWIFT, (501, "NotImplemented"), (501, "NotImplemented"), (501, "NotImplemented")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_condition_on_put_object(
    start: Any, traits: StoreTraits, free: Any, taken: Any, taken_versioned: Any
) -> None:
    store = start(traits)
    store.bucket("versions", versioned=True)
    client = store.client()
    seen = [outcome(client.put_object, Bucket="b", Key="free", Body=b"1", IfNoneMatch="*")]
    for bucket in ("b", "versions"):
        client.put_object(Bucket=bucket, Key="k", Body=b"first")
        seen.append(outcome(client.put_object, Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*"))
    assert seen == [free, taken, taken_versioned]
    assert store.bucket("b").get("k").data == b"first"


@pytest.mark.parametrize(
    ("traits", "answer"),
    [(S3, TAKEN), (MINIO, TAKEN), (CEPH_RGW, 200), (SWIFT, (412, "InvalidRequest"))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_condition_on_completing_an_upload(start: Any, traits: StoreTraits, answer: Any) -> None:
    store = start(traits)
    client = store.client()
    client.put_object(Bucket="b", Key="k", Body=b"first")
    assert outcome(client.complete_multipart_upload, IfNoneMatch="*", **open_upload(client, "k", b"second")) == answer
    assert store.bucket("b").get("k").data == (b"second" if answer == 200 else b"first")


@pytest.mark.parametrize("traits", [t for t in PRESETS if t.repeats_completion], ids=lambda traits: traits.name)
def test_the_same_completion_twice_is_answered_200_and_stores_once(start: Any, traits: StoreTraits) -> None:
    store = start(traits, versioned=True)
    client = store.client()
    upload = open_upload(client, "k", b"x" * PART, b"y")
    assert [outcome(client.complete_multipart_upload, **upload) for _ in range(2)] == [200, 200]
    assert [version.data for _, version in store.bucket("b").versions()] == [b"x" * PART + b"y"]


@pytest.mark.parametrize(
    ("traits", "answer"),
    [(S3, 200), (MINIO, 200), (CEPH_RGW, (411, "MissingContentLength")), (SWIFT, (501, "NotImplemented"))],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_checksum_behind_an_upload_over_https(start: Any, traits: StoreTraits, answer: Any) -> None:
    store = start(traits, https=True)
    assert outcome(store.client().put_object, Bucket="b", Key="k", Body=b"hello") == answer
    assert store.log[-1].headers["x-amz-trailer"] == "x-amz-checksum-crc32"
    assert outcome(store.client(**PLAIN).put_object, Bucket="b", Key="k", Body=b"hello") == 200
    assert store.bucket("b").get("k").data == b"hello"


@pytest.mark.parametrize(
    "digest", [{"ContentMD5": "A" * 22 + "=="}, {"ChecksumCRC32": "AAAAAA=="}, {"ChecksumSHA256": "A" * 43 + "="}]
)
def test_a_wrong_digest_is_refused_and_nothing_stored(start: Any, digest: dict[str, str]) -> None:
    store = start()
    assert outcome(store.client().put_object, Bucket="b", Key="k", Body=b"hello", **digest) == (400, "BadDigest")
    assert store.bucket("b").keys() == []


@pytest.mark.parametrize("traits", [CEPH_RGW, SWIFT], ids=lambda traits: traits.name)
def test_ceph_and_swift_store_a_wrong_crc32(start: Any, traits: StoreTraits) -> None:
    assert outcome(start(traits).client().put_object, Bucket="b", Key="k", Body=b"x", ChecksumCRC32="AAAAAA==") == 200


def test_a_lock_is_kept_shown_and_enforced(start: Any) -> None:
    store = start(locks=True)
    client = store.client()
    version = client.put_object(Bucket="b", Key="k", Body=b"x", **LOCK)["VersionId"]
    seen = client.head_object(Bucket="b", Key="k")
    assert (seen["ObjectLockMode"], seen["ObjectLockRetainUntilDate"]) == ("COMPLIANCE", UNTIL)
    assert outcome(client.delete_object, Bucket="b", Key="k", VersionId=version) == (403, "AccessDenied")


@pytest.mark.parametrize("traits", [SWIFT, LOCK_IGNORED], ids=lambda traits: traits.name)
def test_a_lock_that_is_ignored_is_answered_200_and_not_there(start: Any, traits: StoreTraits) -> None:
    store = start(traits, locks=True)
    client = store.client()
    assert outcome(client.put_object, Bucket="b", Key="k", Body=b"x", **LOCK) == 200
    assert "ObjectLockMode" not in client.head_object(Bucket="b", Key="k")
    assert outcome(client.delete_object, Bucket="b", Key="k") == 204


def test_a_bucket_without_locks_refuses_one(start: Any) -> None:
    answer = outcome(start().client().put_object, Bucket="b", Key="k", Body=b"x", **LOCK)
    assert answer == (400, "InvalidRequest")


def test_a_shorter_and_weaker_lock_is_seen_when_read_back(start: Any) -> None:
    client = start(S3.but(lock_seconds_lost=60, lock_mode_kept="GOVERNANCE"), locks=True).client()
    client.put_object(Bucket="b", Key="k", Body=b"x", **LOCK)
    kept = client.get_object_retention(Bucket="b", Key="k")["Retention"]
    assert kept == {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL - timedelta(seconds=60)}


@pytest.mark.parametrize(("traits", "locked"), [(S3, True), (CEPH_RGW, False)], ids=["s3", "ceph-rgw"])
def test_ceph_drops_the_lock_of_a_multipart_upload(start: Any, traits: StoreTraits, locked: bool) -> None:
    client = start(traits, locks=True).client()
    client.complete_multipart_upload(**open_upload(client, "k", b"x", **LOCK))
    assert ("ObjectLockMode" in client.head_object(Bucket="b", Key="k")) is locked


def test_open_uploads_are_listed_until_aborted(start: Any) -> None:
    client = start().client()
    upload = open_upload(client, "k", b"x")
    del upload["MultipartUpload"]
    assert [u["Key"] for u in client.list_multipart_uploads(Bucket="b")["Uploads"]] == ["k"]
    assert len(client.list_parts(**upload)["Parts"]) == 1
    client.abort_multipart_upload(**upload)
    assert "Uploads" not in client.list_multipart_uploads(Bucket="b")


def test_a_listing_has_pages_and_folders(start: Any) -> None:
    client = start().client()
    for key in ("a/1", "a/2", "b/1", "c d", "e"):
        client.put_object(Bucket="b", Key=key, Body=b"x")
    pages = list(
        client.get_paginator("list_objects_v2").paginate(Bucket="b", Delimiter="/", PaginationConfig={"PageSize": 2})
    )
    assert [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])] == ["a/", "b/"]
    assert [o["Key"] for page in pages for o in page.get("Contents", [])] == ["c d", "e"]
    assert len(pages) == 2


def test_a_range_a_condition_and_a_copy_are_read(start: Any) -> None:
    client = start().client()
    etag = client.put_object(Bucket="b", Key="k", Body=b"0123456789")["ETag"]
    assert client.get_object(Bucket="b", Key="k", Range="bytes=2-4", IfMatch=etag)["Body"].read() == b"234"
    assert outcome(client.get_object, Bucket="b", Key="k", IfMatch='"other"') == TAKEN
    client.copy_object(Bucket="b", Key="k2", CopySource="b/k")
    assert client.get_object(Bucket="b", Key="k2")["Body"].read() == b"0123456789"


def test_many_are_deleted_at_once(start: Any) -> None:
    store = start()
    client = store.client()
    client.put_object(Bucket="b", Key="k", Body=b"x")
    assert len(client.delete_objects(Bucket="b", Delete={"Objects": [{"Key": "k"}, {"Key": "none"}]})["Deleted"]) == 2
    assert store.bucket("b").keys() == []


@pytest.mark.parametrize(
    "code",
    [
        "AccessDenied",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
        "NoSuchBucket",
        "SlowDown",
    ],
)
def test_an_error_can_be_planned_for_one_key_and_call(start: Any, code: str) -> None:
    store = start()
    client = store.client()
    store.fail("PutObject", code, key="bad")
    assert outcome(client.put_object, Bucket="b", Key="good", Body=b"x") == 200
    assert outcome(client.put_object, Bucket="b", Key="bad", Body=b"x")[1] == code
    assert outcome(client.put_object, Bucket="b", Key="bad", Body=b"x") == 200


def test_an_answer_can_get_lost_before_or_after_the_act(start: Any) -> None:
    store = start()
    client = store.client()
    for key, after in (("before", False), ("after", True)):
        store.fail("PutObject", key=key, after=after, lost=True)
        with pytest.raises(ConnectionClosedError):
            client.put_object(Bucket="b", Key=key, Body=b"x")
    assert store.bucket("b").keys() == ["after"]


def test_what_lies_in_cold_storage_is_listed_but_not_read(start: Any) -> None:
    client = start().client()
    client.put_object(Bucket="b", Key="k", Body=b"x", StorageClass="GLACIER")
    assert client.head_object(Bucket="b", Key="k")["StorageClass"] == "GLACIER"
    assert outcome(client.get_object, Bucket="b", Key="k") == (403, "InvalidObjectState")


def test_a_callback_sees_a_request_before_it_is_done(start: Any) -> None:
    store = start()
    client = store.client()
    store.before.append(lambda request: seen.append((request.operation, store.bucket("b").exists("k"))))
    seen: list[tuple[str, bool]] = []
    client.put_object(Bucket="b", Key="k", Body=b"x")
    assert seen == [("PutObject", False)]


def test_requests_share_a_connection(start: Any) -> None:
    import http.client

    store = start()
    host = http.client.HTTPConnection(store.endpoint.removeprefix("http://"))
    sockets = set()
    for _ in range(3):
        host.request("HEAD", "/b")
        host.getresponse().read()
        sockets.add(host.sock)
    assert len(sockets) == 1
    assert None not in sockets
    host.close()


def test_ceph_answers_200_to_the_completion_of_an_upload_that_never_was(start: Any) -> None:
    client = start(CEPH_RGW).client()
    upload = open_upload(client, "k", b"x")
    assert client.complete_multipart_upload(**upload)["ETag"] == ""
    assert outcome(client.complete_multipart_upload, **{**upload, "UploadId": "other"}) == 200
