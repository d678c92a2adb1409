"""The chain on a real OpenStack Swift with its S3 API, from Debian's packages (`make test-stores-real`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_iinked.custody.tombstone import erase_copy
from airflow_provider_iinked.custody.verify import verify_copies
from airflow_provider_iinked.exceptions import IinkedSignError, InvalidArgumentError, StorageError
from airflow_provider_iinked.storage.s3_answers import Condition
from tests.servers import swift as servers
from tests.servers.threads import at_once
from tests.stores.store_chain import StoreChain
from tests.stores.store_servers import S3Bucket, conn_id_of

if _lacking := servers.missing():
    pytest.skip(f"{_lacking} is not installed", allow_module_level=True)
pytest.importorskip("boto3", reason="boto3 is not installed")

MIB = 1 << 20
_numbers = itertools.count(1)


class SwiftBucket(S3Bucket):
    """One bucket of Swift, seen through boto3."""

    def __init__(self, server: servers.Swift, name: str) -> None:
        self.server, self.client, self.name = server, server.client(), name
        self.conn_id = conn_id_of(name)
        self.client.create_bucket(Bucket=name)
        self.url = f"s3://{self.conn_id}@{name}/copies"

    def connection(self) -> tuple[str, str]:
        return self.server.connection(self.conn_id)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Swift]:
    folder: Path = tmp_path_factory.mktemp("swift")
    if not servers.keeps_xattr(folder):
        pytest.skip(f"{folder} keeps no extended attributes")
    with servers.swift(folder) as running:
        yield running


@pytest.fixture
def stored(chain: Any, server: servers.Swift, monkeypatch: pytest.MonkeyPatch) -> StoreChain:
    bucket = SwiftBucket(server, f"swift-{next(_numbers)}")
    monkeypatch.setenv(*bucket.connection())
    return StoreChain(chain, bucket)


def test_the_whole_chain(stored: StoreChain) -> None:
    package, (small, large) = stored.package("small-1", {"meeting_video_id": "large-1", "size": 20 * MIB})

    copies = stored.download(package)
    assert [copy["sha256"] for copy in copies] == [stored.sim.sha256(small), stored.sim.sha256(large)]
    fetched = len(stored.sim.ledger.requests(call="recording"))
    assert stored.download(package) == copies
    assert len(stored.sim.ledger.requests(call="recording")) == fetched, "a second run keeps both"

    stored.delete(verified_copies=copies[:1], recheck="sha256")
    stored.delete(verified_copies=copies[1:], recheck="metadata")
    assert sorted(stored.sim.ledger.deletions) == sorted([small, large])
    assert stored.json(package, f"{small}.deletion.json")["status"] == "deleted"
    assert stored.download(package) == copies, "what is deleted at the source is kept"
    assert verify_copies(stored.url).counts == {"ok": 2}

    erase_copy(stored.url, package, large, reason="asked for")
    assert verify_copies(stored.url).counts == {"ok": 1, "erased": 1}
    assert stored.bucket.open_uploads() == []
    assert not [name for name in stored.names(package) if name.endswith(".part")]


@pytest.mark.parametrize("size", [200_000, 9 * MIB])
def test_a_damaged_copy_keeps_its_recording_and_is_quarantined_by_the_next_run(stored: StoreChain, size: int) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": size})
    copies = stored.download(package)
    stored.put(package, "video-1.mp4", b"damaged")

    for recheck in ("sha256", "metadata"):
        with pytest.raises(IinkedSignError, match=video):
            stored.delete(verified_copies=copies, recheck=recheck)
    assert stored.sim.ledger.deletions == []

    (again,) = stored.download(package)
    assert again["sha256"] == stored.sim.sha256(video)
    (aside,) = [name for name in stored.names(package) if name.startswith("video-1.mp4.set-aside-")]
    assert stored.get(package, aside) == b"damaged"


@pytest.mark.parametrize("size", [200_000, 9 * MIB])
def test_a_large_stale_copy_is_quarantined_whole(stored: StoreChain, size: int) -> None:
    stale = bytes(range(256)) * (size // 256)
    package, (video,) = stored.package("video-1")
    stored.put(package, "video-1.mp4", stale)

    (copy,) = stored.download(package)

    assert copy["sha256"] == stored.sim.sha256(video)
    (aside,) = [name for name in stored.names(package) if "set-aside" in name]
    assert stored.get(package, aside) == stale


@pytest.mark.parametrize("size", [200_000, 9 * MIB])
def test_two_writers_at_once_end_with_one_verified_copy(stored: StoreChain, size: int) -> None:
    package, (video,) = stored.package({"meeting_video_id": "video-1", "size": size})
    results = at_once(lambda: stored.download(package))
    done = [result for result in results if not isinstance(result, IinkedSignError)]
    assert done, results
    assert all(result == done[0] for result in done)
    assert done[0][0]["sha256"] == stored.sim.sha256(video)
    assert verify_copies(stored.url).counts == {"ok": 1}
    assert stored.bucket.open_uploads() == []


def test_a_condition_that_it_refuses_is_learned_at_the_first_write_and_nothing_is_overwritten(
    stored: StoreChain,
) -> None:
    store, url = stored.store(), f"{stored.url}/p/a.json"

    assert store.create_json(url, {"a": 1}) is True
    assert store.put_condition is Condition.REFUSED
    assert store.create_json(url, {"a": 2}) is False
    assert store.read_json(url) == (True, {"a": 1})


def test_a_name_is_literal_and_a_listing_has_pages(stored: StoreChain) -> None:
    names = ["a*.json", "a[12].json", "a1.json", "ä 1+%20.json", *(f"v{number:04}.json" for number in range(4))]
    for name in names:
        stored.put("p", name, b"x")
    store = stored.store()

    assert store.list_names(f"{stored.url}/p") == sorted(names)
    store.remove(f"{stored.url}/p/a*.json")
    assert stored.names("p") == sorted(set(names) - {"a*.json"})


def test_a_lock_that_it_would_ignore_is_refused_before_anything_is_fetched(stored: StoreChain) -> None:
    package, _ = stored.package("video-1")

    with pytest.raises(InvalidArgumentError, match="cannot lock"):
        stored.download(package, retain_for="P1Y")
    assert stored.names(package) == []


@pytest.mark.parametrize(("login", "password"), [("test:nobody", "testing"), ("test:tester", "wrong")])
def test_a_wrong_key_is_named(stored: StoreChain, monkeypatch: pytest.MonkeyPatch, login: str, password: str) -> None:
    wrong = servers.Swift(stored.bucket.server.endpoint, login, password)
    monkeypatch.setenv(*wrong.connection(stored.bucket.conn_id))
    package, _ = stored.package("video-1")

    with pytest.raises(StorageError, match=r"SignatureDoesNotMatch.*check the key"):
        stored.download(package)


def test_a_bucket_that_is_not_there_is_named(stored: StoreChain) -> None:
    package, _ = stored.package("video-1")

    with pytest.raises(StorageError, match=r"NoSuchBucket.*Create the bucket"):
        stored.chain.download(package, destination=stored.url.replace("swift-", "gone-"))
