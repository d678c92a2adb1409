"""A store that speaks S3 fails at any call: before or after the act, with an answer or without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import StorageError
from tests.servers.odd_s3 import CEPH_RGW, S3, SWIFT, StoreTraits
from tests.stores.store_chain import StoreChain

MIB = 1 << 20
CALLS = (
    *("ListObjectsV2", "HeadObject", "GetObject", "PutObject", "DeleteObject", "CopyObject"),
    *("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"),
)
FAULTS: dict[str, dict[str, Any]] = {
    "SlowDown": {"code": "SlowDown"},
    "InternalError after the act": {"code": "InternalError", "after": True},
    "lost before the act": {"lost": True},
    "lost after the act": {"lost": True, "after": True},
}


@pytest.fixture
def at(chain: Any, odd_bucket: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., StoreChain]:
    def make(traits: StoreTraits, *, tries: int = 2) -> StoreChain:
        stored = StoreChain(chain, odd_bucket(traits))
        extra = {"config_kwargs": {"retries": {"total_max_attempts": tries}}, "verify": str(stored.bucket.server.ca)}
        monkeypatch.setenv(*stored.bucket.server.connection(stored.bucket.conn_id, **extra))
        return stored

    return make


def packed(stored: StoreChain) -> tuple[str, list[str]]:
    """One recording that goes in a single request, one that goes in parts, and one whose copy is damaged."""
    package, videos = stored.package("small-1", {"meeting_video_id": "large-1", "size": 9 * MIB}, "stale-1")
    stored.put(package, "stale-1.mp4", b"damaged")
    return package, videos


def assert_well(stored: StoreChain, package: str, videos: list[str]) -> None:
    """All is copied, deleted and recorded, and nothing is left behind."""
    assert sorted(stored.sim.ledger.deletions) == sorted(videos)
    assert verify_copies(stored.url).counts == {"ok": len(videos)}
    for video in videos:
        assert json.loads(stored.get(package, f"{video}.custody.json"))["sha256"] == stored.sim.sha256(video)
    assert stored.bucket.open_uploads() == []
    assert not [name for name in stored.names(package) if name.endswith(".part")]


WITHOUT_CONDITIONS = [
    (traits, call, fault)
    for traits in (CEPH_RGW, SWIFT)
    for call in ("PutObject", "CompleteMultipartUpload")
    for fault in ("InternalError after the act", "lost after the act")
]


@pytest.mark.parametrize(
    ("traits", "call", "fault"),
    [*((S3, call, fault) for call in CALLS for fault in FAULTS), *WITHOUT_CONDITIONS],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_call_that_fails_for_a_while_loses_nothing_and_a_retry_ends_well(
    at: Callable[..., StoreChain], traits: StoreTraits, call: str, fault: str
) -> None:
    stored = at(traits)
    package, videos = packed(stored)
    stored.bucket.server.fail(call, times=3, **FAULTS[fault])

    def tried(task: Callable[[], Any]) -> Any:
        for _ in range(3):
            try:
                return task()
            except StorageError:
                for name in stored.names(package):
                    if name.endswith(".custody.json"):
                        record = stored.json(package, name)
                        assert stored.bucket.get(f"copies/{package}/{record['uri'].rpartition('/')[2]}")
        stored.bucket.server.heal()
        return task()

    copies = tried(lambda: stored.download(package))
    assert sorted(copy["meeting_video_id"] for copy in copies) == sorted(videos)
    tried(lambda: stored.delete(verified_copies=copies))
    stored.bucket.server.heal()
    stored.download(package)  # what an earlier run could not clear up goes now

    assert_well(stored, package, videos)


@pytest.mark.parametrize("call", ["PutObject", "CompleteMultipartUpload", "UploadPart"])
def test_a_store_that_stays_busy_is_named_and_nothing_is_half_there(at: Callable[..., StoreChain], call: str) -> None:
    stored = at(S3)
    package, (video,) = stored.package({"meeting_video_id": "large-1", "size": 9 * MIB})
    stored.bucket.server.fail(call, "SlowDown", times=-1)

    with pytest.raises(StorageError, match=r"SlowDown.*try again later"):
        stored.download(package)
    stored.bucket.server.heal()

    assert not [name for name in stored.names(package) if not name.endswith(".part")]
    (copy,) = stored.download(package)
    assert copy["sha256"] == stored.sim.sha256(video)


def test_a_listing_that_lags_behind_leads_to_no_overwriting(at: Callable[..., StoreChain]) -> None:
    stored = at(S3)
    package, _ = stored.package("small-1", {"meeting_video_id": "large-1", "size": 9 * MIB})
    copies = stored.download(package)
    before = {name: stored.get(package, name) for name in stored.names(package)}
    stored.bucket.server.unlisted = lambda key: True

    assert stored.download(package) == copies
    stored.delete(verified_copies=copies)
    stored.bucket.server.unlisted = None

    after = {name: stored.get(package, name) for name in stored.names(package)}
    assert {name: after[name] for name in before} == before
    assert verify_copies(stored.url).counts == {"ok": 2}


def test_what_a_listing_still_shows_after_its_removal_is_fetched_again(at: Callable[..., StoreChain]) -> None:
    stored = at(S3)
    package, (video,) = stored.package("small-1")
    stored.download(package)
    stored.bucket.server.ghosts = [f"copies/{package}/{name}" for name in stored.names(package)]
    for name in stored.names(package):
        stored.bucket.remove(f"copies/{package}/{name}")

    (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video)
    assert stored.names(package) == ["small-1.custody.json", "small-1.mp4"]


def test_a_folder_of_many_pages_is_listed_whole(at: Callable[..., StoreChain]) -> None:
    stored = at(S3)
    names = [f"v{number:03}.mp4" for number in range(25)]
    for name in names:
        stored.put("p", name, b"x")
    stored.bucket.server.page = 4

    store = stored.store()
    assert store.list_names(f"{stored.url}/p") == names
    assert [name for name, _ in store.list_objects(f"{stored.url}/p")] == names
    assert len(stored.bucket.server.requests("ListObjectsV2")) >= 14


@pytest.mark.parametrize("omitted", ["content-length", "quotes", "etag"])
def test_a_store_that_says_less_of_an_object_works(at: Callable[..., StoreChain], omitted: str) -> None:
    stored = at(S3)
    stored.bucket.server.says_less = {omitted}
    package, videos = stored.package("small-1", {"meeting_video_id": "large-1", "size": 9 * MIB})

    copies = stored.download(package)
    assert stored.download(package) == copies
    stored.delete(verified_copies=copies[:1], recheck="metadata")
    stored.delete(verified_copies=copies[1:], recheck="sha256")

    assert sorted(stored.sim.ledger.deletions) == sorted(videos)
    assert verify_copies(stored.url).counts == {"ok": 2}
    assert not [name for name in stored.names(package) if "set-aside" in name]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("PermanentRedirect", "region_name"),
        ("TemporaryRedirect", "region_name"),
        ("AuthorizationHeaderMalformed", "region_name"),
        ("RequestTimeTooSkewed", "clock"),
    ],
)
def test_a_bucket_elsewhere_and_a_wrong_clock_are_named(at: Callable[..., StoreChain], code: str, advice: str) -> None:
    stored = at(S3)
    package, _ = stored.package("small-1")
    stored.bucket.server.fail("ListObjectsV2", code, times=-1)

    with pytest.raises(StorageError, match=rf"{code}.*{advice}"):
        stored.download(package)
    assert stored.sim.ledger.requests(call="recording") == []


@pytest.mark.parametrize(("code", "named"), [("AccessDenied", "Forbidden"), ("ExpiredToken", "BadRequest")])
def test_an_answer_without_a_body_is_named_by_its_status(at: Callable[..., StoreChain], code: str, named: str) -> None:
    stored = at(S3)
    stored.bucket.server.fail("HeadObject", code, times=-1)

    with pytest.raises(StorageError, match=named):
        stored.store().info(f"{stored.url}/p/v.mp4")
